//! Reads a body to its end.

use crate::*;

/// A whole body, and how it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) bytes: Vec<u8>,
    pub(crate) failed: bool,
}

pub(crate) async fn read_to_end<B>(response: Response<B>) -> End
where
    B: http_body::Body<Data = Bytes, Error: Debug> + Unpin,
{
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    // One timeout for the whole body: a busy source would renew a timeout per frame.
    let failed = soon(async {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => {
                    // The test harness shows this output only if the test fails.
                    println!("{error:?}");
                    return true;
                }
                None => return false,
            }
        }
    });
    let failed = failed.await;
    End { bytes, failed }
}

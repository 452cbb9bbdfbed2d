use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::time::timeout;

use crate::BoxError;

/// The number of bytes of a body that a panic shows, and of frames that are read for them.
const MAX_BEGINNING: usize = 1024;

/// The number of frames of a body that is read to its end.
const MAX_FRAMES: usize = 100_000;

/// The data of a body, without the body's type.
pub(super) struct BodyBytes(Option<Box<PollBytes>>);

type PollBytes = dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> + Send;

impl BodyBytes {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let mut body = Box::pin(body);
        Self(Some(Box::new(move |cx| {
            body.as_mut().poll_frame(cx).map_err(Into::into).map_ok(|frame| {
                let data = frame.into_data().ok();
                data.map_or_else(Bytes::new, |mut data| data.copy_to_bytes(data.remaining()))
            })
        })))
    }

    /// Returns the next data, which may be empty, or `None` at the end of the body. Drops the body
    /// when it ends or fails.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        let poll = self.0.as_mut()?;
        let item = poll_fn(poll).await;
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        item
    }

    /// Returns all data of the body.
    pub(super) async fn whole(&mut self) -> Result<Bytes, BoxError> {
        let mut whole = Vec::new();
        // A body that is always ready would never reach the time limit.
        for _ in 0..MAX_FRAMES {
            let Some(data) = self.next().await else { return Ok(whole.into()) };
            whole.extend_from_slice(&data?);
        }
        Err(format!("it has not ended after {MAX_FRAMES} frames").into())
    }

    /// Returns what comes of the body within a second, up to [`MAX_BEGINNING`], as text.
    pub(super) async fn beginning(&mut self) -> String {
        let mut beginning = Vec::new();
        // The number of frames is limited too, because they may be empty and always ready.
        _ = timeout(Duration::from_secs(1), async {
            for _ in 0..MAX_BEGINNING {
                if beginning.len() >= MAX_BEGINNING {
                    break;
                }
                let Some(Ok(data)) = self.next().await else { break };
                beginning.extend_from_slice(&data);
            }
        })
        .await;
        beginning.truncate(MAX_BEGINNING);
        String::from_utf8_lossy(&beginning).into_owned()
    }
}

opaque_debug!(BodyBytes);

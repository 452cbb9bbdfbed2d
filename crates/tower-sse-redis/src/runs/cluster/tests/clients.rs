use std::fmt::Debug;

use futures_util::StreamExt;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use tower_sse::runs::{Attachment, Outcome, RunError};

use super::soon;

/// Reads the next `count` events of a client. Returns their data.
pub(super) async fn read(attachment: &mut Attachment, count: usize) -> Vec<String> {
    let mut data = Vec::new();
    while data.len() < count {
        match soon(attachment.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            other => panic!("{other:?} after {data:?}"),
        }
    }
    assert_eq!(data.len(), count, "{data:?}");
    data
}

/// Reads the events of a client until the end of the stream, and returns its error too.
pub(super) async fn read_all(mut attachment: Attachment) -> (Vec<String>, Option<RunError>) {
    let mut data = Vec::new();
    loop {
        match soon(attachment.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            Some(Err(error)) => return (data, Some(error)),
            None => return (data, None),
        }
    }
}

/// Asserts that a client reads these events and then a clean end.
pub(super) async fn assert_whole(attachment: Attachment, expected: &[&str]) {
    let (data, error) = read_all(attachment).await;
    assert!(error.is_none(), "{error:?} after {data:?}");
    assert_eq!(data, expected);
}

/// Asserts that a client reads these events and then an error with this outcome.
pub(super) async fn assert_fails(
    attachment: Attachment,
    expected: &[&str],
    outcome: Option<Outcome>,
) {
    let (data, error) = read_all(attachment).await;
    assert_eq!(error.expect("an error").outcome(), outcome);
    assert_eq!(data, expected);
}

/// Reads a body until its end.
pub(super) async fn text<B: Body<Error: Debug>>(answer: Response<B>) -> String {
    let bytes = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    str::from_utf8(&bytes).unwrap().to_owned()
}

fn data_of(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

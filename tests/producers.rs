//! Tasks that produce events and send them through a channel: how a stream ends whose producer
//! panics.

use std::fmt::Debug;

use futures_util::{Stream, StreamExt, future, stream};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};
use tokio_stream::wrappers::ReceiverStream;
use tower_sse::{BoxError, Encode, Event, SseLayer};

use crate::support::through;

#[path = "support/mod.rs"]
mod support;

/// Spawns a task that sends one event and then panics, or ends.
fn produce(panics: bool) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    let (events, received) = mpsc::channel(8);
    let task = tokio::spawn(async move {
        events.send(Event::from("one")).await.unwrap();
        assert!(!panics, "a producer that panics");
    });
    (received, task)
}

/// As in the docs of `SseLayer::terminator`.
fn with_its_end(
    events: mpsc::Receiver<Event>,
    producer: JoinHandle<()>,
) -> impl Stream<Item = Result<Event, JoinError>> {
    let failure = stream::once(producer).filter_map(|end| future::ready(end.err().map(Err)));
    ReceiverStream::new(events).map(Ok).chain(failure)
}

/// Returns all of the body, and how it failed.
async fn read<S>(stream: S) -> (String, Option<BoxError>)
where
    S: Stream<Item: Encode<Error: Debug>>,
{
    let layer: SseLayer<_> = SseLayer::new().terminator(Event::from("[DONE]"));
    let mut body = Box::pin(through(&layer, stream).into_body());
    let mut text = String::new();
    loop {
        match body.frame().await {
            None => return (text, None),
            Some(Err(error)) => return (text, Some(error)),
            Some(Ok(frame)) => text += str::from_utf8(&frame.into_data().unwrap()).unwrap(),
        }
    }
}

const WHOLE: &str = "data: one\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn a_producer_that_panics_looks_like_one_that_has_ended() {
    for panics in [false, true] {
        let (events, _producer) = produce(panics);
        let (text, failure) = read(ReceiverStream::new(events)).await;
        assert_eq!(text, WHOLE, "panics: {panics}");
        assert!(failure.is_none());
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_producer_fails_if_that_has_panicked() {
    let (events, producer) = produce(false);
    let (text, failure) = read(with_its_end(events, producer)).await;
    assert_eq!(text, WHOLE);
    assert!(failure.is_none());

    let (events, producer) = produce(true);
    let (text, failure) = read(with_its_end(events, producer)).await;
    assert!(text.starts_with("data: one\n\n") && !text.contains("[DONE]"), "{text:?}");
    let failure = failure.expect("the body fails");
    assert!(failure.downcast_ref::<JoinError>().is_some_and(JoinError::is_panic), "{failure}");
}

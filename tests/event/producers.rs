//! What follows a stream whose answer is incomplete: its producer, a task that sends events through
//! a channel, has panicked, or the program has stopped it.

use std::{error::Error, fmt::Debug};

use futures_util::{Stream, StreamExt, future, stream};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tower_sse::{BoxError, CloseReason, Encode, Event, SseLayer};

use crate::support::{Reports, Requester, Root, answer_to, read_to_end};

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

/// As on the page `guide::errors`.
fn until_stopped(
    events: impl Stream<Item = Event> + Unpin,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Event, Root>> {
    stream::unfold(Some((events, stop)), |open| async {
        let (mut events, stop) = open?;
        tokio::select! {
            event = events.next() => Some((Ok(event?), Some((events, stop)))),
            () = stop.cancelled() => Some((Err(Root), None)),
        }
    })
}

/// Returns all of the body, and how it failed.
async fn read<S>(stream: S) -> (String, Option<BoxError>)
where
    S: Stream<Item: Encode<Error: Debug>>,
{
    read_by(Requester::Post, &Reports::default(), stream).await
}

async fn read_by<S>(client: Requester, reports: &Reports, stream: S) -> (String, Option<BoxError>)
where
    S: Stream<Item: Encode<Error: Debug>>,
{
    let layer = SseLayer::new()
        .shutdown(CancellationToken::new())
        .terminator(Event::from("[DONE]"))
        .cancellation_if(<dyn Error>::is::<Root>);
    let answer = answer_to(client.request("/"), &reports.observe(layer), stream);
    read_to_end(answer.into_body()).await
}

const WHOLE: &str = "data: one\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn producer_that_panics_looks_like_one_that_has_ended() {
    for panics in [false, true] {
        let (events, _producer) = produce(panics);
        let (text, failure) = read(ReceiverStream::new(events)).await;
        assert_eq!(text, WHOLE, "panics: {panics}");
        assert!(failure.is_none());
    }
}

#[tokio::test]
async fn stream_that_ends_with_its_producer_fails_if_that_has_panicked() {
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

/// Returns a stream of one event, which stops the answer once it has been taken.
fn one_and_stop(stop: &CancellationToken) -> impl Stream<Item = Event> + Unpin + use<> {
    let stop = stop.clone();
    let rest = stream::once(async move {
        stop.cancel();
        future::pending().await
    });
    Box::pin(stream::iter([Event::from("one")]).chain(rest))
}

#[tokio::test]
async fn stopped_stream_looks_complete_by_take_until_but_not_by_a_cancellation() {
    for client in Requester::ALL {
        let reports = Reports::default();
        let stop = CancellationToken::new();
        let events = one_and_stop(&stop).take_until(Box::pin(stop.cancelled_owned()));
        let (text, failure) = read_by(client, &reports, events).await;
        assert_eq!((&*text, failure.is_none()), (WHOLE, true), "{client:?}");
        assert_eq!(reports.take(), [CloseReason::Ended]);

        let stop = CancellationToken::new();
        let events = until_stopped(one_and_stop(&stop), stop);
        let (text, failure) = read_by(client, &reports, events).await;
        assert!(text.starts_with("data: one\n\n") && !text.contains("[DONE]"), "{text:?}");
        assert_eq!(failure.is_none(), client == Requester::EventSource, "{client:?}");
        assert!(failure.is_none_or(|error| error.is::<Root>()));
        assert_eq!(reports.take(), [CloseReason::Cancelled]);
    }
}

#[tokio::test]
async fn stream_that_could_be_stopped_but_ends_is_complete() {
    let events = stream::iter([Event::from("one")]);
    let (text, failure) = read(until_stopped(events, CancellationToken::new())).await;
    assert_eq!((&*text, failure.is_none()), (WHOLE, true));
}

//! Compressed streams over real sockets: tower-http's compressor outside of `SseLayer` flushes as
//! soon as the stream is pending.

use std::panic::resume_unwind;

use futures_util::future::join_all;

use super::{
    super::application::Place,
    decoded::{CODINGS, Decoded},
    everything,
};
use crate::*;

/// A stream of this coding over this protocol, inside a compressor.
struct Coded {
    protocol: Protocol,
    coding: &'static str,
}

impl Coded {
    async fn open(&self, layer: SseLayer, client: Requester) -> (Decoded, Source) {
        let (app, mut sources) = Place::Outside.compose(layer, everything());
        let decoded = Decoded::open(app, self.protocol, self.coding, client).await;
        (decoded, sources.next().await)
    }
}

/// Runs `check` with each coding over each protocol, all at the same time, since a stream that fails
/// behind a compressor takes a second.
async fn for_each(check: impl AsyncFn(Coded)) {
    let check = &check;
    let streams = Protocol::BOTH.into_iter().flat_map(|protocol| {
        CODINGS.into_iter().map(move |coding| async move {
            let checked = AssertUnwindSafe(check(Coded { protocol, coding }));
            if let Err(panic) = checked.catch_unwind().await {
                println!("{coding} over {protocol:?}");
                resume_unwind(panic);
            }
        })
    });
    join_all(streams).await;
}

#[tokio::test]
async fn each_event_arrives_while_the_stream_is_open() {
    for_each(async |coded| {
        let (mut decoded, source) = coded.open(SseLayer::new(), Requester::EventSource).await;
        let mut expected = String::new();
        for data in ["one", "two", "three", "three", "four"] {
            source.send(data);
            expected += &format!("data: {data}\n\n");
            decoded.arrives(&expected).await;
        }
        drop(source);
        assert_eq!(decoded.end().await, (expected, false));
    })
    .await;
}

#[tokio::test]
async fn heartbeats_arrive() {
    for_each(async |coded| {
        let layer = SseLayer::new().heartbeat(Heartbeat::every(50 * MILLISECOND));
        let (mut decoded, _source) = coded.open(layer, Requester::EventSource).await;
        decoded.repeats(":\n", 3).await;
    })
    .await;
}

#[tokio::test]
async fn preamble_arrives_at_once() {
    for_each(async |coded| {
        let layer = SseLayer::new().retry(Retry::fixed(2 * SECOND)).padding(4);
        let (mut decoded, _source) = coded.open(layer, Requester::EventSource).await;
        decoded.arrives("retry: 2000\n:  \n").await;
    })
    .await;
}

#[tokio::test]
async fn what_the_layer_sends_at_the_end_arrives_before_a_clean_end() {
    let terminator = SseLayer::new().terminator(Event::from("sorry"));
    let on_error = SseLayer::new().on_error(|_| Event::from("sorry"));
    for (layer, fails) in [(terminator, false), (on_error, true)] {
        for_each(async |coded| {
            let (mut decoded, source) = coded.open(layer.clone(), Requester::Fetch).await;
            source.send("one");
            decoded.arrives("data: one\n\n").await;
            match fails {
                true => source.fail(io::Error::other("disk full")),
                false => drop(source),
            }
            let whole = "data: one\n\ndata: sorry\n\n".to_owned();
            assert_eq!(decoded.end().await, (whole, false), "{fails}");
        })
        .await;
    }
}

#[tokio::test]
async fn drained_stream_sends_its_farewell_and_ends_as_its_client_needs() {
    for client in [Requester::EventSource, Requester::Fetch] {
        for_each(async |coded| {
            let shutdown = CancellationToken::new();
            let drain = Drain::per_client().retry(Retry::fixed(SECOND));
            let layer = SseLayer::new().shutdown(shutdown.clone()).drain(drain);
            let (mut decoded, source) =
                coded.open(layer.farewell(Event::from("bye")), client).await;
            source.send("one");
            decoded.arrives("data: one\n\n").await;
            shutdown.cancel();
            decoded.arrives("data: one\n\nretry: 1000\ndata: bye\n\n").await;
            source.dropped().await;
            assert_eq!(decoded.end().await.1, client.is_cut_by_failing(), "{client:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn events_before_an_error_arrive_and_then_the_body_fails() {
    for_each(async |coded| {
        let (decoded, source) = coded.open(SseLayer::new(), Requester::Fetch).await;
        source.send("one");
        source.fail(io::Error::other("disk full"));
        let (text, failed) = decoded.end().await;
        assert!(text.starts_with("data: one\n\n"), "{text:?}");
        assert!(failed, "half of an answer does not look like the whole");
    })
    .await;
}

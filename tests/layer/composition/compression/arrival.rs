//! Compressed streams over real sockets: tower-http's compressor outside of `SseLayer` flushes as
//! soon as the stream is pending.

use std::{
    io,
    panic::{AssertUnwindSafe, resume_unwind},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio_util::sync::CancellationToken;
use tower_sse::{Drain, Event, Heartbeat, Retry, SseLayer};

use super::super::application::Place;
use super::{
    decoded::{CODINGS, Decoded},
    everything,
};
use crate::support::*;

const EVENT_SOURCE: &[(&str, &str)] =
    &[("accept", "text/event-stream"), ("cache-control", "no-cache")];
const FETCH: &[(&str, &str)] = &[("accept", "text/event-stream"), ("sec-fetch-mode", "cors")];

/// Runs `check` on a stream of each coding over each protocol, inside a compressor: on all at the
/// same time, since a stream that fails behind a compressor takes a second.
async fn for_each<F>(layer: impl Fn() -> SseLayer, headers: &[(&str, &str)], check: F)
where
    F: AsyncFn(Decoded, Sources),
{
    let opened = async |protocol, coding| {
        let (app, sources) = Place::Outside.compose(layer(), everything());
        check(Decoded::open(app, protocol, coding, headers).await, sources).await;
    };
    let opened = &opened;
    let streams = Protocol::BOTH.into_iter().flat_map(|protocol| {
        CODINGS.into_iter().map(move |coding| async move {
            if let Err(panic) = AssertUnwindSafe(opened(protocol, coding)).catch_unwind().await {
                println!("{coding} over {protocol:?}");
                resume_unwind(panic);
            }
        })
    });
    join_all(streams).await;
}

#[tokio::test]
async fn each_event_arrives_while_the_stream_is_open() {
    for_each(SseLayer::new, EVENT_SOURCE, async |mut decoded, mut sources| {
        let source = sources.next().await;
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
    let layer = || SseLayer::new().heartbeat(Heartbeat::every(Duration::from_millis(50)));
    for_each(layer, EVENT_SOURCE, async |mut decoded, mut sources| {
        let _source = sources.next().await;
        decoded.repeats(":\n", 3).await;
    })
    .await;
}

#[tokio::test]
async fn the_preamble_arrives_at_once() {
    let layer = || SseLayer::new().retry(Retry::fixed(Duration::from_secs(2))).padding(4);
    for_each(layer, EVENT_SOURCE, async |mut decoded, mut sources| {
        let _source = sources.next().await;
        decoded.arrives("retry: 2000\n:  \n").await;
    })
    .await;
}

#[tokio::test]
async fn what_the_layer_sends_at_the_end_arrives_before_a_clean_end() {
    let terminator = SseLayer::new().terminator(Event::from("sorry"));
    let on_error = SseLayer::new().on_error(|_| Event::from("sorry"));
    for (layer, fails) in [(terminator, false), (on_error, true)] {
        for_each(
            || layer.clone(),
            FETCH,
            async |mut decoded, mut sources| {
                let source = sources.next().await;
                source.send("one");
                decoded.arrives("data: one\n\n").await;
                match fails {
                    true => source.fail(io::Error::other("disk full")),
                    false => drop(source),
                }
                let whole = "data: one\n\ndata: sorry\n\n".to_owned();
                assert_eq!(decoded.end().await, (whole, false), "{fails}");
            },
        )
        .await;
    }
}

/// Checks the streams of all codings concurrently, since behind a compressor a cut stream takes a
/// second to fail.
#[tokio::test]
async fn a_drained_stream_sends_its_farewell_and_ends_as_its_client_needs() {
    let drained = async |protocol, coding, headers, fails| {
        let shutdown = CancellationToken::new();
        let drain = Drain::per_client().retry(Retry::fixed(Duration::from_secs(1)));
        let layer = SseLayer::new().shutdown(shutdown.clone()).drain(drain);
        let layer = layer.farewell(Event::from("bye"));
        let (app, mut sources) = Place::Outside.compose(layer, everything());
        let mut decoded = Decoded::open(app, protocol, coding, headers).await;
        let source = sources.next().await;
        source.send("one");
        decoded.arrives("data: one\n\n").await;
        shutdown.cancel();
        decoded.arrives("data: one\n\nretry: 1000\ndata: bye\n\n").await;
        source.dropped().await;
        assert_eq!(decoded.end().await.1, fails, "{coding} over {protocol:?}");
    };
    let (mut clients, drained) = (Vec::new(), &drained);
    for protocol in Protocol::BOTH {
        for coding in CODINGS {
            clients.push(drained(protocol, coding, EVENT_SOURCE, false).boxed_local());
            clients.push(drained(protocol, coding, FETCH, true).boxed_local());
        }
    }
    join_all(clients).await;
}

#[tokio::test]
async fn events_before_an_error_arrive_and_then_the_body_fails() {
    for_each(SseLayer::new, FETCH, async |decoded, mut sources| {
        let source = sources.next().await;
        source.send("one");
        source.fail(io::Error::other("disk full"));
        let (text, failed) = decoded.end().await;
        assert!(text.starts_with("data: one\n\n"), "{text:?}");
        assert!(failed, "half of an answer does not look like the whole");
    })
    .await;
}

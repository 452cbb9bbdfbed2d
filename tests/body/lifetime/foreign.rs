//! Foreign streams of any bytes, split anywhere, are never ended cleanly mid-event: up to the end,
//! a client decodes what it would have decoded without the layer.

use std::ops::Range;

use proptest::{prelude::*, sample::Index};

use super::reader::{Reader, Why, before_goodbye};
use super::{causes::cases, *};
use crate::cuts::{ranges, special_bytes};
use crate::{rig::*, *};

/// Reads to its end a stream whose source never waits. The stream is due after `polls` polls.
async fn busy(chunks: &[&[u8]], polls: usize, why: Why, client: Requester) -> Reader {
    let mut reader = Reader::new(why, client);
    for chunk in chunks {
        reader.rig.feed.data(chunk.to_vec());
    }
    // The age is counted from the first poll, so there must be one.
    let at_least = usize::from(matches!(why, Why::Age));
    for _ in 0..polls.max(at_least) {
        reader.take();
    }
    reader.end().await;
    reader.finish().await;
    reader
}

/// Reads a stream whose source waits before every chunk. A set bit in `silent` makes the wait long
/// enough for a heartbeat. The stream is due before chunk number `last`.
async fn slow(chunks: &[&[u8]], last: usize, silent: u64, why: Why, client: Requester) -> Reader {
    let mut reader = Reader::new(why, client);
    for n in 0..=chunks.len() {
        if silent >> (n % 64) & 1 == 1 {
            reader.be_silent().await;
        } else {
            reader.take_all();
        }
        if n == last {
            reader.end().await;
        }
        if let Some(chunk) = chunks.get(n) {
            reader.rig.feed.data(chunk.to_vec());
        }
    }
    reader.finish().await;
    reader
}

/// Returns what a client receives of `stream` if the stream is due after `from` bytes, and whether
/// the stream can then end between events. A chunk can be cut at the ends of its lines and at its
/// own end.
fn ended_after(stream: &[u8], chunks: &[Range<usize>], from: usize) -> (Vec<u8>, bool) {
    let place = |end: usize| naive::read(&stream[..end]).place;
    let is_looked_at = |end: usize| {
        end == from
            || matches!(stream[..end], [.., b'\n' | b'\r'])
            || chunks.iter().any(|chunk| chunk.end == end)
    };
    let end =
        (from..=stream.len()).find(|end| is_looked_at(*end) && place(*end) == Place::BetweenEvents);
    let (ours, is_between_events) = match end {
        Some(_) => (GOODBYE, true),
        None if place(stream.len()) == Place::LineStartInEvent => (RETRY, false),
        None => ("", false),
    };
    let mut expected = stream[..end.unwrap_or(stream.len())].to_vec();
    if expected.ends_with(b"\r") && !ours.is_empty() {
        // This line feed completes a CRLF. It comes from the source, or the layer has written it.
        expected.push(b'\n');
    }
    expected.extend(ours.as_bytes());
    (expected, is_between_events)
}

fn chunks() -> impl Strategy<Value = (Vec<u8>, Vec<Range<usize>>)> {
    (special_bytes(), prop::collection::vec(any::<Index>(), 0..12)).prop_map(|(stream, cuts)| {
        let chunks = ranges(stream.len(), &cuts);
        (stream, chunks)
    })
}

fn client() -> impl Strategy<Value = Requester> {
    prop::sample::select(Requester::ALL.to_vec())
}

fn pieces<'s>(stream: &'s [u8], chunks: &[Range<usize>]) -> Vec<&'s [u8]> {
    chunks.iter().map(|chunk| &stream[chunk.clone()]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn busy_stream_is_cut_at_its_next_event_boundary(
        (stream, chunks) in chunks(),
        polls in 0..14_usize,
        why in prop::sample::select(vec![Why::AtOnce, Why::Shutdown]),
        client in client(),
    ) {
        let frames = pieces(&stream, &chunks);
        let reader = under_a_paused_clock(busy(&frames, polls, why, client));
        let (expected, is_between_events) =
            ended_after(&stream, &chunks, reader.before.unwrap());
        let got = match before_goodbye(&reader.got) {
            Some(theirs) => {
                let ids = [&reader.got, theirs].map(|bytes| naive::read(bytes).last_event_id);
                prop_assert_eq!(&ids[0], &ids[1]);
                [theirs, GOODBYE.as_bytes()].concat()
            }
            None => reader.got,
        };
        prop_assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
        prop_assert_eq!(reader.clean, Some(is_between_events && !client.is_cut_by_failing()));
    }

    #[test]
    fn no_stream_is_ended_mid_event(
        (stream, chunks) in chunks(),
        last in any::<Index>(),
        silent in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        is_busy in any::<bool>(),
        why in prop::sample::select(vec![Why::AtOnce, Why::Shutdown, Why::Age]),
        client in client(),
    ) {
        let chunks = pieces(&stream, &chunks);
        let last = last.index(chunks.len() + 1);
        let reader = under_a_paused_clock(async {
            match why {
                _ if is_busy => busy(&chunks, last, why, client).await,
                // With `at_once`, the wait for the end of an event is too short for silences before
                // chunks.
                Why::AtOnce => slow(&chunks, last, 0, why, client).await,
                Why::Shutdown | Why::Age => slow(&chunks, last, silent, why, client).await,
            }
        });
        reader.assert_is_beginning_of(&stream, client);
    }
}

// Streams with a content coding. Their event boundaries are unknown, so the layer writes nothing
// into them, and if it ends them, they fail.

fn encoded(layer: SseLayer, request: Request<()>) -> Rig {
    Rig::answering(layer, request, |answer| answer.with_header("content-encoding", "gzip"))
}

#[tokio::test(start_paused = true)]
async fn due_encoded_stream_fails_for_every_client() {
    // `\x1f\x8b\n\n` only looks like the end of an event.
    for begun in [&b""[..], b"\x1f\x8b\n\n", b"\x1f\x8b"] {
        for due in cases() {
            let _case = case(format!("{due:?} after {}", begun.escape_ascii()));
            let mut rig = encoded(due.layer(), due.request()).begin(begun);
            due.until_due(&mut rig, &Polled::Pending).await;
            rig.assert_fails(due.reason()).await;
            assert!(rig.feed.is_dropped());
            assert_eq!(rig.closed().unwrap().bytes, begun.len() as u64);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn busy_encoded_stream_is_not_cut_within_a_frame() {
    let mut rig = encoded(layer(Drain::after(SECOND)), Requester::EventSource.request("/"));
    rig.shutdown.cancel();
    rig.passes("a\n\nb\n\n");
    time::advance(SECOND).await;
    rig.feed.data("c\n\nd\n\n");
    rig.assert_fails(CloseReason::Drained).await;
}

#[tokio::test(start_paused = true)]
async fn encoded_stream_that_ends_within_its_grace_ends_cleanly() {
    let mut rig =
        encoded(layer(Drain::per_client()), Requester::Post.request("/")).begin(b"\x1f\x8b");
    rig.shutdown.cancel();
    assert_eq!(rig.poll(), Polled::Pending);
    rig.feed.data("end");
    rig.feed.end();
    rig.assert_ends_with("end", CloseReason::Ended);
}

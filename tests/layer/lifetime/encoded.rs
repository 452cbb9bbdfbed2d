//! Streams with a content coding: their event boundaries are unknown, so the layer writes nothing
//! into them, and every end but their own is a failure.

use std::time::Duration;

use tokio::time;
use tower_sse::{CloseReason, Drain, MaxAge, Retry, SseLayer};

use super::rig::{GOODBYE, MILLISECOND, Requester, Rig, SECOND, bytes, layer};
use crate::support::{Polled, data};

/// Bytes that only look like the end of an event.
const BYTES: [&[u8]; 3] = [b"", b"\x1f\x8b\n\n", b"\x1f\x8b"];

async fn begun(begun: &'static [u8], layer: SseLayer, client: Requester) -> Rig {
    let mut rig = Rig::answering(layer, client, |answer| {
        answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    });
    if !begun.is_empty() {
        rig.feed.data(begun);
        assert_eq!(rig.poll(), bytes(begun));
    }
    assert_eq!(rig.poll(), Polled::Pending);
    rig
}

#[tokio::test(start_paused = true)]
async fn at_the_shutdown_an_encoded_stream_fails_for_every_client() {
    for client in Requester::ALL {
        let grace = if client == Requester::Post { 30 * SECOND } else { Duration::ZERO };
        for (drain, delay) in [
            (Drain::per_client(), grace),
            (Drain::at_once(), Duration::ZERO),
            (Drain::after(7 * SECOND), 7 * SECOND),
        ] {
            for bytes in BYTES {
                let layer = layer(drain.clone()).padding(2).retry(Retry::fixed(SECOND));
                let mut rig = begun(bytes, layer, client).await;
                rig.shutdown.cancel();
                if !delay.is_zero() {
                    assert_eq!(rig.poll(), Polled::Pending);
                    time::advance(delay - MILLISECOND).await;
                    assert_eq!(rig.poll(), Polled::Pending);
                    time::advance(MILLISECOND).await;
                }
                rig.assert_fails(CloseReason::Drained).await;
                assert!(rig.feed.is_dropped());
                assert_eq!(rig.closed().unwrap().bytes(), bytes.len() as u64);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_encoded_stream_is_not_cut_within_a_frame() {
    let mut rig = begun(b"", layer(Drain::after(SECOND)), Requester::EventSource).await;
    rig.shutdown.cancel();
    rig.feed.data("a\n\nb\n\n");
    assert_eq!(rig.poll(), data("a\n\nb\n\n"));
    time::advance(SECOND).await;
    rig.feed.data("c\n\nd\n\n");
    rig.assert_fails(CloseReason::Drained).await;
}

#[tokio::test(start_paused = true)]
async fn at_its_maximum_age_an_encoded_stream_fails_for_every_client() {
    for client in Requester::ALL {
        let age = if client == Requester::Post { 90 * SECOND } else { 60 * SECOND };
        for bytes in BYTES {
            let layer = layer(Drain::per_client()).max_age(MaxAge::new(60 * SECOND));
            let mut rig = begun(bytes, layer, client).await;
            time::advance(age - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(MILLISECOND).await;
            rig.assert_fails(CloseReason::Expired).await;
            assert!(rig.feed.is_dropped());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_stream_that_ends_within_its_grace_ends_cleanly() {
    let mut rig = begun(b"\x1f\x8b", layer(Drain::per_client()), Requester::Post).await;
    rig.shutdown.cancel();
    assert_eq!(rig.poll(), Polled::Pending);
    rig.feed.data("end");
    rig.feed.end();
    assert_eq!(rig.poll(), data("end"));
    rig.assert_ends(CloseReason::Ended);
}

#[tokio::test(start_paused = true)]
async fn identity_is_not_a_coding() {
    let mut rig = Rig::answering(layer(Drain::per_client()), Requester::EventSource, |answer| {
        answer.headers_mut().insert("content-encoding", "identity".parse().unwrap());
    });
    rig.shutdown.cancel();
    assert_eq!(rig.poll(), data(GOODBYE));
    rig.assert_ends(CloseReason::Drained);
}

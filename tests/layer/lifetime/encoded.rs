//! Streams with a content coding: their event boundaries are unknown, so the layer writes nothing
//! into them, and every end but their own is a failure.

use super::causes::cases;
use crate::{rig::*, *};

fn encoded(layer: SseLayer, request: Request<()>) -> Rig {
    Rig::answering(layer, request, |answer| answer.with_header("content-encoding", "gzip"))
}

#[tokio::test(start_paused = true)]
async fn due_encoded_stream_fails_for_every_client() {
    // Bytes that only look like the end of an event.
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

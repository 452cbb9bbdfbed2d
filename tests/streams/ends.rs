//! How a stream that is closed and also drained or dropped ends, and what closing all streams does.
//! `body/lifetime/causes.rs` tests how a close alone ends the stream of each kind of client.

use tower_sse::{CloseReason::*, streams::Streams};

use super::rig::{layer, open, open_for};
use super::*;
use crate::{rig::*, *};

#[tokio::test(start_paused = true)]
async fn closed_stream_is_not_drained_and_a_drained_one_can_be_closed() {
    for is_closed_first in [true, false] {
        let streams = Streams::new();
        let open = open_for(&streams, layer(&streams), Requester::Get, &["a"]);
        let mut open = open.begin(b"data: half\n");
        for closes in [is_closed_first, !is_closed_first] {
            if closes {
                assert_eq!(now(streams.close("a")), 1);
            } else {
                open.shutdown.cancel();
            }
            assert_eq!(open.poll(), Polled::Pending);
        }
        advance(Duration::from_millis(500)).await;
        // A drain that ends a stream mid-event sends its reconnection time instead.
        assert_eq!(open.poll(), data(": \n"));
        assert_eq!(open.leave().reason, Revoked);
    }
}

/// If all streams are closed, their clients should not come back at the same time.
#[tokio::test(start_paused = true)]
async fn closing_all_streams_sends_the_reconnection_time_of_the_drain() {
    for client in Requester::ALL {
        let streams = Streams::new();
        let mut closed = open_for(&streams, layer(&streams), client, &["a", "b"]).begin(b"");
        let mut without = open_for(&streams, layer(&streams), client, &[]);
        assert_eq!(streams.close_all(), 1, "a stream of two subjects counts once");
        assert_eq!(closed.poll(), data(RETRY));
        closed.assert_cut(client, Revoked).await;
        assert_eq!(without.poll(), Polled::Pending, "it has no subjects");
        assert_eq!(streams.subjects(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn later_closes_of_all_count_only_streams_that_opened_since() {
    let streams = Streams::new();
    let _closed = open(&streams, &["a"]);
    for expected in [2, 1] {
        let left = open(&streams, &["a"]);
        let _open = open(&streams, &["b"]);
        drop(left);
        assert_eq!(streams.close_all(), expected);
    }
}

/// The body is not polled any more, so the end cannot be sent.
#[tokio::test(start_paused = true)]
async fn stream_of_a_stalled_client_is_reported_when_it_is_dropped() {
    let streams = Streams::new();
    let mut mid_event = open(&streams, &["a"]).begin(b"data: half");
    now(streams.close("a"));
    assert_eq!(mid_event.poll(), Polled::Pending);
    assert_eq!(mid_event.leave().reason, Revoked);
}

#[tokio::test(start_paused = true)]
async fn closed_stream_that_a_panic_drops_has_panicked() {
    let streams = Streams::new();
    let mut mid_event = open(&streams, &["a"]).begin(b"data: half");
    now(streams.close("a"));
    assert_eq!(mid_event.poll(), Polled::Pending);
    assert_eq!(mid_event.leave_by_panic().reason, Panicked);
}

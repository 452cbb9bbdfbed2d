//! How a closed stream ends: for each kind of client, wherever in an event its source is.

use std::time::Duration;

use tokio::time::advance;
use tower_sse::{CloseReason::*, MaxAge, StreamOptions, streams::Streams};

use super::rig::{Open, layer, now, with_shutdown};
use crate::support::{Polled, Requester, data};

const MILLISECOND: Duration = Duration::from_millis(1);

async fn assert_cut(open: &mut Open, client: Requester, last: &'static str) {
    if client.is_cut_by_failing() {
        if !last.is_empty() {
            assert_eq!(open.poll(), data(last), "{client:?}");
        }
        assert_eq!(open.poll(), Polled::Pending, "{client:?}");
        advance(20 * MILLISECOND).await;
        let error = "the event stream was cut short: revoked".to_owned();
        assert_eq!(open.poll(), Polled::Failed(error), "{client:?}");
    } else {
        assert_eq!(open.poll(), Polled::End, "{client:?}");
    }
    assert_eq!(open.reason(), Some(Revoked), "{client:?}");
    assert_eq!(open.poll(), Polled::End, "{client:?}");
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_is_not_drained_and_a_drained_one_can_be_closed() {
    for is_closed_first in [true, false] {
        let streams = Streams::new();
        let (layer, shutdown) = with_shutdown(&streams);
        let mut open = Open::new(layer, Requester::Get, &["a"]);
        open.feed.data("data: half\n");
        assert_eq!(open.poll(), data("data: half\n"));
        assert_eq!(open.poll(), Polled::Pending);
        for closes in [is_closed_first, !is_closed_first] {
            if closes {
                assert_eq!(now(streams.close("a")), 1);
            } else {
                shutdown.cancel();
            }
            assert_eq!(open.poll(), Polled::Pending);
        }
        advance(500 * MILLISECOND).await;
        // Neither the farewell nor the reconnection time of the drain.
        assert_eq!(open.poll(), data(":\n"));
        assert_eq!(open.leave(), Revoked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_and_a_maximum_age_still_end_a_stream_with_subjects() {
    let streams = Streams::new();
    let (with_shutdown, shutdown) = with_shutdown(&streams);
    let mut open = Open::new(with_shutdown, Requester::EventSource, &["a"]);
    assert_eq!(open.poll(), Polled::Pending);
    shutdown.cancel();
    assert_eq!(open.poll(), data("retry: 3000\ndata: bye\n\n"));
    assert_eq!((open.leave(), streams.count("a")), (Drained, 0));

    let age = MaxAge::new(1000 * MILLISECOND);
    let mut open = Open::new(layer(&streams).max_age(age), Requester::EventSource, &["a"]);
    assert_eq!(open.poll(), Polled::Pending);
    advance(1000 * MILLISECOND).await;
    assert_eq!(open.poll(), Polled::End);
    assert_eq!((open.leave(), streams.count("a")), (Expired, 0));
}

/// The clients of all streams should not come back at the same time.
#[tokio::test(start_paused = true)]
async fn closing_all_streams_sends_the_reconnection_time_of_the_drain() {
    for client in Requester::ALL {
        let streams = Streams::new();
        let mut open = Open::new(layer(&streams), client, &["a", "b"]);
        let mut without = Open::new(layer(&streams), client, &[]);
        assert_eq!(open.poll(), Polled::Pending);
        assert_eq!(streams.close_all(), 1, "a stream of two subjects counts once");
        assert_eq!(open.poll(), data("retry: 3000\n"));
        assert_cut(&mut open, client, "").await;
        assert_eq!(without.poll(), Polled::Pending, "it has no subjects");
        assert_eq!(streams.subjects(), []);
    }
}

/// The body is not polled any more, so that the end cannot be sent.
#[tokio::test(start_paused = true)]
async fn the_stream_of_a_client_that_does_not_read_is_reported_when_it_is_dropped() {
    let streams = Streams::new();
    let mut open = Open::new(layer(&streams), Requester::EventSource, &["a"]);
    assert_eq!(open.poll(), Polled::Pending);
    assert_eq!((now(streams.close("a")), streams.count("a")), (1, 0));
    assert_eq!(open.reason(), None);
    assert_eq!(open.leave(), Revoked);

    let mid_event = {
        let mut open = Open::new(layer(&streams), Requester::EventSource, &["a"]);
        open.feed.data("data: half");
        assert_eq!(open.poll(), data("data: half"));
        now(streams.close("a"));
        assert_eq!(open.poll(), Polled::Pending);
        open
    };
    assert_eq!(mid_event.leave(), Revoked);
}

/// Layer options and response options do not replace subjects.
#[tokio::test(start_paused = true)]
async fn options_of_the_response_keep_the_subjects() {
    let streams = Streams::new();
    let layer = layer(&streams).options(StreamOptions::new().without_terminator());
    let mut open = Open::new(layer, Requester::EventSource, &["a"]);
    now(streams.close("a"));
    assert_eq!(open.poll(), Polled::End);
}

/// Without a runtime there is no timer that could end the wait.
#[test]
fn without_a_runtime_a_closed_stream_ends_between_events() {
    let streams = Streams::new();
    let mut open = Open::new(layer(&streams), Requester::EventSource, &["a"]);
    open.feed.data("data: one\n");
    assert_eq!(open.poll(), data("data: one\n"));
    now(streams.close("a"));
    assert_eq!(open.poll(), Polled::Pending);
    open.feed.data("\n");
    assert_eq!(open.poll(), data("\n"));
    assert_eq!(open.poll(), Polled::End);
}

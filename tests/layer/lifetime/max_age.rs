//! The maximum age of a stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time;
use tower_sse::{BoxError, CloseReason, Drain, MaxAge, Retry, SseLayer, StreamOptions};

use super::rig::{MILLISECOND, Requester, Rig, SECOND, bytes, layer, longest_wait};
use crate::support::{Polled, data, event_stream};

const AGE: Duration = Duration::from_secs(60);

fn aging(max_age: MaxAge) -> SseLayer {
    layer(Drain::per_client()).max_age(max_age)
}

/// Returns the age at which a stream of this client is due.
fn due(client: Requester) -> Duration {
    AGE + if client == Requester::Post { 30 * SECOND } else { Duration::ZERO }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_maximum_age_as_its_client_needs() {
    for client in Requester::ALL {
        for begun in [&b""[..], b"data: a\n\n", b"data: a\r\r", b": ping\n"] {
            let mut rig = Rig::after(begun, aging(MaxAge::new(AGE)), client);
            time::advance(due(client) - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(MILLISECOND).await;
            rig.assert_cut_with_last_line(client, begun, CloseReason::Expired).await;
            assert!(rig.feed.is_dropped());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mid_event_it_goes_on_to_the_end_of_that_event() {
    for client in Requester::ALL {
        for (begun, rest, passed) in [
            (&b"data: a\n"[..], &b"\ndata: b\n\n"[..], &b"\n"[..]),
            (b"data: a", b"b\r\rdata: c", b"b\r\r"),
            (b"data: a\r", b"\n\r\nid: 7", b"\n\r\n"),
        ] {
            let mut rig = Rig::after(begun, aging(MaxAge::new(AGE)), client);
            time::advance(due(client)).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(5 * SECOND - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            rig.feed.data(rest);
            assert_eq!(rig.poll(), bytes(passed));
            rig.assert_cut_with_last_line(client, passed, CloseReason::Expired).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_event_is_not_completed_the_body_fails_after_5_seconds() {
    for client in Requester::ALL {
        for begun in [&b"data: a\n"[..], b"data: a", b"data: a\r", b"\xef"] {
            let mut rig = Rig::after(begun, aging(MaxAge::new(AGE)), client);
            time::advance(due(client)).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(5 * SECOND - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            assert!(!rig.feed.is_dropped());
            time::advance(MILLISECOND).await;
            rig.assert_fails_with_last_line(begun, CloseReason::Expired).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_within_its_30_seconds_ends_by_itself() {
    let mut rig = Rig::after(b"data: a\n\n", aging(MaxAge::new(AGE)), Requester::Post);
    time::advance(AGE + 29 * SECOND).await;
    assert_eq!(rig.poll(), Polled::Pending);
    rig.feed.end();
    assert_eq!(rig.poll(), data("data: [DONE]\n\n"));
    rig.assert_ends(CloseReason::Ended);
}

#[tokio::test(start_paused = true)]
async fn age_is_counted_from_the_first_poll() {
    let mut rig = Rig::new(aging(MaxAge::new(AGE)), Requester::EventSource);
    time::advance(10 * AGE).await;
    assert_eq!(rig.poll(), Polled::Pending);
    time::advance(AGE - MILLISECOND).await;
    assert_eq!(rig.poll(), Polled::Pending);
    time::advance(MILLISECOND).await;
    rig.assert_ends(CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn activity_does_not_extend_the_age() {
    let mut rig = Rig::new(aging(MaxAge::new(AGE)), Requester::EventSource);
    for _ in 0..60 {
        rig.feed.data("data: a\n\n");
        assert_eq!(rig.poll(), data("data: a\n\n"));
        assert_eq!(rig.poll(), Polled::Pending);
        time::advance(SECOND).await;
    }
    rig.feed.data("data: too late\n\n");
    rig.assert_ends(CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_ages_evenly_to_both_sides() {
    let layer = aging(MaxAge::new(100 * SECOND).jitter(0.1));
    let mut rigs: Vec<_> =
        (0..1_000).map(|_| Rig::after(b"", layer.clone(), Requester::EventSource)).collect();
    time::advance(90 * SECOND - MILLISECOND).await;
    assert!(rigs.iter_mut().all(|rig| rig.poll() == Polled::Pending), "too young");
    time::advance(MILLISECOND).await;
    for tenth in 0..10 {
        let before = rigs.len();
        time::advance(2 * SECOND).await;
        rigs.retain_mut(|rig| rig.poll() == Polled::Pending);
        let ended = before - rigs.len();
        assert!((50..150).contains(&ended), "{ended} of 1,000 in tenth {tenth}");
    }
    assert!(rigs.is_empty(), "{} too old", rigs.len());
}

/// An expired token has left nothing.
#[tokio::test(start_paused = true)]
async fn at_an_age_of_zero_a_stream_ends_before_its_source_is_polled() {
    for client in [Requester::EventSource, Requester::Get, Requester::Fetch] {
        let mut rig = Rig::new(aging(MaxAge::new(Duration::ZERO)), client);
        rig.feed.data("data: secret\n\n");
        rig.assert_cut_with_last_line(client, b"", CloseReason::Expired).await;
        assert_eq!(rig.feed.polls(), 0);
    }
}

/// A timer's clock has ticks, and the first poll rarely falls on one.
#[tokio::test(start_paused = true)]
async fn at_an_age_of_zero_a_stream_ends_at_its_first_poll_however_late() {
    time::advance(Duration::from_micros(500)).await;
    let mut rig = Rig::new(aging(MaxAge::new(Duration::ZERO)), Requester::EventSource);
    rig.feed.data("data: secret\n\n");
    rig.assert_ends(CloseReason::Expired);
    assert_eq!(rig.feed.polls(), 0);
}

#[tokio::test]
async fn at_an_age_of_zero_a_stream_ends_at_its_first_poll_by_the_real_clock_too() {
    let mut rig = Rig::new(aging(MaxAge::new(Duration::ZERO)), Requester::EventSource);
    rig.feed.data("data: secret\n\n");
    rig.assert_ends(CloseReason::Expired);
    assert_eq!(rig.feed.polls(), 0);
}

/// No time is left, so there is no grace.
#[tokio::test(start_paused = true)]
async fn at_an_age_of_zero_a_call_ends_at_once_too() {
    let mut rig = Rig::new(aging(MaxAge::new(Duration::ZERO)), Requester::Post);
    rig.assert_fails_with_last_line(b"", CloseReason::Expired).await;
    assert_eq!(rig.feed.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_after_the_configured_grace() {
    for grace in [Duration::ZERO, 7 * SECOND] {
        let layer = aging(MaxAge::new(AGE).grace(grace));
        let mut rig = Rig::after(b"data: a\n\n", layer, Requester::Post);
        time::advance(AGE + grace - MILLISECOND).await;
        assert_eq!(rig.poll(), Polled::Pending);
        time::advance(MILLISECOND).await;
        rig.assert_fails_with_last_line(b"data: a\n\n", CloseReason::Expired).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_preamble_is_sent_at_any_age() {
    let layer = aging(MaxAge::new(Duration::ZERO)).retry(Retry::fixed(SECOND));
    let mut rig = Rig::new(layer, Requester::EventSource);
    assert_eq!(rig.poll(), data("retry: 1000\n"));
    rig.assert_ends(CloseReason::Expired);
    assert_eq!(rig.feed.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unrepresentable_age_is_no_limit() {
    let greatest = longest_wait();
    for age in [Duration::MAX, Duration::from_secs(u64::MAX / 4), greatest / 2, greatest] {
        for max_age in [MaxAge::new(age), MaxAge::new(age).jitter(1.0)] {
            for client in Requester::ALL {
                let mut rig = Rig::new(aging(max_age.clone()), client);
                assert_eq!(rig.poll(), Polled::Pending);
                time::advance(1_000_000 * SECOND).await;
                rig.feed.data("data: a\n\n");
                assert_eq!(rig.poll(), data("data: a\n\n"));
                assert_eq!(rig.poll(), Polled::Pending);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_can_have_another_age_or_none() {
    for (options, expected) in [
        (StreamOptions::new().without_max_age(), None),
        (StreamOptions::new().max_age(MaxAge::new(AGE / 2)), Some(AGE / 2)),
        (StreamOptions::new().max_age(MaxAge::new(2 * AGE)), Some(2 * AGE)),
    ] {
        let mut rig = Rig::answering(aging(MaxAge::new(AGE)), Requester::EventSource, |answer| {
            answer.extensions_mut().insert(options);
        });
        assert_eq!(rig.poll(), Polled::Pending);
        let Some(age) = expected else {
            time::advance(1_000 * AGE).await;
            assert_eq!(rig.poll(), Polled::Pending);
            continue;
        };
        time::advance(age - MILLISECOND).await;
        assert_eq!(rig.poll(), Polled::Pending);
        time::advance(MILLISECOND).await;
        rig.assert_ends(CloseReason::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_source_is_cut_at_its_first_event_boundary() {
    for client in Requester::ALL {
        let frame = || Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"data: a\r\r\ndata: b")));
        let answer = event_stream(StreamBody::new(stream::repeat_with(frame)));
        let mut rig = Rig::of(aging(MaxAge::new(AGE)), client, answer);
        for _ in 0..3 {
            assert_eq!(rig.poll(), data("data: a\r\r\ndata: b"));
        }
        time::advance(due(client) - MILLISECOND).await;
        assert_eq!(rig.poll(), data("data: a\r\r\ndata: b"));
        time::advance(MILLISECOND).await;
        assert_eq!(rig.poll(), data("data: a\r\r\n"));
        rig.assert_cut_with_last_line(client, b"data: a\r\r\n", CloseReason::Expired).await;
    }
}

/// No option of the layer has to be set for a client to be recognised.
#[tokio::test(start_paused = true)]
async fn an_age_of_the_response_alone_ends_the_stream_of_an_event_source_cleanly() {
    let mut rig = Rig::answering(SseLayer::new(), Requester::EventSource, |answer| {
        answer.extensions_mut().insert(StreamOptions::new().max_age(MaxAge::new(AGE)));
    });
    assert_eq!(rig.poll(), Polled::Pending);
    time::advance(AGE).await;
    assert_eq!(rig.poll(), Polled::End);
}

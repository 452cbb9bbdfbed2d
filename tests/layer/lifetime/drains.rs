//! Every drain, for every kind of client, wherever in an event the source is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::time;
use tower_sse::{BoxError, CloseReason, Drain};

use super::rig::{GOODBYE, MILLISECOND, RETRY, Requester, Rig, SECOND, bytes, layer};
use crate::support::{Polled, data, event_stream};

const WINDOW: Duration = Duration::from_secs(20);

struct Case {
    drain: Drain,
    client: Requester,
    /// The time by which the stream is due.
    delay: Duration,
    /// Whether it may be due sooner.
    spread: bool,
    patience: Duration,
}

impl Case {
    /// Begins the shutdown and advances the clock until the stream is due. Until then the body
    /// yields `meanwhile`.
    async fn until_due<B>(&self, rig: &mut Rig<B>, meanwhile: &Polled)
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        rig.shutdown.cancel();
        if self.delay.is_zero() {
            return;
        }
        assert_eq!(&rig.poll(), meanwhile);
        if !self.spread {
            time::advance(self.delay - MILLISECOND).await;
            assert_eq!(&rig.poll(), meanwhile);
            time::advance(MILLISECOND).await;
        } else {
            time::advance(self.delay).await;
        }
    }
}

/// Returns all drains but `Drain::never`.
fn cases() -> impl Iterator<Item = Case> {
    Requester::ALL.into_iter().flat_map(|client| {
        let grace = if client == Requester::Post { 30 * SECOND } else { Duration::ZERO };
        let half_a_second = 500 * MILLISECOND;
        let short_grace = grace.min(3 * SECOND);
        [
            (Drain::per_client(), grace, false, 5 * SECOND),
            (Drain::default(), grace, false, 5 * SECOND),
            (Drain::per_client().grace(3 * SECOND), short_grace, false, 5 * SECOND),
            (Drain::at_once(), Duration::ZERO, false, half_a_second),
            (Drain::spread_over(WINDOW), WINDOW, true, 5 * SECOND),
            (Drain::spread_over(Duration::ZERO), Duration::ZERO, true, 5 * SECOND),
            (Drain::after(WINDOW), WINDOW, false, 5 * SECOND),
            (Drain::after(Duration::ZERO), Duration::ZERO, false, 5 * SECOND),
        ]
        .map(|(drain, delay, spread, patience)| Case {
            drain,
            client,
            delay,
            spread,
            patience,
        })
    })
}

#[tokio::test(start_paused = true)]
async fn between_events_a_due_stream_ends_at_once_with_its_farewell() {
    for begun in [
        &b""[..],
        b"data: a\n\n",
        b"data: a\r\n\r\n",
        b"data: a\r\r",
        b": ping\n",
        b"data: a\n\n: ping\nretry: 5\n",
        b"\xef\xbb\xbf",
    ] {
        for case in cases() {
            let mut rig = Rig::after(begun, layer(case.drain.clone()), case.client);
            case.until_due(&mut rig, &Polled::Pending).await;
            assert!(!rig.feed.is_dropped());

            let line_feed = if begun.ends_with(b"\r") { "\n" } else { "" };
            assert_eq!(rig.poll(), bytes(format!("{line_feed}{GOODBYE}").as_bytes()));
            assert!(rig.feed.is_dropped(), "the source goes as soon as the end is decided");
            rig.assert_cut(case.client, CloseReason::Drained).await;
            let frames = if begun.is_empty() { 1 } else { 2 };
            assert_eq!(rig.closed().unwrap().frames(), frames);
        }
    }
}

/// The bytes before the break, the bytes after it, and how much of the latter is still sent.
const MID_EVENT: [(&[u8], &[u8], &[u8]); 9] = [
    (b"data: a\n", b"data: b\n\ndata: c\n\n", b"data: b\n\n"),
    (b"data: a\n\nid: 7\n", b"\n", b"\n"),
    (b"data: a\n: ping\n", b"\r\n\r\n", b"\r\n"),
    (b"data: a\r", b"\n\r\ndata: b", b"\n\r\n"),
    (b"data: a\r", b"data: b\r\rdata: c", b"data: b\r\r"),
    (b"data: a", b"b\r\n\r\nid: 7\n", b"b\r\n\r\n"),
    (b": pi", b"ng\ndata: a\n\n", b"ng\n"),
    (b"retr", b"y: 5\ndata: a\n\n", b"y: 5\n"),
    (b"\xef\xbb", b"\xbf\n\ndata: a", b"\xbf\n"),
];

#[tokio::test(start_paused = true)]
async fn mid_event_a_due_stream_goes_on_to_the_end_of_that_event() {
    for (begun, rest, passed) in MID_EVENT {
        for case in cases() {
            let mut rig = Rig::after(begun, layer(case.drain.clone()), case.client);
            case.until_due(&mut rig, &Polled::Pending).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(case.patience - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);

            rig.feed.data(rest);
            assert_eq!(rig.poll(), bytes(passed));
            let line_feed = if passed.ends_with(b"\r") { "\n" } else { "" };
            assert_eq!(rig.poll(), bytes(format!("{line_feed}{GOODBYE}").as_bytes()));
            assert!(rig.feed.is_dropped());
            rig.assert_cut(case.client, CloseReason::Drained).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_may_be_completed_line_by_line() {
    let mut rig = Rig::after(b"data: a", layer(Drain::at_once()), Requester::EventSource);
    rig.shutdown.cancel();
    for line in ["b\r", "\n", "data: b\n", "", ": ping\n", "id: 7"] {
        rig.feed.data(line);
        let expected = if line.is_empty() { Polled::Pending } else { data(line) };
        assert_eq!(rig.poll(), expected);
    }
    rig.feed.data("\n\n");
    assert_eq!(rig.poll(), data("\n\n"));
    assert_eq!(rig.poll(), data(GOODBYE));
    rig.assert_ends(CloseReason::Drained);
}

#[tokio::test(start_paused = true)]
async fn if_the_event_is_not_completed_the_body_fails_for_every_client() {
    for (begun, _, _) in MID_EVENT {
        for case in cases() {
            let mut rig = Rig::after(begun, layer(case.drain.clone()), case.client);
            case.until_due(&mut rig, &Polled::Pending).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(case.patience - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            assert!(!rig.feed.is_dropped());

            time::advance(MILLISECOND).await;
            // A `retry` line belongs to no event, but it needs the start of a line.
            match begun {
                [.., b'\n'] => assert_eq!(rig.poll(), data(RETRY)),
                [.., b'\r'] => assert_eq!(rig.poll(), bytes(format!("\n{RETRY}").as_bytes())),
                _ => {}
            }
            rig.assert_fails(CloseReason::Drained).await;
            assert!(rig.feed.is_dropped());
        }
    }
}

/// Returns a source whose frames never end between events.
fn busy() -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    StreamBody::new(stream::repeat_with(|| {
        Ok(Frame::data(Bytes::from_static(b"data: a\n\ndata: b\n")))
    }))
}

#[tokio::test(start_paused = true)]
async fn a_busy_source_is_cut_at_its_first_event_boundary() {
    for case in cases() {
        let mut rig = Rig::of(layer(case.drain.clone()), case.client, event_stream(busy()));
        let frame = data("data: a\n\ndata: b\n");
        for _ in 0..3 {
            assert_eq!(rig.poll(), frame);
        }
        case.until_due(&mut rig, &frame).await;
        assert_eq!(rig.poll(), data("data: a\n\n"));
        assert_eq!(rig.poll(), data(GOODBYE));
        rig.assert_cut(case.client, CloseReason::Drained).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_drained_goes_on_to_its_own_end() {
    for client in Requester::ALL {
        for drain in [Drain::never(), Drain::after(Duration::MAX)] {
            let mut rig = Rig::after(b"data: a", layer(drain), client);
            rig.shutdown.cancel();
            for _ in 0..2 {
                assert_eq!(rig.poll(), Polled::Pending);
                time::advance(1_000_000 * SECOND).await;
            }
            rig.feed.data("b\n\n");
            rig.feed.data("data: c\n\n");
            rig.feed.end();
            assert_eq!(rig.poll(), data("b\n\n"));
            assert_eq!(rig.poll(), data("data: c\n\n"));
            assert_eq!(rig.poll(), data("data: [DONE]\n\n"));
            rig.assert_ends(CloseReason::Ended);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ends_are_spread_evenly_over_the_window() {
    let mut ends = Vec::new();
    let mut rigs: Vec<_> = (0..1_000)
        .map(|_| Rig::after(b"", layer(Drain::spread_over(WINDOW)), Requester::EventSource))
        .collect();
    for rig in &mut rigs {
        rig.shutdown.cancel();
        assert_eq!(rig.poll(), Polled::Pending);
    }
    for tenth in 0..10_u32 {
        time::advance(WINDOW / 10).await;
        let before = rigs.len();
        rigs.retain_mut(|rig| rig.poll() == Polled::Pending);
        ends.push((tenth, before - rigs.len()));
    }
    assert!(rigs.is_empty(), "{} go on after the window", rigs.len());
    for (tenth, ended) in ends {
        assert!((50..150).contains(&ended), "{ended} of 1,000 in tenth {tenth}");
    }
}

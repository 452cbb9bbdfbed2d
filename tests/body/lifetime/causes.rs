//! Streams that must end because of the shutdown, their age or the program, for each kind of
//! client, wherever in an event the source is.

use tower_sse::streams::Streams;

use crate::{rig::*, *};

const WINDOW: Duration = Duration::from_secs(20);
const AGE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Cause {
    Drain(Drain),
    Age(MaxAge),
    Close(Streams),
}

#[derive(Debug)]
pub(crate) struct Case {
    cause: Cause,
    client: Requester,
    /// The time until the stream must end, counted from the cause or, for an age, from the stream's
    /// start.
    delay: Duration,
    /// Whether the stream may have to end sooner.
    is_spread: bool,
    /// How long the stream then waits for the end of an event.
    patience: Duration,
}

impl Case {
    pub(crate) fn layer(&self) -> SseLayer {
        match &self.cause {
            Cause::Drain(drain) => layer(drain.clone()),
            Cause::Age(age) => layer(Drain::per_client()).max_age(age.clone()),
            Cause::Close(streams) => layer(Drain::per_client()).streams(streams),
        }
    }

    pub(crate) fn request(&self) -> Request<()> {
        let mut request = self.client.request("/");
        if let Cause::Close(streams) = &self.cause {
            streams.subjects_of(&mut request).add("a");
        }
        request
    }

    fn rig(&self) -> Rig {
        Rig::fed(self.layer(), self.request())
    }

    fn happen<B>(&self, rig: &Rig<B>) {
        match &self.cause {
            Cause::Drain(_) => rig.shutdown.cancel(),
            Cause::Age(_) => {}
            Cause::Close(streams) => {
                assert_eq!(streams.close("a").now_or_never().unwrap().unwrap(), 1);
            }
        }
    }

    /// Lets the cause happen and advances the clock until the stream is due. Asserts that the body
    /// yields `meanwhile` until then.
    pub(crate) async fn until_due<B>(&self, rig: &mut Rig<B>, meanwhile: &Polled)
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        self.happen(rig);
        if *meanwhile == Polled::Pending {
            let wakes = usize::from(!matches!(self.cause, Cause::Age(_)));
            assert_eq!(rig.wakes.take(), wakes);
        }
        if self.delay.is_zero() {
            return;
        }
        assert_eq!(&rig.poll(), meanwhile);
        if !self.is_spread {
            time::advance(self.delay - MILLISECOND).await;
            assert_eq!(&rig.poll(), meanwhile);
            time::advance(MILLISECOND).await;
        } else {
            time::advance(self.delay).await;
        }
    }

    pub(crate) fn reason(&self) -> CloseReason {
        match self.cause {
            Cause::Drain(_) => CloseReason::Drained,
            Cause::Age(_) => CloseReason::Expired,
            Cause::Close(_) => CloseReason::Revoked,
        }
    }

    /// Returns the last bytes of a stream that ends between events.
    fn last_bytes(&self) -> &'static str {
        match self.cause {
            Cause::Drain(_) => GOODBYE,
            _ if self.client.is_cut_by_failing() => ": \n",
            _ => "",
        }
    }

    /// Asserts that the stream ends now between events. `passed` is what the stream passed on last
    /// from its source.
    async fn assert_cut<B>(&self, rig: &mut Rig<B>, passed: &[u8])
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let last = self.last_bytes();
        if !last.is_empty() {
            assert_eq!(rig.poll(), on_a_line_after(passed, last));
            assert!(rig.feed.is_dropped(), "the source goes as soon as the end is decided");
        }
        rig.assert_cut(self.client, self.reason()).await;
        assert!(rig.feed.is_dropped());
    }
}

/// Returns `ours` as the layer writes it behind `passed`, where a line can start.
fn on_a_line_after(passed: &[u8], ours: &str) -> Polled {
    let line_feed = if passed.ends_with(b"\r") { "\n" } else { "" };
    bytes(format!("{line_feed}{ours}").as_bytes())
}

/// Returns a case for each kind of client and each cause that ends a stream.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    Requester::ALL.into_iter().flat_map(|client| {
        let grace = |grace| if client == Requester::Post { grace } else { Duration::ZERO };
        let (seconds, half_a_second) = (5 * SECOND, 500 * MILLISECOND);
        let drains = [
            (Drain::per_client(), grace(30 * SECOND), false, seconds),
            (Drain::default(), grace(30 * SECOND), false, seconds),
            (Drain::per_client().grace(3 * SECOND), grace(3 * SECOND), false, seconds),
            (Drain::at_once(), Duration::ZERO, false, half_a_second),
            (Drain::spread_over(WINDOW), WINDOW, true, seconds),
            (Drain::spread_over(Duration::ZERO), Duration::ZERO, true, seconds),
            (Drain::after(WINDOW), WINDOW, false, seconds),
            (Drain::after(Duration::ZERO), Duration::ZERO, false, seconds),
        ]
        .map(|(drain, delay, spread, patience)| (Cause::Drain(drain), delay, spread, patience));
        let ages = [
            (MaxAge::new(AGE), AGE + grace(30 * SECOND)),
            (MaxAge::new(AGE).grace(Duration::ZERO), AGE),
            (MaxAge::new(AGE).grace(7 * SECOND), AGE + grace(7 * SECOND)),
        ]
        .map(|(age, delay)| (Cause::Age(age), delay, false, seconds));
        let close = (Cause::Close(Streams::new()), Duration::ZERO, false, half_a_second);
        drains.into_iter().chain(ages).chain([close]).map(
            move |(cause, delay, is_spread, patience)| Case {
                cause,
                client,
                delay,
                is_spread,
                patience,
            },
        )
    })
}

#[tokio::test(start_paused = true)]
async fn between_events_a_due_stream_ends_at_once_with_its_last_bytes() {
    for begun in [
        &b""[..],
        b"data: a\n\n",
        b"data: a\r\n\r\n",
        b"data: a\r\r",
        b": ping\n",
        b"data: a\n\n: ping\nretry: 5\n",
        b"\xef\xbb\xbf",
    ] {
        for due in cases() {
            let _case = case(format!("{due:?} after {}", begun.escape_ascii()));
            let mut rig = due.rig().begin(begun);
            due.until_due(&mut rig, &Polled::Pending).await;
            assert!(!rig.feed.is_dropped());
            due.assert_cut(&mut rig, begun).await;
            let frames = usize::from(!begun.is_empty()) + usize::from(!due.last_bytes().is_empty());
            assert_eq!(rig.closed().unwrap().frames, frames as u64);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_is_due_before_its_first_poll_never_polls_its_source() {
    for due in cases().filter(|due| due.delay.is_zero()) {
        let _case = case(format!("{due:?}"));
        let mut rig = due.rig();
        rig.feed.data("data: secret\n\n");
        due.happen(&rig);
        time::advance(SECOND).await;
        due.assert_cut(&mut rig, b"").await;
        assert_eq!(rig.feed.polls(), 0);
    }
}

/// What the source sends before the stream is due, what the source sends later, and which of the
/// later bytes are still passed on.
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
async fn due_stream_goes_on_to_the_end_of_its_event() {
    for (begun, rest, passed) in MID_EVENT {
        for due in cases() {
            let _case = case(format!("{due:?} after {}", begun.escape_ascii()));
            let mut rig = due.rig().begin(begun);
            due.until_due(&mut rig, &Polled::Pending).await;
            rig.idle(due.patience - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);

            rig.feed.data(rest);
            assert_eq!(rig.poll(), bytes(passed));
            due.assert_cut(&mut rig, passed).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_event_is_not_completed_the_body_fails_for_every_client() {
    for (begun, _, _) in MID_EVENT {
        for due in cases() {
            let _case = case(format!("{due:?} after {}", begun.escape_ascii()));
            let mut rig = due.rig().begin(begun);
            due.until_due(&mut rig, &Polled::Pending).await;
            rig.assert_waits(due.patience).await;
            assert!(!rig.feed.is_dropped());
            if begun.ends_with(b"\n") || begun.ends_with(b"\r") {
                // A comment or `retry` line belongs to no event, but needs the start of a line.
                let last = if let Cause::Drain(_) = due.cause { RETRY } else { ": \n" };
                assert_eq!(rig.poll(), on_a_line_after(begun, last));
            }
            rig.assert_fails(due.reason()).await;
            assert!(rig.feed.is_dropped());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn busy_source_is_cut_at_its_first_event_boundary() {
    for (frame, cut) in
        [("data: a\n\ndata: b\n", "data: a\n\n"), ("data: a\r\r\ndata: b", "data: a\r\r\n")]
    {
        for due in cases() {
            let _case = case(format!("{due:?} within {frame:?}"));
            let frames = stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(frame.into())));
            let answer = event_stream(StreamBody::new(frames));
            let mut rig = Rig::asking(due.layer(), due.request(), answer);
            for _ in 0..3 {
                assert_eq!(rig.poll(), data(frame));
            }
            due.until_due(&mut rig, &data(frame)).await;
            assert_eq!(rig.poll(), data(cut));
            due.assert_cut(&mut rig, cut.as_bytes()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_is_never_drained_goes_on_to_its_own_end() {
    for client in Requester::ALL {
        for drain in [Drain::never(), Drain::after(Duration::MAX)] {
            let mut rig = Rig::draining(b"data: a", layer(drain), client);
            for _ in 0..2 {
                rig.idle(1_000_000 * SECOND).await;
            }
            rig.feed.data("b\n\n");
            rig.feed.data("data: c\n\n");
            rig.feed.end();
            for expected in ["b\n\n", "data: c\n\n", "data: [DONE]\n\n"] {
                assert_eq!(rig.poll(), data(expected));
            }
            rig.assert_ends(CloseReason::Ended);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ends_are_spread_evenly_over_the_window() {
    let mut rigs: Vec<_> = (0..1_000)
        .map(|_| Rig::after(b"", layer(Drain::spread_over(WINDOW)), Requester::EventSource))
        .collect();
    for rig in &mut rigs {
        rig.shutdown.cancel();
        assert_eq!(rig.poll(), Polled::Pending);
    }
    assert_ends_evenly(rigs, WINDOW).await;
}

pub(crate) async fn assert_ends_evenly(mut rigs: Vec<Rig>, window: Duration) {
    for tenth in 0..10 {
        let before = rigs.len();
        time::advance(window / 10).await;
        rigs.retain_mut(|rig| rig.poll() == Polled::Pending);
        let ended = before - rigs.len();
        assert!((50..150).contains(&ended), "{ended} of 1,000 in tenth {tenth}");
    }
    assert!(rigs.is_empty(), "{} go on after the window", rigs.len());
}

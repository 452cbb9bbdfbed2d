use crate::*;

pub(crate) use crate::support::*;

/// The last bytes of a stream that [`layer`] drains between events.
pub(crate) const GOODBYE: &str = "retry: 3000\nevent: bye\ndata: see you\n\n";
/// The last bytes of a stream that [`layer`] drains mid-event, at the start of a line.
pub(crate) const RETRY: &str = "retry: 3000\n";

/// Returns a layer that writes an event at the end of the source, at its error and at a shutdown.
pub(crate) fn layer(drain: Drain) -> SseLayer {
    SseLayer::new()
        .without_heartbeat()
        .without_retry()
        .terminator(Event::from("[DONE]"))
        .on_error(|_| Event::from("never sent"))
        .farewell(Event::new().event("bye").data("see you"))
        .drain(drain.retry(Retry::fixed(3 * SECOND)))
}

pub(crate) struct Rig<B = FedBody> {
    pub(crate) feed: Feed,
    pub(crate) body: SseBody<B>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) wakes: Arc<Wakes>,
    reports: Reports,
}

impl Rig {
    pub(crate) fn new(layer: SseLayer, client: Requester) -> Self {
        Self::fed(layer, client.request("/"))
    }

    pub(crate) fn fed(layer: SseLayer, request: Request<()>) -> Self {
        Self::answering(layer, request, |answer| answer)
    }

    /// Builds the rig without switching off the reconnection time that streams start with.
    pub(crate) fn starting(layer: SseLayer, client: Requester) -> Self {
        Self::starting_with(layer, client.request("/"), |answer| answer)
    }

    pub(crate) fn starting_with(
        layer: SseLayer,
        request: Request<()>,
        change: impl FnOnce(Response<FedBody>) -> Response<FedBody>,
    ) -> Self {
        let (feed, source) = Feed::new();
        Self { feed, ..Rig::observing(layer, request, change(event_stream(source))) }
    }

    pub(crate) fn answering(
        layer: SseLayer,
        request: Request<()>,
        change: impl FnOnce(Response<FedBody>) -> Response<FedBody>,
    ) -> Self {
        let (feed, source) = Feed::new();
        Self { feed, ..Rig::asking(layer, request, change(event_stream(source))) }
    }

    pub(crate) fn with_options(layer: SseLayer, options: StreamOptions) -> Self {
        Self::answering(layer, Requester::EventSource.request("/"), |answer| {
            answer.with_options(options)
        })
    }

    pub(crate) fn after(begun: &'static [u8], layer: SseLayer, client: Requester) -> Self {
        Self::new(layer, client).begin(begun)
    }

    pub(crate) fn draining(begun: &'static [u8], layer: SseLayer, client: Requester) -> Self {
        let rig = Self::after(begun, layer, client);
        rig.shutdown.cancel();
        rig
    }

    #[track_caller]
    pub(crate) fn passes(&mut self, text: &'static str) {
        self.feed.data(text);
        assert_eq!(self.poll(), data(text));
    }

    pub(crate) fn begin(mut self, begun: &'static [u8]) -> Self {
        if !begun.is_empty() {
            self.feed.data(begun);
            assert_eq!(self.poll(), bytes(begun));
        }
        assert_eq!(self.poll(), Polled::Pending);
        self
    }
}

impl<B> Rig<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    pub(crate) fn of(layer: SseLayer, client: Requester, answer: Response<B>) -> Self {
        Self::asking(layer, client.request("/"), answer)
    }

    pub(crate) fn asking(layer: SseLayer, request: Request<()>, answer: Response<B>) -> Self {
        // Most tests are not about the reconnection time, which would be an `EventSource`'s first
        // frame.
        Self::observing(layer.without_retry(), request, answer)
    }

    fn observing(layer: SseLayer, request: Request<()>, answer: Response<B>) -> Self {
        let shutdown = CancellationToken::new();
        let reports = Reports::default();
        let layer = reports.observe(layer.shutdown(shutdown.clone()));
        let response = answer_to(request, &layer, answer);
        let body = response.into_body();
        Self { feed: Feed::default(), body, shutdown, wakes: Arc::default(), reports }
    }

    pub(crate) fn poll(&mut self) -> Polled {
        poll_frame_with(&mut self.body, &Waker::from(Arc::clone(&self.wakes)))
    }

    #[track_caller]
    pub(crate) fn assert_polls(&mut self, expected: impl IntoIterator<Item = Polled>) {
        for (number, expected) in expected.into_iter().enumerate() {
            assert_eq!(self.poll(), expected, "poll {number}");
        }
    }

    /// Asserts that the body has nothing to yield, and advances the clock by `time`.
    #[track_caller]
    pub(crate) fn idle(&mut self, time: Duration) -> impl Future<Output = ()> + use<B> {
        assert_eq!(self.poll(), Polled::Pending);
        time::advance(time)
    }

    /// Asserts that the body still waits a millisecond before `time` has passed, and advances the
    /// clock by `time`.
    pub(crate) async fn assert_waits(&mut self, time: Duration) {
        for step in [time - MILLISECOND, MILLISECOND] {
            assert_eq!(self.poll(), Polled::Pending, "before {time:?}");
            time::advance(step).await;
        }
    }

    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.closed().map(|closed| closed.reason)
    }

    pub(crate) fn closed(&self) -> Option<CloseReport> {
        let closed = self.reports.closed();
        assert!(closed.len() <= 1, "several reports: {closed:?}");
        closed.first().cloned()
    }

    pub(crate) fn leave(self) -> CloseReport {
        let Self { body, reports, .. } = self;
        drop(body);
        let closed = reports.closed();
        assert_eq!(closed.len(), 1, "{closed:?}");
        closed[0].clone()
    }

    pub(crate) fn leave_by_panic(self) -> CloseReport {
        let Self { body, reports, .. } = self;
        let panicking = AssertUnwindSafe(move || {
            let _dropped = body;
            panic!("asked for");
        });
        assert!(catch_unwind(panicking).is_err());
        reports.closed()[0].clone()
    }

    #[track_caller]
    pub(crate) fn assert_ends(&mut self, reason: CloseReason) {
        assert_eq!(self.poll(), Polled::End);
        self.assert_over(reason);
    }

    #[track_caller]
    pub(crate) fn assert_ends_with(&mut self, last: &'static str, reason: CloseReason) {
        assert_eq!(self.poll(), data(last));
        self.assert_ends(reason);
    }

    /// Asserts that the stream fails after 20 milliseconds, in which the bytes before the failure
    /// can reach the client.
    pub(crate) async fn assert_fails(&mut self, reason: CloseReason) {
        self.idle(19 * MILLISECOND).await;
        assert!(!self.body.is_end_stream());
        self.idle(MILLISECOND).await;
        let error = format!("the event stream was cut short: {reason}");
        assert_eq!(self.poll(), Polled::Failed(error));
        self.assert_over(reason);
    }

    /// Asserts that the stream ends now as the layer ends the streams of `client`: cleanly or with
    /// a failure.
    pub(crate) async fn assert_cut(&mut self, client: Requester, reason: CloseReason) {
        if client.is_cut_by_failing() {
            self.assert_fails(reason).await;
        } else {
            self.assert_ends(reason);
        }
    }

    #[track_caller]
    fn assert_over(&mut self, reason: CloseReason) {
        assert_eq!(self.reason(), Some(reason));
        assert!(self.body.is_end_stream());
        assert_eq!(self.body.size_hint().exact(), Some(0));
        assert_eq!(self.poll(), Polled::End);
    }
}

pub(crate) struct Grumpy;

impl Drop for Grumpy {
    fn drop(&mut self) {
        panic!("in the destructor");
    }
}

pub(crate) fn bytes(bytes: &[u8]) -> Polled {
    Polled::Data(Bytes::copy_from_slice(bytes))
}

/// Returns the longest time that can be added to the current `Instant`.
pub(crate) fn longest_wait() -> Duration {
    let now = Instant::now();
    let (mut least, mut beyond) = (Duration::ZERO, Duration::MAX);
    while beyond - least > Duration::from_nanos(1) {
        let time = least + (beyond - least) / 2;
        match now.checked_add(time) {
            Some(_) => least = time,
            None => beyond = time,
        }
    }
    least
}

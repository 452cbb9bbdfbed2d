use hyper::body::Incoming;

use crate::*;

/// A topic whose events are large, for the clients that do not read.
pub(crate) const LARGE: &str = "large";

/// A client that opens one stream after another, each on a new connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) plan: Arc<Plan>,
    pub(crate) address: SocketAddr,
    pub(crate) account: Arc<Account>,
    pub(crate) began: Instant,
    pub(crate) stop: CancellationToken,
}

impl Client {
    /// Runs until the load stops. Of 100 clients, one never reads, and 30 start runs.
    pub(crate) async fn run(self, number: usize) {
        // The clients don't start all at once.
        self.pause(self.plan.stay.mul_f64(fastrand::f64())).await;
        while !self.stop.is_cancelled() {
            match number % 100 {
                0 => self.stay_without_reading().await,
                1..=30 => self.start_run().await,
                _ => self.listen().await,
            }
        }
    }

    /// Returns a topic that has events now. All topics are replaced by others at intervals of
    /// `move_on`.
    pub(crate) fn topic(&self) -> String {
        let era = self.began.elapsed().as_millis() / self.plan.move_on.as_millis();
        format!("{era}-{}", fastrand::usize(..TOPICS))
    }

    async fn stay_without_reading(&self) {
        let stream = connect_small(self.address).await;
        let mut peer = Peer::over(stream, Protocol::Http1).await;
        peer.request("GET", &format!("/events/{LARGE}")).await;
        if !peer.head().await {
            return self.wait_after_refusal().await;
        }
        count(&self.account.opened);
        self.pause(self.plan.stay * 4).await;
        count(&self.account.left);
    }

    /// Listens to at most nine topics, leaves, and resumes once.
    async fn listen(&self) {
        let count = fastrand::usize(1..10).min(fastrand::usize(1..10));
        let topics: Vec<_> = (0..count).map(|_| self.topic()).collect();
        let path = format!("/events/{}", topics.join(","));
        let mut last = None;
        for _ in 0..2 {
            let header = last.as_deref().map(|last| ("last-event-id", last));
            let response = get(self.address, &path, header.as_slice()).await;
            let mut seen = Seen { last: last.clone(), ..Seen::default() };
            let deadline = Instant::now() + self.plan.stay.mul_f64(fastrand::f64());
            if !self.read(response, usize::MAX, deadline, &mut seen).await {
                return self.wait_after_refusal().await;
            }
            assert!(!seen.failed, "the body of a subscriber failed");
            last = seen.last;
        }
    }

    /// Starts a run and reads a part of it, or all of it. In half of the cases in which a part is
    /// left, resumes to read this part.
    async fn start_run(&self) {
        let path = format!("/runs/{}", self.account.runs.fetch_add(1, Relaxed));
        let events = fastrand::usize(1..EVENTS + 5);
        let mut seen = Seen::default();
        let response = post(self.address, &path, &[], "").await;
        let never = Instant::now() + self.plan.duration;
        if !self.read(response, events, never, &mut seen).await {
            return self.wait_after_refusal().await;
        }
        assert!(!seen.failed, "the body of an attached client failed");
        if seen.ended || fastrand::bool() || self.stop.is_cancelled() {
            return;
        }
        sleep(self.plan.abandon_after.mul_f64(fastrand::f64() / 2.0)).await;
        let last = seen.last.take().unwrap();
        let response = post(self.address, &path, &[("last-event-id", &last)], "").await;
        if response.status() == 404 {
            return count(&self.account.missed);
        }
        if !self.read(response, usize::MAX, never, &mut seen).await {
            return self.wait_after_refusal().await;
        }
        if seen.failed {
            // On a busy machine, the client returned so late that its run was abandoned meanwhile.
            let last = seen.last.unwrap();
            let response = post(self.address, &path, &[("last-event-id", &last)], "").await;
            assert_eq!(response.status(), 404, "a body failed: {response:?}");
        }
    }

    /// Reads at most `events` events, until `deadline` or `stop`. Returns `false` if the server has
    /// refused the stream.
    async fn read(
        &self,
        response: Response<Incoming>,
        events: usize,
        deadline: Instant,
        seen: &mut Seen,
    ) -> bool {
        if response.status() == 503 {
            return false;
        }
        assert_eq!(response.status(), 200, "{response:?}");
        count(&self.account.opened);
        let reading = timeout_at(deadline, seen.read(response.into_body(), events));
        _ = self.stop.run_until_cancelled(reading).await;
        count(match seen {
            Seen { ended: true, .. } => &self.account.ended,
            Seen { failed: true, .. } => &self.account.failed,
            _ => &self.account.left,
        });
        true
    }

    async fn wait_after_refusal(&self) {
        count(&self.account.refused);
        self.pause(Duration::from_millis(200)).await;
    }

    async fn pause(&self, time: Duration) {
        _ = self.stop.run_until_cancelled(sleep(time)).await;
    }
}

#[derive(Default)]
struct Seen {
    last: Option<String>,
    ended: bool,
    failed: bool,
}

impl Seen {
    async fn read(&mut self, mut body: Incoming, mut events: usize) {
        let mut decoder = Decoder::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                self.failed = true;
                return;
            };
            let mut bytes: Bytes = frame.into_data().unwrap_or_default();
            while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                self.last = Some(message.last_event_id.to_string());
                events -= 1;
                if events == 0 {
                    return;
                }
            }
        }
        self.ended = true;
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

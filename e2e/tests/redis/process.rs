use crate::*;

/// The publish deadline of a process whose hub accepts no events, so all its events are refused. On
/// a busy machine, an accepted event can take longer, so a process with this deadline publishes
/// nothing that must be acknowledged.
pub(crate) const SHORT_DEADLINE: Duration = Duration::from_millis(300);

pub(crate) type Process = HubProcess<Health, BrokerStats>;

impl Process {
    pub(crate) async fn start() -> Option<(Server, Self)> {
        let server = Server::start().await?;
        let process = Self::connect(server.broker()).await;
        Some((server, process))
    }

    pub(crate) async fn connect(broker: RedisBroker) -> Self {
        Self::connect_with(Hub::builder(), broker).await
    }

    pub(crate) async fn connect_with(builder: HubBuilder, broker: RedisBroker) -> Self {
        let (health, stats) = (broker.health(), broker.stats());
        Self::new(builder.connect(broker).await.unwrap(), health, stats)
    }

    pub(crate) async fn publish_and_read(
        &self,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Option<Receipt> {
        let last = self.publish(numbers).await;
        self.has_read(last).await;
        last
    }

    pub(crate) async fn delivers(&mut self, numbers: impl IntoIterator<Item = usize> + Clone) {
        _ = self.publish(numbers.clone()).await;
        self.reads(numbers).await;
    }

    pub(crate) async fn has_read(&self, receipt: Option<Receipt>) {
        let id = receipt.unwrap().id();
        until(|| self.hub.position() == id).await;
    }

    /// Publishes an event and returns the reason for which it is refused.
    pub(crate) async fn refusal(&self) -> BoxError {
        match self.hub.publish("a", "refused").await.unwrap_err() {
            PublishError::Refused(reason) => reason,
            error => panic!("{error:?}"),
        }
    }

    /// Waits until the last error, in lower case, contains `text`.
    #[track_caller]
    pub(crate) fn reports(&self, text: &str) -> impl Future<Output = ()> {
        let contains = move |error: Error| error.to_string().to_lowercase().contains(text);
        until(move || self.health.last_error().is_some_and(contains))
    }

    pub(crate) async fn reads_around_a_gap(
        &mut self,
        before: impl IntoIterator<Item = usize>,
        after: impl IntoIterator<Item = usize>,
    ) {
        self.reads(before).await;
        self.reads_after_a_gap(after).await;
    }
}

pub(crate) async fn publishes_and_reads(broker: RedisBroker) {
    let mut process = Process::connect(broker).await;
    process.delivers(0..3).await;
    assert!(process.health.is_ready(), "{:?}", process.health);
}

pub(crate) async fn hub_of(server: Option<Server>) -> Option<(Server, Hub)> {
    let server = server?;
    let hub = Hub::connect(server.broker()).await.unwrap();
    Some((server, hub))
}

/// Two processes that use one server. `behind` is connected through a proxy.
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) ahead: Process,
    pub(crate) behind: Process,
}

impl Pair {
    pub(crate) async fn start(server: Option<Server>) -> Option<Self> {
        let server = server?;
        let proxy = Proxy::start(server.port()).await;
        let ahead = Process::connect(server.broker()).await;
        let behind = Process::connect(proxy.broker()).await;
        Some(Self { server, proxy, ahead, behind })
    }

    /// Starts a pair of which only one process reads what follows the event 0.
    pub(crate) async fn with_one_behind(server: Option<Server>) -> Option<Self> {
        let mut pair = Self::start(server).await?;
        pair.hold_one_behind().await;
        Some(pair)
    }

    /// Publishes the event 0 and waits until both processes have read it. From then on, `behind`
    /// reads nothing more.
    pub(crate) async fn hold_one_behind(&mut self) {
        let first = self.ahead.publish([0]).await;
        self.ahead.reads([0]).await;
        self.behind.reads([0]).await;
        self.behind.has_read(first).await;
        self.proxy.hold();
    }

    pub(crate) async fn are_following(&self) {
        until(|| self.ahead.health.is_ready() && self.behind.health.is_ready()).await;
    }

    pub(crate) async fn restart_server(&mut self) {
        self.server.kill();
        self.proxy.lose();
        self.server.restart().await;
    }

    /// In both processes, reads a gap and then these events, and finds one loss.
    pub(crate) async fn reads_after_one_gap<const N: usize>(&mut self, numbers: [usize; N]) {
        for process in [&mut self.ahead, &mut self.behind] {
            process.reads_after_a_gap(numbers).await;
            assert_eq!(process.stats.losses(), 1);
        }
    }

    pub(crate) fn losses(&self) -> [u64; 2] {
        [self.ahead.stats.losses(), self.behind.stats.losses()]
    }
}

/// Returns a process that has read the event 0 and reads nothing more until the proxy is released.
pub(crate) async fn one_behind() -> Option<(Server, Proxy, Process)> {
    let server = Server::start().await?;
    let proxy = Proxy::start(server.port()).await;
    let mut process = Process::connect(proxy.broker()).await;
    process.delivers([0]).await;
    proxy.hold();
    Some((server, proxy, process))
}

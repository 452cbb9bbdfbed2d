use crate::{support::PATIENCE, *};

#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The streams whose heads arrived.
    pub(crate) opened: AtomicU64,
    /// The clean ends of these streams.
    pub(crate) ended: AtomicU64,
    /// The streams that their clients left.
    pub(crate) left: AtomicU64,
    /// The streams that failed because their run had been abandoned before the client returned.
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The clients that returned too late to a run.
    pub(crate) missed: AtomicU64,
    pub(crate) runs: AtomicU64,
}

impl Account {
    /// Asserts that the server has reported each stream and run once, with the right reason. The
    /// server's figures include the streams of [`drain`].
    pub(crate) fn assert_matches(&self, server: &Figures, plan: &Plan) {
        let drained = plan.max_streams() as u64;
        let [opened, ended, left, failed, refused, runs] =
            [&self.opened, &self.ended, &self.left, &self.failed, &self.refused, &self.runs]
                .map(|count| count.load(Relaxed));
        assert_eq!(opened, ended + left + failed);
        assert_eq!(server.opened, opened + drained);
        // `drain` asked for one stream above the limit, which was refused.
        assert_eq!(server.refused, refused + 1);

        assert_eq!(
            (server.reported_opened, &server.reported_closed),
            (server.opened, &server.closed)
        );
        assert_eq!(server.closed.values().sum::<u64>(), server.opened);
        let closed = |reason| server.closed.get(reason).copied().unwrap_or_default();
        assert_eq!((closed("drained"), closed("failed")), (drained, failed));
        assert_eq!(
            closed("ended") + closed("disconnected"),
            opened - failed,
            "closed for another reason: {:?}",
            server.closed
        );
        // A client can leave while the end of its stream is on the way.
        assert!(closed("ended") >= ended, "{ended}");

        assert_eq!(server.started, runs);
        assert_eq!(server.ended.values().sum::<u64>() + server.running, runs);
        let [completed, abandoned, cancelled] =
            ["completed", "abandoned", "cancelled"].map(|it| server.ended[it]);
        assert!(completed > 0 && abandoned > 0);
        // Other streams can take the last place while a run starts, which is then cancelled.
        assert!(cancelled <= refused, "{cancelled} of {refused}");
        assert_eq!(completed + abandoned + cancelled + server.running, runs);
        assert_eq!(server.lagged, 0);
        // Redis has restarted once, without its data.
        assert_eq!(server.losses, 1);
        assert!(server.gaps > 0);
    }
}

/// Opens as many streams as the limit allows, which needs every permit, and shuts the server down.
/// Returns its figures when all streams have closed.
pub(crate) async fn drain(plan: &Plan, server: &mut ServerProcess) -> Figures {
    // The shutdown would cancel runs that wait for a client still.
    wait_for(&mut server.control, plan, |figures| figures.open + figures.running == 0).await;
    let address = server.address();
    let open = async || get(address, "/events/held", &[]).await;
    let streams: Vec<_> =
        stream::iter(0..plan.max_streams()).map(|_| open()).buffered(16).collect().await;
    for response in &streams {
        assert_eq!(response.status(), 200, "a permit is missing: {response:?}");
    }
    assert_eq!(open().await.status(), 503, "a permit too many");
    server.control.drain().await;
    for response in streams {
        soon(response.into_body().collect()).await.unwrap();
    }
    wait_for(&mut server.control, plan, |figures| figures.open == 0).await
}

/// Asserts that the server has no streams and runs left, and no more tasks and descriptors than
/// before the load. Events of topics to which nothing is published are evicted while other events
/// are published.
pub(crate) async fn assert_none(plan: &Plan, before: &Figures, control: &mut Control) {
    _ = wait_for(control, plan, |now| {
        let held = [now.open, now.subscribers, now.running, now.kept, now.attached];
        let is_gone = held == [0; 5] && now.topics <= 1;
        is_gone && now.tasks <= before.tasks && now.descriptors <= before.descriptors
    })
    .await;
}

async fn wait_for(
    control: &mut Control,
    plan: &Plan,
    condition: impl Fn(&Figures) -> bool,
) -> Figures {
    let deadline = Instant::now() + plan.retention + plan.abandon_after + PATIENCE;
    loop {
        let figures = control.figures().await;
        if condition(&figures) {
            return figures;
        }
        assert!(Instant::now() < deadline, "still there: {figures:#?}");
        control.publish("end", "").await;
        sleep(plan.publish).await;
    }
}

/// What the server knows about itself at a moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The resident memory in KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) tasks: u64,

    pub(crate) open: u64,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) closed: BTreeMap<String, u64>,
    /// The number of `on_open` calls, and of `on_close` calls by reason.
    pub(crate) reported_opened: u64,
    pub(crate) reported_closed: BTreeMap<String, u64>,

    pub(crate) topics: u64,
    pub(crate) events: u64,
    pub(crate) subscribers: u64,
    pub(crate) gaps: u64,
    pub(crate) losses: u64,

    pub(crate) running: u64,
    pub(crate) kept: u64,
    pub(crate) attached: u64,
    pub(crate) started: u64,
    pub(crate) lagged: u64,
    pub(crate) ended: BTreeMap<String, u64>,
}

pub(crate) fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Returns the number of open descriptors of this process, except the one that counts them.
pub(crate) fn descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

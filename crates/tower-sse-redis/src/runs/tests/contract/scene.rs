use super::*;

/// The runs of one key in a store, which three processes share.
pub(crate) struct Scene {
    pub(crate) world: Redis,
    pub(crate) p: Process,
    pub(crate) q: Process,
    pub(crate) r: Process,
}

impl Scene {
    pub(crate) async fn start(lease: Duration) -> Option<Self> {
        let world = Redis::start(lease).await?;
        let p = Process::connect(world.store(), "p").await;
        let q = Process::connect(world.store(), "q").await;
        let r = Process::connect(world.store(), "r").await;
        Some(Self { world, p, q, r })
    }

    /// Lets the lease expire, or the time pass in which owners restore their claims.
    pub(crate) async fn expire(&self) {
        self.world.pass(LEASE + Duration::from_millis(100)).await;
    }

    /// Lets the lease expire, and looks until the owner is dead.
    pub(crate) async fn die(&self) {
        self.expire().await;
        let mut late = Duration::ZERO;
        while !self.q.look().await.starts_with("dead") {
            assert!(late <= LEASE, "a late owner lives");
            self.world.pass(GRACE / 3).await;
            late += GRACE / 3;
        }
        assert!(late >= GRACE, "an owner is dead after {late:?}");
    }
}

/// Returns the name of a run of the key of scenes.
pub(crate) fn run(epoch: &str) -> RunId {
    RunId { epoch: Epoch::parse(epoch).unwrap(), ..run_of("name") }
}

/// Returns the name of a run of another key.
pub(crate) fn run_of(name: &str) -> RunId {
    RunId::new(RunKey::new("owner", name).unwrap(), Epoch::parse("a1").unwrap())
}

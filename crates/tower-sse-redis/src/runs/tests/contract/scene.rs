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

    /// Declares the process `p` dead, with `q` as its heir.
    pub(crate) async fn die(&self) {
        let seen = self.world.server.command("HGET app:run:processes p").await;
        let dead = DeadProcess { id: ProcessId::from_claim("p"), seen };
        self.q.store.inherit(&dead).await.unwrap();
    }

    /// Declares the process `p` dead, and ends a run of this process: by its heir, or by `p` itself
    /// in any other mode than [`EndMode::Bury`].
    pub(crate) async fn end(&self, epoch: &str, mode: EndMode) {
        self.die().await;
        let by = if matches!(mode, EndMode::Bury { .. }) { &self.q } else { &self.p };
        let reply = by.end(epoch, mode.clone()).await;
        assert!(reply == "ended" || reply.starts_with("buried "), "{mode:?}: {reply}");
    }
}

/// Returns the name of a run with the key that scenes use.
pub(crate) fn run(epoch: &str) -> RunId {
    RunId { epoch: Epoch::parse(epoch).unwrap(), ..run_of("name") }
}

/// Returns the name of the run `a1` with this key.
pub(crate) fn run_of(name: &str) -> RunId {
    RunId::new(RunKey::new("owner", name).unwrap(), Epoch::parse("a1").unwrap())
}

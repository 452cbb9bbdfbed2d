use super::{process::*, *};

/// The runs of one key in a store, which three processes share: `p`, `q` and `r`. Runs are named by
/// their epochs, and replies are texts.
pub(crate) struct Scene {
    pub(crate) world: Redis,
    pub(crate) p: Process,
    pub(crate) q: Process,
    pub(crate) r: Process,
}

/// What an owner knows when it renews its lease.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sync<'a> {
    pub(crate) entries: Option<u64>,
    pub(crate) restores: bool,
    pub(crate) head: &'a str,
    /// Whether the owner does not push its batches.
    pub(crate) is_quiet: bool,
}

pub(crate) const HEAD: Sync<'static> =
    Sync { entries: None, restores: false, head: "head", is_quiet: false };
pub(crate) const RESTORE: Sync<'static> = Sync { restores: true, ..HEAD };

impl Scene {
    pub(crate) async fn of(world: Redis) -> Self {
        let p = Process::connect(world.store(), "p").await;
        let q = Process::connect(world.store(), "q").await;
        let r = Process::connect(world.store(), "r").await;
        Self { world, p, q, r }
    }

    pub(crate) fn process(&self, name: &str) -> &Process {
        match name {
            "p" => &self.p,
            "q" => &self.q,
            _ => &self.r,
        }
    }

    async fn send(&self, process: &str, command: Command) -> String {
        text(self.process(process).try_execute(command).await)
    }

    pub(crate) async fn look(&self) -> String {
        self.send("q", look(&run("1"))).await
    }

    pub(crate) async fn claim(&self, epoch: &str, process: &str) -> String {
        self.send(process, claim(&run(epoch))).await
    }

    pub(crate) async fn replace(&self, earlier: &str, epoch: &str, process: &str) -> String {
        self.send(process, replace(&run(epoch), &run(earlier))).await
    }

    pub(crate) async fn sync(&self, epoch: &str, process: &str, sync: Sync<'_>) -> String {
        self.send(process, sync_as(sync, &run(epoch))).await
    }

    /// Renews the lease of a run, and looks at its stream if it gets the number of its entries.
    pub(crate) async fn renew(&self, epoch: &str, process: &str, entries: Option<u64>) -> String {
        self.send(process, Command::Renew(Renew { run: run(epoch), entries })).await
    }

    pub(crate) async fn append(&self, epoch: &str, first: u64, last: u64) -> String {
        self.send("p", append(&run(epoch), first, last, "data: a\n\n")).await
    }

    pub(crate) async fn trim(&self, epoch: &str, keep_from: u64) -> String {
        self.send("p", trim(&run(epoch), keep_from)).await
    }

    pub(crate) async fn end(&self, epoch: &str, process: &str, mode: EndMode) -> String {
        self.send(process, end(&run(epoch), mode)).await
    }

    /// Ends the run as `p`, which has exported all events up to `newest`.
    pub(crate) async fn complete(&self, epoch: &str, newest: u64) -> String {
        self.end(epoch, "p", completed(newest)).await
    }

    pub(crate) async fn cancel(&self, epoch: &str, process: &str) -> String {
        self.end(epoch, process, CANCEL).await
    }

    /// Checks a run without watching it.
    pub(crate) async fn check(&self, epoch: &str) -> String {
        self.send("q", check_as(false, &run(epoch))).await
    }

    pub(crate) async fn watch(&self, epoch: &str, process: &str) -> String {
        self.send(process, check_as(true, &run(epoch))).await
    }

    /// Claims the key for `p`, and begins the stream of the run.
    pub(crate) async fn begin(&self, epoch: &str) {
        self.p.begin(&run(epoch)).await;
    }

    /// Lets the lease expire, or the time pass in which owners restore their claims.
    pub(crate) async fn expire(&self) {
        self.world.pass(LEASE + Duration::from_millis(100)).await;
    }

    /// Lets the lease expire, and looks until the owner is dead.
    pub(crate) async fn die(&self) {
        self.expire().await;
        let mut late = Duration::ZERO;
        while !self.look().await.starts_with("dead") {
            assert!(late <= LEASE, "a late owner lives");
            self.world.pass(GRACE / 3).await;
            late += GRACE / 3;
        }
        assert!(late >= GRACE, "an owner is dead after {late:?}");
    }

    /// Returns the first, the last and the bytes of each batch of a run's stream, and its end.
    pub(crate) async fn stream(&self, epoch: &str) -> Vec<String> {
        let page = self.q.store.load(&run(epoch), 0).await.unwrap();
        let head = page.head.map(|_| "head".to_owned());
        let batches = page.batches.iter().map(|batch| format!("{} {}", batch.first, batch.last));
        let end = page.end.map(|end| format!("{} {}", end.outcome, end.newest));
        head.into_iter().chain(batches).chain(end).collect()
    }

    pub(crate) async fn subscribe(&self, process: &str, epoch: &str) {
        self.process(process).store.subscribe(&run(epoch)).await.unwrap();
    }

    /// Returns what a process receives next.
    pub(crate) async fn received(&self, process: &str) -> String {
        received(&self.process(process).receive().await)
    }

    /// Asserts that a process has received nothing else.
    pub(crate) async fn has_received_all(&self, process: &str) {
        let other = RunId::new(RunKey::new("owner", "last").unwrap(), Epoch::parse("1").unwrap());
        let store = &self.process(process).store;
        store.subscribe(&other).await.unwrap();
        self.r.begin(&other).await;
        let received = self.process(process).receive().await;
        assert!(matches!(received, Incoming::Push(run, _) if run == other));
    }
}

/// Returns the name of a run of the key of scenes.
pub(crate) fn run(epoch: &str) -> RunId {
    RunId::new(key(), Epoch::parse(epoch).unwrap())
}

pub(crate) fn key() -> RunKey {
    RunKey::new("owner", "name").unwrap()
}

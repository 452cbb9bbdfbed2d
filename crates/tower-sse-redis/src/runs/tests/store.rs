use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, mem, ops::Deref, slice, time::Duration};

use tokio::time::Instant;
use tokio::time::sleep;
use tower_sse::runs::RunKey;
use tower_sse_broker::tasks::lock;

use crate::runs::seam::*;
use crate::runs::store::RedisStore;

/// The store of a process, whose calls a test can count, delay and break.
pub(crate) struct Store {
    pub(crate) redis: RedisStore,
    pub(crate) faults: Arc<Mutex<Faults>>,
    pub(crate) counts: Arc<Mutex<Counts>>,
}

/// What a store answers.
type Reply<T> = Result<T, Failure>;

/// What goes wrong between a process and its store.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The number of calls that are executed, but whose replies are lost. Loads and subscriptions
    /// don't count.
    pub(crate) lost_replies: usize,
    /// Whether pushes and hints to this process are lost.
    pub(crate) loses_pushes: bool,
    /// Whether another process is faster at every claim.
    pub(crate) is_overtaken: bool,
    /// The number of calls, except loads and subscriptions, that panic instead of being made.
    pub(crate) panics: usize,
    /// Whether the next load panics.
    pub(crate) load_panics: bool,
    /// Whether the receiver of the next reconnection panics.
    pub(crate) reconnection_panics: bool,
    /// The delay of the process's calls.
    pub(crate) delay: Duration,
    /// How much later the process gets replies, except to loads and subscriptions.
    pub(crate) reply_delay: Duration,
}

/// What processes have asked of a store.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The number of calls of each kind or, for `reported`, `forget` and `run looked for`, of runs.
    pub(crate) of: BTreeMap<&'static str, usize>,
    /// All calls in their order, and when they were made.
    pub(crate) calls: Vec<(Instant, &'static str)>,
}

impl From<RedisStore> for Store {
    fn from(redis: RedisStore) -> Self {
        Self { redis, faults: Arc::default(), counts: Arc::default() }
    }
}

impl Deref for Store {
    type Target = RedisStore;

    fn deref(&self) -> &RedisStore {
        &self.redis
    }
}

impl Store {
    /// Makes a call, unless it panics, and returns its reply, unless it is lost.
    async fn call<T>(&self, kind: &'static str, call: impl Future<Output = Reply<T>>) -> Reply<T> {
        self.delay(|faults| faults.delay).await;
        let (panics, is_lost) = {
            let mut faults = lock(&self.faults);
            let (panics, is_lost) = (faults.panics > 0, faults.lost_replies > 0);
            faults.panics -= usize::from(panics);
            faults.lost_replies -= usize::from(is_lost);
            (panics, is_lost)
        };
        assert!(!panics, "the store panics");
        lock(&self.counts).add_call(kind);
        let reply = call.await;
        self.delay(|faults| faults.reply_delay).await;
        if is_lost { Err(Failure::Lost) } else { reply }
    }

    pub(crate) async fn look(&self, key: &RunKey) -> Reply<LookReply> {
        self.call("look", self.redis.look(key)).await
    }

    pub(crate) async fn claim(&self, run: &RunId, earlier: Option<&RunId>) -> Reply<LookReply> {
        let kind = if earlier.is_some() { "replace" } else { "claim" };
        let claim = async {
            let is_overtaken = lock(&self.faults).is_overtaken;
            if is_overtaken { Ok(LookReply::Changed) } else { self.redis.claim(run, earlier).await }
        };
        self.call(kind, claim).await
    }

    pub(crate) async fn sync(&self, over: u64, sync: &Sync) -> Reply<SyncReply> {
        self.call("sync", self.redis.sync(over, sync)).await
    }

    pub(crate) async fn have_keys(&self, over: u64, runs: &[(RunId, bool)]) -> Reply<bool> {
        lock(&self.counts).add_calls("run looked for", runs.len());
        self.call("have_keys", self.redis.have_keys(over, runs)).await
    }

    pub(crate) async fn append(
        &self,
        over: u64,
        run: &RunId,
        batch: &Batch,
        entries: u64,
        pushes: bool,
    ) -> Reply<Option<u64>> {
        let kind = if pushes { "append and push" } else { "append" };
        self.call(kind, self.redis.append(over, run, batch, entries, pushes)).await
    }

    pub(crate) async fn add_part(
        &self,
        over: u64,
        run: &RunId,
        part: (usize, &[u8]),
    ) -> Reply<bool> {
        self.call("add_part", self.redis.add_part(over, run, part)).await
    }

    pub(crate) async fn trim(&self, over: u64, run: &RunId, keep_from: u64) -> Reply<u64> {
        self.call("trim", self.redis.trim(over, run, keep_from)).await
    }

    pub(crate) async fn end(&self, over: Option<u64>, end: End) -> Reply<EndReply> {
        self.end_all(over, slice::from_ref(&end)).await.pop().unwrap()
    }

    pub(crate) async fn end_all(&self, over: Option<u64>, ends: &[End]) -> Vec<Reply<EndReply>> {
        if ends.is_empty() {
            return Vec::new();
        }
        let forgotten = ends.iter().filter(|end| matches!(end.mode, EndMode::Forget)).count();
        lock(&self.counts).add_calls("forget", forgotten);
        let ended = self.call("end", async { Ok(self.redis.end_all(over, ends).await) }).await;
        ended.unwrap_or_else(|failure| vec![Err(failure); ends.len()])
    }

    pub(crate) async fn check(&self, checks: &[Check]) -> Vec<Reply<CheckReply>> {
        if checks.is_empty() {
            return Vec::new();
        }
        let checked = self.call("check", async { Ok(self.redis.check(checks).await) }).await;
        checked.unwrap_or_else(|failure| vec![Err(failure); checks.len()])
    }

    pub(crate) async fn inherit(&self, dead: &DeadProcess) -> Reply<Vec<RunId>> {
        self.call("inherit", self.redis.inherit(dead)).await
    }

    pub(crate) async fn reported(&self, owner: &ProcessId, runs: &[RunId]) -> Reply<()> {
        if runs.is_empty() {
            return Ok(());
        }
        lock(&self.counts).add_calls("reported", runs.len() - 1);
        self.call("reported", self.redis.reported(owner, runs)).await
    }

    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Reply<Page> {
        self.delay(|faults| faults.delay).await;
        assert!(!mem::take(&mut lock(&self.faults).load_panics), "the load panics");
        lock(&self.counts).add_call("load");
        self.redis.load(run, after).await
    }

    pub(crate) async fn subscribe(&self, run: &RunId) -> Reply<()> {
        self.delay(|faults| faults.delay).await;
        lock(&self.counts).add_call("subscribe");
        self.redis.subscribe(run).await
    }

    async fn delay(&self, of: impl FnOnce(&Faults) -> Duration) {
        let delay = of(&lock(&self.faults));
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }
}

impl Faults {
    /// Returns a receiver that passes pushes and hints on to `receive`, unless they are lost.
    pub(crate) fn pass(faults: &Arc<Mutex<Self>>, receive: Receive) -> Receive {
        let faults = Arc::clone(faults);
        Arc::new(move |incoming| {
            let is_lost = lock(&faults).loses_pushes;
            let panics = matches!(incoming, Incoming::Reconnected)
                && mem::take(&mut lock(&faults).reconnection_panics);
            assert!(!panics, "the reconnection panics");
            let is_message = matches!(
                incoming,
                Incoming::Push(..)
                    | Incoming::Hint(_)
                    | Incoming::Watched(_)
                    | Incoming::Replaced(_)
            );
            if !(is_lost && is_message) {
                receive(incoming);
            }
        })
    }
}

impl Counts {
    fn add_call(&mut self, kind: &'static str) {
        self.add_calls(kind, 1);
        self.calls.push((Instant::now(), kind));
    }

    fn add_calls(&mut self, kind: &'static str, count: usize) {
        *self.of.entry(kind).or_default() += count;
    }
}

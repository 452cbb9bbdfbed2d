use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, mem, ops::Deref, time::Duration};

use tokio::time::sleep;
use tower_sse::runs::__private::Epoch;
use tower_sse_broker::tasks::lock;

use crate::runs::seam::{
    Command, End, EndMode, Failure, Incoming, LookReply, Page, Receive, Reply, RunId,
};
use crate::runs::store::RedisStore;

/// The store of a process, whose calls a test can count, delay and break.
pub(crate) struct Store {
    redis: RedisStore,
    faults: Arc<Mutex<Faults>>,
    counts: Arc<Mutex<Counts>>,
}

/// What goes wrong between a process and its store.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The number of calls whose commands are executed, but whose replies are lost.
    pub(crate) lost_replies: usize,
    /// Whether pushes and hints to this process are lost.
    pub(crate) loses_pushes: bool,
    /// Whether another process is faster at every claim.
    pub(crate) is_overtaken: bool,
    /// The number of calls that panic instead of executing their commands.
    pub(crate) panics: usize,
    /// Whether the next load panics.
    pub(crate) load_panics: bool,
    /// Whether the next message of lost pushes panics.
    pub(crate) reconnection_panics: bool,
    /// The delay of everything that the process asks of the store.
    pub(crate) delay: Duration,
    /// The delay of replies to commands, which are executed at once.
    pub(crate) reply_delay: Duration,
}

/// What processes have asked of a store.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The number of calls and commands of each kind.
    pub(crate) of: BTreeMap<&'static str, usize>,
    /// The runs of all `Sync`s, in their order.
    pub(crate) synced: Vec<Epoch>,
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
    pub(crate) fn new(
        redis: RedisStore,
        faults: &Arc<Mutex<Faults>>,
        counts: &Arc<Mutex<Counts>>,
    ) -> Self {
        Self { redis, faults: Arc::clone(faults), counts: Arc::clone(counts) }
    }

    pub(crate) async fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, Failure>> {
        self.delay(|faults| faults.delay).await;
        let (panics, is_lost, is_overtaken) = {
            let mut faults = lock(&self.faults);
            let (panics, is_lost) = (faults.panics > 0, faults.lost_replies > 0);
            faults.panics -= usize::from(panics);
            faults.lost_replies -= usize::from(is_lost);
            (panics, is_lost, faults.is_overtaken)
        };
        assert!(!panics, "the store panics");
        lock(&self.counts).add(&commands);
        if is_overtaken && matches!(commands[..], [Command::Claim { .. }]) {
            return vec![Ok(Reply::Look(LookReply::Changed))];
        }
        let replies = self.redis.execute(connection, commands).await;
        self.delay(|faults| faults.reply_delay).await;
        if is_lost { vec![Err(Failure::Lost); replies.len()] } else { replies }
    }

    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        self.delay(|faults| faults.delay).await;
        assert!(!mem::take(&mut lock(&self.faults).load_panics), "the load panics");
        lock(&self.counts).add_call("load");
        self.redis.load(run, after).await
    }

    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
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
    /// Returns a receiver to which pushes and hints pass, unless they are lost.
    pub(crate) fn pass(faults: &Arc<Mutex<Self>>, receive: Receive) -> Receive {
        let faults = Arc::clone(faults);
        Arc::new(move |incoming| {
            let is_lost = lock(&faults).loses_pushes;
            let panics = matches!(incoming, Incoming::LostPushes)
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
        *self.of.entry(kind).or_default() += 1;
    }

    fn add(&mut self, commands: &[Command]) {
        self.add_call("pipeline");
        for command in commands {
            self.add_call(match command {
                Command::Look(_) => "look",
                Command::Claim { earlier: None, .. } => "claim",
                Command::Claim { .. } => "replace",
                Command::Sync(_) => "sync",
                Command::Keep(_) => "keep",
                Command::Append(append) if append.pushes => "append and push",
                Command::Append(_) => "append",
                Command::Trim(_) => "trim",
                Command::End(End { mode: EndMode::Forget, .. }) => "forget",
                Command::End(_) => "end",
                Command::Check(_) => "check",
                Command::Inherit(_) => "inherit",
                Command::Reported(..) => "reported",
            });
            if let Command::Sync(sync) = command {
                self.synced.push(sync.run.epoch);
            }
        }
    }
}

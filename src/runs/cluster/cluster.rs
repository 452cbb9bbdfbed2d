use std::sync::{Arc, OnceLock, Weak};

use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    elsewhere::{load::MAX_PAGES, mirrors::Mirrors, owner_checks},
    key_locks::KeyLocks,
    owner::{exporter, exports::Exports},
    seam::{
        command::{Command, End, EndMode},
        inbox::{Inbox, Incoming},
        reply::{EndReply, LookReply, Reply, StoreError},
        run_id::{ProcessId, RunId},
        store::{Connection, RunStore, Settings, Store},
    },
    timing::{EXPORT_WAIT, Timing},
};
use crate::runs::{RunKey, options::Options, process::Shared, spawn::spawn, until::until};

/// The connection of this process' runs to those of other processes.
pub(crate) struct Cluster {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) process: ProcessId,
    pub(crate) timing: Timing,
    /// The runs of this process, as the store has them.
    pub(crate) exports: Arc<Exports>,
    /// The runs of other processes, while a client reads them here.
    pub(crate) mirrors: Arc<Mirrors>,
    /// Serializes the claims of each key.
    pub(crate) keys: KeyLocks,
    /// The turns of loads.
    pub(super) pages: Semaphore,
}

impl Cluster {
    /// Returns whether commands can be sent at present.
    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.store.connection().borrow(), Connection::Up(_))
    }

    /// Waits until `is_true`, which depends on the store's replies to the exporter, or for a short
    /// time. Returns whether it is.
    pub(crate) async fn wait_until(&self, is_true: impl Fn() -> bool) -> bool {
        let replied = until(&self.exports.replied, || is_true().then_some(()));
        timeout(EXPORT_WAIT, replied).await.is_ok()
    }

    pub(crate) async fn look(&self, key: &RunKey) -> Result<LookReply, StoreError> {
        self.look_up(Command::Look(key.clone())).await
    }

    /// Executes a `Look` or a `Claim`.
    pub(crate) async fn look_up(&self, command: Command) -> Result<LookReply, StoreError> {
        match self.one(command).await? {
            Reply::Look(reply) => Ok(reply),
            other => Err(mismatch(&other)),
        }
    }

    pub(crate) async fn end(&self, run: &RunId, mode: EndMode) -> Result<EndReply, StoreError> {
        match self.one(Command::End(End { run: run.clone(), mode })).await? {
            Reply::End(reply) => Ok(reply),
            other => Err(mismatch(&other)),
        }
    }

    async fn one(&self, command: Command) -> Result<Reply, StoreError> {
        let results = self.store.execute(None, vec![command]).await;
        results.into_iter().next().unwrap_or_else(|| Err(StoreError::Lost("no reply".into())))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The exporter waits for runs, and must see that there will be none.
        self.exports.wake();
    }
}

/// Connects to a store, and starts the tasks that export and check runs.
pub(crate) async fn connect<S: RunStore>(
    store: S,
    options: Options,
) -> Result<Arc<Shared>, S::Error> {
    let process = ProcessId::draw();
    // The store is connected before the runs exist, and does not keep them alive.
    let runs: Arc<OnceLock<Weak<Shared>>> = Arc::default();
    let target = Arc::clone(&runs);
    let inbox = Inbox::new(move |incoming| {
        if let Some(shared) = target.get().and_then(Weak::upgrade) {
            receive(&shared, incoming);
        }
    });
    let settings = Settings { process: process.clone(), retain_for: options.retain_for, inbox };
    let store = store.connect(settings).await?;
    let timing = Timing::of_lease(store.lease());
    let cluster = Cluster {
        exports: Arc::new(Exports::new(timing, &options)),
        mirrors: Arc::default(),
        keys: KeyLocks::default(),
        pages: Semaphore::new(MAX_PAGES),
        store: Arc::clone(&store),
        process,
        timing,
    };
    let exports = Arc::clone(&cluster.exports);
    let shared = Arc::new(Shared::new(options, Some(cluster)));
    _ = runs.set(Arc::downgrade(&shared));
    spawn(forward(store.connection(), Arc::clone(&exports)));
    spawn(exporter::supervise(Arc::downgrade(&shared), exports, store));
    spawn(owner_checks::supervise(Arc::downgrade(&shared), timing.check));
    Ok(shared)
}

/// Wakes the exporter at each change of the connection.
async fn forward(mut connection: watch::Receiver<Connection>, exports: Arc<Exports>) {
    while connection.changed().await.is_ok() {
        exports.wake();
    }
}

/// Receives what other processes send.
fn receive(shared: &Arc<Shared>, incoming: Incoming) {
    let Some(cluster) = &shared.cluster else { return };
    match incoming {
        Incoming::Push(run, push) => cluster.mirrors.push(shared, &run, &push),
        Incoming::LostPushes => cluster.mirrors.load_all(shared),
        Incoming::Hint(epoch) => cluster.exports.synchronize(epoch),
        Incoming::HintToAll => cluster.exports.synchronize_all(),
    }
}

fn mismatch(reply: &Reply) -> StoreError {
    StoreError::Run(format!("unexpected reply {reply:?}").into())
}

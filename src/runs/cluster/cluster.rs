use std::sync::{Arc, OnceLock, Weak};

use tokio::time::timeout;

use super::{
    exporter,
    exports::Exports,
    inbox::{Inbox, Receiver},
    key_locks::KeyLocks,
    mirrors::Mirrors,
    owner_checks,
    reply::Push,
    run_id::{ProcessId, RunId},
    store::{Connection, RunStore, Settings, Store},
    timing::{EXPORT_WAIT, Timing},
};
use crate::{
    history::Epoch,
    runs::{call::spawn, options::Options, registry::Shared},
};

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
}

impl Cluster {
    /// Returns whether commands can be sent at present.
    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.store.connection().borrow(), Connection::Up(_))
    }

    /// Waits until the store has the end of a run of this process, or for a short time.
    pub(super) async fn wait_for_end(&self, epoch: Epoch) {
        self.wait_until(|| self.exports.has_ended(epoch)).await;
    }

    /// Waits until `is_true`, which depends on the ends that the store has, or for a short time.
    pub(crate) async fn wait_until(&self, is_true: impl Fn() -> bool) {
        let acknowledged = async {
            loop {
                // Created before the state is read, so that no acknowledgement is missed.
                let acknowledged = self.exports.acknowledged.notified();
                if is_true() {
                    return;
                }
                acknowledged.await;
            }
        };
        _ = timeout(EXPORT_WAIT, acknowledged).await;
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
    let target = Arc::new(Target(OnceLock::new()));
    let settings = Settings {
        process: process.clone(),
        retain_for: options.retain_for,
        inbox: Inbox::new(Arc::clone(&target) as Arc<dyn Receiver>),
    };
    let store = store.connect(settings).await?;
    let timing = Timing::of_lease(store.lease());
    let cluster = Cluster {
        exports: Arc::new(Exports::new(timing.beat, options.max_memory_per_owner)),
        mirrors: Arc::default(),
        keys: KeyLocks::default(),
        store: Arc::clone(&store),
        process,
        timing,
    };
    let exports = Arc::clone(&cluster.exports);
    let shared = Arc::new(Shared::new(options, Some(cluster)));
    _ = target.0.set(Arc::downgrade(&shared));
    spawn(exporter::supervise(Arc::downgrade(&shared), exports, Arc::clone(&store)));
    spawn(owner_checks::supervise(Arc::downgrade(&shared)));
    let shared_exports = shared.cluster.as_ref().map(|cluster| Arc::clone(&cluster.exports));
    spawn(forward(store.connection(), shared_exports));
    Ok(shared)
}

/// Wakes the exporter at each change of the connection.
async fn forward(
    mut connection: tokio::sync::watch::Receiver<Connection>,
    exports: Option<Arc<Exports>>,
) {
    while connection.changed().await.is_ok() {
        if let Some(exports) = &exports {
            exports.wake();
        }
    }
}

/// The target of the inbox. It exists before the runs, and does not keep them alive.
struct Target(OnceLock<Weak<Shared>>);

impl Target {
    fn with(&self, call: impl FnOnce(&Arc<Shared>, &Cluster)) {
        if let Some(shared) = self.0.get().and_then(Weak::upgrade)
            && let Some(cluster) = &shared.cluster
        {
            call(&shared, cluster);
        }
    }
}

impl Receiver for Target {
    fn push(&self, run: &RunId, push: Push) {
        self.with(|shared, cluster| cluster.mirrors.push(shared, run, &push));
    }

    fn lose_pushes(&self) {
        self.with(|shared, cluster| cluster.mirrors.load_all(shared));
    }

    fn hint(&self, epoch: Epoch) {
        self.with(|_, cluster| cluster.exports.synchronize(epoch));
    }

    fn hint_all(&self) {
        self.with(|_, cluster| cluster.exports.synchronize_all());
    }
}

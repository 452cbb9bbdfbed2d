use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::{collections::HashMap, collections::hash_map::Entry};

use tokio::{sync::SetOnce, time::timeout};
use tower_sse::runs::__private::{Epoch, Hooks, Options, Process, Record, shrink_if_sparse};
use tower_sse::runs::{RunKey, StartError};

use super::elsewhere::check;
use super::elsewhere::mirrors::{MirrorMap, Mirrors};
use super::owner::{exports::Exports, keeper};
use super::timing::{EXPORT_WAIT, Timing};
use crate::runs::seam::spawn;
use crate::runs::seam::{
    End, EndMode, EndReply, Failure, Incoming, ProcessId, Receive, RunId, kept_for,
};
use crate::runs::store::Store;
use tower_sse_broker::tasks::{catching_wakes, lock};

/// The connection of this process's runs to those of other processes.
pub(crate) struct Cluster {
    pub(crate) process: Arc<Process>,
    pub(crate) store: Arc<Store>,
    /// The name of this process in the store.
    pub(crate) id: ProcessId,
    pub(crate) timing: Timing,
    /// The runs of this process that the store should have.
    pub(crate) exports: Arc<Exports>,
    /// Copies of runs of other processes, while clients or handles of this process use them.
    pub(crate) mirrors: Arc<Mirrors>,
    /// The keys that requests are claiming.
    pub(crate) keys: KeyLocks,
}

impl Cluster {
    /// Opens a store and starts the tasks that look after runs.
    pub(crate) async fn connect<S: Into<Store>, E, F>(
        options: Options,
        open: impl FnOnce(ProcessId, Receive) -> F,
    ) -> Result<Arc<Self>, E>
    where
        F: Future<Output = Result<S, E>>,
    {
        let id = ProcessId::draw();
        // The store connects before the receiver of its messages exists.
        let target: Arc<OnceLock<Receiver>> = Arc::default();
        let receiver = Arc::clone(&target);
        let receive = move |incoming| {
            if let Some(receiver) = receiver.get() {
                receiver.receive(incoming);
            }
        };
        let store = Arc::new(open(id.clone(), Arc::new(receive)).await?.into());
        let lease = store.lease();
        let kept_for = kept_for(options.retain_for, lease);
        let timing = Timing { lease, kept_for, check: lease / 4, patience: lease * 2 };
        let exports = Arc::new(Exports::new(id.clone(), timing, options.max_memory));
        let map: Arc<MirrorMap> = Arc::default();
        let hooks = ClusterHooks { exports: Arc::clone(&exports), mirrors: Arc::clone(&map) };
        let process = Arc::new(Process::new(options, Some(Box::new(hooks))));
        let mirrors = Mirrors::new(Arc::clone(&process), Arc::clone(&store), timing, map);
        let mirrors = Arc::new(mirrors);
        spawn(check::supervise(Arc::downgrade(&mirrors), timing.check));
        let (weak, of_task) = (Arc::downgrade(&process), Arc::clone(&exports));
        spawn(keeper::supervise(weak, of_task, Arc::clone(&store)));
        let receiver =
            Receiver { exports: Arc::clone(&exports), mirrors: Arc::downgrade(&mirrors) };
        _ = target.set(receiver);
        let keys = KeyLocks::default();
        Ok(Arc::new(Self { process, store, id, timing, exports, mirrors, keys }))
    }

    /// Returns whether commands can be sent now.
    pub(crate) fn is_up(&self) -> bool {
        self.store.connection().borrow().is_some()
    }

    /// Waits until `is_true` returns `true`, for at most [`EXPORT_WAIT`]. Returns whether it did.
    /// Calls `is_true` again only when [`Exports::replied`] is notified.
    pub(crate) async fn wait_until(&self, is_true: impl Fn() -> bool) -> bool {
        let becomes_true = async {
            loop {
                // Created before the state is read, so that no reply is missed.
                let replied = self.exports.replied.notified();
                if is_true() {
                    return;
                }
                catching_wakes(replied).await;
            }
        };
        timeout(EXPORT_WAIT, becomes_true).await.is_ok()
    }

    pub(crate) async fn end(&self, run: &RunId, mode: EndMode) -> Result<EndReply, Failure> {
        self.store.end(None, End { run: run.clone(), mode }).await
    }
}

/// The receiver of pushes and hints. It keeps the exports alive, because runs that have not ended
/// need their hints even after the last `Runs` was dropped.
struct Receiver {
    exports: Arc<Exports>,
    /// Weak, because the mirrors refer to the store, and the store refers to this receiver.
    mirrors: Weak<Mirrors>,
}

impl Receiver {
    fn receive(&self, incoming: Incoming) {
        match (incoming, self.mirrors.upgrade()) {
            // The store has the end of the run, or will never have it.
            (Incoming::Asked(epoch), _) if self.exports.has_ended(epoch) => {}
            (Incoming::Hint(epoch) | Incoming::Asked(epoch), _) => self.exports.synchronize(epoch),
            (Incoming::Watched(run), _) => self.exports.watched(run),
            (Incoming::Replaced(epoch), _) => self.exports.replaced(epoch),
            (Incoming::HintToAll, _) => self.exports.synchronize_all(),
            (Incoming::Reconnected, mirrors) => {
                self.exports.synchronize_all();
                mirrors.inspect(|mirrors| mirrors.reload());
            }
            (Incoming::Push(run, push), Some(mirrors)) => mirrors.push(&run, &push),
            (Incoming::Dead(dead), Some(mirrors)) => spawn(check::look_after(mirrors, dead)),
            (Incoming::Push(..) | Incoming::Dead(_), None) => {}
        }
    }
}

/// The hooks that report changes of this process's runs to their exporters, and evict mirrors.
struct ClusterHooks {
    exports: Arc<Exports>,
    mirrors: Arc<MirrorMap>,
}

impl Hooks for ClusterHooks {
    fn has_events(&self, epoch: Epoch) {
        self.exports.mark(epoch);
    }

    fn have_changed(&self, runs: &[Arc<Record>]) {
        runs.iter().for_each(|record| self.exports.mark(record.epoch));
    }

    fn evict(&self) -> bool {
        self.mirrors.evict()
    }
}

impl Drop for ClusterHooks {
    fn drop(&mut self) {
        self.exports.wake();
    }
}

/// The keys that requests of this process are claiming, one request at a time for each key.
#[derive(Default)]
pub(crate) struct KeyLocks {
    locks: Mutex<HashMap<RunKey, Unlocked>>,
}

/// Set when a key is unlocked: to the error if the request that had locked it was refused.
type Unlocked = Arc<SetOnce<Option<StartError>>>;

/// A locked key. Dropping it unlocks the key.
pub(crate) struct KeyLock<'l> {
    locks: &'l KeyLocks,
    key: RunKey,
    /// The error of this request and of all those that wait for the key.
    pub(crate) refused: Option<StartError>,
}

impl KeyLocks {
    /// Locks a key, or returns what is set when another request unlocks it.
    pub(crate) fn try_lock(&self, key: &RunKey) -> Result<KeyLock<'_>, Unlocked> {
        match lock(&self.locks).entry(key.clone()) {
            Entry::Occupied(locked) => Err(locked.get().clone()),
            Entry::Vacant(unlocked) => {
                unlocked.insert(Unlocked::default());
                Ok(KeyLock { locks: self, key: key.clone(), refused: None })
            }
        }
    }
}

impl Drop for KeyLock<'_> {
    fn drop(&mut self) {
        // Wakes tasks, so the locks must not be held.
        let unlocked = {
            let mut locks = lock(&self.locks.locks);
            let unlocked = locks.remove(&self.key);
            shrink_if_sparse(&mut locks);
            unlocked
        };
        _ = unlocked.map(|unlocked| unlocked.set(self.refused));
    }
}

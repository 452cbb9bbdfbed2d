use std::slice;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::reply::{check_text, end_text, found_text, look_text, sync_text};
use super::*;
use crate::runs::seam;
use crate::{Error, Health, runs::RedisRuns, runs::store::RedisStore};

/// The time for which runs are kept.
pub(crate) const RETAINED: Duration = Duration::from_secs(300);

/// One process that is connected to a store. Its methods name the runs of the scenes' key by their
/// epochs, and return replies as texts.
pub(crate) struct Process {
    pub(crate) store: RedisStore,
    pub(crate) health: Health,
    inbox: Mutex<mpsc::UnboundedReceiver<Incoming>>,
}

/// What an owner knows of its run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sync<'a> {
    pub(crate) entries: Option<u64>,
    pub(crate) restores: bool,
    pub(crate) head: &'a str,
    /// Whether a client of another process watches the run.
    pub(crate) is_watched: bool,
}

pub(crate) const HEAD: Sync<'static> =
    Sync { entries: None, restores: false, head: "head", is_watched: false };
pub(crate) const RESTORE: Sync<'static> = Sync { restores: true, ..HEAD };
/// The mode of a cancel without a last event.
pub(crate) const CANCEL: EndMode = EndMode::Cancel { lines: None };

impl Process {
    pub(crate) async fn connect(store: RedisRuns, name: &str) -> Self {
        Self::try_connect(store, name, RETAINED).await.unwrap()
    }

    pub(crate) async fn try_connect(
        store: RedisRuns,
        name: &str,
        retain_for: Duration,
    ) -> Result<Self, Error> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let receive = Arc::new(move |incoming| _ = sender.send(incoming));
        let (id, health) = (ProcessId::from_claim(name), store.health());
        let store = RedisStore::open(store, id, retain_for, receive).await?;
        Ok(Self { store, health, inbox: Mutex::new(inbox) })
    }

    /// Makes calls at the same time. Those of owners use the connection with this number.
    pub(crate) async fn send_all(&self, over: u64, calls: Vec<Call>) -> Vec<String> {
        join_all(calls.iter().map(|call| call.make(&self.store, over))).await
    }

    pub(crate) async fn send(&self, call: Call) -> String {
        let over = self.store.connection().borrow().unwrap_or(0);
        call.make(&self.store, over).await
    }

    pub(crate) async fn look(&self) -> String {
        self.send(look()).await
    }

    pub(crate) async fn claim(&self, epoch: &str) -> String {
        self.send(Call::Claim(run(epoch), None)).await
    }

    pub(crate) async fn replace(&self, earlier: &str, epoch: &str) -> String {
        self.send(Call::Claim(run(epoch), Some(run(earlier)))).await
    }

    pub(crate) async fn sync(&self, epoch: &str, with: Sync<'_>) -> String {
        self.send(sync(&run(epoch), with)).await
    }

    /// Looks for the keys of a run that has begun.
    pub(crate) async fn have_keys(&self, epoch: &str) -> String {
        self.send(Call::HaveKeys(keys(&run(epoch)))).await
    }

    pub(crate) async fn append(&self, epoch: &str, first: u64, last: u64) -> String {
        self.send(append(0, &run(epoch), first, last, "data: a\n\n")).await
    }

    pub(crate) async fn trim(&self, epoch: &str, keep_from: u64) -> String {
        self.send(Call::Trim(run(epoch), keep_from)).await
    }

    pub(crate) async fn end(&self, epoch: &str, mode: EndMode) -> String {
        self.send(end(&run(epoch), mode)).await
    }

    /// Ends the run, all of whose events up to `newest` are exported.
    pub(crate) async fn complete(&self, epoch: &str, newest: u64) -> String {
        self.end(epoch, completed(newest, None)).await
    }

    pub(crate) async fn cancel(&self, epoch: &str) -> String {
        self.end(epoch, CANCEL).await
    }

    /// Checks a run without watching it.
    pub(crate) async fn check(&self, epoch: &str) -> String {
        self.send(Call::Check(check(&run(epoch), false))).await
    }

    pub(crate) async fn watch(&self, epoch: &str) -> String {
        self.send(Call::Check(check(&run(epoch), true))).await
    }

    /// Claims the key of a run, and begins its stream.
    pub(crate) async fn begin_run(&self, run: &RunId) {
        assert_eq!(self.send(Call::Claim(run.clone(), None)).await, "claimed");
        assert_eq!(self.send(sync(run, HEAD)).await, "ok 0 1");
    }

    pub(crate) async fn begin(&self, epoch: &str) {
        self.begin_run(&run(epoch)).await;
    }

    /// Returns the head of a run's stream, the first and the last event of each batch, and the end.
    pub(crate) async fn stream(&self, epoch: &str) -> Vec<String> {
        let page = self.store.load(&run(epoch), 0).await.unwrap();
        let head = page.head.map(|_| "head".to_owned());
        let batches = page.batches.iter().map(|batch| format!("{} {}", batch.first, batch.last));
        let end = page.end.map(|end| format!("{} {}", end.outcome, end.newest));
        head.into_iter().chain(batches).chain(end).collect()
    }

    pub(crate) async fn subscribe(&self, epoch: &str) {
        self.store.subscribe(&run(epoch)).await.unwrap();
    }

    /// Returns what the process receives next.
    pub(crate) async fn received(&self) -> String {
        received(&self.receive().await)
    }

    #[allow(clippy::await_holding_lock)] // One test, one task.
    pub(crate) async fn receive(&self) -> Incoming {
        soon(self.inbox.lock().unwrap().recv()).await.unwrap()
    }

    /// Asserts that the process has received nothing else.
    pub(crate) async fn has_received_all(&self) {
        let other = run_of("last");
        self.store.subscribe(&other).await.unwrap();
        self.begin_run(&other).await;
        let received = self.receive().await;
        assert!(matches!(received, Incoming::Push(run, _) if run == other));
    }

    /// Waits for a connection with another number.
    pub(crate) async fn reconnected_after(&self, number: u64) -> u64 {
        let mut connection = self.store.connection();
        let is_new = |connection: &Connection| connection.is_some_and(|current| current != number);
        soon(connection.wait_for(is_new)).await.unwrap().unwrap()
    }

    pub(crate) fn number(&self) -> u64 {
        self.store.connection().borrow().expect("a connection")
    }
}

/// A call of the store.
#[derive(Clone)]
pub(crate) enum Call {
    Look(RunKey),
    Claim(RunId, Option<RunId>),
    Sync(seam::Sync),
    HaveKeys((RunId, bool)),
    Append(RunId, Batch, u64),
    Trim(RunId, u64),
    End(End),
    Check(Check),
    Inherit(DeadProcess),
    Reported(ProcessId, RunId),
}

impl Call {
    /// Makes the call, and returns the reply as a text.
    async fn make(&self, store: &RedisStore, over: u64) -> String {
        match self {
            Self::Look(key) => text(store.look(key).await, look_text),
            Self::Claim(run, earlier) => text(store.claim(run, earlier.as_ref()).await, look_text),
            Self::Sync(sync) => text(store.sync(over, sync).await, sync_text),
            Self::HaveKeys(keys) => {
                let found = store.have_keys(over, slice::from_ref(keys)).await;
                text(found, |found| found_text(found).into())
            }
            Self::Append(run, batch, entries) => {
                let appended = store.append(over, run, batch, *entries, true).await;
                text(appended, |entries| match entries {
                    Some(entries) => format!("appended {entries}"),
                    None => "refused".into(),
                })
            }
            Self::Trim(run, keep_from) => {
                text(store.trim(over, run, *keep_from).await, |entries| {
                    format!("trimmed {entries}")
                })
            }
            Self::End(end) => text(store.end(None, end.clone()).await, end_text),
            Self::Check(check) => {
                text(store.check(slice::from_ref(check)).await.remove(0), check_text)
            }
            Self::Inherit(dead) => text(store.inherit(dead).await, |runs| format!("{runs:?}")),
            Self::Reported(owner, run) => {
                text(store.reported(owner, slice::from_ref(run)).await, |()| "reported".into())
            }
        }
    }
}

pub(crate) fn look() -> Call {
    Call::Look(run("1").key)
}

pub(crate) fn sync(run: &RunId, with: Sync<'_>) -> Call {
    let Sync { entries, restores, head, is_watched } = with;
    let head = Some(Bytes::copy_from_slice(head.as_bytes())).filter(|head| !head.is_empty());
    Call::Sync(seam::Sync { run: run.clone(), entries, restores, is_watched, head })
}

pub(crate) fn keys(run: &RunId) -> (RunId, bool) {
    (run.clone(), true)
}

/// Returns the mode that ends a run of the process `p`, which is dead.
pub(crate) fn bury() -> EndMode {
    EndMode::Bury { owner: ProcessId::from_claim("p") }
}

/// Returns the call that appends a batch to a stream with this number of entries.
pub(crate) fn append(
    entries: u64,
    run: &RunId,
    first: u64,
    last: u64,
    bytes: impl Into<Bytes>,
) -> Call {
    Call::Append(run.clone(), Batch { first, last, bytes: bytes.into() }, entries)
}

pub(crate) fn end(run: &RunId, mode: EndMode) -> Call {
    Call::End(End { run: run.clone(), mode })
}

/// Returns the mode of an owner that has exported all events up to `newest`, and may know the
/// number of entries of its stream.
pub(crate) const fn completed(newest: u64, entries: Option<u64>) -> EndMode {
    EndMode::Own { outcome: Outcome::Completed, error: None, newest, entries }
}

pub(crate) fn check(run: &RunId, is_watched: bool) -> Check {
    Check { run: run.clone(), is_watched }
}

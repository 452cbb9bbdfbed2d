use tokio::sync::mpsc;

use super::reply::{check_text, end_text, look_text, sync_text};
use super::*;
use crate::runs::seam;
use crate::{Error, Health, runs::RedisRuns, runs::store::RedisStore};

/// The minimum time for which runs are kept. If four leases are longer, they are kept for four
/// leases.
pub(crate) const RETAINED: Duration = Duration::from_secs(300);

/// One process that is connected to a store. A method that takes an epoch is about the run with
/// this epoch and the key that scenes use. Replies are returned as texts.
pub(crate) struct Process {
    pub(crate) store: RedisStore,
    pub(crate) health: Health,
    inbox: Mutex<mpsc::UnboundedReceiver<Incoming>>,
}

/// What an owner sends in a sync of its run.
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

    /// Returns the number of the connection, which owners name in their calls.
    fn over(&self) -> u64 {
        self.store.connection().borrow().unwrap_or(0)
    }

    pub(crate) async fn look(&self) -> String {
        text(self.store.look(&run("1").key).await, look_text)
    }

    pub(crate) async fn claim(&self, epoch: &str) -> String {
        text(self.store.claim(&run(epoch), None).await, look_text)
    }

    pub(crate) async fn replace(&self, earlier: &str, epoch: &str) -> String {
        text(self.store.claim(&run(epoch), Some(&run(earlier))).await, look_text)
    }

    pub(crate) async fn sync(&self, epoch: &str, with: Sync<'_>) -> String {
        self.sync_run(run(epoch), with).await
    }

    async fn sync_run(&self, run: RunId, with: Sync<'_>) -> String {
        let Sync { entries, restores, head, is_watched } = with;
        let head = Some(Bytes::copy_from_slice(head.as_bytes())).filter(|head| !head.is_empty());
        let sync = seam::Sync { run, entries, restores, is_watched, head };
        text(self.store.sync(self.over(), &sync).await, sync_text)
    }

    /// Looks for the keys of a run that has begun.
    pub(crate) async fn have_keys(&self, epoch: &str) -> String {
        let found = self.store.have_keys(self.over(), &[(run(epoch), true)]).await;
        text(found, |found| if found { "found" } else { "missing" }.into())
    }

    pub(crate) async fn append(&self, epoch: &str, first: u64, last: u64) -> String {
        self.append_to(&run(epoch), 0, first, last, "data: a\n\n").await
    }

    /// Appends a batch to a stream with this number of entries.
    pub(crate) async fn append_to(
        &self,
        run: &RunId,
        entries: u64,
        first: u64,
        last: u64,
        bytes: impl Into<Bytes>,
    ) -> String {
        let batch = Batch { first, last, bytes: bytes.into() };
        for part in batch.parts() {
            assert_eq!(self.store.add_part(self.over(), run, part).await, Ok(true));
        }
        self.append_batch(run, entries, &batch).await
    }

    /// Appends a batch whose parts are sent.
    pub(crate) async fn append_batch(&self, run: &RunId, entries: u64, batch: &Batch) -> String {
        let appended = self.store.append(self.over(), run, batch, entries, true).await;
        let added = |entries| format!("appended {entries}");
        text(appended, |entries| entries.map_or_else(|| "refused".into(), added))
    }

    pub(crate) async fn trim(&self, epoch: &str, keep_from: u64) -> String {
        let trimmed = self.store.trim(self.over(), &run(epoch), keep_from).await;
        text(trimmed, |entries| format!("trimmed {entries}"))
    }

    pub(crate) async fn end(&self, epoch: &str, mode: EndMode) -> String {
        text(self.store.end(None, End { run: run(epoch), mode }).await, end_text)
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
        self.check_as(epoch, false).await
    }

    pub(crate) async fn watch(&self, epoch: &str) -> String {
        self.check_as(epoch, true).await
    }

    async fn check_as(&self, epoch: &str, is_watched: bool) -> String {
        let check = Check { run: run(epoch), is_watched };
        text(self.store.check(&[check]).await.remove(0), check_text)
    }

    /// Claims the key of a run, and begins its stream.
    pub(crate) async fn begin_run(&self, run: &RunId) {
        assert_eq!(self.store.claim(run, None).await, Ok(LookReply::Claimed));
        assert_eq!(self.sync_run(run.clone(), HEAD).await, "ok 0 1");
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

/// Returns the mode that ends a run of the process `p`, which is dead.
pub(crate) fn bury() -> EndMode {
    EndMode::Bury { owner: ProcessId::from_claim("p") }
}

/// Returns the mode in which an owner completes its run after it has exported all events up to
/// `newest`. `entries` is the number of entries in the run's stream, if the owner knows it.
pub(crate) const fn completed(newest: u64, entries: Option<u64>) -> EndMode {
    EndMode::Own { outcome: Outcome::Completed, error: None, newest, entries }
}

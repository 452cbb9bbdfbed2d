use tokio::sync::mpsc;

use super::{HEAD, *};
use crate::runs::seam::{Append, Check, ProcessId, Sync, Trim};
use crate::{Error, runs::RedisRuns, runs::store::RedisStore};

/// The time for which runs are kept.
pub(crate) const RETAINED: Duration = Duration::from_secs(300);

/// One process that is connected to a store.
pub(crate) struct Process {
    pub(crate) store: Arc<RedisStore>,
    inbox: Mutex<mpsc::UnboundedReceiver<Incoming>>,
}

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
        let id = ProcessId::from_claim(name);
        let store = RedisStore::open(store, id, retain_for, receive).await?;
        Ok(Self { store: Arc::new(store), inbox: Mutex::new(inbox) })
    }

    pub(crate) async fn try_execute(&self, command: Command) -> Result<Reply, Failure> {
        self.store.execute(None, vec![command]).await.pop().unwrap()
    }

    pub(crate) async fn execute(&self, command: Command) -> Reply {
        self.try_execute(command).await.unwrap()
    }

    /// Appends a batch. Returns the number of its entries.
    pub(crate) async fn appended(&self, append: Command) -> u64 {
        match self.execute(append).await {
            Reply::Append(AppendReply::Appended { entries }) => entries,
            other => panic!("{other:?}"),
        }
    }

    /// Claims the key of a run, and begins its stream.
    pub(crate) async fn begin(&self, run: &RunId) {
        assert_eq!(text(self.try_execute(claim(run)).await), "claimed");
        assert_eq!(text(self.try_execute(sync(run)).await), "ok 0 1");
    }

    /// Returns what the inbox receives next.
    #[allow(clippy::await_holding_lock)] // One test, one task.
    pub(crate) async fn receive(&self) -> Incoming {
        soon(self.inbox.lock().unwrap().recv()).await.unwrap()
    }

    /// Waits for a connection with another number.
    pub(crate) async fn reconnected_after(&self, number: u64) -> u64 {
        let mut connection = self.store.connection();
        let is_new = |connection: &Connection| matches!(connection, Connection::Up(current) if *current != number);
        number_of(*soon(connection.wait_for(is_new)).await.unwrap())
    }

    pub(crate) fn number(&self) -> u64 {
        number_of(*self.store.connection().borrow())
    }
}

fn number_of(connection: Connection) -> u64 {
    match connection {
        Connection::Up(number) => number,
        Connection::Down => panic!("no connection"),
    }
}

// The commands of the store.

/// The mode of a cancel without a last event.
pub(crate) const CANCEL: EndMode = EndMode::Cancel { lines: None };

pub(crate) fn look(run: &RunId) -> Command {
    Command::Look(run.key.clone())
}

pub(crate) fn claim(run: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: None }
}

pub(crate) fn replace(run: &RunId, earlier: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: Some(earlier.clone()) }
}

pub(crate) fn sync(run: &RunId) -> Command {
    sync_as(HEAD, run)
}

pub(crate) fn sync_as(sync: scene::Sync<'_>, run: &RunId) -> Command {
    let scene::Sync { entries, restores, head, is_quiet } = sync;
    let head = Some(Bytes::copy_from_slice(head.as_bytes())).filter(|head| !head.is_empty());
    Command::Sync(Sync { run: run.clone(), entries, restores, pushes: !is_quiet, head })
}

/// Returns the renewal of a run whose stream must have only its head.
pub(crate) fn renew(run: &RunId) -> Command {
    Command::Renew(Renew { run: run.clone(), entries: Some(1) })
}

pub(crate) fn append(run: &RunId, first: u64, last: u64, bytes: impl Into<Bytes>) -> Command {
    append_to(0, run, first, last, bytes)
}

/// Appends a batch to a stream with this number of entries.
pub(crate) fn append_to(
    entries: u64,
    run: &RunId,
    first: u64,
    last: u64,
    bytes: impl Into<Bytes>,
) -> Command {
    let batch = Batch { first, last, bytes: bytes.into() };
    Command::Append(Append { run: run.clone(), batch, entries, pushes: true })
}

pub(crate) fn trim(run: &RunId, keep_from: u64) -> Command {
    Command::Trim(Trim { run: run.clone(), keep_from })
}

pub(crate) fn end(run: &RunId, mode: EndMode) -> Command {
    Command::End(End { run: run.clone(), mode })
}

pub(crate) const fn completed(newest: u64) -> EndMode {
    completed_with(newest, None)
}

/// Returns the mode of an owner that knows the number of entries of its stream.
pub(crate) const fn completed_with(newest: u64, entries: Option<u64>) -> EndMode {
    EndMode::Own { outcome: Outcome::Completed, error: None, newest, entries }
}

pub(crate) fn check(run: &RunId) -> Command {
    check_as(true, run)
}

pub(crate) fn check_as(is_watched: bool, run: &RunId) -> Command {
    Command::Check(Check { run: run.clone(), is_watched, wants_head: true })
}

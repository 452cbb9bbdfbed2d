use tokio::sync::mpsc;

use super::{commands::*, *};
use crate::runs::{seam::ProcessId, tests::Store};

/// The time for which runs are kept.
pub(crate) const RETAINED: Duration = Duration::from_secs(300);

/// One process that is connected to a store.
pub(crate) struct Process {
    pub(crate) store: Arc<Store>,
    inbox: Mutex<mpsc::UnboundedReceiver<Incoming>>,
}

impl Process {
    pub(crate) async fn connect<S: Open<Error: Debug>>(store: S, name: &str) -> Self {
        Self::try_connect(store, name, RETAINED).await.unwrap()
    }

    pub(crate) async fn try_connect<S: Open>(
        store: S,
        name: &str,
        retain_for: Duration,
    ) -> Result<Self, S::Error> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let receive = Arc::new(move |incoming| _ = sender.send(incoming));
        let store = store.open(ProcessId::from_claim(name), retain_for, receive).await?;
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

    /// Sends a `Sync`, which must find the run live. Returns the number of its newest event.
    pub(crate) async fn in_step(&self, sync: Command) -> u64 {
        match self.execute(sync).await {
            Reply::Sync(SyncReply::InStep { newest, .. }) => newest,
            other => panic!("{other:?}"),
        }
    }

    /// Claims the key of a run, and begins its stream.
    pub(crate) async fn begin(&self, run: &RunId) {
        assert_eq!(self.execute(claim(run)).await, Reply::Look(LookReply::Claimed));
        self.in_step(sync(run)).await;
    }

    pub(crate) async fn end(&self, run: &RunId, mode: EndMode) -> EndReply {
        match self.execute(Command::End(End { run: run.clone(), mode })).await {
            Reply::End(reply) => reply,
            other => panic!("{other:?}"),
        }
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

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.store.connection()
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

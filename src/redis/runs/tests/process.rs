use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use super::server::Server;
use crate::{
    history::Epoch,
    redis::{RedisHealth, RedisRuns},
    runs::{
        Outcome, RunKey,
        cluster::seam::{
            command::{Append, Batch, Check, Command, End, EndMode, Renew, Sync, Trim},
            inbox::{Inbox, Incoming},
            reply::{EndReply, LookReply, Reply, StoreError, SyncReply},
            run_id::{ProcessId, RunId},
            store::{Connection, RunStore, Settings, Store},
        },
    },
};

/// How long tests wait for something that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// Waits until a condition holds, which is asked for again and again.
pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// One process that is connected to the store.
pub(super) struct Process {
    pub(super) store: Arc<dyn Store>,
    pub(super) health: RedisHealth,
    inbox: Mutex<mpsc::UnboundedReceiver<Incoming>>,
}

/// Starts a server, and connects a process to it.
pub(super) async fn one() -> Option<(Server, Process)> {
    let server = Server::start().await?;
    let process = Process::connect(&server, "p").await;
    Some((server, process))
}

/// Starts a server, and connects two processes to it.
pub(super) async fn two() -> Option<(Server, Process, Process)> {
    let (server, first) = one().await?;
    let second = Process::connect(&server, "q").await;
    Some((server, first, second))
}

/// Starts a server, and connects a process that begins a run.
pub(super) async fn begun() -> Option<(Server, Process, RunId)> {
    let (server, process) = one().await?;
    let run = run("name", "k1");
    process.begin(&run).await;
    Some((server, process, run))
}

impl Process {
    pub(super) async fn connect(server: &Server, name: &str) -> Self {
        Self::connect_with(server.redis().runs("app").lease(LEASE), name).await.unwrap()
    }

    pub(super) async fn connect_with(
        redis: RedisRuns,
        name: &str,
    ) -> Result<Self, crate::redis::Error> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let settings = Settings {
            process: ProcessId::from_claim(name),
            retain_for: Duration::from_secs(60),
            inbox: Inbox::new(move |incoming| _ = sender.send(incoming)),
        };
        let health = redis.health();
        let store = redis.connect(settings).await?;
        Ok(Self { store, health, inbox: Mutex::new(inbox) })
    }

    pub(super) async fn try_execute(&self, command: Command) -> Result<Reply, StoreError> {
        self.store.execute(None, vec![command]).await.pop().unwrap()
    }

    pub(super) async fn execute(&self, command: Command) -> Reply {
        self.try_execute(command).await.unwrap()
    }

    /// Sends a `Sync`, which must find the run live. Returns the number of its newest event, the
    /// number of its entries, and how long it is watched.
    pub(super) async fn in_step(&self, sync: Command) -> (u64, u64, Duration) {
        match self.execute(sync).await {
            Reply::Sync(SyncReply::InStep { newest, entries, watched }) => {
                (newest, entries, watched)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Claims the key of a run, and begins its stream.
    pub(super) async fn begin(&self, run: &RunId) {
        assert_eq!(self.execute(claim(run)).await, Reply::Look(LookReply::Claimed));
        self.in_step(sync(run)).await;
    }

    pub(super) async fn end(&self, run: &RunId, mode: EndMode) -> EndReply {
        match self.execute(Command::End(End { run: run.clone(), mode })).await {
            Reply::End(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// Returns what the inbox receives next.
    #[allow(clippy::await_holding_lock)] // One test, one task.
    pub(super) async fn receive(&self) -> Incoming {
        let mut inbox = self.inbox.lock().unwrap();
        timeout(PATIENCE, inbox.recv()).await.expect("a push in time").unwrap()
    }

    /// Waits for a connection with another number.
    pub(super) async fn reconnected_after(&self, number: u64) -> u64 {
        let mut connection = self.store.connection();
        let is_new = |connection: &Connection| matches!(connection, Connection::Up(current) if *current != number);
        let up = timeout(PATIENCE, connection.wait_for(is_new)).await;
        number_of(*up.expect("a new connection").unwrap())
    }

    pub(super) fn connection(&self) -> watch::Receiver<Connection> {
        self.store.connection()
    }

    pub(super) fn number(&self) -> u64 {
        number_of(*self.store.connection().borrow())
    }
}

fn number_of(connection: Connection) -> u64 {
    match connection {
        Connection::Up(number) => number,
        Connection::Down => panic!("no connection"),
    }
}

pub(super) fn run(name: &str, epoch: &str) -> RunId {
    RunId::new(RunKey::new("owner", name).unwrap(), Epoch::parse(epoch).unwrap())
}

pub(super) fn look(run: &RunId) -> Command {
    Command::Look(run.key.clone())
}

pub(super) fn claim(run: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: None }
}

pub(super) fn replace(run: &RunId, earlier: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: Some(earlier.clone()) }
}

pub(super) fn sync(run: &RunId) -> Command {
    sync_that(false, run)
}

/// Returns the renewal of a run whose stream must have only its head.
pub(super) fn renew(run: &RunId) -> Command {
    Command::Renew(Renew { run: run.clone(), entries: Some(1) })
}

pub(super) fn restore(run: &RunId) -> Command {
    sync_that(true, run)
}

fn sync_that(restores: bool, run: &RunId) -> Command {
    let head = Some(Bytes::from_static(b"head"));
    Command::Sync(Sync { run: run.clone(), entries: None, restores, pushes: true, head })
}

pub(super) fn append(run: &RunId, first: u64, last: u64, bytes: impl Into<Bytes>) -> Command {
    let batch = Batch { first, last, bytes: bytes.into() };
    Command::Append(Append { run: run.clone(), batch, pushes: true })
}

pub(super) fn trim(run: &RunId, keep_from: u64) -> Command {
    Command::Trim(Trim { run: run.clone(), keep_from })
}

pub(super) fn check(run: &RunId) -> Command {
    Command::Check(Check { run: run.clone(), is_watched: true, wants_head: true })
}

pub(super) const fn completed(newest: u64) -> EndMode {
    EndMode::Own { outcome: Outcome::Completed, error: None, newest, entries: None }
}

use std::{
    convert::Infallible,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::watch;
use tower_sse::runs::{RunKey, support::lock};
use tower_sse::runs::{
    RunStore,
    support::{Connected, Options},
};

use super::{
    faults::Faults,
    server::{Sent, Server},
};
use crate::runs::cluster::cluster::Cluster;
use crate::runs::seam::{
    command::Command,
    inbox::Incoming,
    reply::{LookReply, Page, Reply, StoreError},
    run_id::{ProcessId, RunId},
    store::{Connect, Connection, Overhead, Pending, Settings, Store},
};

const PAGE: usize = 3;

/// A store that the processes of one test share.
#[derive(Clone, Debug)]
pub(crate) struct MemoryStore {
    server: Arc<Mutex<Server>>,
    /// The faults of this process's connection.
    pub(super) faults: Arc<Mutex<Faults>>,
}

impl MemoryStore {
    /// Creates an empty store, in which an owner's lease lasts this long.
    pub(crate) fn new(lease: Duration) -> Self {
        let server = Server { lease, ..Server::default() };
        Self { server: Arc::new(Mutex::new(server)), faults: Arc::default() }
    }

    /// Returns the store for another process.
    pub(crate) fn other(&self) -> Self {
        Self { faults: Arc::default(), ..self.clone() }
    }

    /// Returns the state of the server, to inspect or change it.
    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }
}

impl Connect for MemoryStore {
    type Error = Infallible;

    async fn connect(self, settings: Settings) -> Result<Arc<dyn Store>, Infallible> {
        {
            let mut faults = self.faults();
            faults.number = 1;
            faults.connection = Some(watch::Sender::new(Connection::Up(1)));
            let faults = Arc::clone(&self.faults);
            self.server().inboxes.push((settings.process.clone(), settings.inbox, faults));
        }
        Ok(Arc::new(Link { store: self, process: settings.process }))
    }
}

impl RunStore for MemoryStore {
    type Error = Infallible;

    async fn connect(self, options: Options) -> Result<Connected, Infallible> {
        let cluster = Cluster::connect(self, options).await?;
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

struct Link {
    store: MemoryStore,
    process: ProcessId,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.store.faults().connection = None;
    }
}

impl Store for Link {
    fn lease(&self) -> Duration {
        self.store.server().lease
    }

    /// Returns no overhead, so that tests of limits count only events.
    fn overhead(&self, _key: &RunKey) -> Overhead {
        Overhead::default()
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        let faults = self.store.faults();
        let down = || watch::channel(Connection::Down).1;
        faults.connection.as_ref().map_or_else(down, watch::Sender::subscribe)
    }

    fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Pending<Vec<Result<Reply, StoreError>>> {
        let (store, process) = (self.store.clone(), self.process.clone());
        Box::pin(async move {
            store.delay().await;
            let (is_lost, refusal, is_overtaken) = {
                let mut faults = store.faults();
                if faults.panics > 0 {
                    faults.panics -= 1;
                    drop(faults);
                    panic!("the store panics");
                }
                if faults.is_away || connection.is_some_and(|number| number != faults.number) {
                    return refused(&commands, &StoreError::Unavailable("away".into()));
                }
                let is_lost = faults.lost_replies > 0;
                faults.lost_replies -= usize::from(is_lost);
                (is_lost, faults.refused.clone(), faults.is_overtaken)
            };
            let replies = {
                let mut server = store.server();
                server.pipelines += 1;
                let mut execute = |command: &Command| match &refusal {
                    Some((run, error)) if run_of(command) == Some(run) => Err(error.clone()),
                    _ if is_overtaken && matches!(command, Command::Claim { .. }) => {
                        Ok(Reply::Look(LookReply::Changed))
                    }
                    _ => Ok(server.execute(command, &process)),
                };
                commands.iter().map(&mut execute).collect()
            };
            store.deliver();
            store.delay_reply().await;
            if is_lost {
                return refused(&commands, &StoreError::Lost("timeout".into()));
            }
            replies
        })
    }

    fn load(&self, run: &RunId, after: u64) -> Pending<Result<Page, StoreError>> {
        let (store, run) = (self.store.clone(), run.clone());
        Box::pin(async move {
            store.delay().await;
            assert!(!mem::take(&mut store.faults().load_panics), "the load panics");
            if store.faults().is_away {
                return Err(StoreError::Unavailable("away".into()));
            }
            let mut server = store.server();
            server.loads += 1;
            let Some(stream) = server.streams.get(&run) else {
                return Ok(Page { is_last: true, ..Page::default() });
            };
            let rest: Vec<_> = stream.batches.range(after + 1..).collect();
            let batches = rest.iter().take(PAGE).map(|(_, batch)| (*batch).clone()).collect();
            let is_last = rest.len() <= PAGE;
            let head = stream.head.clone().filter(|_| after == 0);
            let end = stream.end.clone().filter(|_| is_last);
            Ok(Page { head, batches, end, is_last })
        })
    }

    fn subscribe(&self, run: &RunId) -> Pending<Result<(), StoreError>> {
        let (store, run) = (self.store.clone(), run.clone());
        Box::pin(async move {
            store.delay().await;
            store.server().subscriptions += 1;
            let mut faults = store.faults();
            faults.subscribed.insert(run);
            if faults.is_away { Err(StoreError::Unavailable("away".into())) } else { Ok(()) }
        })
    }

    fn unsubscribe(&self, run: &RunId) {
        self.store.faults().subscribed.remove(run);
    }
}

fn refused(commands: &[Command], error: &StoreError) -> Vec<Result<Reply, StoreError>> {
    commands.iter().map(|_| Err(error.clone())).collect()
}

fn run_of(command: &Command) -> Option<&RunId> {
    match command {
        Command::Look(_) => None,
        Command::Claim { run, .. } => Some(run),
        Command::Sync(sync) => Some(&sync.run),
        Command::Renew(renew) => Some(&renew.run),
        Command::Append(append) => Some(&append.run),
        Command::Trim(trim) => Some(&trim.run),
        Command::End(end) => Some(&end.run),
        Command::Check(check) => Some(&check.run),
    }
}

impl MemoryStore {
    fn deliver(&self) {
        let (sent, inboxes) = {
            let mut server = self.server();
            (mem::take(&mut server.sent), server.inboxes.clone())
        };
        for sent in sent {
            for (process, inbox, faults) in &inboxes {
                let faults = lock(faults);
                let incoming = match &sent {
                    _ if faults.is_away || faults.loses_pushes => None,
                    Sent::Push(run, push) if faults.subscribed.contains(run) => {
                        Some(Incoming::Push(run.clone(), push.clone()))
                    }
                    Sent::Hint(to, epoch) if to == process => Some(Incoming::Hint(*epoch)),
                    Sent::Replaced(to, epoch) if to == process => Some(Incoming::Replaced(*epoch)),
                    _ => None,
                };
                drop(faults);
                incoming.into_iter().for_each(|incoming| inbox.receive(incoming));
            }
        }
    }
}

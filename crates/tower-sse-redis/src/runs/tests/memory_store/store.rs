use std::sync::{Arc, Mutex, MutexGuard};
use std::{convert::Infallible, future::ready, mem, time::Duration};

use tokio::{sync::watch, time::sleep};
use tower_sse::runs::RunStore;
use tower_sse::runs::support::{Connected, Options};

use super::faults::Faults;
use super::server::{Sent, Server};
use crate::runs::cluster::cluster::Cluster;
use crate::runs::seam::{
    Command, Connection, Failure, Incoming, LookReply, Page, ProcessId, Receive, Reply, RunId,
};
use tower_sse_broker::tasks::lock;

const PAGE: usize = 3;

/// A store that the processes of one test share.
#[derive(Clone)]
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

    /// Connects one process.
    pub(crate) fn connect(self, process: ProcessId, receive: Receive) -> Link {
        {
            let mut faults = self.faults();
            faults.number = 1;
            faults.connection = Some(watch::Sender::new(Connection::Up(1)));
            let faults = Arc::clone(&self.faults);
            self.server().inboxes.push((process.clone(), receive.clone(), faults));
        }
        tokio::spawn(self.clone().stay(process.clone(), receive));
        Link { store: self, process }
    }

    /// Keeps a process present while it is connected, four times in a lease.
    async fn stay(self, process: ProcessId, receive: Receive) {
        let interval = self.server().lease / 4;
        loop {
            sleep(interval).await;
            if !self.is_used() {
                return;
            }
            let is_away = self.faults().is_away;
            let silent = if is_away { Vec::new() } else { self.server().join(&process) };
            silent.into_iter().for_each(|silent| receive(Incoming::Silent(silent)));
        }
    }

    /// Returns the state of the server, to inspect or change it.
    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }
}

impl RunStore for MemoryStore {
    type Error = Infallible;

    async fn connect(self, options: Options) -> Result<Connected, Infallible> {
        let open = |id, receive| ready(Ok::<_, Infallible>(self.connect(id, receive)));
        let cluster = Cluster::connect(options, open).await?;
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

/// The connection of one process.
pub(crate) struct Link {
    store: MemoryStore,
    process: ProcessId,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.store.faults().connection = None;
    }
}

impl Link {
    pub(crate) fn lease(&self) -> Duration {
        self.store.server().lease
    }

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        let faults = self.store.faults();
        let down = || watch::channel(Connection::Down).1;
        faults.connection.as_ref().map_or_else(down, watch::Sender::subscribe)
    }

    pub(crate) async fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, Failure>> {
        let Self { store, process } = self;
        store.delay().await;
        let (is_lost, refusal, is_overtaken) = {
            let mut faults = store.faults();
            if faults.panics > 0 {
                faults.panics -= 1;
                drop(faults);
                panic!("the store panics");
            }
            if faults.is_away || connection.is_some_and(|number| number != faults.number) {
                return refused(&commands, Failure::Unavailable);
            }
            let is_lost = faults.lost_replies > 0;
            faults.lost_replies -= usize::from(is_lost);
            (is_lost, faults.refused.clone(), faults.is_overtaken)
        };
        let replies = {
            let mut server = store.server();
            server.pipelines += 1;
            let mut execute = |command: &Command| match &refusal {
                Some((run, failure)) if run_of(command) == Some(run) => Err(*failure),
                _ if is_overtaken && matches!(command, Command::Claim { .. }) => {
                    Ok(Reply::Look(LookReply::Changed))
                }
                _ => Ok(server.execute(command, process)),
            };
            commands.iter().map(&mut execute).collect()
        };
        store.deliver();
        store.delay_reply().await;
        if is_lost {
            return refused(&commands, Failure::Lost);
        }
        replies
    }

    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        let store = &self.store;
        store.delay().await;
        assert!(!mem::take(&mut store.faults().load_panics), "the load panics");
        if store.faults().is_away {
            return Err(Failure::Unavailable);
        }
        let mut server = store.server();
        server.loads += 1;
        let Some(stream) = server.streams.get(run) else {
            return Ok(Page { is_last: true, ..Page::default() });
        };
        let rest: Vec<_> = stream.batches.range(after + 1..).collect();
        let batches = rest.iter().take(PAGE).map(|(_, batch)| (*batch).clone()).collect();
        let is_last = rest.len() <= PAGE;
        let head = stream.head.clone().filter(|_| after == 0);
        let end = stream.end.clone().filter(|_| is_last);
        Ok(Page { head, batches, end, is_last })
    }

    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
        let store = &self.store;
        store.delay().await;
        store.server().subscriptions += 1;
        let mut faults = store.faults();
        faults.subscribed.insert(run.clone());
        if faults.is_away { Err(Failure::Unavailable) } else { Ok(()) }
    }

    pub(crate) fn unsubscribe(&self, run: &RunId) {
        self.store.faults().subscribed.remove(run);
    }
}

fn refused(commands: &[Command], failure: Failure) -> Vec<Result<Reply, Failure>> {
    vec![Err(failure); commands.len()]
}

fn run_of(command: &Command) -> Option<&RunId> {
    match command {
        Command::Look(_) | Command::LiveRuns(_) | Command::Reported(..) => None,
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
            for (process, receive, faults) in &inboxes {
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
                incoming.into_iter().for_each(|incoming| receive(incoming));
            }
        }
    }
}

//! A store in memory, with the faults of a store on a network. It decides as the scripts of
//! `src/redis/runs` do.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    command::{Append, Batch, Check, Command, End, EndMode, Replace, RunEpoch, Sync},
    inbox::Inbox,
    reply::{
        AppendReply, CheckReply, EndReply, Liveness, LookReply, Page, Push, ReplaceReply, Reply,
        StoreError, StoredEnd, SyncReply, TrimReply,
    },
    run_id::{ProcessId, RunId},
    store::{Connection, Pending, RunStore, Settings, Store},
};
use crate::{
    history::Epoch,
    runs::{Outcome, RunKey},
    sealed::Sealed,
};

const PAGE: usize = 3;

/// A store that the processes of one test share. Clones are connections of other processes.
#[derive(Clone)]
pub(crate) struct MemoryStore {
    server: Arc<Mutex<Server>>,
    lease: Duration,
    /// The faults of this process' connection.
    faults: Arc<Mutex<Faults>>,
}

/// The state of the server.
#[derive(Clone, Default)]
pub(crate) struct Server {
    pub(crate) claims: HashMap<RunKey, Claim>,
    pub(crate) streams: HashMap<RunId, Stream>,
    inboxes: Vec<(ProcessId, Inbox, Arc<Mutex<Faults>>)>,
    /// The number of commands of each kind.
    pub(crate) commands: HashMap<&'static str, usize>,
}

#[derive(Clone)]
pub(crate) struct Claim {
    epoch: Epoch,
    process: ProcessId,
    pub(crate) state: State,
    deadline: Instant,
    lease: Duration,
    watched: Instant,
    late: Option<(Instant, Instant)>,
    ended_by: Option<(ProcessId, &'static str)>,
    head: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Void,
    Ended(Outcome),
}

#[derive(Clone, Default)]
pub(crate) struct Stream {
    head: Option<Bytes>,
    pub(crate) batches: BTreeMap<u64, Batch>,
    pub(crate) end: Option<StoredEnd>,
}

#[derive(Default)]
struct Faults {
    subscribed: HashSet<RunId>,
    is_away: bool,
    lost_replies: usize,
    loses_pushes: bool,
    /// The result of every command that names this run, instead of a reply.
    refused: Option<(RunId, StoreError)>,
    panics: usize,
    delay: Duration,
    connection: Option<watch::Sender<Connection>>,
    number: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { server: Arc::default(), lease, faults: Arc::default() }
    }

    /// Returns the store for another process.
    pub(crate) fn other(&self) -> Self {
        Self { faults: Arc::default(), ..self.clone() }
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        locked(&self.server)
    }

    /// Cuts this process off from the store.
    pub(crate) fn go_away(&self) {
        let mut faults = locked(&self.faults);
        faults.is_away = true;
        if let Some(connection) = &faults.connection {
            connection.send_replace(Connection::Down);
        }
    }

    /// Connects this process again, over a new connection.
    pub(crate) fn come_back(&self) {
        let inbox = self.inbox();
        {
            let mut faults = locked(&self.faults);
            faults.is_away = false;
            faults.number += 1;
            if let Some(connection) = &faults.connection {
                connection.send_replace(Connection::Up(faults.number));
            }
        }
        inbox.into_iter().for_each(|inbox| inbox.lose_pushes());
    }

    fn inbox(&self) -> Option<Inbox> {
        let server = self.server();
        let own = server.inboxes.iter().find(|(_, _, faults)| Arc::ptr_eq(faults, &self.faults));
        own.map(|(_, inbox, _)| inbox.clone())
    }

    /// Executes the next commands of this process, but loses their replies.
    pub(crate) fn lose_replies(&self, calls: usize) {
        locked(&self.faults).lost_replies = calls;
    }

    pub(crate) fn lose_pushes(&self, loses: bool) {
        locked(&self.faults).loses_pushes = loses;
    }

    /// Returns whether a process is connected over this connection.
    pub(crate) fn is_used(&self) -> bool {
        locked(&self.faults).connection.is_some()
    }

    /// Refuses every command of this process that names a run.
    pub(crate) fn refuse(&self, run: RunId, error: StoreError) {
        locked(&self.faults).refused = Some((run, error));
    }

    /// Panics instead of executing the next commands.
    pub(crate) fn panic(&self, calls: usize) {
        locked(&self.faults).panics = calls;
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        locked(&self.faults).delay = delay;
    }

    /// Replaces the state of the server by an older one.
    pub(crate) fn restore(&self, older: &Server) {
        let mut server = self.server();
        server.claims = older.claims.clone();
        server.streams = older.streams.clone();
    }
}

impl Sealed for MemoryStore {}

impl RunStore for MemoryStore {
    type Error = Infallible;

    async fn connect(self, settings: Settings) -> Result<Arc<dyn Store>, Infallible> {
        {
            let mut faults = locked(&self.faults);
            faults.number = 1;
            faults.connection = Some(watch::Sender::new(Connection::Up(1)));
            let faults = Arc::clone(&self.faults);
            self.server().inboxes.push((settings.process.clone(), settings.inbox, faults));
        }
        Ok(Arc::new(Link { store: self, process: settings.process }))
    }
}

struct Link {
    store: MemoryStore,
    process: ProcessId,
}

impl Drop for Link {
    fn drop(&mut self) {
        locked(&self.store.faults).connection = None;
    }
}

impl Store for Link {
    fn lease(&self) -> Duration {
        self.store.lease
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        let faults = locked(&self.store.faults);
        faults.connection.as_ref().expect("it is connected").subscribe()
    }

    fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Pending<Vec<Result<Reply, StoreError>>> {
        let (store, process) = (self.store.clone(), self.process.clone());
        Box::pin(async move {
            let delay = locked(&store.faults).delay;
            if !delay.is_zero() {
                sleep(delay).await;
            }
            if std::mem::take(&mut locked(&store.faults).panics) > 0 {
                panic!("the store panics");
            }
            let refusal = locked(&store.faults).refused.clone();
            let is_lost = {
                let mut faults = locked(&store.faults);
                if faults.is_away || connection.is_some_and(|number| number != faults.number) {
                    return refused(&commands, &StoreError::Unavailable("away".into()));
                }
                let is_lost = faults.lost_replies > 0;
                faults.lost_replies -= usize::from(is_lost);
                is_lost
            };
            let mut sent = Vec::new();
            let replies = {
                let mut server = store.server();
                let mut execute = |command: &Command| {
                    if let Some((run, error)) = &refusal
                        && run_of(command) == Some(run)
                    {
                        return Err(error.clone());
                    }
                    Ok(server.execute(command, &process, store.lease, &mut sent))
                };
                commands.iter().map(&mut execute).collect()
            };
            store.deliver(sent);
            if is_lost {
                return refused(&commands, &StoreError::Lost("timeout".into()));
            }
            replies
        })
    }

    fn load(&self, run: &RunId, after: u64) -> Pending<Result<Page, StoreError>> {
        let (store, run) = (self.store.clone(), run.clone());
        Box::pin(async move {
            if locked(&store.faults).is_away {
                return Err(StoreError::Unavailable("away".into()));
            }
            let server = store.server();
            let Some(stream) = server.streams.get(&run) else {
                return Ok(Page { is_last: true, ..Page::default() });
            };
            let rest: Vec<_> = stream.batches.range(after + 1..).collect();
            let batches = rest.iter().take(PAGE).map(|(_, batch)| (*batch).clone()).collect();
            let is_last = rest.len() <= PAGE;
            let head = stream.head.clone();
            let end = stream.end.clone().filter(|_| is_last);
            Ok(Page { head, batches, end, is_last })
        })
    }

    fn subscribe(&self, run: &RunId) -> Pending<Result<(), StoreError>> {
        let (store, run) = (self.store.clone(), run.clone());
        Box::pin(async move {
            let mut faults = locked(&store.faults);
            faults.subscribed.insert(run);
            if faults.is_away { Err(StoreError::Unavailable("away".into())) } else { Ok(()) }
        })
    }

    fn unsubscribe(&self, run: &RunId) {
        locked(&self.store.faults).subscribed.remove(run);
    }
}

fn refused(commands: &[Command], error: &StoreError) -> Vec<Result<Reply, StoreError>> {
    commands.iter().map(|_| Err(error.clone())).collect()
}

fn run_of(command: &Command) -> Option<&RunId> {
    match command {
        Command::Look(_) => None,
        Command::Claim(run) => Some(run),
        Command::Replace(replace) => Some(&replace.run),
        Command::Sync(sync) => Some(&sync.run),
        Command::Append(append) => Some(&append.run),
        Command::Trim(trim) => Some(&trim.run),
        Command::End(end) => Some(&end.run),
        Command::Check(check) => Some(&check.run),
    }
}

enum Sent {
    Push(RunId, Push),
    Hint(ProcessId, Epoch),
}

impl MemoryStore {
    fn deliver(&self, sent: Vec<Sent>) {
        let inboxes = self.server().inboxes.clone();
        for sent in sent {
            for (process, inbox, faults) in &inboxes {
                let is_reachable = {
                    let faults = locked(faults);
                    !faults.is_away && !faults.loses_pushes
                };
                match &sent {
                    _ if !is_reachable => {}
                    Sent::Push(run, push) if locked(faults).subscribed.contains(run) => {
                        inbox.push(run, push.clone());
                    }
                    Sent::Hint(to, epoch) if to == process => inbox.hint(RunEpoch(*epoch)),
                    _ => {}
                }
            }
        }
    }
}

impl Claim {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    fn liveness(&mut self) -> Liveness {
        let now = Instant::now();
        if self.deadline >= now {
            return Liveness::Alive;
        }
        let grace = (self.lease * 3 / 8).max(Duration::from_millis(1500));
        let first = match self.late {
            Some((first, last)) if first > self.deadline && now - last <= grace => first,
            _ => now,
        };
        self.late = Some((first, now));
        if now - first >= grace {
            return Liveness::Dead;
        }
        Liveness::Late((grace / 2).min(grace - (now - first)).max(Duration::from_millis(1)))
    }
}

impl Server {
    fn execute(
        &mut self,
        command: &Command,
        process: &ProcessId,
        lease: Duration,
        sent: &mut Vec<Sent>,
    ) -> Reply {
        let (name, reply) = match command {
            Command::Look(look) => ("look", Reply::Look(self.look(&look.key, None))),
            Command::Claim(run) => {
                ("claim", Reply::Look(self.look(&run.key, Some((run, process, lease)))))
            }
            Command::Replace(replace) => {
                ("replace", Reply::Replace(self.replace(replace, process, lease, sent)))
            }
            Command::Sync(sync) => ("sync", Reply::Sync(self.sync(sync, process, lease, sent))),
            Command::Append(append) => ("append", Reply::Append(self.append(append, sent))),
            Command::Trim(trim) => {
                let stream = self.streams.entry(trim.run.clone()).or_default();
                let before = stream.batches.len();
                stream.batches.retain(|last, _| *last >= trim.keep_from);
                let entries = (before - stream.batches.len()) as u64;
                ("trim", Reply::Trim(TrimReply { entries }))
            }
            Command::End(end) => ("end", Reply::End(self.end(end, process, sent))),
            Command::Check(check) => ("check", Reply::Check(self.check(check, sent))),
        };
        *self.commands.entry(name).or_default() += 1;
        reply
    }

    fn look(
        &mut self,
        key: &RunKey,
        claiming: Option<(&RunId, &ProcessId, Duration)>,
    ) -> LookReply {
        if let Some(claim) = self.claims.get_mut(key) {
            let (epoch, process) = (RunEpoch(claim.epoch), claim.process.clone());
            match claim.state {
                State::Starting | State::Running => {
                    if claiming
                        .is_some_and(|(run, own, _)| run.epoch == claim.epoch && *own == process)
                    {
                        return LookReply::Claimed;
                    }
                    return LookReply::Live { epoch, process, liveness: claim.liveness() };
                }
                State::Ended(outcome) if claiming.is_none() || outcome == Outcome::Completed => {
                    return LookReply::Ended { epoch, process, outcome };
                }
                State::Void | State::Ended(_) => {}
            }
        }
        let Some((run, process, lease)) = claiming else { return LookReply::Free };
        self.create(run, process, lease);
        LookReply::Claimed
    }

    fn create(&mut self, run: &RunId, process: &ProcessId, lease: Duration) {
        let now = Instant::now();
        let claim = Claim {
            epoch: run.epoch,
            process: process.clone(),
            state: State::Starting,
            deadline: now + lease,
            lease,
            watched: now,
            late: None,
            ended_by: None,
            head: None,
        };
        self.claims.insert(run.key.clone(), claim);
    }

    fn replace(
        &mut self,
        replace: &Replace,
        process: &ProcessId,
        lease: Duration,
        sent: &mut Vec<Sent>,
    ) -> ReplaceReply {
        let run = &replace.run;
        match self.claims.get(&run.key) {
            Some(claim) if claim.epoch == run.epoch && claim.process == *process => {
                return ReplaceReply::Claimed;
            }
            Some(claim) if claim.epoch == replace.earlier.0 => {
                let (is_live, owner) = (claim.is_live(), claim.process.clone());
                let earlier = RunId::new(run.key.clone(), claim.epoch);
                if is_live {
                    self.close(&earlier, Outcome::Cancelled, None, sent);
                    if owner != *process {
                        sent.push(Sent::Hint(owner, earlier.epoch));
                    }
                }
            }
            _ => return ReplaceReply::Changed,
        }
        self.create(run, process, lease);
        ReplaceReply::Claimed
    }

    fn close(
        &mut self,
        run: &RunId,
        outcome: Outcome,
        error: Option<Arc<str>>,
        sent: &mut Vec<Sent>,
    ) {
        let stream = self.streams.entry(run.clone()).or_default();
        let end = StoredEnd { outcome, error, newest: stream.newest() };
        stream.end = Some(end.clone());
        sent.push(Sent::Push(run.clone(), Push::End(end)));
    }

    fn sync(
        &mut self,
        sync: &Sync,
        process: &ProcessId,
        lease: Duration,
        sent: &mut Vec<Sent>,
    ) -> SyncReply {
        let run = &sync.run;
        let stream = self.streams.get(run).cloned().unwrap_or_default();
        if let Some(end) = stream.end {
            return SyncReply::Over(end.outcome);
        }
        let claim = self.claims.get(&run.key);
        let is_lost = claim.is_none_or(|claim| {
            claim.epoch != run.epoch && !claim.is_live() && claim.epoch < run.epoch
        });
        if is_lost && !sync.restores {
            return SyncReply::Gone;
        }
        if is_lost {
            self.create(run, process, lease);
        }
        let Some(claim) = self.claims.get_mut(&run.key) else { return SyncReply::Gone };
        if claim.epoch != run.epoch {
            return SyncReply::Over(Outcome::Interrupted);
        }
        match claim.state {
            State::Starting | State::Running => {}
            State::Void => return SyncReply::Over(Outcome::Interrupted),
            State::Ended(outcome) => return SyncReply::Over(outcome),
        }
        let stream = self.streams.entry(run.clone()).or_default();
        if sync.restores {
            *stream = Stream::default();
        }
        let is_behind = !sync.restores && sync.entries.is_some_and(|n| n != stream.entries());
        if let Some(head) = sync.head.clone().filter(|_| !is_behind) {
            stream.head = Some(head.clone());
            if claim.state == State::Starting {
                claim.state = State::Running;
                claim.head = Some(head.clone());
                sent.push(Sent::Push(run.clone(), Push::Head(head)));
            }
        }
        claim.deadline = Instant::now() + lease;
        let watched = claim.watched.saturating_duration_since(Instant::now());
        if is_behind {
            return SyncReply::Behind;
        }
        SyncReply::InStep { newest: stream.newest(), entries: stream.entries(), watched }
    }

    fn append(&mut self, append: &Append, sent: &mut Vec<Sent>) -> AppendReply {
        let batch = append.batch.clone();
        match self.streams.get_mut(&append.run) {
            Some(stream) if stream.end.is_none() && stream.newest() < batch.last => {
                stream.batches.insert(batch.last, batch.clone());
                sent.push(Sent::Push(append.run.clone(), Push::Batch(batch)));
                AppendReply::Appended { entries: 1 }
            }
            _ => AppendReply::Refused,
        }
    }

    fn end(&mut self, end: &End, process: &ProcessId, sent: &mut Vec<Sent>) -> EndReply {
        let run = &end.run;
        let stream = self.streams.get(run).cloned().unwrap_or_default();
        let Some(claim) = self.claims.get_mut(&run.key) else {
            return EndReply::Gone;
        };
        let mode = match end.mode {
            EndMode::Own { .. } => "own",
            EndMode::Lost => "lost",
            EndMode::Cancel => "cancel",
            EndMode::Bury => "bury",
            EndMode::Void => "void",
            EndMode::Release => "release",
            EndMode::Forget => "forget",
        };
        if claim.epoch != run.epoch || mode == "release" && claim.process != *process {
            return EndReply::Other;
        }
        if mode == "forget" {
            if claim.is_live() {
                return EndReply::Running;
            }
            self.claims.remove(&run.key);
            self.streams.remove(run);
            return EndReply::Freed;
        }
        let newest = stream.newest();
        match claim.state {
            State::Starting | State::Running => {}
            State::Void => return EndReply::Freed,
            State::Ended(outcome) if claim.ended_by.as_ref() == Some(&(process.clone(), mode)) => {
                return EndReply::Ended { outcome, newest };
            }
            State::Ended(outcome) => return EndReply::Over(outcome),
        }
        let (outcome, error) = match &end.mode {
            EndMode::Own { newest: owned, entries, .. }
                if newest != *owned || entries.is_some_and(|n| n != stream.entries()) =>
            {
                return EndReply::Behind;
            }
            EndMode::Own { outcome, error, .. } => (*outcome, error.clone()),
            EndMode::Cancel => (Outcome::Cancelled, None),
            EndMode::Bury => match claim.liveness() {
                Liveness::Dead => (Outcome::Interrupted, None),
                other => return EndReply::NotDead(other),
            },
            EndMode::Void if claim.state != State::Starting => return EndReply::Running,
            EndMode::Void => {
                claim.state = State::Void;
                sent.push(Sent::Push(run.clone(), Push::Void));
                return EndReply::Freed;
            }
            EndMode::Lost | EndMode::Release | EndMode::Forget => (Outcome::Interrupted, None),
        };
        claim.state = State::Ended(outcome);
        claim.ended_by = Some((process.clone(), mode));
        let owner = claim.process.clone();
        self.close(run, outcome, error, sent);
        if owner != *process {
            sent.push(Sent::Hint(owner, run.epoch));
        }
        EndReply::Ended { outcome, newest }
    }

    fn check(&mut self, check: &Check, sent: &mut Vec<Sent>) -> CheckReply {
        let run = &check.run;
        let newest = self.streams.get(run).map_or(0, Stream::newest);
        let Some(claim) = self.claims.get_mut(&run.key) else { return CheckReply::Gone };
        if claim.epoch != run.epoch {
            return CheckReply::Other;
        }
        match claim.state {
            State::Void => return CheckReply::Void,
            State::Ended(outcome) => return CheckReply::Ended { newest, outcome },
            State::Starting | State::Running => {}
        }
        let liveness = claim.liveness();
        if check.is_watched {
            let now = Instant::now();
            if claim.watched <= now {
                sent.push(Sent::Hint(claim.process.clone(), run.epoch));
            }
            claim.watched = now + claim.lease * 3 / 4;
        }
        match claim.state {
            State::Starting => CheckReply::Starting(liveness),
            _ => CheckReply::Running { newest, liveness, head: claim.head.clone() },
        }
    }
}

impl Stream {
    fn newest(&self) -> u64 {
        self.end.as_ref().map(|end| end.newest).or(self.batches.keys().last().copied()).unwrap_or(0)
    }

    fn entries(&self) -> u64 {
        self.batches.len() as u64 + u64::from(self.head.is_some())
    }
}

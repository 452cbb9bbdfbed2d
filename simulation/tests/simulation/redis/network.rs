use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower_sse::redis::Transport;

use super::{KEY, connection, server::Server, stream::Stream};
use crate::log::Log;

/// The servers' time in milliseconds at the beginning of a simulation.
pub(super) const BEGIN: u64 = 1_800_000_000_000;

/// The number of commands after which no more are answered. A simulation needs about a tenth.
const MAX_COMMANDS: usize = 20_000;

/// The servers, and the connections of the hubs to them. Hubs are named `hub-0`, `hub-1` and so on.
#[derive(Clone)]
pub(crate) struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Notified after every change of the state.
    changed: Notify,
    began: Instant,
    log: Log,
}

pub(super) struct State {
    pub(super) rng: fastrand::Rng,
    pub(super) machines: Vec<Machine>,
    /// The machine to which the name of the server leads.
    pub(super) current: usize,
    /// Another machine to which the name leads half of the time.
    pub(super) alternative: Option<usize>,
    snapshot: Option<Server>,
    pub(super) links: Vec<Link>,
    pub(super) connections: Vec<Connection>,
    /// The maximum latency in each direction, in milliseconds.
    latency: u64,
    /// The number of commands so far.
    pub(super) commands: usize,
}

/// A machine with one server.
pub(super) struct Machine {
    pub(super) server: Server,
    pub(super) is_up: bool,
    pub(super) is_paused: bool,
    pub(super) refusal: Option<Refusal>,
    /// The milliseconds that its clock is ahead.
    pub(super) clock_offset: i64,
}

/// An error with which a server answers commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    OutOfMemory,
    ReadOnly,
    Loading,
    NoReplicas,
}

/// The data that a server has when it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    All,
    None,
    Snapshot,
}

/// The link of one hub to the servers.
#[derive(Default)]
pub(super) struct Link {
    pub(super) is_cut_off: bool,
    /// Whether replies with entries are held.
    pub(super) holds_reads: bool,
    /// The latency of replies with entries, in milliseconds.
    pub(super) read_delay: u64,
}

pub(super) struct Connection {
    pub(super) hub: usize,
    pub(super) machine: usize,
    pub(super) ended: CancellationToken,
    pub(super) cut_at: Option<Cut>,
}

/// The moment at which a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Now,
    /// Before the next command takes effect.
    BeforeCommand,
    /// After the next command has taken effect, and before its reply.
    AfterCommand,
}

impl Network {
    pub(crate) fn new(rng: fastrand::Rng, hubs: usize, latency: u64, log: Log) -> Self {
        let mut state = State {
            rng,
            machines: Vec::new(),
            current: 0,
            alternative: None,
            snapshot: None,
            links: (0..hubs).map(|_| Link::default()).collect(),
            connections: Vec::new(),
            latency,
            commands: 0,
        };
        state.add_machine(Server::default(), 0);
        let state = Mutex::new(state);
        let inner = Inner { state, changed: Notify::new(), began: Instant::now(), log };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a connection of a hub to the current server.
    pub(crate) async fn dial(self, host: String) -> io::Result<Box<dyn Transport>> {
        let hub: usize = host.strip_prefix("hub-").and_then(|hub| hub.parse().ok()).unwrap();
        self.travel(hub).await;
        let (stream, other) = tokio::io::duplex(1 << 16);
        let (machine, number, ended) = {
            let mut state = self.lock();
            let alternative = state.alternative.filter(|_| state.rng.bool());
            let machine = alternative.unwrap_or(state.current);
            if !state.machines[machine].is_up {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let ended = CancellationToken::new();
            let connection = Connection { hub, machine, ended: ended.clone(), cut_at: None };
            state.connections.push(connection);
            (machine, state.connections.len() - 1, ended)
        };
        self.log(|| format!("hub {hub}: connection {number} to machine {machine}"));
        connection::spawn(self, number, other, ended);
        Ok(Box::new(stream))
    }

    /// Waits for the latency of a hub's link, and while it is cut off.
    pub(super) async fn travel(&self, hub: usize) {
        let latency = self.lock().next_latency();
        if latency > 0 {
            sleep(Duration::from_millis(latency)).await;
        }
        self.until(|state| (!state.links[hub].is_cut_off).then_some(())).await;
    }

    /// Waits until `ready` returns a value.
    pub(super) async fn until<R>(&self, mut ready: impl FnMut(&mut State) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            let result = ready(&mut self.lock());
            if let Some(result) = result {
                return result;
            }
            changed.await;
        }
    }

    /// Changes the state, and wakes everything that waits for a change.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.inner.changed.notify_waiters();
        result
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    /// Returns the milliseconds since the beginning.
    pub(crate) fn elapsed(&self) -> u64 {
        u64::try_from(self.inner.began.elapsed().as_millis()).unwrap()
    }

    /// Returns the time of a machine's clock, in milliseconds.
    pub(super) fn now(&self, state: &State, machine: usize) -> u64 {
        (BEGIN + self.elapsed()).saturating_add_signed(state.machines[machine].clock_offset)
    }

    pub(crate) fn is_logging(&self) -> bool {
        self.inner.log.is_wanted()
    }

    pub(crate) fn log(&self, line: impl FnOnce() -> String) {
        self.inner.log.add(self.elapsed(), line);
    }

    /// Counts a command. Never returns if there were too many: a hub would otherwise repeat commands
    /// for ever, in the same millisecond.
    pub(super) async fn count_command(&self) {
        self.lock().commands += 1;
        if self.is_exhausted() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether the hubs have sent too many commands.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.lock().commands > MAX_COMMANDS
    }

    /// Returns the stream of the current server.
    pub(crate) fn stream(&self) -> Option<Stream> {
        let state = self.lock();
        state.machines[state.current].server.keys.get(KEY).map(|key| key.stream.clone())
    }
}

impl State {
    /// Adds a machine, whose clock is ahead by a number of milliseconds.
    pub(super) fn add_machine(&mut self, server: Server, clock_offset: i64) -> usize {
        let mut machine =
            Machine { server, is_up: true, is_paused: false, refusal: None, clock_offset };
        machine.server.run_id = self.next_run_id();
        self.machines.push(machine);
        self.machines.len() - 1
    }

    pub(super) fn next_run_id(&mut self) -> String {
        format!("{:040x}", self.rng.u128(..))
    }

    pub(super) fn next_latency(&mut self) -> u64 {
        self.rng.u64(..=self.latency)
    }

    pub(super) fn current(&mut self) -> &mut Machine {
        &mut self.machines[self.current]
    }

    pub(super) fn take_snapshot(&mut self) {
        self.snapshot = Some(self.current().server.clone());
    }

    /// Kills a machine, which breaks its connections.
    pub(super) fn kill(&mut self, machine: usize) {
        self.machines[machine].is_up = false;
        self.machines[machine].is_paused = false;
        for connection in self.connections.iter().filter(|other| other.machine == machine) {
            connection.ended.cancel();
        }
    }

    /// Starts the current machine again.
    pub(super) fn restart(&mut self, data: Data) {
        let run_id = self.next_run_id();
        let snapshot = self.snapshot.clone();
        let machine = self.current();
        match data {
            Data::All => {}
            Data::None => machine.server = Server::default(),
            Data::Snapshot => machine.server = snapshot.unwrap_or_default(),
        }
        machine.server.run_id = run_id;
        machine.is_up = true;
        machine.refusal = None;
    }
}

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

use super::{
    KEY, connection,
    server::Server,
    state::{Connection, Link, Overtaken, State},
    stream::Stream,
};
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
            overtaken: Vec::new(),
            appointment: None,
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

    /// Returns the entries that were overtaken when they were added.
    pub(crate) fn overtaken(&self) -> Vec<Overtaken> {
        self.lock().overtaken.clone()
    }

    /// Returns the stream of the current server.
    pub(crate) fn stream(&self) -> Option<Stream> {
        let state = self.lock();
        state.machines[state.current].server.keys.get(KEY).map(|key| key.stream.clone())
    }
}

use std::sync::{Mutex, MutexGuard};
use std::{io, pin::pin};

use tokio::{io::DuplexStream, sync::Notify, sync::mpsc::unbounded_channel};

use super::{connection::Serving, *};

/// The time in milliseconds at the beginning of a simulation.
pub const BEGIN: u64 = 1_800_000_000_000;

/// The number of commands after which no more are answered: more than any simulation needs.
const MAX_COMMANDS: usize = 100_000;

/// The servers, and the connections of the processes to them. The first process reaches the server
/// at the host `process-0`, and the first node of a cluster at `process-0-node-0`.
#[derive(Clone, Debug)]
pub struct Network {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// Notified by each call of [`change`](Network::change).
    changed: Notify,
    began: Instant,
    log: Log,
}

impl Network {
    pub fn new(rng: fastrand::Rng, processes: usize, latency: u64, log: Log) -> Self {
        let links = (0..processes).map(|_| Link::default()).collect();
        let mut state = State { rng, links, latency, ..State::default() };
        state.add_machine(Server::default(), 0);
        let state = Mutex::new(state);
        let inner = Inner { state, changed: Notify::new(), began: Instant::now(), log };
        Self { inner: Arc::new(inner) }
    }

    /// Opens a connection of the process that `host` names: to the server behind the name, or to
    /// the node of a cluster, if `host` names one.
    pub async fn dial(self, host: String) -> io::Result<DuplexStream> {
        let (process, node) = cluster::parse(&host);
        self.travel(process).await;
        let (stream, other) = tokio::io::duplex(1 << 16);
        let (sending, sent) = unbounded_channel();
        let (machine, number, ended) = {
            let mut state = self.lock();
            let alternative = state.alternative.filter(|_| state.rng.bool());
            let machine = node.or(alternative).unwrap_or(state.current);
            if !state.machines[machine].is_up || state.links[process].is_shut_out {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let ended = CancellationToken::new();
            state.connections.push(Connection {
                process,
                machine,
                ended: ended.clone(),
                cut_at: None,
                drops_packets: false,
                channels: BTreeSet::new(),
                redirects: Vec::new(),
                sending,
            });
            (machine, state.connections.len() - 1, ended)
        };
        self.log(|| format!("process {process}: connection {number} to machine {machine}"));
        Serving { network: self, number, process, machine, ended }.spawn(other, sent);
        Ok(stream)
    }

    /// Waits for a random latency, and then while the process's link is cut off.
    pub(super) async fn travel(&self, process: usize) {
        let latency = self.lock().next_latency();
        if latency > 0 {
            sleep(Duration::from_millis(latency)).await;
        }
        self.until(|state| (!state.links[process].is_cut_off).then_some(())).await;
    }

    /// Waits until a process' link has passed a number of bytes on. Without a limit, that takes no
    /// time.
    pub(super) async fn pass(&self, process: usize, direction: Direction, bytes: usize) {
        let until = {
            let mut state = self.lock();
            let link = &mut state.links[process];
            let Some(bandwidth) = link.bandwidth else { return };
            let busy_until = &mut link.busy_until[direction as usize];
            let begin = busy_until.unwrap_or_else(Instant::now).max(Instant::now());
            let until = begin + Duration::from_micros(bytes as u64 * 1_000_000 / bandwidth);
            *busy_until = Some(until);
            until
        };
        sleep_until(until).await;
    }

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
    pub fn elapsed(&self) -> u64 {
        u64::try_from(self.inner.began.elapsed().as_millis()).unwrap()
    }

    /// Returns the time of a machine's clock, in milliseconds.
    pub(super) fn now(&self, state: &State, machine: usize) -> u64 {
        (BEGIN + self.elapsed()).saturating_add_signed(state.machines[machine].clock_offset)
    }

    pub fn is_logging(&self) -> bool {
        self.inner.log.is_wanted()
    }

    pub fn log(&self, line: impl FnOnce() -> String) {
        self.inner.log.add(self.elapsed(), line);
    }

    /// Counts a command. Never returns if there were too many: a process would otherwise repeat
    /// commands for ever, in the same millisecond.
    pub(super) async fn count_command(&self) {
        self.lock().commands += 1;
        if self.exhaustion().is_some() {
            std::future::pending::<()>().await;
        }
    }

    pub fn commands(&self) -> usize {
        self.lock().commands
    }

    /// Returns what is wrong if the processes have sent too many commands.
    pub fn exhaustion(&self) -> Option<String> {
        let is_exhausted = self.commands() > MAX_COMMANDS;
        is_exhausted.then(|| "the processes repeat commands for ever".to_owned())
    }

    /// Returns two lists: the hubs' entries that were added while another copy of the stream had
    /// their id or a higher one, and the markers of losses.
    pub fn overtaken_and_markers(&self) -> (Vec<Added>, Vec<Added>) {
        let state = self.lock();
        (state.overtaken.clone(), state.markers.clone())
    }

    /// Returns about how much memory the keys of the current server take, in bytes.
    pub fn memory(&self) -> usize {
        let state = self.lock();
        let now = self.now(&state, state.current);
        state.machines[state.current].server.memory_of_keys(now)
    }

    /// Returns the names of the current server's keys that never expire.
    pub fn eternal_keys(&self) -> Vec<String> {
        self.lock().current().server.eternal_keys()
    }

    /// Returns the hubs' stream at the current server.
    pub fn stream(&self) -> Option<Stream> {
        self.lock().current().server.hub_stream().cloned()
    }
}

//! Many or large runs at a time, and clients that do not read, or that ask for what there is not.
//! What they cost is bounded.

mod deaths;
mod reader;

use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower_sse::runs::{Run, RunKey, Runs, StartError};
use tower_sse_simulation::{Log, redis::Network, serve_this_thread};

use self::reader::{Habit, Reader, Reading};
use crate::scheduler::{PROCESSES, check_counts, check_keys, kill_all};
use crate::service::{Process, Settings};
use crate::{calls::Plan, gate::Machines, kinds::Severity, oracle::History, world::World};

/// What there is much of.
#[derive(Clone, Copy, Debug)]
enum Load {
    SlowLink,
    Idle,
    Deaths,
    Names,
    Ahead,
}

/// Processes without faults, besides those of the load.
struct Crowd {
    rng: Rng,
    world: World,
    /// What was wrong.
    faults: Vec<String>,
}

/// Returns whether the simulation of a seed has a crowd. They cost more than others.
pub(crate) fn has_crowd(seed: u64) -> bool {
    Rng::with_seed(!seed).u8(..16) == 0
}

/// Runs the simulation of a crowd.
pub(crate) async fn run(seed: u64, log: Log) -> History {
    let mut rng = Rng::with_seed(seed);
    let loads = [Load::SlowLink, Load::Idle, Load::Deaths, Load::Names, Load::Ahead];
    let load = loads[rng.usize(..loads.len())];
    let latency = if matches!(load, Load::Deaths) { rng.u64(5..25) } else { rng.u64(..10) };
    let network = Network::new(rng.fork(), PROCESSES, latency, log);
    serve_this_thread(&network);
    tower_sse::simulation::set_host(Machines::new());
    network.log(|| format!("{load:?}, latency {latency}"));
    let world = World::new(network, false, usize::MAX);
    let mut crowd = Crowd { rng, world, faults: Vec::new() };
    match load {
        Load::SlowLink => crowd.share_a_slow_link().await,
        Load::Idle => crowd.leave_answers_unread().await,
        Load::Deaths => crowd.lose_an_owner().await,
        Load::Names => crowd.fill_redis().await,
        Load::Ahead => crowd.forge_ids().await,
    }
    crowd.end(load).await
}

impl Crowd {
    /// Starts the processes, and waits until they are connected.
    async fn connect(&mut self, settings: impl Fn(usize) -> Settings) {
        for number in 0..PROCESSES {
            let process = Process::start(&self.world, number, settings(number), 0);
            self.world.records().processes.push(process);
        }
        while self.world.records().processes.iter().any(|process| process.runs().is_none()) {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts a run at a process.
    async fn start(
        &mut self,
        process: usize,
        number: usize,
        key: RunKey,
        plan: Plan,
    ) -> Result<Run, StartError> {
        let process = self.world.process(process);
        let (calls, life) = (self.world.calls.clone(), process.life);
        let (asked, rng) = (self.world.network.elapsed(), self.rng.fork());
        let runs = process.runs().expect("it is connected");
        let source = move || calls.begin(plan, number, life, asked).answer(rng);
        let starting = async move { runs.start(&key, None, source).await };
        process.gate.run(starting).await.expect("it runs")
    }

    /// Lets a client read a run at a process.
    fn read(
        &mut self,
        process: usize,
        number: usize,
        key: RunKey,
        habit: Habit,
    ) -> JoinHandle<Reading> {
        let rng = self.rng.fork();
        let reader = Reader::new(self.world.clone(), process, (number, key), habit, rng);
        tokio::spawn(reader.read())
    }

    /// Waits until all clients have what they want, and calls `sample` meanwhile. Returns `None` if
    /// that takes longer than `within`.
    async fn wait(
        &mut self,
        clients: Vec<JoinHandle<Reading>>,
        within: Duration,
        mut sample: impl FnMut(&mut Self),
    ) -> Option<Vec<Reading>> {
        let until = Instant::now() + within;
        while !clients.iter().all(JoinHandle::is_finished) {
            if Instant::now() >= until {
                let waiting = clients.iter().filter(|client| !client.is_finished()).count();
                let fault = format!("{waiting} of {} clients wait after {within:?}", clients.len());
                self.faults.push(fault);
                return None;
            }
            sample(self);
            sleep(Duration::from_millis(50)).await;
        }
        let mut readings = Vec::new();
        for client in clients {
            readings.push(client.await.expect("no panic"));
        }
        Some(readings)
    }

    /// Returns the runs of a process.
    fn runs(&self, process: usize) -> Runs {
        self.world.process(process).runs().expect("it is connected")
    }

    /// Checks that no load has broken a connection, and ends the processes.
    async fn end(mut self, load: Load) -> History {
        for process in &self.world.records().processes {
            let alive = (!process.gate.is_killed()).then_some(process);
            if let Some((times, error)) = alive.and_then(Process::reconnections) {
                let fault =
                    format!("process {} has reconnected {times} times: {error}", process.number);
                self.faults.insert(0, fault);
            }
        }
        self.faults.extend(check_keys(&self.world.network));
        self.faults.extend(check_counts(&self.world));
        let is_calm = matches!(load, Load::SlowLink | Load::Ahead);
        let severity = if is_calm { Severity::Calm } else { Severity::Disturbing };
        let history = History::of(&self.world, severity, is_calm, self.faults);
        kill_all(&self.world).await;
        history
    }
}

/// Returns a short key.
fn key(number: usize) -> RunKey {
    crate::world::key(number)
}

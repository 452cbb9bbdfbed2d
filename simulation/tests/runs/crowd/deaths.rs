use std::time::Duration;

use tokio::time::sleep;
use tower_sse::runs::RunKey;

use super::{Crowd, Habit, key};
use crate::calls::{AnswerEnd, Plan};
use crate::service::Settings;

impl Crowd {
    /// A process dies that owns many runs, which clients read at another process. They are told in
    /// the documented time, and clients of other owners are not.
    pub(super) async fn lose_an_owner(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let (dying, healthy) = (self.rng.usize(100..300), 10);
        let plan = Plan { events: 1_000, fails: false, delay: 60_000, size: 10 };
        let mut clients = Vec::new();
        for number in 0..dying + healthy {
            let owner = if number < dying { 0 } else { 2 };
            self.start(owner, number, key(number), plan).await.expect("nothing refuses it");
            clients.push(self.read(1, number, key(number), Habit::Prompt));
        }
        let lease = settings.lease;
        // A process that has just connected waits for longer.
        sleep(lease * 5 / 2).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** the process dies that owns {dying} runs"));
        self.world.disturb(0);
        self.world.process(0).kill();
        let died = network.elapsed();
        let bound = lease + (lease * 3 / 8).max(Duration::from_millis(1_500)) + lease / 4;
        let others = clients.split_off(dying);
        let slack = Duration::from_secs(1);
        let readings = self.wait(clients, bound + Duration::from_secs(30), |_| {}).await;
        let last = readings.iter().flatten().map(|reading| reading.at - died).max().unwrap_or(0);
        let last = Duration::from_millis(last);
        if last > bound + slack {
            self.faults.push(format!(
                "the last of {dying} clients is told after {last:?}, and not {bound:?}"
            ));
        }
        let wrong = |end| !matches!(end, AnswerEnd::Failed(Some(_)));
        let wrong = readings.iter().flatten().find(|reading| wrong(reading.end));
        if let Some(wrong) = wrong {
            self.faults.push(format!("a client of a process that died: {wrong:?}"));
        }
        sleep(lease).await;
        let told = others.iter().filter(|client| client.is_finished()).count();
        let failed = self.world.failures_of(dying..dying + healthy);
        if told + failed > 0 {
            self.faults.push(format!(
                "{} of {healthy} clients of a process that lives are told",
                told + failed
            ));
        }
    }
}

/// The process with little memory.
const SMALL: usize = 1;
/// How much more than the limit a process may have for a moment, in bytes: a batch and its events.
const EXCESS: usize = 128 << 10;

impl Crowd {
    /// Clients at one process do not read large runs of others. The runs of that process have the
    /// memory that they need.
    pub(super) async fn leave_answers_unread(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        let limit = self.rng.usize(400_000..1_000_000);
        let retain_bytes = limit / 10;
        self.connect(|process| Settings {
            retain_bytes,
            max_memory: if process == SMALL { limit } else { 256 << 20 },
            ..settings
        })
        .await;
        let others = self.rng.usize(16..40);
        let events = self.rng.usize(4..20);
        let size = retain_bytes * 8 / 10 / events;
        let plan = Plan { events: events as u64, fails: false, delay: 0, size };
        for number in 0..others {
            let owner = [0, 2][self.rng.usize(..2)];
            self.start(owner, number, key(number), plan).await.expect("nothing refuses it");
        }
        sleep(Duration::from_secs(3)).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** {others} runs of {events} x {size} bytes, limit {limit}"));
        let until = network.elapsed() + self.rng.u64(5_000..20_000);
        let idle = (0..others)
            .map(|number| self.read(SMALL, number, key(number), Habit::IdleUntil(until)));
        let idle: Vec<_> = idle.collect();
        let mut own = Vec::new();
        let few = Plan { events: 20, fails: false, delay: 200, size: retain_bytes / 25 };
        for number in others..others + self.rng.usize(2..6) {
            sleep(Duration::from_millis(self.rng.u64(..2_000))).await;
            match self.start(SMALL, number, key(number), few).await {
                Ok(_) => own.push(self.read(SMALL, number, key(number), Habit::Prompt)),
                Err(error) => self.faults.push(format!("an own run is refused: {error}")),
            }
        }
        let mut since = None;
        let mut most = 0;
        let watch = |crowd: &mut Self| {
            let memory = crowd.runs(SMALL).stats().memory;
            let now = crowd.world.network.elapsed();
            let begin = *since.get_or_insert(now);
            if memory <= limit + EXCESS {
                since = None;
            } else if now - begin > 1_000 {
                most = memory.max(most);
            }
        };
        let own = self.wait(own, Duration::from_secs(60), watch).await.unwrap_or_default();
        if most > 0 {
            self.faults.push(format!("{most} bytes of memory, and the limit is {limit}"));
        }
        for reading in own {
            if reading.end != AnswerEnd::Whole || reading.failed > 0 {
                self.faults.push(format!("a client of an own run: {reading:?}"));
            }
        }
        // Who reads on loads again.
        let idle = self.wait(idle, Duration::from_secs(120), |_| {}).await.unwrap_or_default();
        for reading in idle {
            if reading.end != AnswerEnd::Whole {
                self.faults.push(format!("a client that reads on: {reading:?}"));
            }
        }
    }
}

/// The process whose link is slow.
const SLOW: usize = 1;

impl Crowd {
    /// Many clients at one process load large runs of another one at the same time. What does not
    /// belong to the loads is as quick as without them.
    pub(super) async fn share_a_slow_link(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let runs = self.rng.usize(8..24);
        let bandwidth = self.rng.u64(300_000..2_000_000);
        let seconds = self.rng.u64(3..8);
        let of_each = usize::try_from(bandwidth * seconds).unwrap() / runs;
        let events = self.rng.usize(8..40).max(of_each / 60_000);
        let size = of_each / events;
        let plan = Plan { events: events as u64, fails: false, delay: 0, size };
        for number in 0..runs {
            self.start(0, number, key(number), plan).await.expect("nothing refuses it");
        }
        // A run of many entries, with which pages grow.
        let large = Plan { events: 80, fails: false, delay: 0, size: 60_000 };
        self.start(0, runs, key(runs), large).await.expect("nothing refuses it");
        // Their ends are in Redis.
        sleep(Duration::from_secs(5)).await;
        let first = self.read(SLOW, runs, key(runs), Habit::Prompt);
        self.wait(vec![first], Duration::from_secs(30), |_| {}).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** {runs} runs of {of_each} bytes over {bandwidth} a second"));
        network.limit_bandwidth(SLOW, bandwidth);
        let mut clients = Vec::new();
        for number in 0..runs {
            let leaves = if self.rng.bool() { self.rng.u32(..3) } else { 0 };
            clients.push(self.read(SLOW, number, key(number), Habit::Leaves(leaves)));
        }
        let mut refused = 0;
        let small = Plan { events: 3, fails: false, delay: 100, size: 20 };
        for number in runs + 1..runs + 1 + usize::try_from(seconds).unwrap() {
            let before = network.elapsed();
            match self.start(SLOW, number, key(number), small).await {
                Ok(_) if network.elapsed() - before < 1_000 => {}
                _ => refused += 1,
            }
            sleep(Duration::from_millis(500)).await;
        }
        if refused > 0 {
            self.faults.push(format!("{refused} of {seconds} starts are refused or late"));
        }
        let within = Duration::from_secs(3 * seconds + 15);
        let readings = self.wait(clients, within, |_| {}).await.unwrap_or_default();
        for (number, reading) in readings.iter().enumerate() {
            if reading.end != AnswerEnd::Whole || reading.refused + reading.failed > 0 {
                self.faults.push(format!("client {number} has met its run so: {reading:?}"));
            }
        }
    }
}

impl Crowd {
    /// Runs with long names and little else come one after the other. Redis keeps no more of them
    /// than the limits allow.
    pub(super) async fn fill_redis(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        let limit = self.rng.usize(200_000..600_000);
        let is_per_owner = self.rng.bool();
        let max_memory = if is_per_owner { 256 << 20 } else { limit };
        let max_memory_per_owner = is_per_owner.then_some(limit);
        self.connect(|_| Settings {
            max_memory,
            max_memory_per_owner,
            retain_bytes: 20_000,
            ..settings
        })
        .await;
        let length = self.rng.usize(1..500);
        let owner = "/".repeat(self.rng.usize(1..500));
        let plan = Plan { events: 1, fails: false, delay: 20, size: 10 };
        let network = self.world.network.clone();
        let mut most = 0;
        let mut clients = Vec::new();
        for number in 0..self.rng.usize(150..300) {
            let key = RunKey::new(&owner, &format!("{number}{}", "/".repeat(length))).unwrap();
            self.start(0, number, key.clone(), plan).await.expect("nothing refuses it");
            if self.rng.u8(..8) == 0 {
                clients.push(self.read(1, number, key, Habit::Prompt));
            }
            sleep(Duration::from_millis(50)).await;
            most = most.max(network.memory());
        }
        sleep(Duration::from_secs(5)).await;
        most = most.max(network.memory());
        network.log(|| format!("*** at most {most} bytes in Redis, now {}", network.memory()));
        if most > limit * 3 / 2 {
            self.faults.push(format!("Redis has {most} bytes, and the limit is {limit}"));
        }
        self.wait(clients, Duration::from_secs(60), |_| {}).await;
    }
}

/// The maximum number of requests that wait for an event of one run.
const MAX_WAITERS: usize = 16;

impl Crowd {
    /// Many clients at one process ask for events of a run that there are not yet.
    pub(super) async fn forge_ids(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let plan = Plan { events: 30, fails: false, delay: 1_000, size: 10 };
        self.start(0, 0, key(0), plan).await.expect("nothing refuses it");
        let reader = self.read(1, 0, key(0), Habit::Prompt);
        while self.world.records().answers[0].events.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let (asking, is_same) = (self.rng.u64(20..100), self.rng.u8(..4) == 0);
        let forged = (0..asking).map(|number| {
            let sequence = if is_same { 1_000 } else { 1_000 - number };
            self.read(1, 0, key(0), Habit::Forges(sequence))
        });
        let forged: Vec<_> = forged.collect();
        let commands = self.world.network.commands();
        sleep(Duration::from_millis(500)).await;
        let commands = self.world.network.commands() - commands;
        let waiting = forged.iter().filter(|client| !client.is_finished()).count();
        self.world.network.log(|| format!("*** {waiting} of {asking} wait, {commands} commands"));
        if waiting > MAX_WAITERS {
            self.faults
                .push(format!("{waiting} of {asking} requests wait for events that there are not"));
        }
        self.wait(forged, Duration::from_secs(30), |_| {}).await;
        self.wait(vec![reader], Duration::from_secs(60), |_| {}).await;
    }
}

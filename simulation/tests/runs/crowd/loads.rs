use super::Crowd;
use crate::*;

/// The process with little memory.
pub(super) const SMALL: usize = 1;
/// The number of bytes by which a process's memory may exceed `max_memory` for over a second: a
/// batch and the events cut from it.
const EXCESS: usize = 128 << 10;
/// The process whose link is slow.
const SLOW: usize = 1;
/// The maximum number of requests that wait for an event of one run.
const MAX_WAITERS: usize = 16;

impl Crowd {
    /// A process that owns many runs dies while clients read them at another process. The clients'
    /// bodies must fail with an outcome within the documented time. Bodies of another owner's runs
    /// must not fail.
    pub(super) async fn lose_an_owner(&mut self) {
        let (dying, healthy) = (self.rng.usize(100..300), 10);
        let plan = Plan { events: 1_000, fails: false, delay: 60_000, size: 10 };
        let mut clients = Vec::new();
        for key in 0..dying + healthy {
            let owner = if key < dying { 0 } else { 2 };
            self.start(owner, key, plan).await.expect("nothing refuses it");
            clients.push(self.read(key, Habit::Stays(1)));
        }
        let others = clients.split_off(dying);
        let lease = self.world.settings.lease;
        sleep(lease).await;
        self.network.log(|| format!("*** the process dies that owns {dying} runs"));
        self.world.disturb(0);
        self.world.process(0).kill();
        let died = self.network.elapsed();
        let bound = lease + lease / 4;
        let answers = self.wait(&clients, bound.as_secs() + 30, |_| {}).await;
        let times = answers.iter().map(|answer| Duration::from_millis(answer.ended - died));
        let last = times.max().unwrap_or_default();
        if last > bound + Duration::from_secs(1) {
            let what = format!("told after {last:?}, and not {bound:?}");
            self.world.fault(format!("the last of {dying} clients is {what}"));
        }
        let is_told = |answer: &&Answer| matches!(answer.end, Some(AnswerEnd::Failed(Some(_))));
        if let Some(wrong) = answers.iter().find(|answer| !is_told(answer)) {
            self.world.fault(format!("a client of a process that died: {:?}", wrong.end));
        }
        sleep(lease).await;
        let told = healthy - self.waiting(&others);
        let records = self.world.records().clone();
        let failed: usize = others.iter().map(|answer| records.answers[*answer].failed).sum();
        if told + failed > 0 {
            let what = format!("{} of {healthy} clients", told + failed);
            self.world.fault(format!("{what} of a process that lives are told"));
        }
    }

    /// Clients at one process attach to large runs of other processes, and stop after the first
    /// event for a while. The process's own runs must still get the memory that they need.
    pub(super) async fn leave_answers_unread(&mut self) {
        let Settings { max_memory: limit, retain_bytes, .. } = self.world.settings;
        let (others, events) = (self.rng.usize(16..40), self.rng.usize(4..20));
        let size = retain_bytes * 8 / 10 / events;
        let plan = Plan { events: events as u64, fails: false, delay: 0, size };
        for number in 0..others {
            let owner = [0, 2][self.rng.usize(..2)];
            self.start(owner, number, plan).await.expect("nothing refuses it");
        }
        sleep(Duration::from_secs(3)).await;
        self.network.log(|| format!("*** {others} runs of {events} x {size} bytes"));
        let until = self.network.elapsed() + self.rng.u64(5_000..20_000);
        let idle = (0..others).map(|key| self.read(key, Habit::IdleUntil(SMALL, until)));
        let idle: Vec<_> = idle.collect();
        let mut own = Vec::new();
        let few = Plan { events: 20, fails: false, delay: 200, size: retain_bytes / 25 };
        for number in others..others + self.rng.usize(2..6) {
            sleep(Duration::from_millis(self.rng.u64(..2_000))).await;
            match self.start(SMALL, number, few).await {
                Ok(_) => own.push(self.read(number, Habit::Stays(SMALL))),
                Err(error) => self.world.fault(format!("an own run is refused: {error}")),
            }
        }
        let (mut since, mut most) = (None, 0);
        let runs = self.world.process(SMALL).get().expect("it is connected").runs;
        let watch = |crowd: &Self| {
            let memory = runs.stats().memory;
            let now = crowd.network.elapsed();
            let begin = *since.get_or_insert(now);
            if memory <= limit + EXCESS {
                since = None;
            } else if now - begin > 1_000 {
                most = memory.max(most);
            }
        };
        let own = self.wait(&own, 60, watch).await;
        if most > 0 {
            self.world.fault(format!("{most} bytes of memory, and the limit is {limit}"));
        }
        self.check_whole("an own", &own, false);
        // A client that reads on loads the run again.
        let idle = self.wait(&idle, 120, |_| {}).await;
        self.check_whole("a large", &idle, true);
    }

    /// Many clients at one process load large runs of another process at the same time. Meanwhile,
    /// runs must still start within a second.
    pub(super) async fn share_a_slow_link(&mut self) {
        let (runs, seconds) = (self.rng.usize(8..24), self.rng.usize(3..8));
        let bandwidth = self.rng.usize(300_000..2_000_000);
        let of_each = bandwidth * seconds / runs;
        let events = self.rng.usize(8..40).max(of_each / 60_000);
        let plan = Plan { events: events as u64, fails: false, delay: 0, size: of_each / events };
        for key in 0..runs {
            self.start(0, key, plan).await.expect("nothing refuses it");
        }
        // A run of many entries: while a client reads it, the pages that its process loads grow.
        let large = Plan { events: 80, fails: false, delay: 0, size: 60_000 };
        self.start(0, runs, large).await.expect("nothing refuses it");
        // After this time, Redis has the ends of the runs.
        sleep(Duration::from_secs(5)).await;
        let first = self.read(runs, Habit::Stays(SLOW));
        self.wait(&[first], 30, |_| {}).await;
        self.network
            .log(|| format!("*** {runs} runs of {of_each} bytes over {bandwidth} a second"));
        self.network.limit_bandwidth(SLOW, bandwidth as u64);
        let mut clients = Vec::new();
        for key in 0..runs {
            let leaves = if self.rng.bool() { self.rng.u32(..3) } else { 0 };
            clients.push(self.read(key, Habit::Leaves(SLOW, leaves)));
        }
        // An own event that takes longer to send than a reply may take.
        let own = Plan { events: 1, fails: false, delay: 0, size: bandwidth * 3 };
        self.start(SLOW, runs + 1, own).await.expect("nothing refuses it");
        clients.push(self.read(runs + 1, Habit::Stays(0)));
        let mut refused = 0;
        let small = Plan { events: 3, fails: false, delay: 100, size: 20 };
        for key in runs + 2..runs + 2 + seconds {
            let before = self.network.elapsed();
            let started = self.start(SLOW, key, small).await;
            refused += usize::from(started.is_err() || self.network.elapsed() - before >= 1_000);
            sleep(Duration::from_millis(500)).await;
        }
        if refused > 0 {
            self.world.fault(format!("{refused} of {seconds} starts are refused or late"));
        }
        let answers = self.wait(&clients, 3 * seconds as u64 + 15, |_| {}).await;
        self.check_whole("a large", &answers, false);
    }

    /// Runs with long names and little else come one after the other. They may take at most one and
    /// a half times `max_memory` in Redis.
    pub(super) async fn fill_redis(&mut self) {
        let limit = self.world.settings.max_memory;
        let plan = Plan { events: 1, fails: false, delay: 20, size: 10 };
        let (mut most, mut clients) = (0, Vec::new());
        for key in 0..self.rng.usize(150..300) {
            self.start(0, key, plan).await.expect("nothing refuses it");
            if self.rng.u8(..8) == 0 {
                clients.push(self.read(key, Habit::Stays(1)));
            }
            sleep(Duration::from_millis(50)).await;
            most = most.max(self.network.memory());
        }
        sleep(Duration::from_secs(5)).await;
        let now = self.network.memory();
        most = most.max(now);
        self.network.log(|| format!("*** at most {most} bytes in Redis, now {now}"));
        if most > limit * 3 / 2 {
            self.world.fault(format!("Redis has {most} bytes, and the limit is {limit}"));
        }
        self.wait(&clients, 60, |_| {}).await;
    }

    /// Many clients at one process ask for events that a run does not have yet.
    pub(super) async fn forge_ids(&mut self) {
        let plan = Plan { events: 30, fails: false, delay: 1_000, size: 10 };
        self.start(0, 0, plan).await.expect("nothing refuses it");
        let reader = self.read(0, Habit::Stays(1));
        while self.world.records().answers[reader].events.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let (asking, is_same) = (self.rng.u64(20..100), self.rng.u8(..4) == 0);
        let forged = (0..asking).map(|number| {
            let sequence = if is_same { 1_000 } else { 1_000 - number };
            self.read(0, Habit::Forges(1, sequence))
        });
        let forged: Vec<_> = forged.collect();
        let before = self.network.commands();
        sleep(Duration::from_millis(500)).await;
        let (waiting, commands) = (self.waiting(&forged), self.network.commands() - before);
        self.network.log(|| format!("*** {waiting} of {asking} wait, {commands} commands"));
        if waiting > MAX_WAITERS {
            let what = "wait for events that there are not";
            self.world.fault(format!("{waiting} of {asking} requests {what}"));
        }
        self.wait(&forged, 30, |_| {}).await;
        self.wait(&[reader], 60, |_| {}).await;
    }
}

//! The cost of many or large runs at a time, of clients that do not read, and of clients that
//! request future events must be bounded.

mod loads;

use crate::scheduler::PROCESSES;
use crate::*;

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
    network: Network,
}

pub(crate) async fn run(seed: u64, log: Log) -> History {
    let mut rng = Rng::with_seed(seed);
    let loads = [Load::SlowLink, Load::Idle, Load::Deaths, Load::Names, Load::Ahead];
    let load = loads[rng.usize(..loads.len())];
    let latency = if matches!(load, Load::Deaths) { rng.u64(5..25) } else { rng.u64(..10) };
    let network = Network::new(rng.fork(), PROCESSES, latency, log);
    let mut settings = Settings::choose_for_crowd(&mut rng);
    match load {
        Load::Idle => {
            settings.max_memory = rng.usize(400_000..1_000_000);
            settings.retain_bytes = settings.max_memory / 10;
        }
        Load::Names => {
            settings.max_memory = rng.usize(200_000..600_000);
            settings.retain_bytes = 20_000;
            settings.padding = [rng.usize(1..500), rng.usize(1..500)];
        }
        Load::SlowLink | Load::Deaths | Load::Ahead => {}
    }
    network.log(|| format!("{load:?}, latency {latency}, {settings:?}"));
    let mut crowd = Crowd { rng, world: World::new(network.clone(), settings), network };
    for number in 0..PROCESSES {
        let is_large = matches!(load, Load::Idle) && number != loads::SMALL;
        let max_memory = if is_large { 256 << 20 } else { settings.max_memory };
        crowd.world.start(number, Settings { max_memory, ..settings }, 0);
    }
    crowd.world.connect().await;
    match load {
        Load::SlowLink => crowd.share_a_slow_link().await,
        Load::Idle => crowd.leave_answers_unread().await,
        Load::Deaths => crowd.lose_an_owner().await,
        Load::Names => crowd.fill_redis().await,
        Load::Ahead => crowd.forge_ids().await,
    }
    let is_calm = matches!(load, Load::SlowLink | Load::Ahead);
    crowd.end(if is_calm { Severity::Calm } else { Severity::Disturbing }).await
}

impl Crowd {
    async fn start(&mut self, process: usize, key: usize, plan: Plan) -> Result<Run, StartError> {
        let process = self.world.process(process);
        let (world, rng, life) = (self.world.clone(), self.rng.fork(), process.life);
        let asked = self.network.elapsed();
        let Program { runs, .. } = process.get().expect("it is connected");
        let starting = async move {
            let source = || world.begin(plan, key, life, asked).answer(rng);
            runs.start(&world.settings.key(key), None, source).await
        };
        process.gate.run(starting).await.expect("it runs")
    }

    fn read(&mut self, key: usize, habit: Habit) -> usize {
        let client = Client::new(&self.world, self.rng.fork(), key, Kind::Gets, habit);
        let answer = client.answer;
        tokio::spawn(client.run());
        answer
    }

    fn waiting(&self, answers: &[usize]) -> usize {
        let records = self.world.records();
        answers.iter().filter(|answer| records.answers[**answer].end.is_none()).count()
    }

    /// Waits until these answers have ended, and calls `sample` meanwhile. Returns the answers. If
    /// they take longer than this number of seconds, records a fault and returns none.
    async fn wait(
        &self,
        answers: &[usize],
        seconds: u64,
        mut sample: impl FnMut(&Self),
    ) -> Vec<Answer> {
        let until = Instant::now() + Duration::from_secs(seconds);
        while self.waiting(answers) > 0 {
            if Instant::now() >= until {
                let (waiting, all) = (self.waiting(answers), answers.len());
                self.world.fault(format!("{waiting} of {all} clients wait after {seconds} s"));
                return Vec::new();
            }
            sample(self);
            sleep(Duration::from_millis(50)).await;
        }
        let records = self.world.records();
        answers.iter().map(|answer| records.answers[*answer].clone()).collect()
    }

    /// Checks that each of these answers is whole. Unless `may_be_refused`, no request may have
    /// been refused, and no body may have failed.
    fn check_whole(&self, whose: &str, answers: &[Answer], may_be_refused: bool) {
        for answer in answers {
            let Answer { key, end, refused, failed, .. } = answer;
            let troubles = if may_be_refused { 0 } else { refused + failed };
            if *end != Some(AnswerEnd::Whole) || troubles > 0 {
                let what = format!("{end:?}, refused {refused} times, failed {failed} times");
                self.world.fault(format!("a client of {whose} run {key}: {what}"));
            }
        }
    }

    /// Checks that no load has broken a connection, and then ends the processes.
    async fn end(self, severity: Severity) -> History {
        for process in self.world.processes().values() {
            let Some(Program { health, .. }) = process.get() else { continue };
            let (number, times) = (process.number, health.reconnections());
            if times > 0 {
                let error = health.last_error().map_or_else(String::new, |error| error.to_string());
                let fault = format!("process {number} has reconnected {times} times: {error}");
                self.world.records().faults.insert(0, fault);
            }
        }
        let history = History::of(&self.world, severity, None);
        self.world.end().await;
        history
    }
}

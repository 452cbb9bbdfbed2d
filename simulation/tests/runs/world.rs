use super::calls::Calls;
use crate::*;

/// What everything in one simulation shares.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) calls: Calls,
    /// Whether requests pass through the layers of the crate, and calls have options.
    pub(crate) is_layered: bool,
    inner: Arc<Mutex<Records>>,
}

/// What has happened, besides the calls.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) processes: Vec<Process>,
    pub(crate) lives: Vec<Life>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) reports: Vec<Report>,
    /// When Redis refused commands.
    pub(crate) refusals: Vec<Range<u64>>,
    /// The keys of bodies that have failed without an outcome.
    pub(crate) failures: Vec<usize>,
    /// What was wrong already when it happened.
    pub(crate) faults: Vec<String>,
}

/// One life of a process.
pub(crate) struct Life {
    /// Whether something has kept it from reaching Redis in time, or has ended it.
    pub(crate) is_disturbed: bool,
}

/// A request to stop or to replace a run.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) key: usize,
    pub(crate) began: u64,
    /// The time at which it can no longer take effect.
    pub(crate) over: u64,
    /// Whether it replaces the run.
    pub(crate) replaces: bool,
    /// The call that takes the place of the earlier one.
    pub(crate) call: Option<usize>,
    /// The epoch of the run, and whether the request was granted.
    pub(crate) stopped: Option<String>,
}

/// A report of a run's end to the program.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) epoch: String,
    pub(crate) outcome: Outcome,
}

impl Stop {
    pub(crate) const fn new(key: usize, began: u64, replaces: bool) -> Self {
        Self { key, began, over: u64::MAX, replaces, call: None, stopped: None }
    }
}

impl World {
    pub(crate) fn new(network: Network, is_layered: bool, max_size: usize) -> Self {
        let calls = Calls::new(&network, max_size);
        Self { network, calls, is_layered, inner: Arc::default() }
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.inner.lock().unwrap()
    }

    /// Records that a client has received an event of its answer.
    pub(crate) fn receive(&self, answer: usize, received: Received) {
        let Received { epoch, sequence, call, .. } = received.clone();
        let client = {
            let answer = &mut self.records().answers[answer];
            answer.events.push(received);
            answer.client
        };
        self.network.log(|| format!("client {client}: event {epoch}-{sequence} of call {call}"));
    }

    pub(crate) fn process(&self, number: usize) -> Process {
        self.records().processes[number].clone()
    }

    /// Returns how many bodies of these keys have failed without an outcome.
    pub(crate) fn failures_of(&self, keys: Range<usize>) -> usize {
        self.records().failures.iter().filter(|key| keys.contains(key)).count()
    }

    /// Records that a process may not have reached Redis in time.
    pub(crate) fn disturb(&self, process: usize) {
        let mut records = self.records();
        let life = records.processes[process].life;
        records.lives[life].is_disturbed = true;
    }

    /// Records that Redis refuses commands for a time. Processes may have no check between two
    /// refusals with less than `check` between them, so these count as one.
    pub(crate) fn refuse(&self, milliseconds: u64, check: u64) {
        let began = self.network.elapsed();
        let over = began + milliseconds;
        let refusals = &mut self.records().refusals;
        match refusals.last_mut() {
            Some(last) if began < last.end + check => last.end = last.end.max(over),
            _ => refusals.push(began..over),
        }
    }

    pub(crate) fn disturb_all(&self) {
        self.records().lives.iter_mut().for_each(|life| life.is_disturbed = true);
    }
}

/// Returns the key of a run.
pub(crate) fn key(number: usize) -> RunKey {
    RunKey::new("user", &number.to_string()).unwrap()
}

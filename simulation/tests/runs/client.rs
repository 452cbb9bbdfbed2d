use super::asking::{Asking, Attempt};
use super::scheduler::PROCESSES;
use crate::*;

/// A client, which is cut and resumes at the same or another process until its answer ends.
pub(crate) struct Client {
    world: World,
    rng: Rng,
    key: usize,
    kind: Kind,
    habit: Habit,
    /// The number of the answer that the client asks for.
    pub(crate) answer: usize,
    /// The number of the pending request to replace a run.
    stop: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client starts a run or attaches to it.
    Starts,
    /// The client starts a run in place of another.
    Replaces,
    /// The client attaches to a run and starts none.
    Gets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// The client asks any process each time and may leave.
    Roams,
    /// The client asks this process until its answer ends. So do `IdleUntil` and `Leaves`.
    Stays(usize),
    /// The client reads its first event at once, and the others from this time on.
    IdleUntil(usize, u64),
    /// The client asks and leaves this number of times before it stays.
    Leaves(usize, u32),
    /// The client asks this process once, with this sequence number.
    Forges(usize, u64),
}

/// The time after which a request of a client that was cut has no effect any more.
const LATE: u64 = 20_000;

/// A time in which every answer ends, in milliseconds.
const LONG: u64 = 100_000_000;

impl Client {
    pub(crate) fn new(world: &World, rng: Rng, key: usize, kind: Kind, habit: Habit) -> Self {
        let answer = world.begin_answer(key);
        Self { world: world.clone(), rng, key, kind, habit, answer, stop: None }
    }

    /// Receives an answer. A client that starts runs asks again, up to twice, if the answer failed
    /// without an outcome.
    pub(crate) async fn run(mut self) {
        for further in (0..3).rev() {
            let end = self.receive().await;
            if end != AnswerEnd::Failed(None) || self.kind != Kind::Starts || further == 0 {
                return;
            }
            self.answer = self.world.begin_answer(self.key);
        }
    }

    /// Receives one answer, over as many connections as it takes.
    async fn receive(&mut self) -> AnswerEnd {
        let roams = self.habit == Habit::Roams;
        loop {
            let (process, limit) = self.choose();
            let process = self.world.process(process);
            let attempt = process.gate.run(self.connect(process.clone()));
            let attempt = timeout(Duration::from_millis(limit), attempt).await;
            if let Some(stop) = self.stop.take() {
                let stop = &mut self.world.records().stops[stop];
                // The request to replace the run may still take effect, until `LATE` has passed.
                stop.over = stop.over.min(self.world.network.elapsed() + LATE);
            }
            let end = match attempt {
                Ok(Some(Ok(AnswerEnd::Failed(None)))) if !roams => {
                    self.change(|answer| answer.failed += 1);
                    None
                }
                Ok(Some(Ok(end))) => Some(end),
                Ok(Some(Err(error))) => {
                    self.change(|answer| answer.refused += 1);
                    self.log(|| format!("refused by process {}: {error}", process.number));
                    matches!(self.habit, Habit::Forges(..)).then_some(AnswerEnd::Left)
                }
                Ok(None) | Err(_) => {
                    self.log(|| format!("cut from process {}", process.number));
                    if self.kind != Kind::Gets {
                        let cut = (self.key, self.world.network.elapsed());
                        self.world.records().cut_starts.push(cut);
                    }
                    (roams && self.rng.u8(..8) == 0).then_some(AnswerEnd::Left)
                }
            };
            let ended = self.world.network.elapsed();
            self.change(|answer| (answer.end, answer.ended) = (end, ended));
            if let Some(end) = end {
                self.log(|| format!("{end:?}"));
                return end;
            }
            let troubles = self.change(|answer| answer.refused + answer.failed);
            let pause = if !roams && troubles > 0 { 1_000..3_000 } else { 20..600 };
            sleep(Duration::from_millis(self.rng.u64(pause))).await;
        }
    }

    /// Chooses a process, and the time after which the client leaves it.
    fn choose(&mut self) -> (usize, u64) {
        match &mut self.habit {
            Habit::Roams => {
                let process = self.rng.usize(..PROCESSES);
                (process, choose_time(&mut self.rng, &[30, 3_000, LONG, LONG]))
            }
            Habit::Leaves(process, times @ 1..) => {
                *times -= 1;
                (*process, self.rng.u64(..1_000))
            }
            Habit::Stays(process)
            | Habit::IdleUntil(process, _)
            | Habit::Leaves(process, _)
            | Habit::Forges(process, _) => (*process, LONG),
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Answer) -> R) -> R {
        change(&mut self.world.records().answers[self.answer])
    }

    fn log(&self, line: impl FnOnce() -> String) {
        let Self { world, answer, key, .. } = self;
        world.network.log(|| format!("client {answer} of key {key}: {}", line()));
    }

    /// Sends one request to a process and reads its answer. The future must run in the process's
    /// gate.
    fn connect(&mut self, process: Process<Program>) -> impl Future<Output = Attempt> + use<> {
        let world = self.world.clone();
        let last = match self.habit {
            Habit::Forges(_, sequence) => {
                let answers = &world.records().answers;
                let known = answers.iter().find_map(|answer| answer.events.first());
                known.map(|event| format!("{}-{sequence}", event.epoch).try_into().unwrap())
            }
            _ => world.records().answers[self.answer].last(),
        };
        let Self { kind, habit, .. } = *self;
        self.log(|| format!("{kind:?}, {habit:?} at process {} after {last:?}", process.number));
        let kind = if last.is_some() && kind == Kind::Replaces { Kind::Starts } else { kind };
        if kind == Kind::Replaces {
            self.stop = Some(world.begin_stop(self.key, true));
        }
        let (answer, key, stop, rng) = (self.answer, self.key, self.stop, self.rng.fork());
        async move {
            let Some(Program { runs, .. }) = process.get() else {
                return Err(StartError::Draining);
            };
            let (life, asked) = (process.life, world.network.elapsed());
            let asking = Asking { world, runs, answer, key, habit, last, life, asked, rng };
            match (kind, habit) {
                (_, Habit::Forges(..)) => asking.forge().await,
                (Kind::Replaces, _) => asking.replace(stop).await,
                (Kind::Starts, _) => asking.start().await,
                (Kind::Gets, _) => asking.get().await,
            }
        }
    }
}

use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use http::StatusCode;
use tokio::time::{sleep, timeout};
use tower_sse::runs::{Run, RunKey, StartError};
use tower_sse::{LastEventId, decode::Decoder};

use crate::calls::{Answer, AnswerEnd, Received};
use crate::client::{Attempt, get, request};
use crate::world::World;

/// A client that reads one run at one process, over as many connections as it takes.
pub(super) struct Reader {
    world: World,
    process: usize,
    key: RunKey,
    habit: Habit,
    /// The number of its answer.
    answer: usize,
    rng: Rng,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    Prompt,
    /// It reads its first event, and the others from this time on.
    IdleUntil(u64),
    /// It asks and leaves this number of times before.
    Leaves(u32),
    /// It asks once, with this sequence number.
    Forges(u64),
}

/// What became of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) end: AnswerEnd,
    pub(super) at: u64,
    /// The number of refusals, and of bodies that failed without an outcome.
    pub(super) refused: usize,
    pub(super) failed: usize,
}

impl Reader {
    pub(super) fn new(
        world: World,
        process: usize,
        (number, key): (usize, RunKey),
        habit: Habit,
        rng: Rng,
    ) -> Self {
        let answer = {
            let mut records = world.records();
            let client = records.answers.len();
            let answer = Answer { client, key: number, events: Vec::new(), end: None, ended: 0 };
            records.answers.push(answer);
            client
        };
        Self { world, process, key, habit, answer, rng }
    }

    /// Reads the run until it ends.
    pub(super) async fn read(mut self) -> Reading {
        let (mut refused, mut failed) = (0, 0);
        loop {
            let limit = match &mut self.habit {
                Habit::Leaves(times @ 1..) => {
                    *times -= 1;
                    self.rng.u64(..1_000)
                }
                _ => u64::from(u32::MAX),
            };
            let attempt = timeout(Duration::from_millis(limit), self.ask()).await;
            let end = match attempt {
                Ok(Some(Attempt::Ended(AnswerEnd::Failed(None)))) => {
                    failed += 1;
                    let mut records = self.world.records();
                    let key = records.answers[self.answer].key;
                    records.failures.push(key);
                    None
                }
                Ok(Some(Attempt::Ended(end))) => Some(end),
                Ok(Some(Attempt::Refused(_))) => {
                    refused += 1;
                    matches!(self.habit, Habit::Forges(_)).then_some(AnswerEnd::Left)
                }
                Ok(None) => Some(AnswerEnd::Left),
                Err(_) => None,
            };
            if let Some(end) = end {
                let at = self.world.network.elapsed();
                let answer = self.answer;
                self.world.network.log(|| format!("client {answer}: {end:?}, refused {refused}"));
                let mut records = self.world.records();
                let answer = &mut records.answers[answer];
                (answer.end, answer.ended) = (Some(end), at);
                return Reading { end, at, refused, failed };
            }
            let pause = if failed + refused > 0 { 1_000..3_000 } else { 10..100 };
            sleep(Duration::from_millis(self.rng.u64(pause))).await;
        }
    }

    /// Asks for the run once. Returns `None` if the process is killed.
    async fn ask(&self) -> Option<Attempt> {
        let process = self.world.process(self.process);
        let last = {
            let answers = &self.world.records().answers;
            let events = answers[self.answer].events.last();
            match self.habit {
                Habit::Forges(sequence) => {
                    let mut known = answers.iter().flat_map(|answer| answer.events.first());
                    known.next().map(|event| format!("{}-{sequence}", event.epoch))
                }
                _ => events.map(|event| format!("{}-{}", event.epoch, event.sequence)),
            }
        };
        let last = last.map(|last| LastEventId::try_from(last).unwrap());
        let (world, answer, habit) = (self.world.clone(), self.answer, self.habit);
        let key = self.key.clone();
        world
            .network
            .log(|| format!("client {answer}: {habit:?} of {} after {last:?}", key.name()));
        let asking = async move {
            let runs = process.runs()?;
            if let Habit::Forges(_) = habit {
                // A handle would wait for the store as long as an attached client.
                let answer = runs.answer(&key, &request(last.as_ref())).await;
                let status = answer.map(|answer| answer.status());
                let is_refused = status == Some(StatusCode::SERVICE_UNAVAILABLE);
                return Some(if is_refused {
                    Attempt::Refused(StartError::Unavailable)
                } else {
                    Attempt::Ended(AnswerEnd::NotFound)
                });
            }
            let found = get(&runs, &key, &request(last.as_ref())).await;
            drop(runs);
            Some(match found {
                Ok(Some(run)) => follow(&world, answer, &run, last, habit).await,
                Ok(None) => Attempt::Ended(AnswerEnd::NotFound),
                Err(error) => Attempt::Refused(error),
            })
        };
        self.world.process(self.process).gate.run(asking).await.flatten()
    }
}

/// Reads the events of a run.
async fn follow(
    world: &World,
    answer: usize,
    run: &Run,
    last: Option<LastEventId>,
    habit: Habit,
) -> Attempt {
    let Some(mut events) = run.attach(last).await else {
        return Attempt::Ended(AnswerEnd::NotFound);
    };
    let mut decoder = Decoder::new();
    loop {
        let encoded = match events.next().await {
            Some(Ok(encoded)) => encoded,
            Some(Err(error)) => return Attempt::Ended(AnswerEnd::Failed(error.outcome())),
            None => return Attempt::Ended(AnswerEnd::Whole),
        };
        let mut bytes = encoded.as_bytes();
        while let Some(message) = decoder.decode(&mut bytes).unwrap() {
            world.receive(answer, Received::of(&message));
        }
        if let Habit::IdleUntil(time) = habit {
            let wait = time.saturating_sub(world.network.elapsed());
            sleep(Duration::from_millis(wait)).await;
        }
    }
}

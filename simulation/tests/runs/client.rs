use super::{service::Asking, world::key};
use crate::*;

/// A client, which is cut and resumes at the same or another process until its answer ends.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) key: usize,
    pub(crate) rng: Rng,
    pub(crate) world: World,
    /// The number of processes.
    pub(crate) processes: usize,
    pub(crate) kind: Kind,
    /// The request to replace a run that is under way.
    pub(crate) stop: Option<usize>,
}

/// The time after which a request of a client that was cut has no effect any more.
const LATE: u64 = 20_000;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It starts a run, or attaches to it.
    Starts,
    /// It starts a run in place of another.
    Replaces,
    /// It attaches to a run, and starts none.
    Gets,
}

/// The end of one connection.
pub(crate) enum Attempt {
    Ended(AnswerEnd),
    Refused(StartError),
}

impl Client {
    /// Asks for answers until one ends, and for another one if it was not whole.
    pub(crate) async fn run(mut self) {
        for _ in 0..3 {
            let end = self.receive().await;
            if end != AnswerEnd::Failed(None) || self.kind != Kind::Starts {
                return;
            }
        }
    }

    /// Receives one answer, over as many connections as it takes.
    async fn receive(&mut self) -> AnswerEnd {
        let number = {
            let mut records = self.world.records();
            let (client, key) = (self.number, self.key);
            let answer = Answer { client, key, events: Vec::new(), end: None, ended: 0 };
            records.answers.push(answer);
            records.answers.len() - 1
        };
        loop {
            let process = self.world.process(self.rng.usize(..self.processes));
            let cut = match self.rng.u8(..4) {
                0 => self.rng.u64(..30),
                1 => self.rng.u64(..3_000),
                _ => 100_000_000,
            };
            let attempt = process.clone().gate.run(self.connect(number, process.clone()));
            let attempt = timeout(Duration::from_millis(cut), attempt).await;
            if let Some(stop) = self.stop.take() {
                let stop = &mut self.world.records().stops[stop];
                // What was sent may still take effect.
                stop.over = stop.over.min(self.world.network.elapsed() + LATE);
            }
            let end = match attempt {
                Ok(Some(Attempt::Ended(end))) => Some(end),
                Ok(Some(Attempt::Refused(error))) => {
                    self.log(|| format!("refused by process {}: {error}", process.number));
                    None
                }
                Ok(None) | Err(_) => {
                    self.log(|| format!("cut from process {}", process.number));
                    (self.rng.u8(..8) == 0).then_some(AnswerEnd::Left)
                }
            };
            if let Some(end) = end {
                self.log(|| format!("{end:?}"));
                let mut records = self.world.records();
                let answer = &mut records.answers[number];
                answer.end = Some(end);
                answer.ended = self.world.network.elapsed();
                return end;
            }
            sleep(Duration::from_millis(self.rng.u64(20..600))).await;
        }
    }

    fn log(&self, line: impl FnOnce() -> String) {
        self.world
            .network
            .log(|| format!("client {} of key {}: {}", self.number, self.key, line()));
    }

    /// Sends one request to a process, and reads its answer. It is a part of the process.
    fn connect(
        &mut self,
        answer: usize,
        process: Process,
    ) -> impl Future<Output = Attempt> + use<> {
        let last = self.world.records().answers[answer].events.last().map(|event| {
            LastEventId::try_from(format!("{}-{}", event.epoch, event.sequence)).unwrap()
        });
        self.log(|| {
            format!(
                "{:?} at process {} after {:?}",
                self.kind,
                process.number,
                last.as_ref().map(LastEventId::as_str)
            )
        });
        let kind =
            if last.is_some() && self.kind == Kind::Replaces { Kind::Starts } else { self.kind };
        if kind == Kind::Replaces {
            let stop = Stop::new(self.key, self.world.network.elapsed(), true);
            let mut records = self.world.records();
            records.stops.push(stop);
            self.stop = Some(records.stops.len() - 1);
        }
        let stop = self.stop;
        let (world, number, rng) = (self.world.clone(), self.key, self.rng.fork());
        async move {
            let Some(runs) = process.runs() else { return Attempt::Refused(StartError::Draining) };
            let request = request(last.as_ref());
            let (calls, life) = (world.calls.clone(), process.life);
            let asked = world.network.elapsed();
            if world.is_layered && kind != Kind::Replaces {
                let asking = Asking { world, runs, answer, key: number, last, life, asked, rng };
                return match kind {
                    Kind::Gets => asking.get().await,
                    _ => asking.start().await,
                };
            }
            let source = move || {
                let mut rng = rng;
                calls.begin(Plan::choose(&mut rng), number, life, asked).answer(rng)
            };
            let run = match kind {
                Kind::Starts => runs.start(&key(number), &request, source).await.map(Some),
                Kind::Replaces => runs.replace(&key(number), &request, source).await.map(Some),
                Kind::Gets => get(&runs, &key(number), &request).await,
            };
            if let Some(stop) = stop {
                let calls = world.calls.list();
                let stop = &mut world.records().stops[stop];
                stop.over = world.network.elapsed();
                let is_own = |call: &&Call| call.life == life && call.began == stop.over;
                stop.call = calls.last().filter(is_own).map(|_| calls.len() - 1);
            }
            // Another clone would keep the runs of a process that has ended.
            drop(runs);
            match run {
                Ok(Some(run)) => read(&world, answer, run, last).await,
                Ok(None) | Err(StartError::NotFound) => Attempt::Ended(AnswerEnd::NotFound),
                Err(error) => Attempt::Refused(error),
            }
        }
    }
}

/// Returns a run. While the store is out of reach, it is not found, but an answer is refused.
pub(crate) async fn get(
    runs: &Runs,
    key: &RunKey,
    request: &Parts,
) -> Result<Option<Run>, StartError> {
    if let Some(run) = runs.get(key).await {
        return Ok(Some(run));
    }
    match runs.answer(key, request).await {
        // The run is found if the store could not be reached before, and can be now.
        Some(answer) if answer.status() != StatusCode::NOT_FOUND => Err(StartError::Unavailable),
        _ => Ok(None),
    }
}

async fn read(world: &World, answer: usize, run: Run, last: Option<LastEventId>) -> Attempt {
    let Some(mut events) = run.attach(last).await else {
        return Attempt::Ended(AnswerEnd::NotFound);
    };
    drop(run);
    let mut decoder = Decoder::new();
    loop {
        match events.next().await {
            Some(Ok(encoded)) => {
                let mut bytes = encoded.as_bytes();
                while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                    world.receive(answer, Received::of(&message));
                }
            }
            Some(Err(error)) => return Attempt::Ended(AnswerEnd::Failed(error.outcome())),
            None => return Attempt::Ended(AnswerEnd::Whole),
        }
    }
}

/// Returns the head of a request with an id.
pub(crate) fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::post("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}

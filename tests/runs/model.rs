//! Random steps against a naive model, which keeps every event of every run in a list.

use crate::*;

const STEPS: usize = 5_000;
const KEYS: usize = 3;
// Time passes in whole seconds, and timers may be a millisecond late.
const RETAIN: Duration = Duration::from_millis(100_500);
const ABANDON: Duration = Duration::from_millis(70_500);

type Source = mpsc::UnboundedSender<Result<Event, &'static str>>;

struct Modelled {
    key: usize,
    events: Vec<String>,
    outcome: Option<Outcome>,
    ended_at: Option<Instant>,
    unattended_since: Instant,
    /// Whether requests with the key find this run.
    is_known: bool,
    source: Option<Source>,
    /// The ids of the events, as a client has seen them.
    ids: Vec<String>,
}

struct Reader {
    run: usize,
    read: usize,
    attachment: Attachment,
}

struct World {
    runs: Runs,
    modelled: Vec<Modelled>,
    readers: Vec<Reader>,
    random: fastrand::Rng,
}

fn key(n: usize) -> RunKey {
    RunKey::new("ann", n.to_string()).unwrap()
}

impl World {
    fn known(&self, key: usize) -> Option<usize> {
        self.modelled.iter().position(|run| run.key == key && run.is_known)
    }

    fn is_live(&self, run: usize) -> bool {
        self.modelled[run].outcome.is_none()
    }

    fn end(&mut self, run: usize, outcome: Outcome) {
        let run = &mut self.modelled[run];
        run.outcome = Some(outcome);
        run.ended_at = Some(Instant::now());
        run.source = None;
    }

    fn add(&mut self, key: usize, source: Source) {
        if let Some(earlier) = self.known(key) {
            if self.is_live(earlier) {
                self.end(earlier, Outcome::Cancelled);
            }
            self.modelled[earlier].is_known = false;
        }
        self.modelled.push(Modelled {
            key,
            events: Vec::new(),
            outcome: None,
            ended_at: None,
            unattended_since: Instant::now(),
            is_known: true,
            source: Some(source),
            ids: Vec::new(),
        });
    }

    async fn start(&mut self, n: usize) {
        let (source, stream) = source();
        let mut called = false;
        let make = || {
            called = true;
            stream
        };
        let run = self.runs.start(&key(n), None, make).await.unwrap();
        assert_eq!(run.event_id(1), self.runs.get(&key(n)).await.unwrap().event_id(1));
        let usable = self.known(n).is_some_and(|run| {
            matches!(self.modelled[run].outcome, None | Some(Outcome::Completed))
        });
        assert_eq!(called, !usable);
        if called {
            self.add(n, source);
        }
    }

    async fn replace(&mut self, n: usize) {
        let (source, stream) = source();
        _ = self.runs.replace(&key(n), None, || stream).await.unwrap();
        self.add(n, source);
    }

    fn feed(&mut self, n: usize) {
        let Some(run) = self.known(n).filter(|run| self.is_live(*run)) else { return };
        let count = self.random.usize(1..4);
        match self.random.u8(..12) {
            0 => self.end(run, Outcome::Completed),
            1 => {
                let source = self.modelled[run].source.take().unwrap();
                source.send(Err("no")).unwrap();
                self.end(run, Outcome::Failed);
            }
            _ => {
                for _ in 0..count {
                    let run = &mut self.modelled[run];
                    let event = format!("{}", run.events.len());
                    run.source.as_ref().unwrap().send(Ok(Event::from(&event))).unwrap();
                    run.events.push(event);
                }
            }
        }
    }

    /// Returns an id or none, and the number of this run's events after which a client with this id
    /// resumes, or `None` if it cannot resume.
    fn id(&mut self, run: usize) -> (Option<LastEventId>, Option<usize>) {
        let id = |id: &String| Some(LastEventId::try_from(&**id).unwrap());
        match self.random.u8(..5) {
            0 => (None, Some(0)),
            4 => (Some(LastEventId::try_from("nonsense").unwrap()), None),
            1 => {
                let other = self.random.usize(..self.modelled.len());
                match self.modelled[other].ids.last() {
                    Some(last) if other != run => (id(last), None),
                    _ => (None, Some(0)),
                }
            }
            _ => match self.modelled[run].ids.len() {
                0 => (None, Some(0)),
                count => {
                    let at = self.random.usize(..count);
                    (id(&self.modelled[run].ids[at]), Some(at + 1))
                }
            },
        }
    }

    async fn attach(&mut self, n: usize) {
        let handle = self.runs.get(&key(n)).await;
        let known = self.known(n);
        assert_eq!(handle.is_some(), known.is_some());
        let (Some(run), Some(handle)) = (known, handle) else { return };
        assert_eq!(handle.outcome(), self.modelled[run].outcome);
        let (last, position) = self.id(run);
        let attachment = handle.attach(last).await;
        assert_eq!(attachment.is_some(), position.is_some());
        if let (Some(attachment), Some(read)) = (attachment, position) {
            self.readers.push(Reader { run, read, attachment });
        }
    }

    /// Reads one item, or all that is ready. Returns whether the client is still attached.
    fn read(&mut self, at: usize) -> bool {
        let limit = if self.random.bool() { 1 } else { usize::MAX };
        let Reader { run, read, attachment } = &mut self.readers[at];
        let run = &mut self.modelled[*run];
        for _ in 0..limit {
            match attachment.next().now_or_never() {
                None => {
                    assert_eq!((*read, run.outcome), (run.events.len(), None), "it waits");
                    return true;
                }
                Some(Some(Ok(item))) => {
                    assert_eq!(data_of(&item).count(), field_of(&item, "id: ").count());
                    for (data, id) in data_of(&item).zip(field_of(&item, "id: ")) {
                        assert_eq!(data, run.events[*read]);
                        *read += 1;
                        if run.ids.len() < *read {
                            run.ids.push(id.to_owned());
                        }
                        assert_eq!(run.ids[*read - 1], id);
                    }
                }
                Some(end) => {
                    assert_eq!(*read, run.events.len());
                    let outcome = match end {
                        None => Outcome::Completed,
                        Some(Err(error)) => error.outcome().unwrap(),
                        Some(Ok(_)) => unreachable!(),
                    };
                    assert_eq!(Some(outcome), run.outcome);
                    return false;
                }
            }
        }
        true
    }

    async fn cancel(&mut self, n: usize) {
        let known = self.known(n).filter(|run| self.is_live(*run));
        let (last, position) = match known {
            Some(run) => self.id(run),
            None => (None, None),
        };
        let has_event = self.random.bool();
        let event = known.map_or(0, |run| self.modelled[run].events.len()).to_string();
        let cancelled = if has_event {
            self.runs.cancel_with(&key(n), last, Event::from(&event)).await
        } else {
            self.runs.cancel(&key(n), last).await
        };
        assert_eq!(cancelled, known.is_some() && position.is_some());
        if cancelled {
            let run = known.unwrap();
            self.end(run, Outcome::Cancelled);
            if has_event {
                self.modelled[run].events.push(event);
            }
        }
    }

    fn attached(&self, run: usize) -> usize {
        self.readers.iter().filter(|reader| reader.run == run).count()
    }

    fn leave(&mut self, at: usize) {
        let run = self.readers.swap_remove(at).run;
        if self.attached(run) == 0 {
            self.modelled[run].unattended_since = Instant::now();
        }
    }

    async fn pass_time(&mut self) {
        // The model has no timers, so it looks at each second of the time that passes.
        for _ in 0..self.random.u8(1..60) {
            advance(Duration::from_secs(1)).await;
            settle().await;
            let now = Instant::now();
            for run in 0..self.modelled.len() {
                let is_due = now >= self.modelled[run].unattended_since + ABANDON;
                if self.is_live(run) && self.attached(run) == 0 && is_due {
                    self.end(run, Outcome::Abandoned);
                }
                let run = &mut self.modelled[run];
                if run.ended_at.is_some_and(|ended_at| now >= ended_at + RETAIN) {
                    run.is_known = false;
                }
            }
        }
    }

    fn check(&self) {
        let stats = self.runs.stats();
        let live = self.modelled.iter().filter(|run| run.outcome.is_none()).count();
        let kept = self.modelled.iter().filter(|run| run.is_known && run.outcome.is_some()).count();
        assert_eq!((stats.running, stats.kept), (live, kept));
        assert_eq!(stats.attached, self.readers.len());
        for outcome in [Outcome::Completed, Outcome::Failed, Outcome::Cancelled, Outcome::Abandoned]
        {
            let ended = self.modelled.iter().filter(|run| run.outcome == Some(outcome)).count();
            assert_eq!(ended_as(&stats, outcome), ended as u64, "{outcome}");
        }
        assert_eq!(stats.started, self.modelled.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn random_steps_agree_with_the_model() {
    for seed in 0..5 {
        let runs = Runs::builder().retain_for(RETAIN).abandon_after(ABANDON).build();
        let random = fastrand::Rng::with_seed(seed);
        let mut world = World { runs, modelled: Vec::new(), readers: Vec::new(), random };
        world.start(0).await;
        for _ in 0..STEPS / 5 {
            let n = world.random.usize(..KEYS);
            let reader = match world.readers.len() {
                0 => None,
                count => Some(world.random.usize(..count)),
            };
            match (world.random.u8(..20), reader) {
                (0..3, _) => world.start(n).await,
                (3, _) => world.replace(n).await,
                (4..9, _) => world.feed(n),
                (9..12, _) => world.attach(n).await,
                (12..16, Some(reader)) if world.read(reader) => {}
                // The client leaves by chance, or its stream has ended.
                (12..17, Some(reader)) => world.leave(reader),
                (17, _) => world.cancel(n).await,
                (18, _) => world.pass_time().await,
                _ => {}
            }
            settle().await;
            world.check();
        }
        while !world.readers.is_empty() {
            world.leave(0);
        }
        for run in &mut world.modelled {
            run.source = None;
        }
        advance(ABANDON).await;
        settle().await;
        advance(RETAIN + ABANDON).await;
        settle().await;
        let stats = world.runs.stats();
        let zero = (stats.running, stats.kept, stats.attached, stats.memory);
        assert_eq!(zero, (0, 0, 0, 0), "seed {seed}");
    }
}

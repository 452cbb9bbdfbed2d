use crate::*;

/// One call of the simulated service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: usize,
    /// The life of the process that made the call.
    pub(crate) life: usize,
    /// The time at which a client sent the request that led to the call.
    pub(crate) asked: u64,
    pub(crate) began: u64,
    /// What the call will yield.
    pub(crate) plan: Plan,
    /// Whether the call's answer has the options of [`asking`](crate::asking).
    pub(crate) has_options: bool,
    /// Whether the call's answer is no stream.
    pub(crate) is_void: bool,
    pub(crate) end: Option<CallEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallEnd {
    pub(crate) at: u64,
    /// Whether the call has yielded everything, or its answer is no stream. Otherwise, the call was
    /// dropped.
    pub(crate) is_finished: bool,
}

/// The number, pace and size of a call's events, and whether the call fails after them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) events: u64,
    pub(crate) fails: bool,
    pub(crate) delay: u64,
    pub(crate) size: usize,
}

impl Plan {
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let (most, size) = match rng.u8(..64) {
            // Each event is sent, and read, in parts of 64 KiB.
            0 => (4, rng.usize(60_000..300_000)),
            // A run with such large events can take several pages of 64 KiB.
            1..=8 => (40, 5_000),
            9..=20 => (40, rng.usize(..40)),
            _ => (8, rng.usize(..40)),
        };
        Self {
            events: rng.u64(1..most),
            fails: rng.u8(..6) == 0,
            delay: [0, 4, 100, 1_000, 3_000][rng.usize(..5)],
            size,
        }
    }
}

impl World {
    /// Makes a call whose request was sent at the time `asked`.
    pub(crate) fn begin(&self, mut plan: Plan, key: usize, life: usize, asked: u64) -> Making {
        plan.size = plan.size.min(self.settings.retain_bytes / 2);
        let began = self.network.elapsed();
        let (has_options, is_void, end) = (false, false, None);
        let call = Call { key, life, asked, began, plan, has_options, is_void, end };
        let number = add(&mut self.records().calls, call);
        self.network.log(|| format!("call {number} of key {key} in life {life}: {plan:?}"));
        Making { world: self.clone(), number, plan }
    }
}

/// A call that is being made. Dropping this value records the end of a call that has not ended yet.
pub(crate) struct Making {
    world: World,
    number: usize,
    plan: Plan,
}

impl Making {
    pub(crate) fn change(&self, change: impl FnOnce(&mut Call)) {
        change(&mut self.world.records().calls[self.number]);
    }

    /// Returns the answer. Its events have the call's number and their own.
    pub(crate) fn answer(
        self,
        mut rng: Rng,
    ) -> impl Stream<Item = Result<Event, &'static str>> + Send + use<> {
        stream::unfold((self, rng.fork(), 0), move |(making, mut rng, yielded)| async move {
            let plan = making.plan;
            if plan.delay > 0 {
                sleep(Duration::from_millis(rng.u64(..=plan.delay))).await;
            }
            if yielded == plan.events {
                making.end(true);
                return plan.fails.then(|| (Err("no more tokens"), (making, rng, yielded + 1)));
            }
            if yielded > plan.events {
                return None;
            }
            let data = format!("{} {yielded} {}", making.number, "x".repeat(plan.size));
            Some((Ok(Event::from(data)), (making, rng, yielded + 1)))
        })
    }

    /// Ends the call. It has finished if its answer has yielded everything, or is no stream.
    pub(crate) fn end(&self, is_finished: bool) {
        let (at, number) = (self.world.network.elapsed(), self.number);
        let end = CallEnd { at, is_finished };
        if *self.world.records().calls[number].end.get_or_insert(end) == end {
            let how = if is_finished { "has yielded everything" } else { "is dropped" };
            self.world.network.log(|| format!("call {number} {how}"));
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// One answer, as a client received it: from the first request to its end, over all resumptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) key: usize,
    pub(crate) events: Vec<Received>,
    pub(crate) end: Option<AnswerEnd>,
    /// The time of the end.
    pub(crate) ended: u64,
    /// The number of requests that were refused.
    pub(crate) refused: usize,
    /// The number of bodies that failed without an outcome, and after which the client asked again.
    pub(crate) failed: usize,
}

impl Answer {
    /// Returns the id with which the answer's client resumes.
    pub(crate) fn last(&self) -> Option<LastEventId> {
        let Received { epoch, sequence, .. } = self.events.last()?;
        Some(LastEventId::try_from(format!("{epoch}-{sequence}")).unwrap())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) epoch: String,
    pub(crate) sequence: u64,
    pub(crate) call: usize,
    /// The event's number within the call, from 0.
    pub(crate) number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerEnd {
    /// A clean end: the client takes it for the whole answer.
    Whole,
    /// A clean end, without the terminator by which a client knows the whole answer.
    Unterminated,
    Failed(Option<Outcome>),
    /// No run has the key, the run lacks the event after the client's id, or its answer is no
    /// stream.
    NotFound,
    /// The client is not interested any more.
    Left,
}

impl Received {
    pub(crate) fn of(message: &Message) -> Self {
        let (epoch, sequence) = message.last_event_id.split_once('-').unwrap();
        let mut parts = message.data.split(' ');
        let mut number = || parts.next().unwrap().parse().unwrap();
        let (call, number) = (number(), number());
        let call = usize::try_from(call).unwrap();
        Self { epoch: epoch.to_owned(), sequence: sequence.parse().unwrap(), call, number }
    }
}

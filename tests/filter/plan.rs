//! A filter that carries out a plan, and writes down what it sees.

use std::sync::Mutex;

use tower_sse::{Encoded, filter::FilterEnd};

use crate::{
    support::{
        naive::Block,
        naive_filter::{ADDED, BY_FILTER, Choice, Expected, OF_SOURCE, Plan, REJECTED, TOO_LARGE},
    },
    *,
};

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub seen: Vec<Block>,
    pub source_ends: Vec<&'static str>,
    pub ends: Vec<FilterEnd>,
    pub drops: usize,
}

pub(crate) struct Planned {
    plan: Plan,
    log: Arc<Mutex<Log>>,
}

impl Planned {
    pub(crate) fn new(plan: &Plan) -> (Self, Arc<Mutex<Log>>) {
        let log = Arc::<Mutex<Log>>::default();
        (Self::with_log(plan, &log), log)
    }

    pub(crate) fn with_log(plan: &Plan, log: &Arc<Mutex<Log>>) -> Self {
        Self { plan: plan.clone(), log: Arc::clone(log) }
    }
}

impl Drop for Planned {
    fn drop(&mut self) {
        self.log.lock().unwrap().drops += 1;
    }
}

fn added() -> Encoded {
    Encoded::from(tower_sse::Event::new().event("added").data("by the filter"))
}

pub(crate) fn verdict(choice: Choice) -> Verdict {
    assert_eq!(added().as_bytes(), ADDED.as_bytes());
    match choice {
        Choice::Pass => Verdict::Pass,
        Choice::Drop => Verdict::Drop,
        Choice::Replace => Verdict::replace(added()),
        Choice::Insert => Verdict::insert(added()),
        Choice::End => Verdict::end_with(added()),
        Choice::Fail => Verdict::fail(BY_FILTER),
        Choice::Reject => Verdict::reject(Response::new("rejected")),
    }
}

impl EventFilter for Planned {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        let mut log = self.log.lock().unwrap();
        let choice = self.plan.events.get(log.seen.len()).copied().unwrap_or(Choice::Pass);
        log.seen.push(Block {
            raw: event.raw().to_vec(),
            name: event.name().into_owned(),
            data: event.has_data().then(|| event.data().into_owned()),
            id: event.id().map(std::borrow::Cow::into_owned),
            retry: event.retry().map(|time| u64::try_from(time.as_millis()).unwrap()),
            is_terminated: event.is_terminated(),
            size: 0,
        });
        verdict(choice)
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        self.log.lock().unwrap().source_ends.push(match end {
            SourceEnd::Clean => "clean",
            SourceEnd::MidEvent => "mid_event",
            SourceEnd::Failed(error) => {
                assert_eq!(error.to_string(), OF_SOURCE);
                "failed"
            }
            end => panic!("{end:?}"),
        });
        verdict(self.plan.source_end)
    }

    fn end(&mut self, end: &FilterEnd) {
        let mut log = self.log.lock().unwrap();
        assert_eq!(log.drops, log.ends.len(), "the end is reported before the drop");
        log.ends.push(end.clone());
    }
}

/// What a pipe made of a stream.
pub(crate) struct Done {
    pub expected: Expected,
    pub end: FilterEnd,
    /// What was sent for each chunk.
    pub frames: Vec<Bytes>,
}

/// Passes the chunks of a stream through a pipe by this plan.
pub(crate) fn run(chunks: &[Bytes], plan: &Plan) -> Done {
    let (filter, log) = Planned::new(plan);
    let mut pipe = FilterPipe::new(filter).max_event_size(plan.max_event_size);
    if plan.pass_oversized {
        pipe = pipe.pass_oversized();
    }
    let (mut frames, mut error) = (Vec::new(), None);
    let mut chunks = chunks.iter();
    let mut source_error = plan.fails.then(|| BoxError::from(OF_SOURCE));
    while !pipe.is_over() && error.is_none() {
        let sent = match chunks.next() {
            Some(chunk) => pipe.push(chunk.clone()),
            None => pipe.finish(source_error.take()),
        };
        match sent {
            Ok(sent) => frames.push(sent),
            Err(failed) => error = Some(failed.to_string()),
        }
    }
    drop(pipe);
    let mut log = log.lock().unwrap();
    assert_eq!((log.ends.len(), log.drops), (1, 1), "the end is reported once");
    let end = log.ends.remove(0);
    let sent = frames.concat();
    assert_eq!(end.bytes_sent, sent.len() as u64);
    assert_eq!(end.events, log.seen.len() as u64);
    let known = [TOO_LARGE, BY_FILTER, REJECTED, OF_SOURCE];
    let error = error.map(|error| {
        let error = if error.contains("is larger than") { TOO_LARGE.to_owned() } else { error };
        known.into_iter().find(|known| error.contains(known)).unwrap_or_else(|| panic!("{error}"))
    });
    let seen = std::mem::take(&mut log.seen);
    let source_ends = std::mem::take(&mut log.source_ends);
    let (outcome, oversized) = (end.outcome.as_str(), end.oversized);
    let expected =
        Expected { sent, error, outcome, seen, oversized, source_ends, ..Expected::default() };
    Done { expected, end, frames }
}

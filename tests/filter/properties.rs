//! Any stream, cut anywhere, through any verdicts: what is sent is what the oracle says.

use proptest::{collection::vec, prelude::*};

use crate::cuts::{ranges, special_bytes};
use crate::support::naive::{self, Block, Part, Place};
use crate::support::naive_filter::{
    ADDED, BY_FILTER, Choice, Expected, OF_SOURCE, Plan, REJECTED, TOO_LARGE, filtered,
};
use crate::*;

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        6 => select(vec![Choice::Pass, Choice::Drop, Choice::Replace, Choice::Insert]),
        1 => select(vec![Choice::End, Choice::Fail, Choice::Reject]),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let limit = prop_oneof![Just(usize::MAX), 3..40_usize];
    (vec(choice(), 0..8), choice(), limit, any::<bool>(), any::<bool>()).prop_map(
        |(events, source_end, max_event_size, pass_oversized, fails)| Plan {
            events,
            source_end,
            max_event_size,
            pass_oversized,
            fails,
        },
    )
}

/// Without what the oracle may differ in: the LF of a last CRLF, which an event may not have yet,
/// and what the filter is not told.
fn comparable(mut expected: Expected) -> Expected {
    for block in &mut expected.seen {
        block.size = 0;
        if block.is_terminated && block.raw.ends_with(b"\r\n") {
            block.raw.pop();
        }
    }
    Expected { is_cut: false, starts_late: false, ..expected }
}

fn bytes(chunks: Vec<&[u8]>) -> Vec<Bytes> {
    chunks.into_iter().map(Bytes::copy_from_slice).collect()
}

/// Returns the names and data of the events that the verdicts let a client dispatch.
fn dispatched(stream: &[u8], plan: &Plan) -> Vec<(String, String)> {
    let added = naive::read(ADDED.as_bytes()).events.remove(0);
    let added = (added.0, added.1);
    let mut dispatched = Vec::new();
    let mut verdicts = plan.events.iter();
    for part in naive::parts(stream) {
        let Part::Event(Block { name, data, .. }) = part else { continue };
        let choice = verdicts.next().unwrap_or(&Choice::Pass);
        if matches!(choice, Choice::Replace | Choice::Insert | Choice::End) {
            dispatched.push(added.clone());
        }
        if matches!(choice, Choice::Pass | Choice::Insert) {
            dispatched.extend(data.map(|data| (name, data)));
        }
        if matches!(choice, Choice::End | Choice::Fail | Choice::Reject) {
            break;
        }
    }
    dispatched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_is_identical_byte_for_byte(
        stream in special_bytes(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = Bytes::from(stream.clone());
        let chunks: Vec<_> =
            ranges(stream.len(), &cuts).into_iter().map(|range| whole.slice(range)).collect();
        let done = run(&chunks, &PASS);
        prop_assert_eq!(done.frames.concat(), stream);
        let mut is_between = true;
        for (chunk, sent) in chunks.iter().zip(&done.frames) {
            if is_between && chunk == sent {
                prop_assert_eq!(chunk.as_ptr(), sent.as_ptr(), "a whole frame is not copied");
            }
            is_between &= chunk.len() == sent.len();
        }
    }

    #[test]
    fn cutting_changes_no_verdict(
        stream in special_bytes(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
        plan in plan(),
    ) {
        let expected = comparable(filtered(&stream, &plan));
        let pieces = cut(&stream, &cuts);
        let done = run(&bytes(pieces), &plan);
        prop_assert!(done.end.bytes_received <= stream.len() as u64);
        prop_assert_eq!(&comparable(done.expected), &expected);
        let done = run(&bytes(stream.chunks(1).collect()), &plan);
        prop_assert_eq!(&comparable(done.expected), &expected);
    }

    #[test]
    fn client_decodes_what_the_verdicts_say(
        stream in special_bytes(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
        events in vec(choice(), 0..8),
    ) {
        // A whole stream: without an event in its middle, all events are dispatched or none is.
        let stream = [&stream[..], b"\n\n"].concat();
        let plan = Plan { events, ..PASS };
        let done = run(&bytes(cut(&stream, &cuts)), &plan);
        let sent = naive::read(&done.expected.sent);
        let decoded: Vec<_> =
            sent.events.into_iter().map(|(name, data, _)| (name, data)).collect();
        prop_assert_eq!(decoded, dispatched(&stream, &plan));
        prop_assert_eq!(sent.place, Place::BetweenEvents);
    }

    #[test]
    fn only_what_passes_of_a_cut_event_leaves_the_stream_within_one(
        stream in special_bytes(),
        plan in plan(),
    ) {
        let expected = filtered(&stream, &plan);
        let done = run(&[Bytes::from(stream)], &plan);
        let place = naive::read(&done.expected.sent).place;
        prop_assert!(place == Place::BetweenEvents || expected.is_cut, "{place:?}");
    }
}

// A filter that carries out a plan, and writes down what it sees.

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
        Choice::Replace => Verdict::Replace(added()),
        Choice::Insert => Verdict::Insert(added()),
        Choice::End => Verdict::End(added()),
        Choice::Fail => Verdict::Fail(BY_FILTER.into()),
        Choice::Reject => Verdict::Reject(Box::new(Response::new("rejected".into()))),
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
        pipe = pipe.pass_oversized(true);
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

use tower_sse::{BoxError, decode::EventRef};
use tower_sse::filter::{EventFilter, FilterEnd, FilterPipe, SourceEnd, Verdict};

use super::naive_filter::{ADDED, BY_FILTER, Choice, OF_SOURCE, Plan, REJECTED, TOO_LARGE, filtered};
use crate::*;

const CHOICES: [Choice; 7] = [
    Choice::Pass,
    Choice::Drop,
    Choice::Replace,
    Choice::Insert,
    Choice::End,
    Choice::Fail,
    Choice::Reject,
];

/// A filter sends what its verdicts say, whatever the stream is and however it is cut.
pub fn filter(data: &[u8]) {
    let Some((plan, data)) = plan(data) else { return };
    let pieces = pieces(data);
    let expected = filtered(&pieces.concat(), &plan);
    let mut reported = None;
    let filter = Planned { plan: &plan, seen: 0, reported: &mut reported };
    let mut pipe = FilterPipe::new(filter).max_event_size(plan.max_event_size);
    if plan.pass_oversized {
        pipe = pipe.pass_oversized(true);
    }
    let (mut sent, mut error) = (Vec::new(), None);
    let mut source_error = plan.fails.then(|| BoxError::from(OF_SOURCE));
    let mut pieces = pieces.into_iter();
    while !pipe.is_over() && error.is_none() {
        let part = match pieces.next() {
            Some(piece) => pipe.push(Bytes::copy_from_slice(piece)),
            None => pipe.finish(source_error.take()),
        };
        match part {
            Ok(part) => sent.extend_from_slice(&part),
            Err(failed) => error = Some(failed.to_string()),
        }
    }
    drop(pipe);
    assert_eq!(sent, expected.sent);
    let error = error.map(|error| {
        let error = if error.contains("is larger than") { TOO_LARGE.to_owned() } else { error };
        [TOO_LARGE, BY_FILTER, REJECTED, OF_SOURCE].into_iter().find(|known| error.contains(known))
    });
    assert_eq!(error, expected.error.map(Some));
    let end = reported.expect("the end is reported");
    assert_eq!(end.outcome.as_str(), expected.outcome);
    assert_eq!((end.events, end.oversized), (expected.seen.len() as u64, expected.oversized));
}

/// Reads a plan from the first bytes.
fn plan(data: &[u8]) -> Option<(Plan, &[u8])> {
    let (&[mode, limit, end, count], rest) = data.split_first_chunk()?;
    let (choices, rest) = rest.split_at_checked(usize::from(count % 16))?;
    let choice = |byte: &u8| CHOICES[usize::from(*byte) % CHOICES.len()];
    // Up to two bytes at the start that may be a byte order mark are kept whatever the limit is.
    let max_event_size = if limit == 255 { usize::MAX } else { usize::from(limit.max(3)) };
    let plan = Plan {
        events: choices.iter().map(choice).collect(),
        source_end: choice(&end),
        max_event_size,
        pass_oversized: mode & 1 == 1,
        fails: mode & 2 == 2,
    };
    Some((plan, rest))
}

struct Planned<'p> {
    plan: &'p Plan,
    seen: usize,
    reported: &'p mut Option<FilterEnd>,
}

fn verdict(choice: Choice) -> Verdict {
    let added = || Encoded::from(tower_sse::Event::new().event("added").data("by the filter"));
    debug_assert_eq!(added().as_bytes(), ADDED.as_bytes());
    match choice {
        Choice::Pass => Verdict::Pass,
        Choice::Drop => Verdict::Drop,
        Choice::Replace => Verdict::Replace(added().into()),
        Choice::Insert => Verdict::Insert(added().into()),
        Choice::End => Verdict::End(added().into()),
        Choice::Fail => Verdict::Fail(BY_FILTER.into()),
        Choice::Reject => Verdict::Reject(Box::new(Response::new("rejected".into()))),
    }
}

impl EventFilter for Planned<'_> {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        let choice = self.plan.events.get(self.seen).copied().unwrap_or(Choice::Pass);
        self.seen += 1;
        // Rewritten, it is one whole event.
        let changed = event.with_data(event.data());
        for whole in [&changed, &event.to_encoded()] {
            assert_eq!(naive::read(whole.as_bytes()).place, naive::Place::BetweenEvents);
        }
        verdict(choice)
    }

    fn source_end(&mut self, _: SourceEnd<'_>) -> Verdict {
        verdict(self.plan.source_end)
    }

    fn end(&mut self, end: &FilterEnd) {
        assert!(self.reported.replace(end.clone()).is_none(), "the end is reported once");
    }
}

use super::naive_filter::{Choice, Plan, filtered};
use crate::*;

/// A filter sends what its verdicts say, whatever the stream is and however it is cut.
pub fn filter(data: &[u8]) {
    let Some((plan, data)) = plan(data) else { return };
    let pieces = pieces(data);
    let chunks: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let (_, done) = planned::run(&chunks, &plan);
    assert_eq!(done.comparable(), filtered(&pieces.concat(), &plan).comparable());
}

/// Reads a plan from the first bytes.
fn plan(data: &[u8]) -> Option<(Plan, &[u8])> {
    let (&[mode, limit, end, count], rest) = data.split_first_chunk()?;
    let (choices, rest) = rest.split_at_checked(usize::from(count % 16))?;
    let choice = |byte: &u8| Choice::ALL[usize::from(*byte) % Choice::ALL.len()];
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

//! Any stream, cut anywhere, through any verdicts: what is sent is what the oracle says.

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    cuts::{cut, ranges, special_bytes},
    plan::run,
    rig::PASS,
    support::{
        naive::{self, Block, Part, Place},
        naive_filter::{ADDED, Choice, Expected, Plan, filtered},
    },
    *,
};
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

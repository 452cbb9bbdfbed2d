//! Any stream, cut anywhere, through any verdicts: what is sent is what the oracle says.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::cuts::{ranges, special_bytes};
use crate::naive_filter::{Choice, Expected, OF_SOURCE, Plan, filtered};
use crate::planned::done;
use crate::{support::*, *};

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        6 => select(vec![Choice::Pass, Choice::Drop, Choice::Replace, Choice::Insert]),
        1 => select(vec![Choice::End, Choice::Fail, Choice::Reject]),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let limit = prop_oneof![Just(usize::MAX), 3..40_usize];
    (vec(choice(), 0..8), choice(), limit, any::<bool>()).prop_map(
        |(events, source_end, max_event_size, fails)| Plan {
            events,
            source_end,
            max_event_size,
            fails,
        },
    )
}

fn run(chunks: &[Bytes], plan: &Plan) -> Expected {
    let (feed, mut body, log) = fed_by(plan.clone());
    chunks.iter().for_each(|chunk| feed.data(chunk.clone()));
    match plan.fails {
        true => feed.fail(OF_SOURCE),
        false => feed.end(),
    }
    let (frames, error) = read(&mut body);
    done(&log, frames.concat(), error)
}

fn slices(stream: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    ranges(stream.len(), cuts).into_iter().map(|range| stream.slice(range)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_is_identical_but_for_empty_lines_between_events(
        stream in special_bytes(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let chunks = slices(&Bytes::from(stream.clone()), &cuts);
        let (feed, mut body, _log) = fed_by(PASS);
        let (mut passed, mut is_between) = (Vec::new(), true);
        let expected = filtered(&stream, &PASS).sent;
        for chunk in chunks {
            feed.data(chunk.clone());
            let Polled::Data(sent) = poll_frame(&mut body) else {
                is_between &= chunk.is_empty();
                continue;
            };
            if is_between && chunk == sent {
                prop_assert_eq!(chunk.as_ptr(), sent.as_ptr(), "a whole frame is not copied");
            }
            is_between &= chunk.len() == sent.len();
            passed.extend_from_slice(&sent);
        }
        feed.end();
        passed.extend(read(&mut body).0.concat());
        prop_assert_eq!(passed, expected);
    }

    #[test]
    fn cutting_changes_no_verdict(
        stream in special_bytes(),
        cuts in vec(any::<Index>(), 0..8),
        plan in plan(),
    ) {
        let expected = filtered(&stream, &plan).comparable();
        let stream = Bytes::from(stream);
        let bytes = (0..stream.len()).map(|at| stream.slice(at..=at)).collect();
        for chunks in [slices(&stream, &cuts), bytes] {
            prop_assert_eq!(&run(&chunks, &plan).comparable(), &expected);
        }
    }
}

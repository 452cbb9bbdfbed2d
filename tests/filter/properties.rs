//! Any stream, cut anywhere, through any verdicts: what is sent is what the oracle says.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::cuts::{ranges, special_bytes};
use crate::naive_filter::{Choice, Expected, OF_SOURCE, Plan, filtered};
use crate::planned::{done, run};
use crate::{support::*, *};

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

/// Passes the chunks of a stream through a body, as [`run`] does through a pipe. Returns its frames
/// too.
fn run_body(chunks: &[Bytes], plan: &Plan) -> (Vec<Bytes>, Expected) {
    let (feed, mut body, log) = fed_by(plan.clone());
    chunks.iter().for_each(|chunk| feed.data(chunk.clone()));
    match plan.fails {
        true => feed.fail(OF_SOURCE),
        false => feed.end(),
    }
    let (mut frames, mut error) = (Vec::new(), None);
    loop {
        match poll_frame(&mut body) {
            Polled::Data(sent) => frames.push(sent),
            Polled::Failed(failed) => error = Some(failed),
            Polled::End => break,
            // It pauses among many chunks of which nothing is sent.
            Polled::Pending => {}
            trailers => panic!("{trailers:?}"),
        }
    }
    let done = done(&log, frames.concat(), error);
    (frames, done)
}

fn slices(stream: &Bytes, cuts: &[Index]) -> Vec<Bytes> {
    ranges(stream.len(), cuts).into_iter().map(|range| stream.slice(range)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_passes_is_identical_byte_for_byte(
        stream in special_bytes(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let chunks = slices(&Bytes::from(stream.clone()), &cuts);
        let (frames, _) = run(&chunks, &PASS);
        prop_assert_eq!(frames.concat(), stream);
        let mut is_between = true;
        for (chunk, sent) in chunks.iter().zip(&frames) {
            if is_between && chunk == sent {
                prop_assert_eq!(chunk.as_ptr(), sent.as_ptr(), "a whole frame is not copied");
            }
            is_between &= chunk.len() == sent.len();
        }
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
            let (mut sent, done) = run(&chunks, &plan);
            prop_assert_eq!(&done.comparable(), &expected);
            let (frames, done) = run_body(&chunks, &plan);
            prop_assert_eq!(&done.comparable(), &expected);
            sent.retain(|sent| !sent.is_empty());
            prop_assert_eq!(frames, sent, "a frame of the body for each that the pipe has sent");
        }
    }
}

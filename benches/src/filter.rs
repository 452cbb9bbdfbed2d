use futures_util::stream;
use tower_sse::filter::{self, EventFilter, FilterBody, Verdict};

use super::drain::drain;
use crate::*;

/// The number of events in a large frame.
const EVENTS: u64 = 64;
/// The works, and the number of events in each of their frames.
const FRAMES: [(&str, u64); 2] =
    [("filter an event a frame", 1), ("filter 64 events a frame", EVENTS)];

/// Returns the cases in which a body of events with 64 bytes of data passes through a filter.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (work, events) in FRAMES {
        cases.extend([
            Case::new(work, "no filter", move |times| drain(body(events, times))),
            Case::new(
                work,
                "a filter that passes",
                filtered(events, || filter::from_fn(|_| Verdict::Pass)),
            ),
            Case::new(
                work,
                "a filter that looks",
                filtered(events, || {
                    filter::from_fn(|event| {
                        _ = black_box(event.data().len());
                        Verdict::Pass
                    })
                }),
            ),
            Case::new(
                work,
                "a filter that changes",
                filtered(events, || {
                    filter::from_fn(|event| Verdict::Replace(event.with_data(event.data())))
                }),
            ),
        ]);
    }
    cases
}

/// Returns a body of whole frames with at most `times` events.
fn body(events: u64, times: u64) -> impl Body<Data = Bytes, Error = Infallible> {
    let frame: Bytes = (0..events).map(|_| Event::new().data(line(64))).collect::<Encoded>().into();
    let frames = usize::try_from(times / events).expect("few events");
    StreamBody::new(stream::iter(iter::repeat_n(frame, frames).map(|frame| Ok(Frame::data(frame)))))
}

fn filtered<F: EventFilter>(
    events: u64,
    make: impl Fn() -> F + 'static,
) -> impl FnMut(u64) -> u64 + 'static {
    move |times| drain(FilterBody::new(body(events, times), make()))
}

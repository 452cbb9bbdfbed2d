use sse_stream::{Sse, SseBody};

use crate::{drain::drain, *};

/// sse-stream's events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    case(work, move |_| Sse::default().data(text))
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, move |number| Sse::default().event("tick").id(number.to_string()).data(text))
}

pub fn json(work: &'static str) -> Case {
    case(work, |_| {
        let data = serde_json::to_string(&MESSAGE).expect("a value that serialises");
        Sse::default().data(data)
    })
}

/// Polls all events. The body is not boxed, as it is meant to be used directly.
fn case(work: &'static str, make: impl Fn(u64) -> Sse + Copy + Unpin + 'static) -> Case {
    Case::new(work, "sse-stream", move |times| {
        let events = Repeat::new(times, move |number| Ok::<_, Infallible>(make(number)));
        drain(SseBody::new(events))
    })
}

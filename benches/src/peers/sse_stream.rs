use std::convert::Infallible;

use futures_core::Stream;
use sse_stream::{Sse, SseBody};

use crate::{
    Case,
    drain::drain,
    payload::{MESSAGE, Ownership},
    stream::Repeat,
};

const SSE_STREAM: &str = "sse-stream";

/// Its events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    Case::new(work, SSE_STREAM, move |times| {
        poll_all(Repeat::new(times, move |_| Ok(Sse::default().data(text))))
    })
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    Case::new(work, SSE_STREAM, move |times| {
        poll_all(Repeat::new(times, move |number| {
            Ok(Sse::default().event("tick").id(number.to_string()).data(text))
        }))
    })
}

pub fn json(work: &'static str) -> Case {
    Case::new(work, SSE_STREAM, move |times| {
        poll_all(Repeat::new(times, |_| {
            let data = serde_json::to_string(&MESSAGE).expect("a value that serialises");
            Ok(Sse::default().data(data))
        }))
    })
}

/// Polls all events. The body is not boxed, as it is meant to be used directly.
fn poll_all<S>(events: S) -> u64
where
    S: Stream<Item = Result<Sse, Infallible>>,
{
    drain(SseBody::new(events))
}

use std::io;

use bytes::Bytes;
use futures_core::Stream;
use http_body_util::combinators::BoxBody;
use poem::{
    IntoResponse,
    web::sse::{Event, SSE},
};

use crate::{
    Case,
    drain::drain,
    payload::{MESSAGE, Ownership},
    stream::Repeat,
};

const POEM: &str = "poem";

/// Its events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    Case::new(work, POEM, move |times| poll_all(Repeat::new(times, move |_| Event::message(text))))
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    Case::new(work, POEM, move |times| {
        poll_all(Repeat::new(times, move |number| {
            Event::message(text).event_type("tick").id(number.to_string())
        }))
    })
}

pub fn json(work: &'static str) -> Case {
    Case::new(work, POEM, move |times| {
        poll_all(Repeat::new(times, |_| {
            Event::message(serde_json::to_string(&MESSAGE).expect("a value that serialises"))
        }))
    })
}

fn poll_all<S>(events: S) -> u64
where
    S: Stream<Item = Event> + Send + 'static,
{
    drain(BoxBody::<Bytes, io::Error>::from(SSE::new(events).into_response().into_body()))
}

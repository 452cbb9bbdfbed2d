use std::convert::Infallible;

use futures_core::Stream;
use warp::{Reply, sse::Event};

use crate::{
    Case,
    drain::drain,
    payload::{MESSAGE, Ownership},
    stream::Repeat,
};

const WARP: &str = "warp";

/// Its events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    Case::new(work, WARP, move |times| {
        poll_all(Repeat::new(times, move |_| Ok(Event::default().data(text))))
    })
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    Case::new(work, WARP, move |times| {
        poll_all(Repeat::new(times, move |number| {
            Ok(Event::default().event("tick").id(number.to_string()).data(text))
        }))
    })
}

pub fn json(work: &'static str) -> Case {
    Case::new(work, WARP, move |times| {
        poll_all(Repeat::new(times, |_| {
            Ok(Event::default().json_data(&MESSAGE).expect("a value that serialises"))
        }))
    })
}

fn poll_all<S>(events: S) -> u64
where
    S: Stream<Item = Result<Event, Infallible>> + Send + Sync + 'static,
{
    drain(warp::sse::reply(events).into_response().into_body())
}

use warp::{Reply, sse::Event};

use crate::{drain::drain, *};

/// warp's events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    case(work, move |_| Event::default().data(text))
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, move |number| Event::default().event("tick").id(number.to_string()).data(text))
}

pub fn json(work: &'static str) -> Case {
    case(work, |_| Event::default().json_data(&MESSAGE).expect("a value that serialises"))
}

fn case<F>(work: &'static str, make: F) -> Case
where
    F: Fn(u64) -> Event + Copy + Send + Sync + Unpin + 'static,
{
    Case::new(work, "warp", move |times| {
        let events = Repeat::new(times, move |number| Ok::<_, Infallible>(make(number)));
        drain(warp::sse::reply(events).into_response().into_body())
    })
}

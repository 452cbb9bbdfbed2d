use std::io;

use http_body_util::combinators::BoxBody;
use poem::IntoResponse;
use poem::web::sse::{Event, SSE};

use crate::{drain::drain, *};

/// poem's events own a `String`, whatever the caller passes.
pub fn text(work: &'static str, _: Ownership, text: &'static str) -> Case {
    case(work, move |_| Event::message(text))
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, move |number| Event::message(text).event_type("tick").id(number.to_string()))
}

pub fn json(work: &'static str) -> Case {
    case(work, |_| {
        Event::message(serde_json::to_string(&MESSAGE).expect("a value that serialises"))
    })
}

fn case(work: &'static str, make: impl Fn(u64) -> Event + Copy + Send + Unpin + 'static) -> Case {
    Case::new(work, "poem", move |times| {
        let events = SSE::new(Repeat::new(times, make));
        drain(BoxBody::<Bytes, io::Error>::from(events.into_response().into_body()))
    })
}

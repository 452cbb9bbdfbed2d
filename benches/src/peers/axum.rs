use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Sse};

use crate::{drain::drain, *};

const AXUM: &str = "axum";

pub fn text(work: &'static str, ownership: Ownership, text: &'static str) -> Case {
    match ownership {
        Ownership::Literal => case(work, AXUM, move |_| Event::default().data(text)),
        Ownership::Owned => case(work, AXUM, move |_| Event::default().data(String::from(text))),
        Ownership::Shared => {
            let shared = ByteString::from(text.to_owned());
            case(work, AXUM, move |_| Event::default().data(shared.clone()))
        }
    }
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, AXUM, move |number| Event::default().event("tick").id(number.to_string()).data(text))
}

pub fn json(work: &'static str) -> Case {
    case(work, AXUM, |_| Event::default().json_data(&MESSAGE).expect("a value that serialises"))
}

pub fn heartbeat(work: &'static str, text: &'static str) -> Case {
    Case::new(work, AXUM, move |times| {
        let events = Repeat::new(times, move |_| Ok::<_, Infallible>(Event::default().data(text)));
        let response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
        drain(response.into_body())
    })
}

pub fn without_heartbeat(work: &'static str, text: &'static str) -> Case {
    case(work, "axum without KeepAlive", move |_| Event::default().data(text))
}

fn case<F>(work: &'static str, subject: &'static str, make: F) -> Case
where
    F: Fn(u64) -> Event + Clone + Send + Unpin + 'static,
{
    Case::new(work, subject, move |times| {
        let make = make.clone();
        let events = Repeat::new(times, move |number| Ok::<_, Infallible>(make(number)));
        drain(Sse::new(events).into_response().into_body())
    })
}

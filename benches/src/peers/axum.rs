use std::convert::Infallible;

use axum::response::{
    IntoResponse, Sse,
    sse::{Event, KeepAlive},
};
use bytestring::ByteString;
use futures_core::Stream;

use crate::{
    Case,
    drain::drain,
    payload::{MESSAGE, Ownership},
    stream::Repeat,
};

const AXUM: &str = "axum";

pub fn text(work: &'static str, ownership: Ownership, text: &'static str) -> Case {
    match ownership {
        Ownership::Literal => Case::new(work, AXUM, move |times| {
            poll_all(Repeat::new(times, move |_| Ok(Event::default().data(text))))
        }),
        Ownership::Owned => Case::new(work, AXUM, move |times| {
            poll_all(Repeat::new(times, move |_| Ok(Event::default().data(String::from(text)))))
        }),
        Ownership::Shared => {
            let shared = ByteString::from(text.to_owned());
            Case::new(work, AXUM, move |times| {
                let shared = shared.clone();
                poll_all(Repeat::new(times, move |_| Ok(Event::default().data(shared.clone()))))
            })
        }
    }
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    Case::new(work, AXUM, move |times| {
        poll_all(Repeat::new(times, move |number| {
            Ok(Event::default().event("tick").id(number.to_string()).data(text))
        }))
    })
}

pub fn json(work: &'static str) -> Case {
    Case::new(work, AXUM, move |times| {
        poll_all(Repeat::new(times, |_| {
            Ok(Event::default().json_data(&MESSAGE).expect("a value that serialises"))
        }))
    })
}

pub fn heartbeat(work: &'static str, text: &'static str) -> Case {
    Case::new(work, AXUM, move |times| {
        let events = Repeat::new(times, move |_| Ok::<_, Infallible>(Event::default().data(text)));
        let response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
        drain(response.into_body())
    })
}

pub fn without_heartbeat(work: &'static str, text: &'static str) -> Case {
    Case::new(work, "axum without KeepAlive", move |times| {
        poll_all(Repeat::new(times, move |_| Ok(Event::default().data(text))))
    })
}

fn poll_all<S>(events: S) -> u64
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    drain(Sse::new(events).into_response().into_body())
}

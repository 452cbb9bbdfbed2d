use actix_web::body::BoxBody;
use actix_web_lab::sse::{Data, Event, Sse};
use bytestring::ByteString;
use futures_core::Stream;

use crate::{
    Case,
    drain::drain_actix,
    payload::{MESSAGE, Ownership},
    stream::Repeat,
};

const ACTIX: &str = "actix-web-lab";

pub fn text(work: &'static str, ownership: Ownership, text: &'static str) -> Case {
    match ownership {
        Ownership::Literal => Case::new(work, ACTIX, move |times| {
            poll_all(Repeat::new(times, move |_| Data::new(text).into()))
        }),
        Ownership::Owned => Case::new(work, ACTIX, move |times| {
            poll_all(Repeat::new(times, move |_| Data::new(String::from(text)).into()))
        }),
        Ownership::Shared => {
            let shared = ByteString::from(text.to_owned());
            Case::new(work, ACTIX, move |times| {
                let shared = shared.clone();
                poll_all(Repeat::new(times, move |_| Data::new(shared.clone()).into()))
            })
        }
    }
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    Case::new(work, ACTIX, move |times| {
        poll_all(Repeat::new(times, move |number| {
            Data::new(text).event("tick").id(number.to_string()).into()
        }))
    })
}

pub fn json(work: &'static str) -> Case {
    Case::new(work, ACTIX, move |times| {
        poll_all(Repeat::new(times, |_| {
            Data::new_json(&MESSAGE).expect("a value that serialises").into()
        }))
    })
}

/// Polls all events in a boxed body, as the body of a response is.
fn poll_all<S>(events: S) -> u64
where
    S: Stream<Item = Event> + 'static,
{
    drain_actix(BoxBody::new(Sse::from_infallible_stream(events)))
}

use actix_web::body::BoxBody;
use actix_web_lab::sse::{Data, Event, Sse};

use crate::{drain::drain_actix, *};

pub fn text(work: &'static str, ownership: Ownership, text: &'static str) -> Case {
    match ownership {
        Ownership::Literal => case(work, move |_| Data::new(text)),
        Ownership::Owned => case(work, move |_| Data::new(String::from(text))),
        Ownership::Shared => {
            let shared = ByteString::from(text.to_owned());
            case(work, move |_| Data::new(shared.clone()))
        }
    }
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, move |number| Data::new(text).event("tick").id(number.to_string()))
}

pub fn json(work: &'static str) -> Case {
    case(work, |_| Data::new_json(&MESSAGE).expect("a value that serialises"))
}

/// Polls all events in a boxed body, because actix boxes the bodies of responses.
fn case(work: &'static str, make: impl Fn(u64) -> Data + Clone + Unpin + 'static) -> Case {
    Case::new(work, "actix-web-lab", move |times| {
        let make = make.clone();
        let events = Repeat::new(times, move |number| Event::from(make(number)));
        drain_actix(BoxBody::new(Sse::from_infallible_stream(events)))
    })
}

use std::future::{Ready, ready};

use axum::body::Body;
use tower_sse::layer::{EventBody, SseBody};
use tower_sse::{Json, event::Encode};

use crate::{drain::drain, *};

pub const HEARTBEAT_OFF: &str = "tower-sse with the heartbeat off";

pub fn text(work: &'static str, ownership: Ownership, text: &'static str) -> Case {
    match ownership {
        Ownership::Literal => case(work, OURS, move |_| Event::from_static(text)),
        Ownership::Owned => case(work, OURS, move |_| Event::from(String::from(text))),
        Ownership::Shared => {
            let encoded = Encoded::from(Event::from(text));
            case(work, OURS, move |_| encoded.clone())
        }
    }
}

/// Sends text through `data`, which copies every `&str`, even a `'static` one.
pub fn copied(work: &'static str, text: &'static str) -> Case {
    case(work, OURS, move |_| Event::new().data(text))
}

pub fn fields(work: &'static str, text: &'static str) -> Case {
    case(work, OURS, move |number| Event::from_static(text).event("tick").id(number))
}

pub fn json(work: &'static str) -> Case {
    case(work, OURS, |_| Json::new(&MESSAGE))
}

/// Sends events through the layer with its defaults.
pub fn heartbeat(work: &'static str, text: &'static str) -> Case {
    layered(work, OURS, SseLayer::new(), text)
}

pub fn without_heartbeat(work: &'static str, text: &'static str) -> Case {
    layered(work, HEARTBEAT_OFF, SseLayer::new().without_heartbeat(), text)
}

fn layered(work: &'static str, subject: &'static str, layer: SseLayer, text: &'static str) -> Case {
    Case::new(work, subject, move |times| {
        let events = Repeat::new(times, move |_| Event::from_static(text));
        drain(Body::new(through_layer(&layer, events)))
    })
}

pub fn without_layer(work: &'static str, text: &'static str) -> Case {
    case(work, "tower-sse without the layer", move |_| Event::from_static(text))
}

/// Polls all events in axum's boxed body, which the response of a handler has.
fn case<T, F>(work: &'static str, subject: &'static str, make: F) -> Case
where
    T: Encode + 'static,
    F: Fn(u64) -> T + Clone + Send + Unpin + 'static,
{
    Case::new(work, subject, move |times| {
        drain(Body::new(tower_sse::response(Repeat::new(times, make.clone())).into_body()))
    })
}

/// Returns the body that the layer makes of a stream of events.
fn through_layer<S>(layer: &SseLayer, events: S) -> SseBody<EventBody<S>>
where
    S: Stream<Item: Encode>,
{
    let mut service = layer.layer(Once(Some(tower_sse::response(events))));
    let Ok(response) = now(service.call(Request::new(())));
    response.into_body()
}

struct Once<R>(Option<R>);

impl<R> Service<Request<()>> for Once<Response<R>> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(self.0.take().expect("one request")))
    }
}

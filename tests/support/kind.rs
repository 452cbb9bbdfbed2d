//! The three kinds of inner service behind one trait.

use futures_util::stream;
use tower_sse::layer::{EventBody, marker};

use super::*;

macro_rules! for_each_kind {
    ($test:ident) => {{
        $test::<$crate::support::Bodies>();
        $test::<$crate::support::Responses>();
        $test::<$crate::support::Streams>();
    }};
    ($test:ident.await) => {{
        $test::<$crate::support::Bodies>().await;
        $test::<$crate::support::Responses>().await;
        $test::<$crate::support::Streams>().await;
    }};
}
pub(crate) use for_each_kind;

pub type Body = SseBody<EventBody<Events>>;

pub trait Kind {
    type Marker: 'static;
    type Answer: IntoSse<Self::Marker, Body = EventBody<Events>>;
    /// Whether every answer is a stream.
    const BARE: bool;

    fn answer(events: Events) -> Self::Answer;
}

#[derive(Debug)]
pub struct Bodies;
#[derive(Debug)]
pub struct Responses;
#[derive(Debug)]
pub struct Streams;

impl Kind for Bodies {
    type Marker = marker::Http;
    type Answer = Response<EventBody<Events>>;
    const BARE: bool = false;

    fn answer(events: Events) -> Self::Answer {
        tower_sse::response(events)
    }
}

impl Kind for Responses {
    type Marker = marker::EventResponse;
    type Answer = Response<Events>;
    const BARE: bool = false;

    fn answer(events: Events) -> Self::Answer {
        Response::new(events)
    }
}

impl Kind for Streams {
    type Marker = marker::Events;
    type Answer = Events;
    const BARE: bool = true;

    fn answer(events: Events) -> Self::Answer {
        events
    }
}

/// Opens a stream without events. Returns the status of the response if the stream is refused.
pub fn open<K: Kind>(layer: &SseLayer<K::Marker>) -> Result<Body, StatusCode> {
    let answer = K::answer(Box::pin(stream::pending()));
    let response = answer_to(Request::new(()), layer, answer);
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status => Err(status),
    }
}

//! The three kinds of inner service behind one trait.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Weak},
};

use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response, StatusCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower_sse::{Event, EventBody, IntoSse, SseBody, SseLayer, marker};

use crate::support::source::answer_to;

pub(crate) type Events = Pin<Box<dyn Stream<Item = io::Result<Event>> + Send>>;
pub(crate) type Body = SseBody<EventBody<Events>>;

/// A kind of inner service, by its answer.
pub(crate) trait Kind {
    type Marker: 'static;
    type Answer: IntoSse<Self::Marker, Body = EventBody<Events>>;
    /// Whether every answer is a stream.
    const BARE: bool;

    fn answer(events: Events) -> Self::Answer;
}

#[derive(Debug)]
pub(crate) struct Bodies;
#[derive(Debug)]
pub(crate) struct Responses;
#[derive(Debug)]
pub(crate) struct Streams;

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

/// Opens a stream without events, unless it is refused.
pub(crate) fn open<K: Kind>(layer: &SseLayer<K::Marker>) -> Result<Body, StatusCode> {
    let answer = K::answer(Box::pin(stream::pending()));
    let response = answer_to(Request::new(()), layer, answer);
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status => Err(status),
    }
}

enum Step {
    Event(Event),
    Fail(io::Error),
    Panic,
}

/// A handle that feeds a stream of events. Dropping it ends the stream.
pub(crate) struct Source {
    steps: mpsc::UnboundedSender<Step>,
    witness: Witness,
}

/// A probe that knows whether a stream is still alive.
#[derive(Clone)]
pub(crate) struct Witness(Weak<()>);

impl Witness {
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Source {
    pub(crate) fn new() -> (Self, Events) {
        let (steps, receiver) = mpsc::unbounded_channel();
        let here = Arc::new(());
        let witness = Witness(Arc::downgrade(&here));
        let events = UnboundedReceiverStream::new(receiver).map(move |step| {
            let _: &Arc<()> = &here;
            match step {
                Step::Event(event) => Ok(event),
                Step::Fail(error) => Err(error),
                Step::Panic => panic!("in the source"),
            }
        });
        (Self { steps, witness }, Box::pin(events))
    }

    pub(crate) fn witness(&self) -> Witness {
        self.witness.clone()
    }

    pub(crate) fn send(&self, data: &'static str) {
        self.tell(Step::Event(Event::from(data)));
    }

    pub(crate) fn fail(&self, error: impl Into<io::Error>) {
        self.tell(Step::Fail(error.into()));
    }

    pub(crate) fn panic(&self) {
        self.tell(Step::Panic);
    }

    fn tell(&self, step: Step) {
        assert!(self.steps.send(step).is_ok(), "the stream is not dropped");
    }
}

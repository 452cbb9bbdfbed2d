use std::sync::Weak;

use futures_util::{Stream, StreamExt};
use http::request::Parts;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;

pub type Events = Pin<Box<dyn Stream<Item = io::Result<Event>> + Send>>;

type Step = Box<dyn FnOnce() -> io::Result<Event> + Send>;

/// A handle that feeds a stream of events. Dropping it ends the stream.
pub struct Source {
    steps: mpsc::UnboundedSender<Step>,
    witness: Witness,
    request: Option<Parts>,
}

/// A probe that knows whether a stream is still alive.
#[derive(Clone)]
pub struct Witness(Weak<()>);

impl Witness {
    pub fn is_dropped(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Source {
    pub fn new() -> (Self, Events) {
        let (steps, receiver) = mpsc::unbounded_channel();
        let here = Arc::new(());
        let witness = Witness(Arc::downgrade(&here));
        let events = UnboundedReceiverStream::new(receiver).map(move |step: Step| {
            let _: &Arc<()> = &here;
            step()
        });
        (Self { steps, witness, request: None }, Box::pin(events))
    }

    /// Returns the request that the stream answers. Only a source of [`Sources`] has one.
    pub fn request(&self) -> &Parts {
        self.request.as_ref().expect("a source of a handler")
    }

    pub fn send(&self, data: &'static str) {
        self.step(move || Ok(Event::from(data)));
    }

    /// Sends an event, unless the stream is dropped.
    pub fn send_if_open(&self, data: &'static str) {
        _ = self.steps.send(Box::new(move || Ok(Event::from(data))));
    }

    pub fn fail(&self, error: impl Into<io::Error>) {
        let error = error.into();
        self.step(|| Err(error));
    }

    pub fn panic(&self) {
        self.step(|| panic!("in the source"));
    }

    pub fn end(self) {}

    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    pub fn is_dropped(&self) -> bool {
        self.steps.is_closed()
    }

    pub async fn dropped(&self) {
        soon(self.steps.closed()).await;
    }

    fn step(&self, step: impl FnOnce() -> io::Result<Event> + Send + 'static) {
        assert!(self.steps.send(Box::new(step)).is_ok(), "the stream is not dropped");
    }
}

pub struct Sources(mpsc::UnboundedReceiver<Source>);

impl Sources {
    /// Returns the sources of the streams that a handler opens, and the function by which the
    /// handler opens them.
    pub fn new() -> (Self, impl Fn(Parts) -> Events + Clone + Send + Sync + 'static) {
        let (opened, sources) = mpsc::unbounded_channel();
        let open = move |request| {
            let (source, events) = Source::new();
            opened.send(Source { request: Some(request), ..source }).unwrap();
            events
        };
        (Self(sources), open)
    }

    pub async fn next(&mut self) -> Source {
        soon(self.0.recv()).await.unwrap()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

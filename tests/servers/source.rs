//! Streams that a test feeds and whose end it can await.

use std::{convert::Infallible, io};

use axum::body::Body;
use futures_util::{Stream, StreamExt};
use http::{Response, request::Parts};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower_sse::Event;

use crate::support::soon;

type MakeItem = Box<dyn FnOnce() -> io::Result<Event> + Send>;

pub(crate) struct Source {
    items: mpsc::UnboundedSender<MakeItem>,
    dropped: oneshot::Receiver<Infallible>,
}

impl Source {
    pub(crate) fn send(&self, data: &'static str) {
        self.items.send(Box::new(move || Ok(Event::from(data)))).unwrap();
    }

    pub(crate) fn fail(&self, message: &'static str) {
        self.items.send(Box::new(move || Err(io::Error::other(message)))).unwrap();
    }

    pub(crate) fn panic(&self) {
        self.items.send(Box::new(|| panic!("in the source"))).unwrap();
    }

    /// Ends the stream.
    pub(crate) fn end(self) {}

    /// Waits until the stream is dropped.
    pub(crate) async fn dropped(self) {
        soon(self.dropped).await.unwrap_err();
    }
}

fn new_source() -> (Source, impl Stream<Item = io::Result<Event>> + Send + 'static) {
    let (items, receiver) = mpsc::unbounded_channel::<MakeItem>();
    let (guard, dropped) = oneshot::channel();
    let stream = UnboundedReceiverStream::new(receiver).map(move |make| {
        let _: &oneshot::Sender<Infallible> = &guard;
        make()
    });
    (Source { items, dropped }, stream)
}

/// The sources of the streams that a handler opens, in their order.
pub(crate) struct Sources(mpsc::UnboundedReceiver<Source>);

impl Sources {
    pub(crate) async fn next(&mut self) -> Source {
        soon(self.0.recv()).await.unwrap()
    }
}

/// Returns a handler that opens a stream for every request.
pub(crate) fn streams() -> (Sources, impl Fn(Parts) -> Response<Body> + Clone + Send + Sync) {
    let (opened, sources) = mpsc::unbounded_channel();
    let handler = move |_| {
        let (source, stream) = new_source();
        opened.send(source).unwrap();
        tower_sse::response(stream).map(Body::new)
    };
    (Sources(sources), handler)
}

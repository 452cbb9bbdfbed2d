//! An application whose streams the test feeds, and the two positions of another layer relative to
//! `SseLayer`.

use std::{convert::Infallible, future, io};

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{Route, get},
};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::{Layer, Service, ServiceExt};
use tower_sse::{Event, SseLayer};

use crate::support::{EventReader, soon};

/// The test's handle of a stream that the application has opened.
pub(crate) struct Source {
    pub(crate) events: mpsc::UnboundedSender<io::Result<Event>>,
    pub(crate) request: Parts,
    dropped: oneshot::Receiver<Infallible>,
}

impl Source {
    pub(crate) fn send(&self, data: &'static str) {
        self.events.send(Ok(Event::from(data))).unwrap();
    }

    /// Waits until the application's stream is dropped.
    pub(crate) async fn dropped(self) {
        soon(self.dropped).await.unwrap_err();
    }
}

pub(crate) struct Sources(mpsc::UnboundedReceiver<Source>);

impl Sources {
    pub(crate) async fn next(&mut self) -> Source {
        soon(self.0.recv()).await.unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn application() -> (Router, Sources) {
    let (opened, sources) = mpsc::unbounded_channel();
    let events = move |request: Request| async move {
        let (events, receiver) = mpsc::unbounded_channel();
        let (guard, dropped) = oneshot::channel();
        let (request, _) = request.into_parts();
        opened.send(Source { events, request, dropped }).unwrap();
        tower_sse::response(UnboundedReceiverStream::new(receiver).inspect(move |_| {
            let _: &oneshot::Sender<Infallible> = &guard;
        }))
    };
    let app = Router::new()
        .route("/events", get(events))
        .route("/json", get(|| async { Json(vec!["the same text again"; 64]) }))
        .route("/never", get(future::pending::<()>))
        .route("/panic", get(panics))
        .route("/panic-in-body", get(panics_in_body));
    (app, Sources(sources))
}

async fn panics() -> &'static str {
    panic!("in the handler")
}

async fn panics_in_body() -> impl IntoResponse {
    tower_sse::response(stream::poll_fn::<Event, _>(|_| panic!("in the body")))
}

/// The position of the other layer relative to `SseLayer`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Inside,
    Outside,
}

impl Place {
    pub(crate) const BOTH: [Self; 2] = [Self::Inside, Self::Outside];

    /// Returns the application with a default `SseLayer` and another layer.
    pub(crate) fn compose<L>(self, other: L) -> (Router, Sources)
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Response: IntoResponse + 'static> + Clone + Send + Sync,
        L::Service: Service<Request, Error: Into<Infallible> + 'static, Future: Send> + 'static,
    {
        self.compose_with(SseLayer::new(), other)
    }

    pub(crate) fn compose_with<L>(self, sse: SseLayer, other: L) -> (Router, Sources)
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Response: IntoResponse + 'static> + Clone + Send + Sync,
        L::Service: Service<Request, Error: Into<Infallible> + 'static, Future: Send> + 'static,
    {
        let (app, sources) = application();
        let app = match self {
            Self::Inside => app.layer(other).layer(sse),
            Self::Outside => app.layer(sse).layer(other),
        };
        (app, sources)
    }
}

pub(crate) fn get_request(path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// Calls `app` without a server, for tests that poll the body by hand.
pub(crate) async fn call(app: &Router, request: Request) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

/// Asserts that two events arrive, each before the next is made, and then a clean end.
pub(crate) async fn assert_streams<B>(response: Response<B>, source: Source)
where
    B: http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug> + Unpin,
{
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let mut events = EventReader::new(response);
    for data in ["one", "two"] {
        source.send(data);
        assert_eq!(events.next().await.expect("an event").data, data);
    }
    drop(source.events);
    assert!(events.next().await.is_none());
}

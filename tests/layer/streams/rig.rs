use std::{convert::Infallible, future::ready, sync::Arc, task::Waker};

use futures_util::FutureExt;
use http::Request;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_sse::{
    CloseReason, Drain, Event, Retry, SseBody, SseLayer,
    streams::{CloseError, Streams, Subjects},
};

use crate::support::{
    FedBody, Feed, Polled, Reports, Requester, Wakes, event_stream, poll_frame_with,
};

/// A layer that writes something at every kind of end but that of a closed stream.
pub(crate) fn layer(streams: &Streams) -> SseLayer {
    SseLayer::new()
        .without_heartbeat()
        .terminator(Event::from("[DONE]"))
        .on_error(|_| Event::from("never sent"))
        .farewell(Event::from("bye"))
        .drain(Drain::per_client().retry(Retry::fixed(std::time::Duration::from_secs(3))))
        .streams(streams)
}

/// An open stream behind a layer, with all its observers.
pub(crate) struct Open {
    pub(crate) feed: Feed,
    pub(crate) body: SseBody<FedBody>,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) reports: Reports,
}

impl Open {
    pub(crate) fn new(layer: SseLayer, client: Requester, subjects: &'static [&str]) -> Self {
        let (feed, source) = Feed::new();
        let reports = Reports::default();
        let mut source = Some(source);
        let inner = service_fn(move |request: Request<()>| {
            add(&request, subjects);
            ready(Ok::<_, Infallible>(event_stream(source.take().expect("one request"))))
        });
        let answer = reports.observe(layer).layer(inner).call(client.request("/"));
        let body = answer.now_or_never().expect("ready").unwrap().into_body();
        Self { feed, body, wakes: Arc::default(), reports }
    }

    pub(crate) fn poll(&mut self) -> Polled {
        poll_frame_with(&mut self.body, &Waker::from(Arc::clone(&self.wakes)))
    }

    /// Returns the close reason, if the stream has closed.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        let reasons = self.reports.reasons();
        assert!(reasons.len() <= 1, "{reasons:?}");
        reasons.first().copied()
    }

    /// Drops the body and returns its close reason.
    pub(crate) fn leave(self) -> CloseReason {
        let Self { body, reports, .. } = self;
        drop(body);
        reports.reasons()[0]
    }
}

/// Adds subjects in a service inside the layer.
pub(crate) fn add<B>(request: &Request<B>, subjects: &[&'static str]) {
    let handle = request.extensions().get::<Subjects>().expect("the layer has streams");
    for subject in subjects {
        handle.add(*subject);
    }
}

/// Returns the result of a future that is ready at its first poll.
pub(crate) fn now<T>(future: impl Future<Output = Result<T, CloseError>>) -> T {
    future.now_or_never().expect("ready without a broker").expect("no error without a broker")
}

/// Returns a layer with a shutdown.
pub(crate) fn with_shutdown(streams: &Streams) -> (SseLayer, CancellationToken) {
    let shutdown = CancellationToken::new();
    (layer(streams).shutdown(shutdown.clone()), shutdown)
}

use crate::*;

/// Returns a handler that opens a stream for every request.
pub(crate) fn streams() -> (Sources, impl Fn(Parts) -> Response<Body> + Clone + Send + Sync) {
    let (sources, open) = Sources::new();
    (sources, move |request| tower_sse::response(open(request)).map(Body::new))
}

/// A server whose streams the test feeds, and a connection to it.
pub(crate) struct Fed {
    pub(crate) address: SocketAddr,
    pub(crate) client: Connection,
    pub(crate) sources: Sources,
}

impl Fed {
    pub(crate) async fn serve(host: Host) -> Self {
        Self::serve_with(host, Some(SseLayer::new())).await
    }

    pub(crate) async fn serve_with(host: Host, layer: Option<SseLayer>) -> Self {
        let (sources, handler) = streams();
        let address = host.serve_with(layer, handler).await;
        Self { address, client: host.connect(address).await, sources }
    }

    /// Opens a stream over the connection.
    pub(crate) async fn open(&mut self) -> (EventReader<Incoming>, Source) {
        let events = EventReader::new(self.client.get("/events").await);
        (events, self.sources.next().await)
    }
}

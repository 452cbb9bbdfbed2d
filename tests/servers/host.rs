//! The servers behind one type.

use crate::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Host {
    AxumH1,
    AxumH2,
    HyperH1,
    HyperH2,
}

impl Host {
    pub(crate) const ALL: [Self; 4] = [Self::AxumH1, Self::AxumH2, Self::HyperH1, Self::HyperH2];

    pub(crate) const fn is_h2(self) -> bool {
        matches!(self, Self::AxumH2 | Self::HyperH2)
    }

    pub(crate) const fn protocol(self) -> Protocol {
        if self.is_h2() { Protocol::Http2 } else { Protocol::Http1 }
    }

    pub(crate) async fn serve<H>(self, layer: impl Into<Option<SseLayer>>, handler: H) -> SocketAddr
    where
        H: Fn(Parts) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        let layer = layer.into();
        if let Self::AxumH1 | Self::AxumH2 = self {
            let handler = move |request: extract::Request| {
                let response = handler(request.into_parts().0);
                async { response }
            };
            let app = Router::new().fallback(handler);
            return serve_axum(match layer {
                Some(layer) => app.layer(layer),
                None => app,
            })
            .await;
        }
        let service = service_fn(move |request: Request<Incoming>| {
            let response = handler(request.into_parts().0);
            async { Ok(response) }
        });
        match layer {
            Some(layer) => self.serve_hyper(layer.layer(service)).await,
            None => self.serve_hyper(service).await,
        }
    }

    async fn serve_hyper<S, B>(self, service: S) -> SocketAddr
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>,
        S: Clone + Send + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let protocol = self.protocol();
        start(async move |listener| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve_connection(stream, protocol, service.clone()));
            }
        })
        .await
    }

    pub(crate) async fn connect(self, address: SocketAddr) -> Connection {
        self.protocol().connect(address).await
    }
}

pub(crate) fn streams() -> (Sources, impl Fn(Parts) -> Response<Body> + Clone + Send + Sync) {
    let (sources, open) = Sources::new();
    (sources, move |request| tower_sse::response(open(request)).map(Body::new))
}

pub(crate) struct Fed {
    pub(crate) address: SocketAddr,
    pub(crate) client: Connection,
    pub(crate) sources: Sources,
}

impl Fed {
    pub(crate) async fn serve(host: Host, layer: impl Into<Option<SseLayer>>) -> Self {
        let (sources, handler) = streams();
        let address = host.serve(layer, handler).await;
        Self { address, client: host.connect(address).await, sources }
    }

    pub(crate) async fn open(&mut self) -> (EventReader<Incoming>, Source) {
        let events = EventReader::new(self.client.get("/events").await);
        (events, self.sources.next().await)
    }
}

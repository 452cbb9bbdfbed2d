//! A server that records what becomes of its responses.

use tower_http::trace::TraceLayer;
use tracing::Span;

use crate::*;

/// A server that never answers at `/waiting`. At `/read` the handler reads the request's body. At
/// `/kept` the stream keeps it, unread; all other streams drop it. axum answers with responses,
/// hyper with bare streams.
pub(crate) struct Watched {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Opened>,
    pub(crate) reports: mpsc::UnboundedReceiver<CloseReport>,
    /// How often `TraceLayer` classified a response as a failure.
    pub(crate) failures: Arc<AtomicUsize>,
    pub(crate) stats: Stats,
}

#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Option<Heartbeat>,
    /// hyper's option for HTTP/1.
    pub(crate) half_close: bool,
    #[cfg(target_os = "linux")]
    pub(crate) user_timeout: Option<Duration>,
}

/// The test's view of a request.
pub(crate) struct Opened {
    source: Source,
    pub(crate) disconnect: Disconnect,
    polls: Arc<AtomicUsize>,
}

impl Deref for Opened {
    type Target = Source;

    fn deref(&self) -> &Source {
        &self.source
    }
}

impl Opened {
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    pub(crate) async fn over(&self) {
        self.source.dropped().await;
        soon(self.disconnect.cancelled()).await;
    }
}

impl Watched {
    pub(crate) async fn serve(host: Host, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve_on(listener, host, settings)
    }

    pub(crate) fn serve_on(listener: TcpListener, host: Host, settings: Settings) -> Self {
        let (opened, requests) = mpsc::unbounded_channel();
        let (closed, reports) = mpsc::unbounded_channel();
        let (failures, stats) = (Arc::new(AtomicUsize::new(0)), Stats::new());
        let failing = Arc::clone(&failures);
        // gRPC's classifier inspects a body up to its end; HTTP's decides by the head.
        let trace = TraceLayer::new_for_grpc().on_failure(move |_, _: Duration, _: &Span| {
            failing.fetch_add(1, SeqCst);
        });
        let server =
            Self { address: listener.local_addr().unwrap(), requests, reports, failures, stats };
        if let Host::AxumH1 | Host::AxumH2 = host {
            let app = Router::new()
                .fallback(async move |request: extract::Request| {
                    tower_sse::response(events(request, opened).await)
                })
                .layer(server.layer(&settings, closed).track_disconnects(true))
                .layer(trace);
            let listener = listener.tap_io(move |io| settings.set_options(io));
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            return server;
        }
        let service = ServiceBuilder::new()
            .layer(trace)
            .layer(server.layer(&settings, closed))
            .service_fn(move |request: Request<Incoming>| {
                let opened = opened.clone();
                async { Ok::<_, Infallible>(events(request, opened).await) }
            });
        tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                settings.set_options(&io);
                if settings.half_close {
                    let service = TowerToHyperService::new(service.clone());
                    let mut http1 = server::conn::http1::Builder::new();
                    http1.half_close(true);
                    tokio::spawn(http1.serve_connection(TokioIo::new(io), service));
                } else {
                    tokio::spawn(serve_connection(io, host.protocol(), service.clone()));
                }
            }
        });
        server
    }

    fn layer<M>(
        &self,
        settings: &Settings,
        closed: mpsc::UnboundedSender<CloseReport>,
    ) -> SseLayer<M> {
        let layer = match settings.heartbeat.clone() {
            Some(heartbeat) => SseLayer::new().heartbeat(heartbeat),
            None => SseLayer::new().without_heartbeat(),
        };
        layer.stats(&self.stats).on_close(move |report| _ = closed.send(report.clone()))
    }

    pub(crate) async fn request(&mut self) -> Opened {
        soon(self.requests.recv()).await.unwrap()
    }

    pub(crate) async fn open(&mut self, protocol: Protocol) -> (Peer, Opened) {
        let mut peer = Peer::connect(self.address, protocol).await;
        peer.request("GET", "/").await;
        let request = self.request().await;
        assert!(peer.head().await);
        (peer, request)
    }

    pub(crate) async fn report(&mut self) -> CloseReport {
        soon(self.reports.recv()).await.unwrap()
    }
}

impl Settings {
    fn set_options(&self, io: &TcpStream) {
        io.set_nodelay(true).unwrap();
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(io).set_tcp_user_timeout(self.user_timeout).unwrap();
    }
}

async fn events<B: http_body::Body + Send + 'static>(
    request: Request<B>,
    opened: mpsc::UnboundedSender<Opened>,
) -> impl Stream<Item = io::Result<Event>> + Send + 'static {
    let (parts, body) = request.into_parts();
    let kept = match parts.uri.path() {
        "/read" => {
            assert!(body.collect().await.is_ok());
            None
        }
        path => (path == "/kept").then_some(body),
    };
    let (source, mut events) = Source::new();
    let disconnect = parts.extensions.get::<Disconnect>().expect("a token").clone();
    let polls = Arc::new(AtomicUsize::new(0));
    opened.send(Opened { source, disconnect, polls: Arc::clone(&polls) }).unwrap();
    if parts.uri.path() == "/waiting" {
        let _events = events;
        return pending().await;
    }
    stream::poll_fn(move |cx| {
        _ = &kept;
        polls.fetch_add(1, SeqCst);
        events.poll_next_unpin(cx)
    })
}

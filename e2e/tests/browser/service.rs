//! One service across several servers: events are published while servers come and go.

use axum::routing::get;

use crate::*;

/// An address with a port that the system chooses.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The events of every server: the numbers from one on, as they are published.
#[derive(Clone)]
pub(crate) struct Log(Arc<watch::Sender<u64>>);

impl Log {
    /// Publishes until the test ends.
    pub(crate) fn start() -> Self {
        let log = Self(Arc::default());
        let published = Arc::clone(&log.0);
        tokio::spawn(async move {
            let mut interval = interval(Duration::from_millis(10));
            loop {
                interval.tick().await;
                published.send_modify(|last| *last += 1);
            }
        });
        log
    }

    pub(crate) fn last(&self) -> u64 {
        *self.0.borrow()
    }

    /// Returns `/events`: exactly the events after the client's last event id, with the server's
    /// name as data.
    pub(crate) fn routes(&self, server: &'static str) -> Router {
        let log = self.clone();
        let events = async move |last: LastEventId| {
            let last = last.parse().unwrap_or(0);
            tower_sse::response(stream! {
                let mut published = log.0.subscribe();
                for id in last + 1.. {
                    _ = published.wait_for(|last| *last >= id).await;
                    yield Event::new().id(id).data(server);
                }
            })
            .into_response()
        };
        Router::new().route("/events", get(events))
    }
}

/// Returns the layer of a server that sends a farewell, with short reconnection times.
pub(crate) fn layer(server: &'static str) -> SseLayer {
    let soon = Retry::between(Duration::from_millis(100), Duration::from_millis(300));
    SseLayer::new()
        .drain(Drain::per_client().retry(soon))
        .refusal(Refusal::per_client().retry(soon))
        .farewell(Event::new().event("farewell").data(server))
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Stats,
    drain: CancellationToken,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, layer: SseLayer, app: Router) -> Self {
        Self::start_counting(address, layer, app, Stats::new()).await
    }

    pub(crate) async fn start_counting(
        address: SocketAddr,
        layer: SseLayer,
        app: Router,
        stats: Stats,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let app = app.layer(layer.shutdown(drain.clone()).stats(&stats));
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { address, stats, drain, stop, serving }
    }

    /// Drains the server, which keeps listening, as servers do until a load balancer notices.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// Shuts the server down gracefully and waits until it is gone.
    pub(crate) async fn shut_down(self) {
        self.drain();
        self.stop.cancel();
        soon(self.serving).await.unwrap();
    }
}

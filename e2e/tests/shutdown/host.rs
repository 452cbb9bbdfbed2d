//! The servers, set up as in the examples.

use axum::extract;
use tonic::service::Routes;

use crate::*;

/// The handler inside the layer.
pub(crate) type Handler = Arc<dyn Fn(Parts) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

pub(crate) fn handler<H>(answer: H) -> Handler
where
    H: Fn(Parts) -> Response<Body> + Send + Sync + 'static,
{
    Arc::new(move |parts| std::future::ready(answer(parts)).boxed())
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Host {
    Axum,
    Hyper,
    Tonic,
}

impl Host {
    pub(crate) const ALL: [Self; 3] = [Self::Axum, Self::Hyper, Self::Tonic];

    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        layer: SseLayer,
        handler: Handler,
        shutdown: CancellationToken,
        deadline: Duration,
    ) {
        // On a busy machine, a test may take longer than the interval of heartbeats.
        let layer = layer.without_heartbeat();
        match self {
            Self::Axum => {
                let app = router(handler).layer(layer);
                graceful_axum::serve(listener, app, shutdown, deadline).await.unwrap();
            }
            Self::Hyper => {
                let service = service_fn(move |request: Request<Incoming>| {
                    handler(request.into_parts().0).map(Ok::<_, Infallible>)
                });
                let service = layer.layer(service);
                let limits = graceful_hyper::Limits { deadline, ..graceful_hyper::LIMITS };
                graceful_hyper::serve(listener, service, shutdown, limits).await;
            }
            Self::Tonic => {
                let routes = Routes::from(router(handler));
                graceful_tonic::serve(listener, routes, layer, shutdown, deadline).await.unwrap();
            }
        }
    }

    /// Serves on a port of its own, with a deadline that no test reaches. Streams start without a
    /// `retry` line.
    pub(crate) async fn start(
        self,
        layer: SseLayer,
        handler: Handler,
        shutdown: &CancellationToken,
    ) -> Server {
        let (listener, address) = listen().await;
        let layer = layer.without_retry();
        let served = self.serve(listener, layer, handler, shutdown.clone(), 10 * PATIENCE);
        Server { address, served: tokio::spawn(served) }
    }
}

fn router(handler: Handler) -> Router {
    Router::new().fallback(move |request: extract::Request| handler(request.into_parts().0))
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    served: JoinHandle<()>,
}

impl Server {
    pub(crate) fn has_finished(&self) -> bool {
        self.served.is_finished()
    }

    pub(crate) async fn finished(self) {
        soon(self.served).await.unwrap();
    }
}

use std::future::Future;

use axum::{Router, serve::ListenerExt};
use hyper::server::conn::{http1, http2};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::*;

/// Starts a server on a port of its own until the test ends.
pub async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> SocketAddr
where
    F: Future<Output: Send> + Send + 'static,
{
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener));
    address
}

/// Serves `app` on a port of its own until the test ends, over HTTP/1 and over HTTP/2 with prior
/// knowledge.
pub async fn serve_axum(app: Router) -> SocketAddr {
    start(|listener| async {
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, app).await.unwrap();
    })
    .await
}

pub async fn serve_connection<I, S, B>(
    io: I,
    protocol: Protocol,
    service: S,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (io, service) = (TokioIo::new(io), TowerToHyperService::new(service));
    match protocol {
        Protocol::Http1 => http1::Builder::new().serve_connection(io, service).await,
        Protocol::Http2 => {
            http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        }
    }
}

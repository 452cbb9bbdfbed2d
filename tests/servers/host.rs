//! The servers behind one type, and a client for each.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, extract};
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, client, server};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, Service, service_fn};
use tower_sse::{BoxError, SseLayer};

use crate::support::{self, soon};

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

    /// Serves the answers of `handler` inside a default `SseLayer`.
    pub(crate) async fn serve<H>(self, handler: H) -> SocketAddr
    where
        H: Fn(Parts) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        self.serve_with(Some(SseLayer::new()), handler).await
    }

    pub(crate) async fn serve_with<H>(self, layer: Option<SseLayer>, handler: H) -> SocketAddr
    where
        H: Fn(Parts) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        if let Self::AxumH1 | Self::AxumH2 = self {
            let handler = move |request: extract::Request| {
                let response = handler(request.into_parts().0);
                async { response }
            };
            let app = Router::new().fallback(handler);
            return support::serve_axum(match layer {
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (io, executor) = (TokioIo::new(stream), TokioExecutor::new());
                let service = TowerToHyperService::new(service.clone());
                if self.is_h2() {
                    let http2 = server::conn::http2::Builder::new(executor);
                    drop(tokio::spawn(http2.serve_connection(io, service)));
                } else {
                    let http1 = server::conn::http1::Builder::new();
                    drop(tokio::spawn(http1.serve_connection(io, service)));
                }
            }
        });
        address
    }

    pub(crate) async fn connect(self, address: SocketAddr) -> Client {
        if self.is_h2() {
            Client::H2(support::connect_h2(address).await)
        } else {
            Client::H1(support::connect_h1(address).await)
        }
    }
}

/// One connection.
pub(crate) enum Client {
    H1(client::conn::http1::SendRequest<Full<Bytes>>),
    H2(client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn get(&mut self) -> Response<Incoming> {
        self.send(Request::get("/events")).await
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder) -> Response<Incoming> {
        let request = request.header("host", "localhost").body(Full::default()).unwrap();
        let response = async {
            match self {
                Self::H1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::H2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        soon(response).await.unwrap()
    }
}

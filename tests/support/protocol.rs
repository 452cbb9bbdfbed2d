use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::HOST};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    client::{handshake_h1, handshake_h2},
    patience::soon,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    Http1,
    /// With prior knowledge.
    Http2,
}

impl Protocol {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// Opens a connection of hyper's client.
    pub async fn connect(self, address: SocketAddr) -> Connection {
        self.over(TcpStream::connect(address).await.unwrap()).await
    }

    /// Opens a connection over `io`.
    pub async fn over<I>(self, io: I) -> Connection
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self {
            Self::Http1 => Connection::Http1(handshake_h1(io).await),
            Self::Http2 => Connection::Http2(handshake_h2(io).await),
        }
    }
}

/// One connection of hyper's client. It ends when this is dropped, unless a response is still in
/// progress.
pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Sends a GET and waits for the head of the response.
    pub async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(Request::get(path).body(Full::default()).unwrap()).await
    }

    /// Sends `request`, to `localhost` if it names no host, and waits for the head of the response.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// Sends `request` as [`send`](Self::send) does, to a server that may not answer.
    pub async fn try_send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        // A request with both `:authority` and `Host` is malformed to some proxies.
        if matches!(self, Self::Http1(_)) || request.uri().authority().is_none() {
            request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
        }
        let response = async {
            match self {
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        soon(response).await
    }
}

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tower_sse::{Decoder, Message};

/// Longer than anything a test awaits, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens an HTTP/1 connection of hyper's client.
pub async fn connect_h1(address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Opens an HTTP/2 connection of hyper's client, with prior knowledge.
pub async fn connect_h2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends a GET over a new HTTP/1 connection.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let mut request = Request::get(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).unwrap();
    let mut sender = connect_h1(address).await;
    let response =
        timeout(PATIENCE, sender.send_request(request)).await.expect("a response").unwrap();
    // The connection ends with its sender, unless a response is still in progress.
    drop(sender);
    response
}

/// A reader of the events of a response, as a client would read them.
pub struct EventReader<B> {
    body: B,
    decoder: Decoder,
    bytes: Bytes,
}

impl<B> EventReader<B>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    pub fn new(response: Response<B>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), decoder: Decoder::new(), bytes: Bytes::new() }
    }

    /// Returns the next event, or `None` if the stream ends cleanly before it.
    pub async fn next(&mut self) -> Option<Message> {
        // One timeout for the whole event: heartbeats would renew a timeout per frame.
        timeout(PATIENCE, self.read()).await.expect("an event")
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.bytes).unwrap() {
                return Some(message);
            }
            let frame = self.body.frame().await?.unwrap();
            self.bytes = frame.into_data().unwrap_or_default();
        }
    }

    /// Returns the body, to read its bytes.
    pub fn into_body(self) -> B {
        self.body
    }

    /// Returns all events up to the clean end of the stream.
    pub async fn rest(mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

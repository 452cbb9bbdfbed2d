use http::{Method, header::HOST};

use super::client::{handshake_h1, handshake_h2};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl Protocol {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    pub async fn connect(self, address: SocketAddr) -> Connection {
        self.over(TcpStream::connect(address).await.unwrap()).await
    }

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

/// One connection of hyper's client. The connection ends when the `Connection` is dropped, unless a
/// response is still in progress.
pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(Request::get(path).body(Full::default()).unwrap()).await
    }

    /// Sends `request`, to `localhost` if it names no host, and waits for the head of the response.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Response<Incoming> {
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
        soon(response).await.unwrap()
    }
}

/// The kinds of client that the layer distinguishes, by what they send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Requester {
    EventSource,
    /// Page code that reads by `fetch`.
    Fetch,
    /// A library that sends `accept: text/event-stream`, and no other telling header.
    Library,
    /// A script with httpx-sse, which sends `cache-control: no-store`.
    Get,
    /// An API call by POST.
    Post,
}

impl Requester {
    pub const ALL: [Self; 5] =
        [Self::EventSource, Self::Fetch, Self::Library, Self::Get, Self::Post];

    /// Returns whether the layer fails the body when it ends a stream of this client early.
    pub fn is_cut_by_failing(self) -> bool {
        matches!(self, Self::Fetch | Self::Post)
    }

    pub fn request<B: Default>(self, path: &str) -> Request<B> {
        let method = if self == Self::Post { Method::POST } else { Method::GET };
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("accept", "text/event-stream");
        let request = match self {
            // A method other than `GET` decides, whatever the headers are.
            Self::EventSource | Self::Post => request.header("cache-control", "no-cache"),
            Self::Fetch => request.header("sec-fetch-mode", "cors"),
            Self::Library => request,
            Self::Get => request.header("cache-control", "no-store"),
        };
        request.body(B::default()).unwrap()
    }
}

use hyper::body::Incoming;
use tokio::time::timeout;
use tower_http::decompression::{Decompression, DecompressionBody};

use crate::*;

/// The codings that browsers accept.
pub(super) const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// Returns the body of `response`, decoded.
pub(super) async fn decompressed<B>(response: Response<B>) -> DecompressionBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut response = Some(response);
    let received = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(response.take().expect("one request")))
    });
    Decompression::new(received).oneshot(Request::new(())).await.unwrap().into_body()
}

/// A compressed stream over a socket, decoded as its bytes arrive.
pub(super) struct Decoded {
    body: DecompressionBody<Incoming>,
    text: String,
}

impl Decoded {
    /// Opens `/events` of `app` and asserts that the response has this `coding`.
    pub(super) async fn open(
        app: Router,
        protocol: Protocol,
        coding: &'static str,
        client: Requester,
    ) -> Self {
        let mut request = client.request("/events");
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static(coding));
        let mut connection = protocol.connect(serve_axum(app).await).await;
        let response = connection.send(request).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        // tower-http ignores `no-transform`.
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        Self { body: decompressed(response).await, text: String::new() }
    }

    /// Waits until exactly `expected` has arrived.
    pub(super) async fn arrives(&mut self, expected: &str) {
        while self.text != expected {
            assert!(expected.starts_with(&self.text), "{:?}, not {expected:?}", self.text);
            self.read(expected).await;
        }
    }

    /// Waits until `line` has arrived `times` times, and nothing else.
    pub(super) async fn repeats(&mut self, line: &str, times: usize) {
        while self.text.len() < line.len() * times {
            self.read(line).await;
        }
        assert_eq!(self.text, line.repeat(self.text.len() / line.len()));
    }

    async fn read(&mut self, expected: &str) {
        let frame = timeout(PATIENCE, self.body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("{expected:?} is held back"));
        let data = frame.expect("more bytes").unwrap().into_data().unwrap();
        self.text.push_str(str::from_utf8(&data).unwrap());
    }

    /// Returns all bytes up to the end, and whether the body failed.
    pub(super) async fn end(self) -> (String, bool) {
        let (rest, failure) = read_to_end(self.body).await;
        (self.text + &rest, failure.is_some())
    }
}

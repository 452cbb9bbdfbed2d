//! tower-http's `CompressionLayer`, with a predicate that includes event streams.

use axum::{body::Body, middleware::Next, middleware::from_fn, response::Response};
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::decompression::{Decompression, DecompressionBody};
use tower_sse::streams::Streams;

use super::{application::application, *};
use crate::*;

/// Returns a compressor that includes event streams, as on the page `guide::upstreams`.
fn everything() -> CompressionLayer<impl Predicate> {
    let predicate =
        SizeAbove::default().and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
    CompressionLayer::new().compress_when(predicate)
}

// A compressor polls a body again after the body's end. A stream that must not be polled again,
// such as one of `unfold`, needs a body around it that doesn't pass such a poll on.

/// Returns a stream of two items that panics when it is polled after its end.
fn unfolded<T>(item: fn(&'static str) -> T) -> impl Stream<Item = T> {
    stream::unfold(["one", "two"].into_iter(), move |mut data| async move {
        Some((item(data.next()?), data))
    })
}

async fn axums() -> Response {
    let events = unfolded(|data| Ok::<_, Infallible>(sse::Event::default().data(data)));
    Sse::new(events).into_response()
}

async fn ours() -> Response {
    tower_sse::response(unfolded(Event::from)).into_response()
}

async fn fails() -> Response {
    let items = [Ok("data: one\n\n"), Err(io::Error::other("disk full"))];
    event_stream(Body::from_stream(stream::iter(items)))
}

async fn read(app: Router) -> (bool, bool) {
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (data, failure) = read_bytes(response.into_body()).await;
    (!data.is_empty(), failure.is_some())
}

#[tokio::test]
async fn compressor_sends_ready_events_before_an_error_or_the_end_of_unfold() {
    let without = Router::new().route("/events", get(ours));
    let layered = |app: Router| app.layer(SseLayer::new());
    for (name, app, fails) in [
        ("an error", layered(Router::new().route("/events", get(fails))), true),
        ("our body without the layer", without.clone(), false),
        ("our body", layered(without), false),
        ("axum's own", layered(Router::new().route("/events", get(axums))), false),
    ] {
        assert_eq!(read(app).await, (true, fails), "{name}");
    }
}

// How a body fails behind a compressor. A compressor drops a frame only when it gets the next
// frame. So the layer sees that its last bytes were taken only if another frame follows them.

#[derive(Clone, Copy, Debug)]
enum Failure {
    Error,
    LogOut,
}

/// Returns an application with a compressor outside of one or two layers, and the sources and
/// `Streams` that can fail its streams.
fn failing(layers: u32) -> (Router, Sources, Streams) {
    let (streams, (mut app, sources)) = (Streams::new(), application());
    for _ in 1..layers {
        app = app.layer(SseLayer::new());
    }
    let add = |request: axum::extract::Request, next: Next| {
        request.extensions().get::<Subjects>().unwrap().add("user");
        next.run(request)
    };
    let app = app.layer(from_fn(add)).layer(SseLayer::new().streams(&streams));
    (app.layer(everything()), sources, streams)
}

async fn fail<B>(
    body: B,
    source: &Source,
    streams: &Streams,
    failure: Failure,
) -> (String, Duration)
where
    B: http_body::Body<Data = Bytes>,
{
    let start = Instant::now();
    match failure {
        Failure::Error => source.fail(io::Error::other("disk full")),
        Failure::LogOut => assert_eq!(streams.close("user").await.unwrap(), 1),
    }
    let (text, error) = read_to_end(body).await;
    assert!(error.is_some(), "it ends cleanly after {text:?}");
    (text, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn failure_behind_compressors_takes_50_milliseconds_and_20_for_another_layer() {
    for coding in ["identity", "gzip", "br", "deflate"] {
        // An outer layer passes the failure on. The limit below allows 20 milliseconds for that.
        for (layers, failure) in
            [(1, Failure::Error), (1, Failure::LogOut), (2, Failure::Error), (2, Failure::LogOut)]
        {
            let _case = case(format!("{coding}, {layers} layers, {failure:?}"));
            let (app, mut sources, streams) = failing(layers);
            let mut request: axum::extract::Request = Requester::Fetch.request("/events");
            request.headers_mut().insert("accept-encoding", HeaderValue::from_static(coding));
            let response = call(&app, request).await;
            let source = sources.next().await;
            source.send("one");
            let body = pin!(decompressed(response).await);
            let (text, took) = fail(body, &source, &streams, failure).await;
            let comments = if coding == "identity" { ": \n" } else { ": \n: \n" };
            match failure {
                Failure::Error => assert_eq!(text, ["data: one\n\n", comments].concat()),
                Failure::LogOut => assert!(text.ends_with(comments), "{text:?}"),
            }
            assert!(took <= (30 + 20 * layers) * MILLISECOND, "{took:?}");
        }
    }
}

// A body of newest values waits until its last frame is dropped.

#[cfg(feature = "hub")]
#[tokio::test(start_paused = true)]
async fn newest_values_arrive_at_once_behind_a_compressor() {
    use tower_sse::{Retention, hub::Hub};

    for coding in ["identity", "gzip", "br", "deflate"] {
        let hub = Hub::builder().retention(Retention::latest()).build();
        let prices = hub.clone();
        let visit = async move || prices.subscribe_to("price").resume(None);
        let app = Router::new().route("/events", get(visit)).layer(SseLayer::new());
        let request = get_request("/events", &[("accept-encoding", coding)]);
        let mut body = pin!(decompressed(call(&app.layer(everything()), request).await).await);
        for price in ["1", "2", "3"] {
            hub.publish("price", price).await.unwrap();
            let (start, mut text) = (Instant::now(), String::new());
            while !text.contains(&format!("data: {price}\n")) {
                let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
                text.push_str(str::from_utf8(&frame).unwrap());
            }
            let took = start.elapsed();
            assert!(took <= 20 * MILLISECOND, "{coding}: {took:?} for {price}");
        }
    }
}

// Compressed streams over real sockets: tower-http's compressor outside of `SseLayer` flushes as
// soon as the stream is pending.

struct Coded {
    protocol: Protocol,
    coding: &'static str,
}

impl Coded {
    async fn open(&self, layer: SseLayer, client: Requester) -> (Decoded, Source) {
        let (app, mut sources) = Place::Outside.compose(layer, everything());
        let decoded = Decoded::open(app, self.protocol, self.coding, client).await;
        (decoded, sources.next().await)
    }
}

async fn for_each(check: impl AsyncFn(Coded)) {
    let check = &check;
    let streams = Protocol::BOTH.into_iter().flat_map(|protocol| {
        CODINGS.into_iter().map(move |coding| async move {
            let checked = AssertUnwindSafe(check(Coded { protocol, coding }));
            if let Err(panic) = checked.catch_unwind().await {
                println!("{coding} over {protocol:?}");
                resume_unwind(panic);
            }
        })
    });
    join_all(streams).await;
}

#[tokio::test]
async fn preamble_and_each_event_arrive_while_the_stream_is_open() {
    for_each(async |coded| {
        let layer = SseLayer::new().retry(2 * SECOND).padding(4);
        let (mut decoded, source) = coded.open(layer, Requester::EventSource).await;
        let mut expected = "retry: 2000\n:  \n".to_owned();
        decoded.arrives(&expected).await;
        for data in ["one", "two", "three", "three", "four"] {
            source.send(data);
            expected += &format!("data: {data}\n\n");
            decoded.arrives(&expected).await;
        }
        drop(source);
        assert_eq!(decoded.end().await, (expected, false));
    })
    .await;
}

#[tokio::test]
async fn drained_stream_sends_its_farewell_and_ends_as_its_client_needs() {
    for client in [Requester::EventSource, Requester::Fetch] {
        for_each(async |coded| {
            let shutdown = CancellationToken::new();
            let drain = Drain::per_client().retry(Retry::fixed(SECOND));
            let layer = SseLayer::new().without_retry().shutdown(shutdown.clone()).drain(drain);
            let (mut decoded, source) =
                coded.open(layer.farewell(Event::from("bye")), client).await;
            source.send("one");
            decoded.arrives("data: one\n\n").await;
            shutdown.cancel();
            decoded.arrives("data: one\n\nretry: 1000\ndata: bye\n\n").await;
            source.dropped().await;
            assert_eq!(decoded.end().await.1, client.is_cut_by_failing(), "{client:?}");
        })
        .await;
    }
}

/// The codings that servers choose for browsers, without zstd: its library is in C, so `e2e/` tests
/// zstd.
pub(super) const CODINGS: [&str; 2] = ["gzip", "br"];

pub(super) async fn decompressed<B>(response: Response<B>) -> DecompressionBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
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
        let sent = response.headers().get("content-encoding");
        assert_eq!(sent.map_or("identity", |sent| sent.to_str().unwrap()), coding);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        // tower-http ignores `no-transform`.
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        Self { body: decompressed(response).await, text: String::new() }
    }

    pub(super) async fn arrives(&mut self, expected: &str) {
        while self.text != expected {
            assert!(expected.starts_with(&self.text), "{:?}, not {expected:?}", self.text);
            self.read(expected).await;
        }
    }

    async fn read(&mut self, expected: &str) {
        let frame = timeout(PATIENCE, self.body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("{expected:?} is held back"));
        let data = frame.expect("more bytes").unwrap().into_data().unwrap();
        self.text.push_str(str::from_utf8(&data).unwrap());
    }

    pub(super) async fn end(self) -> (String, bool) {
        let (rest, failure) = read_to_end(self.body).await;
        (self.text + &rest, failure.is_some())
    }
}

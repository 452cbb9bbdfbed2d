//! tower-http's `CompressionLayer`, with its default predicate and with one that includes event
//! streams.

use axum::{body::Body, response::Response};
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::decompression::{Decompression, DecompressionBody};

use super::{application::application, *};
use crate::*;

const ACCEPTED: (&str, &str) = ("accept-encoding", "gzip, br");

/// Returns a layer with every option that writes into a stream.
fn writing_layer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(Duration::from_secs(1)))
        .padding(4)
        .terminator(Event::from("[DONE]"))
}

/// Returns a compressor that includes event streams, as in the docs of `guide::compression`.
fn everything() -> CompressionLayer<impl Predicate> {
    let predicate =
        SizeAbove::default().and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
    CompressionLayer::new().compress_when(predicate)
}

async fn json_of(app: &Router) -> (http::HeaderMap, Bytes) {
    let (parts, body) = call(app, get_request("/json", &[ACCEPTED])).await.into_parts();
    (parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn gunzip(bytes: Vec<u8>) -> Bytes {
    let response = Response::new(Full::from(bytes)).with_header("content-encoding", "gzip");
    decompressed(response).await.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn stream_is_neither_compressed_nor_delayed() {
    for place in Place::BOTH {
        let app = place.compose(SseLayer::new(), CompressionLayer::new());
        let (response, source) = open_served(app, &[ACCEPTED]).await;
        assert!(!response.headers().contains_key("content-encoding"), "{place:?}");
        assert_streams(response, source).await;
    }
}

#[tokio::test]
async fn other_responses_are_compressed_as_without_the_layer() {
    let (app, _sources) = application();
    let (headers, compressed) = json_of(&app.layer(CompressionLayer::new())).await;
    assert_eq!(headers["content-encoding"], "br");
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CompressionLayer::new());
        assert_eq!(json_of(&app).await, (headers.clone(), compressed.clone()), "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn layer_writes_nothing_into_a_compressed_stream() {
    let (app, mut sources) = Place::Inside.compose(writing_layer(), everything());

    let response = call(&app, get_request("/events", &[("accept-encoding", "gzip")])).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let source = sources.next().await;
    let mut body = response.into_body();
    let mut compressed = Vec::new();
    for data in ["one", "two"] {
        source.send(data);
        while let Polled::Data(frame) = poll_frame(&mut body) {
            compressed.extend(frame);
        }
        for _ in 0..3 {
            advance(Duration::from_secs(10)).await;
            assert_eq!(poll_frame(&mut body), Polled::Pending, "no heartbeat");
        }
    }
    drop(source);
    compressed.extend(body.collect().await.unwrap().to_bytes());
    assert_eq!(gunzip(compressed).await, "data: one\n\ndata: two\n\n");
}

// The compressor at the end of a body, and what the crate's bodies prevent.
//
// It polls a body again after its end. A stream that must not be polled again, such as one of
// `unfold`, needs a body around it that keeps the end to itself.

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

/// Answers with an event and an error that are ready at once.
async fn fails() -> Response {
    let items = [Ok("data: one\n\n"), Err(io::Error::other("disk full"))];
    event_stream(Body::from_stream(stream::iter(items)))
}

/// Returns whether the body has any bytes, and whether it fails.
async fn read(app: Router) -> (bool, bool) {
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (data, failure) = read_bytes(response.into_body()).await;
    (!data.is_empty(), failure.is_some())
}

#[tokio::test]
async fn error_is_delayed_until_the_compressor_has_sent_the_ready_events() {
    let app = Router::new().route("/events", get(fails)).layer(SseLayer::new());
    assert_eq!(read(app).await, (true, true));
}

#[tokio::test]
async fn our_body_over_unfold_does_not_panic_with_the_layer_or_without() {
    let without = Router::new().route("/events", get(ours));
    let with = without.clone().layer(SseLayer::new());
    for app in [without, with] {
        assert_eq!(read(app).await, (true, false));
    }
}

#[tokio::test]
async fn layer_keeps_axums_own_sse_over_unfold_from_panicking() {
    let app = Router::new().route("/events", get(axums)).layer(SseLayer::new());
    assert_eq!(read(app).await, (true, false));
}

// Compressed streams over real sockets: tower-http's compressor outside of `SseLayer` flushes as
// soon as the stream is pending.

/// A stream of this coding over this protocol, inside a compressor.
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

/// Runs `check` with each coding over each protocol, all at the same time, since a stream that fails
/// behind a compressor takes a second.
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
async fn each_event_arrives_while_the_stream_is_open() {
    for_each(async |coded| {
        let (mut decoded, source) =
            coded.open(SseLayer::new().without_retry(), Requester::EventSource).await;
        let mut expected = String::new();
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
async fn heartbeats_arrive() {
    for_each(async |coded| {
        let layer = SseLayer::new().without_retry().heartbeat(Heartbeat::every(50 * MILLISECOND));
        let (mut decoded, _source) = coded.open(layer, Requester::EventSource).await;
        decoded.repeats(":\n", 3).await;
    })
    .await;
}

#[tokio::test]
async fn preamble_arrives_at_once() {
    for_each(async |coded| {
        let layer = SseLayer::new().retry(Retry::fixed(2 * SECOND)).padding(4);
        let (mut decoded, _source) = coded.open(layer, Requester::EventSource).await;
        decoded.arrives("retry: 2000\n:  \n").await;
    })
    .await;
}

#[tokio::test]
async fn what_the_layer_sends_at_the_end_arrives_before_a_clean_end() {
    let terminator = SseLayer::new().terminator(Event::from("sorry"));
    let on_error = SseLayer::new().on_error(|_| Event::from("sorry"));
    for (layer, fails) in [(terminator, false), (on_error, true)] {
        for_each(async |coded| {
            let (mut decoded, source) = coded.open(layer.clone(), Requester::Fetch).await;
            source.send("one");
            decoded.arrives("data: one\n\n").await;
            match fails {
                true => source.fail(io::Error::other("disk full")),
                false => drop(source),
            }
            let whole = "data: one\n\ndata: sorry\n\n".to_owned();
            assert_eq!(decoded.end().await, (whole, false), "{fails}");
        })
        .await;
    }
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

#[tokio::test]
async fn events_before_an_error_arrive_and_then_the_body_fails() {
    for_each(async |coded| {
        let (decoded, source) = coded.open(SseLayer::new(), Requester::Fetch).await;
        source.send("one");
        source.fail(io::Error::other("disk full"));
        let (text, failed) = decoded.end().await;
        assert!(text.starts_with("data: one\n\n"), "{text:?}");
        assert!(failed, "half of an answer does not look like the whole");
    })
    .await;
}

/// The codings that browsers accept, without zstd: its library is in C, so `e2e/` tests it.
pub(super) const CODINGS: [&str; 2] = ["gzip", "br"];

/// Returns the body of `response`, decoded.
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

// The time at which a cut stream fails. A server drops the last bytes once it has written them,
// and then the stream may fail. An outer compressor keeps them until more bytes come, so that
// their drop says nothing, and the stream fails when the wait times out.

/// The minimum delay of any failure.
const HELD_BACK: Duration = Duration::from_millis(20);
/// The maximum delay: a server that keeps the last bytes for longer may keep them forever.
const GIVE_UP: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn behind_a_compressor_the_body_fails_after_one_second() {
    for written in [true, false] {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).farewell(Event::from("bye"));
        let (app, _sources) = Place::Outside.compose(layer, everything());
        let mut request = Requester::Fetch.request("/events");
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
        let mut body = call(&app, request).await.into_body();
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        shutdown.cancel();
        let last = poll_frame(&mut body);
        assert!(matches!(last, Polled::Data(_)), "{last:?}");
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        let _unwritten = (!written).then_some(last);
        advance(GIVE_UP - MILLISECOND).await;
        idle(&mut body, 2 * MILLISECOND).await;
        idle(&mut body, HELD_BACK + MILLISECOND).await;
        assert!(matches!(poll_frame(&mut body), Polled::Failed(_)), "written: {written}");
    }
}

// What the length of a compressed stream reveals of its content (BREACH).

const SECRET: &str = "the token is k7w2m9";
const KNOWN: &str = "the token is k7w2m";

/// Returns the number of bytes of a stream that contains the secret and then a text chosen by an
/// attacker.
async fn length_with(guess: String) -> usize {
    let events = async move || {
        let events = [Event::from(SECRET), Event::from(guess)];
        tower_sse::response(stream::iter(events))
    };
    let app = Router::new().route("/events", get(events)).layer(SseLayer::new());
    let request = get_request("/events", &[("accept-encoding", "gzip")]);
    let response = call(&app.layer(everything()), request).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    response.into_body().collect().await.unwrap().to_bytes().len()
}

#[tokio::test]
async fn guessing_a_secrets_next_character_makes_a_compressed_stream_shortest() {
    let mut lengths = Vec::new();
    for guess in ('a'..='z').chain('0'..='9') {
        lengths.push((length_with(format!("{KNOWN}{guess}")).await, guess));
    }
    lengths.sort_unstable();
    println!("{lengths:?}");
    assert_eq!(lengths[0].1, '9');
    assert!(lengths[0].0 < lengths[1].0);
}

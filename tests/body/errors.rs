//! How an error of the source ends its stream.

use axum::body::Body;
use tonic::{Code, Status, service::Routes};

use crate::*;

fn layer() -> SseLayer {
    SseLayer::new().without_retry().without_heartbeat()
}

async fn rest<B>(body: &mut B) -> (String, Polled)
where
    B: http_body::Body<Data = bytes::Bytes, Error: ToString> + Unpin,
{
    let (sent, error) = read_to_end(body).await;
    (sent, error.map_or(Polled::End, |error| failed(&error.to_string())))
}

#[tokio::test(start_paused = true)]
async fn error_drops_the_source_at_once_and_fails_the_body_later() {
    let (feed, mut body) = fed(&layer().terminator(Event::from("[DONE]")));
    feed.data("data: a\n\n");
    feed.fail("broken");
    assert_polls(&mut body, [data("data: a\n\n"), data(": \n")]);
    assert!(feed.is_dropped());
    idle(&mut body, 19 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(!http_body::Body::is_end_stream(&body));
    time::advance(2 * MILLISECOND).await;
    assert_polls(&mut body, [failed("broken"), Polled::End]);
    assert!(http_body::Body::is_end_stream(&body));
}

/// On HTTP/2 a reset discards what the server has not written yet, the head included. A server or a
/// compressor that keeps the last bytes for longer than a second may never release them, so the
/// body then fails anyway.
#[tokio::test(start_paused = true)]
async fn body_fails_once_the_last_bytes_are_taken_or_after_a_second() {
    for is_taken in [true, false] {
        let (feed, mut body) = fed(&layer());
        feed.fail("broken");
        let last = poll_frame(&mut body);
        assert_eq!(last, data(": \n"));
        idle(&mut body, 11 * MILLISECOND).await;
        // A compressor holds each frame until it gets the next. The layer's second line makes the
        // compressor drop the frame of the first line.
        let second = poll_frame(&mut body);
        assert_eq!(second, data(": \n"));
        for _ in 0..9 {
            idle(&mut body, 100 * MILLISECOND).await;
        }
        let kept = (!is_taken).then_some((last, second));
        if kept.is_some() {
            idle(&mut body, 99 * MILLISECOND).await;
            idle(&mut body, 2 * MILLISECOND).await;
        }
        idle(&mut body, 21 * MILLISECOND).await;
        assert_eq!(poll_frame(&mut body), failed("broken"), "taken: {is_taken}");
    }
}

/// Mid-event, the event of `on_error` cannot be sent.
#[tokio::test(start_paused = true)]
async fn last_line_is_written_only_where_a_line_can_start() {
    let without = layer();
    let with_event = layer().on_error(|_| Event::from("never sent"));
    for (layer, coding, last, expected) in [
        (&without, "identity", "data: a\n\n", ": \n"),
        (&without, "identity", "data: a\r\r", "\n: \n"),
        (&with_event, "identity", "data: half\n", ": \n"),
        (&with_event, "identity", "data: half", ""),
        (&with_event, "identity", ": pi", ""),
        (&with_event, "gzip", "data: a\n\n", ""),
    ] {
        let (feed, source) = Feed::new();
        let answer = event_stream(source).with_header("content-encoding", coding);
        let mut body = through(layer, answer).into_body();
        feed.data(last);
        feed.fail("broken");
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(rest(&mut body).await, (expected.to_owned(), failed("broken")), "{last:?}");
    }
}

#[tokio::test]
async fn error_can_become_a_last_event_and_no_terminator_follows() {
    let (feed, mut body) = fed(&layer()
        .terminator(Event::from("[DONE]"))
        .on_error(|error| Event::new().event("error").data(error.to_string())));
    feed.data("data: a\r\r");
    feed.fail("broken");
    assert_polls(&mut body, [data("data: a\r\r"), data("\nevent: error\ndata: broken\n\n")]);
    assert!(feed.is_dropped());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// An error that looks like a disconnect can come from the source's own upstream, and half an
/// answer must not look complete.
#[tokio::test(start_paused = true)]
async fn error_that_looks_like_a_disconnect_fails_the_body() {
    let of_kind = io::Error::from;
    let errors: [&dyn Fn() -> BoxError; 8] = [
        &|| of_kind(io::ErrorKind::TimedOut).into(),
        &|| of_kind(io::ErrorKind::UnexpectedEof).into(),
        &|| of_kind(io::ErrorKind::NotConnected).into(),
        &|| of_kind(io::ErrorKind::ConnectionReset).into(),
        &|| of_kind(io::ErrorKind::BrokenPipe).into(),
        &|| Caused(of_kind(io::ErrorKind::ConnectionAborted).into()).into(),
        &|| h2::Error::from(h2::Reason::CANCEL).into(),
        &|| Status::cancelled("timeout").into(),
    ];
    for error in errors {
        for client in Requester::ALL {
            let reports = Reports::default();
            let (feed, mut body) = fed_to(client.request("/"), &reports.observe(layer()));
            feed.data("data: half\n\n");
            feed.fail(error());
            assert_eq!(poll_frame(&mut body), data("data: half\n\n"));
            let (sent, end) = rest(&mut body).await;
            assert_eq!((&*sent, end), (": \n", failed(&error().to_string())), "{client:?}");
            assert_eq!(reports.take(), [CloseReason::Failed]);

            let layer = layer().on_error(|_| Event::from("failed"));
            let (feed, mut body) = fed_to(client.request("/"), &layer);
            feed.fail(error());
            assert_eq!(rest(&mut body).await, ("data: failed\n\n".to_owned(), Polled::End));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_task_ends_event_sources_cleanly_and_fails_all_others() {
    for client in Requester::ALL {
        let reports = Reports::default();
        let layer = reports
            .observe(layer())
            .terminator(Event::from("[DONE]"))
            .on_error(|_| panic!("a cancellation is no error"));
        let (feed, mut body) = fed_to(client.request("/"), &layer);
        let error = Caused(io::Error::other(cancelled_task().await).into());
        feed.fail(error);
        let expected = match client {
            Requester::EventSource => (String::new(), Polled::End),
            _ => (": \n".to_owned(), failed("caused")),
        };
        assert_eq!(rest(&mut body).await, expected, "{client:?}");
        assert_eq!(reports.take(), [CloseReason::Cancelled], "{client:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_mid_event_or_in_a_coded_stream_fails_the_body() {
    for (coding, last, line) in
        [("identity", "data: half", ""), ("identity", "data: half\n", ": \n"), ("gzip", "x", "")]
    {
        let reports = Reports::default();
        let (feed, source) = Feed::new();
        let answer = event_stream(source).with_header("content-encoding", coding);
        let request = Requester::EventSource.request("/");
        let mut body = answer_to(request, &reports.observe(layer()), answer).into_body();
        feed.data(last);
        feed.fail(Caused(cancelled_task().await.into()));
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(rest(&mut body).await, (line.to_owned(), failed("caused")));
        assert_eq!(reports.take(), [CloseReason::Cancelled]);
    }
}

#[tokio::test(start_paused = true)]
async fn additional_errors_can_be_treated_as_cancellations() {
    let panicked = tokio::spawn(async { panic!("no cancellation") }).await.unwrap_err();
    let reports = Reports::default();
    let layer = reports
        .observe(layer())
        .cancellation_if(|error| {
            assert!(!error.is::<fmt::Error>(), "a panic counts as false");
            error.is::<Caused>()
        })
        .cancellation_if(<dyn Error>::is::<std::num::ParseIntError>);
    for (error, expected) in [
        (Caused("left".into()).into(), CloseReason::Cancelled),
        ("x".parse::<u8>().unwrap_err().into(), CloseReason::Cancelled),
        (BoxError::from("broken"), CloseReason::Failed),
        (fmt::Error.into(), CloseReason::Failed),
        (panicked.into(), CloseReason::Failed),
        (io::Error::from(io::ErrorKind::BrokenPipe).into(), CloseReason::Failed),
    ] {
        let (feed, mut body) = fed_to(Requester::EventSource.request("/"), &layer);
        feed.fail(error);
        let (_, end) = rest(&mut body).await;
        assert_eq!(end == Polled::End, expected == CloseReason::Cancelled);
        assert_eq!(reports.take(), [expected]);
    }
}

/// A clean end without an event would make half an answer look complete.
#[tokio::test(start_paused = true)]
async fn error_that_becomes_no_event_fails_the_body() {
    for (event, expected) in [
        (Some(Event::new()), (": \n", failed("broken"))),
        (Some(Event::new().comment("failed")), (": \n", failed("broken"))),
        (Some(Event::new().event("failed")), ("event: failed\ndata: \n\n", Polled::End)),
        (None, (": \n", failed("broken"))),
    ] {
        let on_error = move |_: &(dyn Error + 'static)| event.clone().expect("panics without one");
        let (feed, mut body) = fed(&layer().on_error(on_error));
        feed.fail("broken");
        let (sent, end) = rest(&mut body).await;
        assert_eq!((&*sent, end), expected);
    }
}

// Tests of what `on_error` and `cancellation_if` receive. Hosts such as axum wrap the program's
// errors, and the layer removes the wrappers that it recognises.

/// What the layer runs in, and the kind of body that fails with the program's error.
#[derive(Clone, Copy, Debug)]
enum Host {
    Axum(Answer),
    /// tonic with tonic-web. The routes of tonic are an axum router.
    Tonic(Answer),
    /// axum around the routes of tonic. axum and tonic each wrap the error.
    AxumAroundTonic,
    Hyper(Answer),
    /// hyper alone, where the service returns a bare stream.
    Bare,
    /// A host that the crate does not know, which wraps the errors of bodies.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Response,
    OtherBody,
    AxumSse,
}

impl Host {
    const ALL: [Self; 11] = [
        Self::Axum(Answer::Response),
        Self::Axum(Answer::OtherBody),
        Self::Axum(Answer::AxumSse),
        Self::Tonic(Answer::Response),
        Self::Tonic(Answer::OtherBody),
        Self::Tonic(Answer::AxumSse),
        Self::AxumAroundTonic,
        Self::Hyper(Answer::Response),
        Self::Hyper(Answer::OtherBody),
        Self::Bare,
        Self::Unknown,
    ];

    /// Returns what an `EventSource` receives of a stream that fails with `error`, and whether its
    /// end is clean.
    async fn fail(self, error: impl Into<BoxError>, options: &Options) -> (String, bool) {
        let error = error.into();
        match self {
            Self::Axum(answer) => {
                let app = router(answer, error).layer(options.layer::<marker::Http>());
                read(app.into_service()).await
            }
            Self::Tonic(answer) => {
                let routes = tonic_routes(answer, error);
                read(options.layer::<marker::Http>().layer(routes)).await
            }
            Self::AxumAroundTonic => {
                let app = Router::new().fallback_service(tonic_routes(Answer::Response, error));
                read(app.layer(options.layer::<marker::Http>()).into_service()).await
            }
            Self::Hyper(Answer::Response) => {
                read_once(options, tower_sse::response(events(error))).await
            }
            Self::Hyper(_) => read_once(options, event_stream(other_body(error))).await,
            Self::Bare => {
                let service = handler(events(error));
                read(options.layer::<marker::Events>().layer(service)).await
            }
            Self::Unknown => {
                let wrap = |error: BoxError| -> BoxError { Caused(error).into() };
                let answer = tower_sse::response(events(error)).map(|body| body.map_err(wrap));
                read_once(options, answer).await
            }
        }
    }
}

/// What the closures of a layer decide, the errors that `cancellation_if` was asked about, and the
/// close reports.
struct Options {
    cancellation_if: fn(&(dyn Error + 'static)) -> bool,
    /// Decides whether the error that `on_error` has received is of the expected type.
    on_error: fn(&(dyn Error + 'static)) -> bool,
    asked: Arc<Mutex<Vec<String>>>,
    reports: Reports,
}

impl Options {
    fn new() -> Self {
        Self {
            cancellation_if: |_| false,
            on_error: |_| false,
            asked: Arc::default(),
            reports: Reports::default(),
        }
    }

    fn layer<M>(&self) -> SseLayer<M> {
        let (is_expected, asked) = (self.on_error, Arc::clone(&self.asked));
        let is_cancellation = self.cancellation_if;
        let layer = self.reports.observe(SseLayer::new().without_retry());
        layer
            .shutdown(CancellationToken::new())
            .on_error(move |error| Event::from(is_expected(error).to_string()))
            .cancellation_if(move |error| {
                asked.lock().unwrap().push(error.to_string());
                is_cancellation(error)
            })
    }
}

fn events(error: BoxError) -> impl Stream<Item = Result<Event, BoxError>> + Send + 'static {
    stream::iter([Ok(Event::from("one")), Err(error)])
}

fn other_body(
    error: BoxError,
) -> impl http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static {
    let frames = [Ok(Frame::data(Bytes::from_static(b"data: one\n\n"))), Err(error)];
    StreamBody::new(stream::iter(frames))
}

fn router(answer: Answer, error: BoxError) -> Router {
    let error = Arc::new(Mutex::new(Some(error)));
    Router::new().route(
        "/",
        get(async move || {
            let error = error.lock().unwrap().take().expect("one request");
            match answer {
                Answer::Response => tower_sse::response(events(error)).into_response(),
                Answer::OtherBody => event_stream(Body::new(other_body(error))).into_response(),
                Answer::AxumSse => {
                    let events = [Ok(sse::Event::default().data("one")), Err(error)];
                    sse::Sse::new(stream::iter(events)).into_response()
                }
            }
        }),
    )
}

fn tonic_routes(answer: Answer, error: BoxError) -> Routes {
    let calls = Routes::default().into_axum_router().layer(GrpcWebLayer::new());
    // Merging two routers that both have a fallback panics.
    Routes::from(router(answer, error).merge(calls.reset_fallback()))
}

fn handler<R>(answer: R) -> impl Service<Request<Body>, Response = R, Error = Infallible> {
    let mut answer = Some(answer);
    service_fn(move |_| std::future::ready(Ok(answer.take().expect("one request"))))
}

async fn read_once<B>(options: &Options, answer: Response<B>) -> (String, bool)
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    read(options.layer::<marker::Http>().layer(handler(answer))).await
}

async fn read<S, B>(service: S) -> (String, bool)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes, Error: fmt::Debug>,
{
    let request = Requester::EventSource.request("/");
    let (received, error) = read_to_end(service.oneshot(request).await.unwrap().into_body()).await;
    (received, error.is_none())
}

#[tokio::test]
async fn on_error_receives_the_error_of_the_program() {
    for host in Host::ALL {
        let options = Options { on_error: |error| error.is::<Root>(), ..Options::new() };
        let received = host.fail(Root, &options).await;
        assert_eq!(received, ("data: one\n\ndata: true\n\n".to_owned(), true), "{host:?}");
        // A program's error that has a cause is not taken for a wrapper, even if the cause is a
        // wrapper.
        let options = Options { on_error: |error| error.is::<Caused>(), ..Options::new() };
        let received = host.fail(Caused(axum::Error::new(Root).into()), &options).await;
        let expected = match host {
            // The layer cannot tell which of the errors is the program's.
            Host::Hyper(Answer::OtherBody) => "false",
            _ => "true",
        };
        assert_eq!(received.0, format!("data: one\n\ndata: {expected}\n\n"), "{host:?}");
    }
}

#[tokio::test]
async fn error_of_a_stream_within_a_stream_keeps_its_wrapper() {
    let options = Options { on_error: |error| error.is::<Caused>(), ..Options::new() };
    let event = |message: Message| sse::Event::default().data(message.data);
    let answer = async move || {
        let messages = MessageStream::new(tower_sse::response(events(Root.into())).into_body());
        sse::Sse::new(messages.map(move |item| item.map(event).map_err(Caused)))
    };
    let app = Router::new().route("/", get(answer)).layer(options.layer::<marker::Http>());
    let received = read(app.into_service()).await;
    assert_eq!(received.0, "data: one\n\ndata: true\n\n");
}

#[tokio::test]
async fn cancellation_if_sees_the_error_of_the_program_and_each_cause() {
    for host in Host::ALL {
        let options = Options { cancellation_if: |error| error.is::<Root>(), ..Options::new() };
        let error = io::Error::other(Caused(io::Error::other(Root).into()));
        let received = host.fail(error, &options).await;
        assert_eq!(received, ("data: one\n\n".to_owned(), true), "{host:?}");
        assert_eq!(options.reports.take(), [CloseReason::Cancelled], "{host:?}");
        // Each `io::Error` has the text of its cause.
        let asked = ["caused", "caused", "root", "root"];
        assert_eq!(*options.asked.lock().unwrap(), asked, "{host:?}");
    }
}

/// Decides as the predicate on the page `guide::errors` does.
fn is_cancellation(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::Cancelled)
        || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

async fn canceled_request() -> hyper::Error {
    let (io, _peer) = tokio::io::duplex(1024);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    drop(connection);
    sender.send_request(Request::new(Full::<Bytes>::default())).await.unwrap_err()
}

#[tokio::test]
async fn documented_predicate_recognises_cancellations() {
    for host in Host::ALL {
        for (error, expected) in [
            (Status::cancelled("stopped").into(), CloseReason::Cancelled),
            (canceled_request().await.into(), CloseReason::Cancelled),
            (Caused(canceled_request().await.into()).into(), CloseReason::Cancelled),
            (Status::unavailable("gone").into(), CloseReason::Failed),
            // If tonic is the host and has the feature `server`, it turns this error into a
            // `Cancelled` status. The predicate must not see that status.
            (h2::Error::from(h2::Reason::CANCEL).into(), CloseReason::Failed),
            (BoxError::from("broken"), CloseReason::Failed),
        ] {
            let name = format!("{host:?}: {error:?}");
            let options = Options { cancellation_if: is_cancellation, ..Options::new() };
            let (received, is_clean) = host.fail(error, &options).await;
            assert_eq!(options.reports.take(), [expected], "{name}");
            let last = if expected == CloseReason::Failed { "data: false\n\n" } else { "" };
            assert_eq!((received, is_clean), (format!("data: one\n\n{last}"), true), "{name}");
        }
    }
}

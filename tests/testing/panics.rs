//! A test that fails says where, why and what came before.

use std::future::Future;

use crate::*;

async fn panic_of<T: Send + 'static>(test: impl Future<Output = T> + Send + 'static) -> String {
    let Err(error) = tokio::spawn(test).await else { panic!("the task did not panic") };
    let payload = error.into_panic();
    match payload.downcast::<String>() {
        Ok(formatted) => *formatted,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

/// Returns a body that sends these bytes, and then nothing.
fn silent_body(bytes: &'static str) -> axum::body::Body {
    let frames = stream::iter([Ok::<_, io::Error>(bytes)]).chain(stream::pending());
    axum::body::Body::from_stream(frames)
}

fn silent_after(bytes: &'static str) -> TestStream {
    TestStream::from_body(silent_body(bytes))
}

fn empty_frames() -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send {
    StreamBody::new(stream::repeat_with(|| Ok(Frame::data(Bytes::new()))))
}

fn answer<B>(body: B) -> std::future::Ready<Result<Response<B>, BoxError>> {
    ready(Ok(Response::new(body)))
}

fn ended_after(bytes: &str) -> TestStream {
    TestStream::from_body(bytes.to_owned())
}

async fn assert_panics<T: Send + 'static>(
    test: impl Future<Output = T> + Send + 'static,
    expected: &str,
) -> String {
    let text = panic_of(test).await;
    assert!(text.starts_with(expected), "{text}");
    text
}

macro_rules! assert_each_panics {
    ($($wait:expr => $expected:literal,)+) => {
        $(assert_panics(async move { _ = $wait.await }, $expected).await;)+
    };
}

#[track_caller]
fn assert_lines(text: &str, expected: &[&str]) {
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, expected);
}

/// Replaces this file's path, line and column, which the text must name, with `HERE`.
fn without_place(text: &str) -> String {
    let (before, place) = text.split_once(file!()).unwrap_or_else(|| panic!("no place: {text}"));
    let is_place = |c: char| c.is_ascii_digit() || c == ':';
    format!("{before}HERE{}", place.trim_start_matches(is_place))
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_the_time_limit_and_lists_what_came() {
    let start = Instant::now();
    let text = panic_of(async {
        let mut events = silent_after("data: a\n\nevent: e\nid: 7\ndata: b\n\n: c\ndata: d\ndat");
        events.take(3).await
    });
    assert_lines(
        &without_place(&text.await),
        &[
            "still waiting for message 3 of 3 after 30s, at HERE",
            "received, oldest first (3 in total):",
            "  message \"a\"",
            "  e \"b\", id \"7\"",
            "  comment \"c\"",
            "and an incomplete event or line: \"data: d\\ndat\"",
        ],
    );
    assert_eq!(start.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn every_method_names_why_it_fails() {
    let failing = || {
        let frames = stream::iter([Err::<&str, _>(io::Error::other("disk full"))]);
        TestStream::from_body(axum::body::Body::from_stream(frames))
    };
    assert_each_panics! {
        silent_after("").time_limit(5 * SECOND).next() =>
            "still waiting for a message after 5s, at ",
        silent_after("").collect() => "still waiting for the clean end after 30s, at ",
        silent_after("").next_comment() => "still waiting for a comment after 30s, at ",
        silent_after("").error() => "still waiting for an error of the body after 30s, at ",
        silent_after("data: a\n\n").assert_no_message(SECOND) =>
            "a message has come within 1s, at ",
        ended_after("").error() =>
            "the stream has ended while waiting for an error of the body, at",
        ended_after("").assert_no_message(SECOND) => "the stream has ended within 1s, at ",
        failing().next() => "the body has failed (disk full) while waiting for a message, at",
        failing().collect() => "the body has failed (disk full) while waiting for the clean end, at",
    }
    let test = async { ended_after("data: a\n\ndata: b").take(2).await };
    let text =
        assert_panics(test, "the stream has ended while waiting for message 2 of 2, at").await;
    assert!(text.ends_with("\nand an incomplete event or line: \"data: b\""), "{text}");
    let text = panic_of(async { ended_after("").next().await }).await;
    assert!(text.ends_with("\nnothing has been received"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_many_are_listed_and_long_data_is_cut() {
    let text = panic_of(async {
        let numbers = (0..100).map(|n| format!("data: {n}\n\n")).collect::<String>();
        ended_after(&(numbers + "data: " + &"ä".repeat(1000) + "\n\n")).take(102).await
    });
    let text = text.await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[1..4], ["received, oldest first (101 in total):", "  …", "  message \"85\""]);
    let long = format!("  message \"{}\"… (2000 bytes)", "ä".repeat(100));
    assert_eq!(lines[lines.len() - 2..], ["  message \"99\"", &long]);
    assert_eq!(lines.len(), 3 + 16);
}

#[tokio::test(start_paused = true)]
async fn collecting_a_stream_that_does_not_end_fails() {
    // A stream that waits between its events.
    let test = async {
        let ticks = IntervalStream::new(interval(SECOND)).map(|_| Event::from("tick"));
        TestStream::new(tower_sse::response(ticks)).collect().await
    };
    let text = assert_panics(test, "still waiting for the clean end after 30s, at ").await;
    assert!(text.contains("\nreceived, oldest first (31 in total):\n"), "{text}");
    // A stream that is always ready.
    let test = async {
        let ticks = stream::repeat_with(|| Event::from("tick"));
        TestStream::new(tower_sse::response(ticks)).collect().await
    };
    let expected =
        "more than 100000 messages and comments have come while waiting for the clean end";
    assert_panics(test, expected).await;
}

/// Runs `test` on a thread of its own, so that a test that hangs fails, and returns the text with
/// which it panics.
fn panic_on_a_thread<T: Send + 'static>(test: impl Future<Output = T> + Send + 'static) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        _ = sender.send(runtime.block_on(panic_of(test)));
    });
    receiver.recv_timeout(60 * SECOND).expect("the test hangs")
}

#[test]
fn stream_that_is_always_ready_but_sends_nothing_does_not_hang() {
    for part in ["", "\n", "id: 1\n\n", "retry: 1\r\n\r\n", "retry: 1\n"] {
        let text = panic_on_a_thread(async move {
            let frames =
                stream::repeat_with(move || Ok::<_, Infallible>(Frame::data(part.as_bytes())));
            TestStream::from_body(StreamBody::new(frames)).next().await
        });
        assert!(text.contains(" while waiting for a message, at "), "{text}");
    }
    // This stream lets other tasks run, but a paused clock stands still while it is ready.
    let text = panic_on_a_thread(async {
        let checkpoints = stream::repeat_with(|| Event::new().id(7));
        let mut events = TestStream::new(tower_sse::response(checkpoints));
        events.assert_no_message(SECOND).await;
    });
    assert!(text.contains(" have come within 1s, at "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn many_lines_without_text_are_one_event() {
    let body = "data\r\n".repeat(150_000) + "\r\n";
    let mut events = ended_after(&body);
    assert_eq!(events.next().await.data, "\n".repeat(149_999));
}

fn get<R>(
    answer: impl Future<Output = Result<Response<R>, BoxError>> + Send + 'static,
) -> impl Future<Output = String>
where
    R: http_body::Body<Error: Into<BoxError>> + Send + 'static,
{
    panic_of(async {
        let mut answer = Some(answer);
        let service = service_fn(move |_: Request<String>| answer.take().expect("one request"));
        _ = TestClient::new(service).get("/events?a=b").await;
    })
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_no_event_stream_is_shown() {
    let not_found = Response::new("no such room".to_owned()).with_status(404);
    let not_found = not_found.with_header("content-type", "text/plain");
    assert_lines(
        &without_place(&get(ready(Ok(not_found))).await),
        &[
            "GET /events?a=b: an `EventSource` gives up after status 404 Not Found, content type \
             Some(\"text/plain\"), at HERE",
            "no such room",
        ],
    );
    let text = get(answer(String::new())).await;
    assert!(text.contains(" status 200 OK, content type None, at "), "{text}");
    let text = get(ready(Ok(event_stream(String::new()).with_status(202)))).await;
    assert!(text.contains(" status 202 Accepted, "), "{text}");
    let text = get(ready(Ok(Response::new(String::new()).with_status(307)))).await;
    assert!(text.contains("doesn't follow status 307 Temporary Redirect, "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn beginning_of_an_answer_is_shown_even_if_it_does_not_end() {
    let frames = stream::repeat(Ok::<_, Infallible>("0123456789"));
    let text = get(answer(axum::body::Body::from_stream(frames))).await;
    assert_eq!(text.lines().nth(1).unwrap().len(), 1024);
    let text = get(answer(silent_body("wait"))).await;
    assert_eq!(text.lines().nth(1), Some("wait"));
}

#[test]
fn beginning_of_an_answer_that_drips_is_shown_after_a_second() {
    let text = panic_on_a_thread(async {
        let start = Instant::now();
        let ticks = IntervalStream::new(interval(SECOND * 9 / 10)).map(|_| Ok::<_, BoxError>("x"));
        let text = get(answer(axum::body::Body::from_stream(ticks))).await;
        panic!("{} after {:?}", text.lines().nth(1).unwrap(), start.elapsed())
    });
    assert_eq!(text, "xx after 1s");
    let text = panic_on_a_thread(async { panic!("{}", get(answer(empty_frames())).await) });
    assert!(text.contains(" status 200 OK, content type None, at "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn service_that_fails_or_does_not_answer_is_named() {
    let text = get::<String>(ready(Err("no database".into()))).await;
    assert_eq!(without_place(&text), "GET /events?a=b: the service failed: no database, at HERE");
    let text = get::<String>(pending()).await;
    assert_eq!(without_place(&text), "GET /events?a=b: no answer within 30s, at HERE");
}

/// Returns the text with which [`TestClient::try_get`] panics at an answer with this body.
fn try_get<B>(body: B) -> impl Future<Output = String>
where
    B: http_body::Body<Error: Into<BoxError>> + Send + 'static,
{
    panic_of(async {
        let mut answer = Some(Ok::<_, Infallible>(Response::new(body)));
        let service = service_fn(move |_: Request<String>| ready(answer.take().expect("one")));
        _ = TestClient::new(service).try_get("/").await;
    })
}

#[tokio::test(start_paused = true)]
async fn answer_whose_body_fails_or_does_not_end_is_named() {
    let frames = stream::iter([Ok("a"), Err(io::Error::other("disk full"))]);
    let text = try_get(axum::body::Body::from_stream(frames)).await;
    assert_eq!(without_place(&text), "GET /: the body failed: disk full, at HERE");
    let text = try_get(silent_body("wait")).await;
    assert_eq!(without_place(&text), "GET /: no end within 30s, at HERE");
    let text = panic_on_a_thread(async { panic!("{}", try_get(empty_frames()).await) });
    assert!(text.contains("it has not ended after 100000 frames"), "{text}");
}

#[tokio::test]
async fn what_a_test_cannot_mean_panics() {
    let service =
        || service_fn(|_: Request<String>| ready(Ok::<_, BoxError>(event_stream(String::new()))));
    let text = panic_of(async move { TestClient::new(service()).get("no uri").await }).await;
    assert_eq!(text, "\"no uri\" is not a URI: invalid uri character");
    assert_panics(
        async move { TestClient::new(service()).resume("/", "\u{1}").await },
        "the id \"\\u{1}\" cannot be the value of a header, at ",
    )
    .await;
    let text = panic_of(async move { TestClient::new(service()).reconnect(ended_after("")).await });
    assert_eq!(text.await, "only a stream that a `TestClient` opened can be opened again");
    let text = panic_of(async { TestStream::new(Response::new(String::new())) }).await;
    assert_eq!(text, "not an event stream: status 200 OK, content type None");
}

#[test]
#[should_panic(expected = "the name or the value of the header is not valid")]
fn invalid_header_panics() {
    _ = TestClient::new(()).header("a b", "c");
}

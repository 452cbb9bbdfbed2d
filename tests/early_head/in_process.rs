//! A handler, or its stream, that calls an inner service in process and reads the answer itself.

use tower_sse::streams::Streams;

use super::*;

fn outer() -> SseLayer {
    SseLayer::new().without_heartbeat().without_retry().terminator("[DONE]")
}

/// Where the program reads the inner service's answer.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// In the handler.
    InCall,
    /// In the stream that the handler has returned.
    InStream,
}

/// Returns what a client receives of a program that sends, as one event, what it has read of the
/// inner service.
async fn through_outer(inner: Router, reads: Reads) -> (String, Option<String>) {
    let handler = async move || {
        let call = async move {
            let (text, error) = receive(&inner, Requester::EventSource).await;
            Event::from(format!("{:?}", (text, error)))
        };
        match reads {
            Reads::InCall => {
                let event = call.await;
                tower_sse::response(stream::iter([event])).into_response()
            }
            Reads::InStream => tower_sse::response(stream::once(call)).into_response(),
        }
    };
    receive(&Router::new().fallback(any(handler)).layer(outer()), Requester::Fetch).await
}

fn sent(text: &str) -> (String, Option<String>) {
    (format!("data: {:?}\n\ndata: [DONE]\n\n", (text, None::<String>)), None)
}

#[tokio::test(start_paused = true)]
async fn late_event_ends_cleanly_for_a_program_that_reads_it() {
    for reads in [Reads::InCall, Reads::InStream] {
        let early = EarlyHeadLayer::new(Duration::ZERO).late_event(|_| Some("late".into()));
        let inner = slow(SECOND, || StatusCode::UNAUTHORIZED).layer(early);
        assert_eq!(through_outer(inner, reads).await, sent("data: late\n\n"), "{reads:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_stream_of_an_inner_layer_ends_cleanly_for_its_reader() {
    for reads in [Reads::InCall, Reads::InStream] {
        let inner = slow(LATE, events).layer(outer()).layer(early());
        let expected = format!("{EVENTS}data: [DONE]\n\n");
        assert_eq!(through_outer(inner, reads).await, sent(&expected), "{reads:?}");
    }
}

#[tokio::test]
async fn handler_that_reads_an_inner_service_gets_the_error_of_the_program() {
    let handler = async |_: Request<()>| {
        let failing = tower_sse::response(stream::iter([Err::<Event, _>(fmt::Error)]));
        let error = failing.into_body().collect().await.unwrap_err();
        Ok::<_, Infallible>(tower_sse::response(stream::iter([Event::from(
            error.is::<fmt::Error>().to_string(),
        )])))
    };
    let service = ServiceBuilder::new().layer(outer()).service_fn(handler);
    let response = service.oneshot(Requester::Fetch.request("/")).await.unwrap();
    assert_eq!(read(response.into_body()).await.0, "data: true\n\ndata: [DONE]\n\n");
}

/// Middleware between the layers drops a first answer, whose event has reported an error, and calls
/// the service again.
#[tokio::test(start_paused = true)]
async fn answer_after_one_that_was_dropped_has_a_terminator() {
    let calls = Arc::new(AtomicUsize::new(0));
    let answer = move || match calls.fetch_add(1, SeqCst) {
        0 => StatusCode::BAD_GATEWAY.into_response(),
        _ => events(),
    };
    let twice = async |request: axum::extract::Request, next: axum::middleware::Next| {
        let (parts, _) = request.into_parts();
        let again = Request::from_parts(parts.clone(), AxumBody::empty());
        let first = next.clone().run(Request::from_parts(parts, AxumBody::empty())).await;
        _ = read(first.into_body()).await;
        next.run(again).await
    };
    let app = slow(LATE, answer).layer(early().late_event(|_| Some("late".into())));
    let app = app.layer(axum::middleware::from_fn(twice)).layer(outer());
    let expected = (format!(": \n{EVENTS}data: [DONE]\n\n"), None);
    assert_eq!(receive(&app, Requester::Fetch).await, expected);
}

/// Returns what a client receives of a program whose recorded handler sends, as one event, what it
/// has read of `inner`.
#[cfg(feature = "runs")]
async fn through_a_run(inner: Router, uri: &'static str) -> String {
    use tower_sse::runs::{RunKey, Runs};

    let handler = async move || {
        let request = Requester::EventSource.request(uri);
        let (text, _) = read(send(&inner, request).await.into_body()).await;
        tower_sse::response(stream::iter([Event::from(text)]))
    };
    let runs = Runs::new().layer(|_: &Request<AxumBody>| Some(RunKey::shared("one")));
    let app = Router::new().fallback(any(handler)).layer(runs).layer(outer());
    receive(&app, Requester::Fetch).await.0
}

/// A stream that is read within the call of a run isn't the run's own.
#[cfg(feature = "runs")]
#[tokio::test(start_paused = true)]
async fn stream_that_a_recorded_call_reads_has_its_subjects() {
    let streams = Streams::new();
    let add = async |subjects: Subjects| {
        subjects.add("user:7");
        tower_sse::response(stream::pending::<Event>())
    };
    let inner = Router::new().fallback(any(add)).layer(outer().streams(&streams));
    let closing = async {
        sleep(SECOND).await;
        assert_eq!(streams.close("user:7").await.unwrap(), 1);
    };
    let (received, ()) = tokio::join!(through_a_run(inner, "/"), closing);
    assert!(received.starts_with("data: \nid: "), "{received:?}");
}

#[cfg(feature = "runs")]
#[tokio::test(start_paused = true)]
async fn long_poll_that_a_recorded_call_reads_ends() {
    let silent = || tower_sse::response(stream::pending::<Event>()).into_response();
    let inner = slow(Duration::ZERO, silent).layer(outer().long_poll_query("poll"));
    let start = Instant::now();
    let received = through_a_run(inner, "/?poll=8").await;
    assert!(received.starts_with("data: \nid: "), "{received:?}");
    assert_eq!(start.elapsed().as_secs(), 8);
}

/// Whether the layer finds the early head decides, not who polls.
#[tokio::test(start_paused = true)]
async fn late_event_behind_middleware_that_drops_extensions_ends_as_a_stream_does() {
    let drops = async |request: axum::extract::Request, next: axum::middleware::Next| {
        let mut response = next.run(request).await;
        response.extensions_mut().clear();
        response
    };
    let app = slow(LATE, || StatusCode::BAD_GATEWAY);
    let app = app.layer(early().late_event(|_| Some("late".into())));
    let app = app.layer(axum::middleware::from_fn(drops)).layer(outer());
    let expected = ("data: late\n\ndata: [DONE]\n\n".to_owned(), None);
    assert_eq!(receive(&app, Requester::Fetch).await, expected);
}

/// The middleware passes the head on only once it has read the whole late answer.
#[tokio::test(start_paused = true)]
async fn late_event_that_middleware_has_buffered_has_no_terminator() {
    let buffers = async |request: axum::extract::Request, next: axum::middleware::Next| {
        let (parts, body) = next.run(request).await.into_parts();
        match body.collect().await {
            Ok(whole) => AxumResponse::from_parts(parts, whole.to_bytes().into()),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    };
    let app = slow(LATE, || StatusCode::BAD_GATEWAY);
    let app = app.layer(early().late_event(|_| Some("late".into())));
    let app = app.layer(axum::middleware::from_fn(buffers)).layer(outer());
    let response = ask(&app, Requester::Fetch).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(read(response.into_body()).await, (": \ndata: late\n\n".into(), None));
}

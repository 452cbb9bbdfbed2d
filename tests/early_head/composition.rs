//! What the options of `SseLayer` do while the service has not answered, and after a late answer.

use tower_sse::streams::Streams;

use super::*;

/// Returns an app that never answers, and a pointer of which each running call holds a clone.
fn waiting(layer: SseLayer) -> (Router, Arc<()>) {
    let running = Arc::new(());
    let held = Arc::clone(&running);
    let app = Router::new().fallback(any(async move || {
        let _held = Arc::clone(&held);
        pending::<()>().await;
    }));
    (app.layer(early()).layer(layer), running)
}

#[tokio::test(start_paused = true)]
async fn refusal_comes_with_the_early_head_and_drops_the_call() {
    let stats = Stats::new();
    let (app, running) = waiting(SseLayer::new().max_streams(1).stats(&stats));
    let first = ask(&app, Requester::Post).await;
    let with_one = Arc::strong_count(&running);
    let start = Instant::now();
    let second = ask(&app, Requester::Post).await;
    assert_eq!((second.status(), start.elapsed()), (StatusCode::SERVICE_UNAVAILABLE, AFTER));
    assert_eq!(Arc::strong_count(&running), with_one, "the call was dropped");
    assert_eq!((stats.snapshot().open, stats.snapshot().refused), (1, 1));
    drop(first);
    assert_eq!(ask(&app, Requester::Post).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn client_that_leaves_drops_the_call() {
    let reports = Reports::default();
    let (sender, seen) = oneshot::channel();
    let sender = Arc::new(Mutex::new(Some(sender)));
    let app = Router::new().fallback(any(async move |disconnect: Disconnect| {
        let sender = sender.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            disconnect.cancelled().await;
            sender.send(()).unwrap();
        });
        pending::<()>().await;
    }));
    let layer = reports.observe(SseLayer::new().track_disconnects(true));
    let response = ask(&app.layer(early()).layer(layer), Requester::EventSource).await;
    drop(response);
    seen.await.unwrap();
    assert_eq!(reports.take(), [CloseReason::Disconnected]);
}

/// Returns what a client receives if its late answer has these options, and how long that takes.
async fn with_late(
    client: Requester,
    layer: SseLayer,
    options: StreamOptions,
) -> ((String, Option<String>), Duration) {
    let endless = move || {
        let one = stream::iter([Event::from("one")]).chain(stream::pending());
        tower_sse::response(one).with_options(options.clone()).into_response()
    };
    let app = slow(LATE, endless).layer(early()).layer(layer);
    let start = Instant::now();
    let received = receive(&app, client).await;
    (received, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn maximum_age_of_a_late_response_counts_from_the_answer() {
    let reports = Reports::default();
    let layer = || reports.observe(SseLayer::new().retry(SECOND).without_heartbeat());
    for (client, grace) in [(Requester::EventSource, 0), (Requester::Post, 30)] {
        let age = StreamOptions::new().max_age(25 * SECOND);
        let (received, time) = with_late(client, layer(), age).await;
        let error = received.1.as_deref().unwrap_or_default();
        assert_eq!(time.as_secs(), (LATE + (25 + grace) * SECOND).as_secs());
        assert_eq!(error.contains("cut short"), client == Requester::Post, "{error}");
        assert_eq!(reports.take(), [CloseReason::Expired]);
        assert!(received.0.starts_with("retry: 1000\ndata: one\n\n"), "{}", received.0);
    }
}

/// The late stream's source sends two events or none, and fails two minutes later.
#[tokio::test(start_paused = true)]
async fn options_of_a_late_answer_apply_from_the_answer_on() {
    let new = StreamOptions::new;
    let beat = || Heartbeat::every(50 * SECOND).event("beat", "{}");
    let failed = |text: &str| format!("{EVENTS}{text}data: failed\n\n");
    let cases = [
        (new(), 2, failed("")),
        (new().retry(7 * SECOND), 2, format!("retry: 7000\n{}", failed(""))),
        (new().heartbeat(50 * SECOND), 2, failed(": \n: \n")),
        (new().heartbeat(beat()), 2, failed(&"event: beat\ndata: {}\n\n".repeat(2))),
        // The events of the layer repeat the client's id.
        (
            new().heartbeat(beat()),
            0,
            "event: beat\ndata: {}\nid: 7\n\n".repeat(2) + "data: failed\nid: 7\n\n",
        ),
        // Without effect: the first bytes were sent with the head.
        (new().padding(100).long_poll(SECOND), 2, failed("")),
    ];
    for (options, events, expected) in cases {
        let closed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&closed);
        let options = options.on_error(|_| "failed".into()).on_close(move |report| {
            assert_eq!(report.reason, CloseReason::Failed);
            count.fetch_add(1, SeqCst);
        });
        let answer = move || {
            let failing = stream::once(async {
                sleep(2 * LATE).await;
                Err::<Event, _>(fmt::Error)
            });
            let sent = stream::iter(["one", "two"].map(|data| Ok(Event::from(data))));
            tower_sse::response(sent.take(events).chain(failing)).with_options(options.clone())
        };
        // A heartbeat of the layer would come after the answer's, if its timer stayed.
        let layer = SseLayer::new().without_retry().heartbeat(100 * LATE);
        let app = slow(LATE, answer).layer(early()).layer(layer);
        let mut request = Requester::EventSource.request("/");
        request.headers_mut().insert("last-event-id", "7".parse().unwrap());
        let received = read(send(&app, request).await.into_body()).await;
        assert_eq!(received, (format!(": \n{expected}"), None));
        assert_eq!(closed.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_late_answer_is_as_its_options_say() {
    let done = || events().with_options(StreamOptions::new().terminator("[DONE]"));
    let layer = SseLayer::new().without_retry().without_heartbeat();
    let app = slow(LATE, done).layer(early()).layer(layer);
    let expected = format!(": \n{EVENTS}data: [DONE]\n\n");
    assert_eq!(receive(&app, Requester::Post).await, (expected, None));

    let token = CancellationToken::new();
    let drain = Drain::after(5 * SECOND);
    let options = StreamOptions::new().drain(drain).farewell("bye");
    let layer = SseLayer::new().without_retry().without_heartbeat().shutdown(token.clone());
    let shutdown = async {
        sleep(LATE + SECOND).await;
        token.cancel();
    };
    let streaming = with_late(Requester::EventSource, layer, options);
    let (((text, error), time), ()) = tokio::join!(streaming, shutdown);
    assert!(text.starts_with(": \ndata: one\n\n") && text.ends_with("data: bye\n\n"), "{text}");
    assert_eq!((error, time), (None, LATE + 6 * SECOND));
}

/// A stream that expires mid-event waits for the end of that event, but for a limited time.
#[tokio::test(start_paused = true)]
async fn late_stream_that_expires_ends_between_events() {
    for (rest, expected) in [(SECOND, "data: one\ndata: two\n\n"), (LATE, "data: one\n: \n")] {
        let halves = move || {
            let second = stream::once(async move {
                sleep(3 * SECOND + rest).await;
                "data: two\n\ndata: three\n\n"
            });
            let frames = stream::iter(["data: one\n"]).chain(second).map(Ok::<_, Infallible>);
            event_stream(AxumBody::from_stream(frames))
                .with_options(StreamOptions::new().max_age(3 * SECOND))
        };
        let layer = SseLayer::new().without_retry().without_heartbeat();
        let app = slow(LATE, halves).layer(early()).layer(layer);
        let (text, error) = receive(&app, Requester::EventSource).await;
        assert_eq!((&*text, error.is_some()), (&*format!(": \n{expected}"), rest == LATE));
    }
}

#[tokio::test(start_paused = true)]
async fn maximum_age_counts_from_the_early_head() {
    let layer = SseLayer::new().max_age(20 * SECOND).without_retry().without_heartbeat();
    let page = Requester::EventSource;
    let ((text, _), time) = with_late(page, layer.clone(), StreamOptions::new()).await;
    assert_eq!((&*text, time), (": \n", AFTER + 20 * SECOND));
    let layer = layer.max_age(LATE);
    let ((text, _), time) = with_late(page, layer, StreamOptions::new().max_age(LATE)).await;
    assert_eq!((&*text, time), (": \ndata: one\n\n", AFTER + LATE));
}

#[tokio::test(start_paused = true)]
async fn options_of_the_request_apply() {
    let options = StreamOptions::new().terminator("[DONE]").without_heartbeat();
    let app = slow(LATE, events).layer(early()).layer(SseLayer::new());
    let mut request = Requester::Post.request("/");
    options.merge_into_extensions(request.extensions_mut());
    let (text, _) = read(send(&app, request).await.into_body()).await;
    assert_eq!(text, format!(": \n{EVENTS}data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn late_refusal_is_not_counted_and_has_no_terminator() {
    let stats = Stats::new();
    let refuse = |request: axum::extract::Request| async move {
        sleep(LATE).await;
        let (parts, _) = request.into_parts();
        Refusal::per_client().retry(5 * SECOND).answer(&parts).into_response()
    };
    let layer = SseLayer::new().without_retry().without_heartbeat().terminator("[DONE]");
    let app = Router::new().fallback(any(refuse)).layer(early()).layer(layer.stats(&stats));
    // The end has been held for a second.
    let expected = (": \nretry: 4000\n".into(), None);
    assert_eq!(receive(&app, Requester::EventSource).await, expected);
    assert!(receive(&app, Requester::Post).await.1.is_some());
    assert_eq!(stats.snapshot().refused, 0);
}

/// Returns an app whose handler adds the subject `name` after `wait`, and answers with an endless
/// stream after `LATE`. Each running handler holds a clone of `running`.
fn adding(streams: &Streams, name: &'static str, wait: Duration, running: &Arc<()>) -> Router {
    let running = Arc::downgrade(running);
    let handler = async move |subjects: Subjects| {
        let _running = running.upgrade();
        sleep(wait).await;
        subjects.add(name);
        sleep(LATE - wait).await;
        tower_sse::response(stream::pending::<Event>())
    };
    let layer = SseLayer::new().without_heartbeat().streams(streams);
    Router::new().fallback(any(handler)).layer(early()).layer(layer)
}

#[tokio::test(start_paused = true)]
async fn log_out_ends_a_stream_whose_subject_was_added_late() {
    for (name, wait, close_at, ends_at) in [
        ("known at the early head", SECOND, 2 * AFTER, 2 * AFTER),
        ("added late, closed before the answer", 2 * AFTER, 3 * AFTER, 3 * AFTER),
        ("added late, closed before it is added", 3 * AFTER, 2 * AFTER, 3 * AFTER),
        ("added late, closed after the answer", 2 * AFTER, LATE + AFTER, LATE + AFTER),
    ] {
        let _case = case(name);
        let streams = Streams::new();
        let running = Arc::new(());
        let app = adding(&streams, "user:7", wait, &running);
        let start = Instant::now();
        let closing = async {
            sleep(close_at).await;
            _ = streams.close("user:7").await;
        };
        let received = async {
            let received = receive(&app, Requester::EventSource).await;
            assert!(received.1.is_none());
        };
        tokio::join!(closing, received);
        assert_eq!((start.elapsed(), Arc::strong_count(&running)), (ends_at, 1));
    }
}

/// The first event of the late answer is ready at once.
#[tokio::test(start_paused = true)]
async fn closed_or_expired_client_gets_nothing_of_a_late_answer() {
    for closes in [true, false] {
        let streams = Streams::new();
        let handler = async move |mut request: axum::extract::Request| {
            sleep(LATE).await;
            let subjects = request.extensions_mut().remove::<Subjects>().unwrap();
            subjects.add("user:7");
            let age = StreamOptions::new().max_age(Duration::ZERO);
            events().with_options(if closes { StreamOptions::new() } else { age })
        };
        let layer = SseLayer::new().without_heartbeat().terminator("[DONE]").streams(&streams);
        let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
        let closing = async {
            sleep(2 * AFTER).await;
            if closes {
                _ = streams.close("user:7").await;
            }
        };
        let received = async { receive(&app, Requester::EventSource).await.0 };
        let (_, text) = tokio::join!(closing, received);
        assert!(!text.contains("data"), "{text}");
    }
}

/// The program closes the stream mid-event, and the event is complete only after the answer's
/// maximum age.
#[tokio::test(start_paused = true)]
async fn closed_late_answer_ends_as_closed_although_its_age_is_over() {
    let (streams, reports) = (Streams::new(), Reports::default());
    let halves = || {
        let second = stream::once(async {
            sleep(SECOND + 100 * MILLISECOND).await;
            "data: two\n\n"
        });
        let frames = stream::iter(["data: one\n"]).chain(second).map(Ok::<_, Infallible>);
        event_stream(AxumBody::from_stream(frames))
            .with_options(StreamOptions::new().max_age(SECOND))
    };
    let layer = SseLayer::new().without_retry().without_heartbeat().streams(&streams);
    let app = slow(LATE, halves).layer(early()).layer(reports.observe(layer));
    let mut request = Requester::EventSource.request("/");
    streams.subjects_of(&mut request).add("user:7");
    let closing = async {
        sleep(LATE + 900 * MILLISECOND).await;
        assert_eq!(streams.close("user:7").await.unwrap(), 1);
    };
    let received = async { read(send(&app, request).await.into_body()).await };
    let (_, received) = tokio::join!(closing, received);
    assert_eq!(received, (": \ndata: one\ndata: two\n\n".into(), None));
    assert_eq!(reports.take(), [CloseReason::Revoked]);
}

/// A handler adds a subject late. `SseLayer`s are outside of the early head, or on both sides of
/// it. If `twice` is set, the handler also sends an early head of its own.
#[tokio::test(start_paused = true)]
async fn late_place_counts_once_for_any_layers() {
    for (layers_outside, is_inside, twice) in
        [(1, false, false), (2, false, false), (1, true, false), (1, true, true)]
    {
        let streams = Streams::builder().limit("user:", 2).build();
        let layer = || SseLayer::new().without_heartbeat().streams(&streams);
        let handler = async move |subjects: Subjects| {
            let call = async move {
                sleep(LATE).await;
                subjects.add("user:7");
                tower_sse::response(stream::pending::<Event>()).into_response()
            };
            let after = if twice { 2 * AFTER } else { Duration::MAX };
            EarlyHeadLayer::new(after).answer(call).await.into_response()
        };
        let mut app = Router::new().fallback(any(handler));
        app = if is_inside { app.layer(layer()) } else { app }.layer(early());
        for _ in 0..layers_outside {
            app = app.layer(layer());
        }
        let mut bodies = Vec::new();
        for is_full in [false, false, true] {
            let mut body = ask(&app, Requester::Get).await.into_body();
            assert_eq!(poll_frame(&mut body), data(": \n"));
            idle(&mut body, 2 * AFTER).await;
            _ = poll_frame(&mut body);
            sleep(LATE).await;
            assert_eq!(matches!(poll_frame(&mut body), Polled::Pending), !is_full);
            bodies.push(body);
        }
        assert!(streams.close("user:7").await.unwrap() >= 2, "a logout finds the streams");
    }
}

/// Before the logout, the layer has sent an early head, and the handler has answered with another
/// one. The `call` behind the handler's head adds the subject only after the logout.
#[tokio::test(start_paused = true)]
async fn log_out_after_a_second_early_head_ends_the_stream() {
    let streams = Streams::new();
    let layer = || SseLayer::new().without_heartbeat().streams(&streams);
    let handler = async |subjects: Subjects| {
        let call = async move {
            sleep(LATE).await;
            subjects.add("user:7");
            pending::<AxumResponse>().await
        };
        EarlyHeadLayer::new(2 * AFTER).answer(call).await.into_response()
    };
    let app = Router::new().fallback(any(handler)).layer(layer()).layer(early()).layer(layer());
    let mut body = ask(&app, Requester::Get).await.into_body();
    assert_eq!(poll_frame(&mut body), data(": \n"));
    idle(&mut body, 3 * AFTER).await;
    _ = (poll_frame(&mut body), poll_frame(&mut body));
    _ = streams.close("user:7").await;
    idle(&mut body, LATE).await;
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// The outer layer adds nothing to the end of the inner layer's stream.
#[tokio::test(start_paused = true)]
async fn late_stream_of_an_inner_layer_ends_as_that_layer_ends_it() {
    let outer = || SseLayer::new().without_heartbeat().terminator("[DONE]");
    let outer = || outer().on_error(|_| Event::from("of the outer layer"));
    let ends = async |inner: SseLayer, body: &'static str, is_open: bool| {
        let answer = move || {
            let silence = stream::pending().take(usize::from(is_open));
            let frames = stream::iter([Ok::<_, Infallible>(body)]).chain(silence);
            event_stream(AxumBody::from_stream(frames))
        };
        let app = slow(LATE, answer).layer(inner.without_heartbeat());
        let app = app.layer(early().when(|_| true)).layer(outer());
        receive(&app, Requester::Post).await
    };
    let (text, error) = ends(SseLayer::new(), "data: x\n", false).await;
    assert!(text.ends_with("data: x\n") && error.is_none(), "{text} {error:?}");
    let brief = SseLayer::new().max_age(MaxAge::new(SECOND).grace(Duration::ZERO));
    let (text, error) = ends(brief, "data: x\n\n", true).await;
    assert!(text.ends_with("data: x\n\n: \n"), "{text}");
    assert!(error.unwrap().contains("cut short"));
}

#[tokio::test(start_paused = true)]
async fn late_subject_holds_a_place_in_its_limit() {
    let streams = Streams::builder().limit("user:", 1).build();
    let app = adding(&streams, "user:7", 2 * AFTER, &Arc::default());
    let mut body = ask(&app, Requester::Get).await.into_body();
    assert_eq!(poll_frame(&mut body), data(": \n"));
    // The body is polled before the subject is added, before the answer, and after the answer.
    for _ in 0..3 {
        idle(&mut body, LATE).await;
    }
    let start = Instant::now();
    let full = Router::new().fallback(any(async |subjects: Subjects| {
        if subjects.add("user:7") { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS }
    }));
    let full = full.layer(SseLayer::new().streams(&streams));
    assert_eq!(ask(&full, Requester::Get).await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(body);
    assert_eq!(ask(&full, Requester::Get).await.status(), StatusCode::OK);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

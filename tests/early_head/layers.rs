//! Other layers inside and outside of the early head.

use tokio::sync::Notify;

use super::*;

#[tokio::test(start_paused = true)]
async fn call_that_spends_the_budget_of_tokio_does_not_delay_the_head() {
    let service = service_fn(|_: Request<()>| async {
        let start = Instant::now();
        while start.elapsed() < LATE {
            let mut ready = interval(Duration::from_nanos(1));
            while coop::has_budget_remaining() {
                ready.tick().await;
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok::<_, Infallible>(event_stream(Full::<Bytes>::from("data: x\n\n")))
    });
    let start = Instant::now();
    let layers = ServiceBuilder::new().layer(SseLayer::new()).layer(early());
    _ = layers.service(service).oneshot(Requester::Post.request("/")).await.unwrap();
    assert!(start.elapsed() < AFTER + SECOND, "{:?}", start.elapsed());
}

/// The maximum age of an inner layer ends the first app's stream. The other two end with the event
/// of a late error, behind one early head and behind two. The outer layer adds no terminator to any
/// of them, whichever tasks call the service and read the body.
#[tokio::test(start_paused = true)]
async fn stream_that_an_inner_layer_cuts_has_no_terminator() {
    let endless = || {
        tower_sse::response(stream::iter([Event::from("one")]).chain(stream::pending()))
            .into_response()
    };
    let late_event = |early: EarlyHeadLayer| early.late_event(|_| Some("one".into()));
    let failing = slow(LATE, || StatusCode::BAD_GATEWAY);
    let twice = Router::new().fallback(any(async move || {
        let call = async {
            sleep(LATE).await;
            StatusCode::BAD_GATEWAY.into_response()
        };
        late_event(EarlyHeadLayer::new(2 * AFTER)).answer(call).await.into_response()
    }));
    let inner = SseLayer::new().max_age(SECOND).without_heartbeat().without_retry();
    let outer = SseLayer::new().terminator("[DONE]").without_heartbeat().without_retry();
    for app in [
        slow(LATE, endless).layer(inner).layer(early()),
        failing.layer(late_event(early())),
        twice.layer(early()),
    ] {
        for tasks in TASKS {
            let apart =
                axum::middleware::from_fn(move |request, next| on_tasks(tasks, request, next));
            let app = app.clone().layer(apart).layer(outer.clone());
            let expected = (": \ndata: one\n\n".into(), None);
            assert_eq!(receive(&app, Requester::EventSource).await, expected, "{tasks:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn late_subject_enters_although_middleware_copies_the_extensions_of_requests() {
    let streams = tower_sse::streams::Streams::new();
    let layer = SseLayer::new().without_heartbeat().streams(&streams);
    let add = async |subjects: Subjects| {
        sleep(LATE).await;
        let joined = stream::once(sleep(SECOND)).map(move |()| {
            subjects.add("room:7");
            Event::from("joined")
        });
        tower_sse::response(joined.chain(stream::pending()))
    };
    let app = Router::new().fallback(any(add));
    let app = app.layer(axum::middleware::from_fn(copy)).layer(early()).layer(layer);
    let mut body = ask(&app, Requester::Get).await.into_body();
    let closing = async {
        sleep(LATE - AFTER + SECOND / 2).await;
        streams.close("room:7").await.unwrap();
    };
    assert_eq!(poll_frame(&mut body), data(": \n"));
    let (joined, ()) = tokio::join!(body.frame(), closing);
    assert_eq!(joined.unwrap().unwrap().into_data().unwrap(), "data: joined\n\n");
    assert_eq!(poll_frame(&mut body), Polled::Pending, "closed before the client joined");
    assert_eq!(streams.close("room:7").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn answer_behind_two_early_heads_keeps_its_maximum_age_and_subjects() {
    let handler = async |subjects: Subjects| {
        let call = async move {
            sleep(LATE).await;
            subjects.add("user:7");
            tower_sse::response(stream::pending::<Event>())
                .with_options(StreamOptions::new().max_age(4 * SECOND))
        };
        EarlyHeadLayer::new(2 * AFTER).answer(call).await.into_response()
    };
    let streams = tower_sse::streams::Streams::new();
    let layer = SseLayer::new().without_heartbeat().without_retry().streams(&streams);
    // The inner `EarlyHeadLayer` passes the request through, because the outer one already waits.
    let app = Router::new().fallback(any(handler)).layer(early()).layer(early()).layer(layer);
    for (closes_at, ends_at) in [(SECOND, SECOND), (LATE, 4 * SECOND)] {
        let start = Instant::now();
        let closing = async {
            sleep(LATE + closes_at).await;
            _ = streams.close("user:7").await;
        };
        let received = async {
            let received = receive(&app, Requester::EventSource).await;
            assert_eq!((received, start.elapsed()), ((": \n".into(), None), LATE + ends_at));
        };
        tokio::join!(received, closing);
    }
}

/// Middleware can read the answer, or the second early head, before the layer gets the first head.
#[tokio::test(start_paused = true)]
async fn late_answer_keeps_its_maximum_age_whichever_tasks_poll() {
    for (tasks, after) in TASKS.into_iter().flat_map(|it| [(it, Duration::MAX), (it, 2 * AFTER)]) {
        let handler = async move || {
            let call = async {
                sleep(LATE).await;
                tower_sse::response(stream::pending::<Event>())
                    .with_options(StreamOptions::new().max_age(4 * SECOND))
            };
            EarlyHeadLayer::new(after).answer(call).await.into_response()
        };
        let apart = axum::middleware::from_fn(move |request, next| on_tasks(tasks, request, next));
        let app = Router::new().fallback(any(handler)).layer(early()).layer(apart);
        let app = app.layer(SseLayer::new().without_heartbeat().without_retry());
        let start = Instant::now();
        let received = receive(&app, Requester::EventSource).await;
        assert_eq!((received, start.elapsed()), ((": \n".into(), None), LATE + 4 * SECOND));
    }
}

/// axum wraps the error by which the second early head says that the answer's age is over.
#[tokio::test(start_paused = true)]
async fn answer_behind_two_early_heads_completes_its_event_before_it_expires() {
    let handler = async || {
        let call = async {
            sleep(LATE).await;
            let rest = stream::once(sleep(5 * SECOND)).map(|()| "data: b\n\n");
            let frames = stream::iter(["data: a\n"]).chain(rest).chain(stream::pending());
            event_stream(AxumBody::from_stream(frames.map(Ok::<_, Infallible>)))
                .with_options(StreamOptions::new().max_age(4 * SECOND))
        };
        EarlyHeadLayer::new(2 * AFTER).answer(call).await.into_response()
    };
    let layer = SseLayer::new().without_heartbeat();
    let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
    let (text, error) = receive(&app, Requester::Fetch).await;
    assert!(text.starts_with(": \ndata: a\ndata: b\n\n") && error.is_some(), "{text} {error:?}");
}

/// The first app has no `SseLayer`. In the second, the early head is outside of `SseLayer`.
#[tokio::test(start_paused = true)]
async fn outermost_early_head_ends_cleanly() {
    let late_event = |late: &Response<Bytes>| Some(Event::from(late.status().as_str()));
    let failing = slow(LATE, || StatusCode::BAD_GATEWAY).layer(early().late_event(late_event));
    assert_eq!(receive(&failing, Requester::Get).await, ("data: 502\n\n".into(), None));
    let wrong_order = slow(LATE, events).layer(SseLayer::new()).layer(early());
    assert_eq!(receive(&wrong_order, Requester::Get).await, (EVENTS.into(), None));
}

/// With a real clock: a paused one stands still while a task is always ready. The service answers
/// after the head. If it answered in time, its endless response would be passed on unchanged, and
/// nothing would end the reading.
#[tokio::test]
async fn body_of_endless_empty_frames_yields() {
    let head_is_sent = Arc::new(Notify::new());
    let is_sent = Arc::clone(&head_is_sent);
    let empty = async move || {
        is_sent.notified().await;
        let frames = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::new()));
        AxumResponse::new(AxumBody::from_stream(frames)).with_status(500)
    };
    let early = EarlyHeadLayer::new(MILLISECOND).when(|_| true);
    let app = Router::new().fallback(any(empty)).layer(early);
    let app = app.layer(SseLayer::new().max_age(100 * MILLISECOND));
    let body = ask(&app, Requester::Get).await.into_body();
    head_is_sent.notify_one();
    assert!(read(body).await.0.starts_with(": \n"));
}

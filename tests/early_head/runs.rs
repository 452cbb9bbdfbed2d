//! Runs and hubs behind an early head, and an early head inside of a run.

use tower_sse::hub::Hub;
use tower_sse::runs::{InvalidKey, Outcome, RunKey, Runs};

use super::*;

fn key(request: &Request<AxumBody>) -> Option<Result<RunKey, InvalidKey>> {
    Some(RunKey::new("user", request.uri().path()))
}

fn run_of(path: &str) -> RunKey {
    RunKey::new("user", path).unwrap()
}

/// Sends two calls to an app that allows one stream. Returns the response to the first call. The
/// second call is refused at its early head.
async fn open_and_refuse(app: Router) -> AxumResponse {
    let app = app.layer(early()).layer(SseLayer::new().max_streams(1));
    let open = send(&app, Requester::Post.request("/open")).await;
    let refused = send(&app, Requester::Post.request("/refused")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    open
}

#[tokio::test(start_paused = true)]
async fn every_client_of_a_starting_run_gets_an_early_head() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let answer = move || {
        count.fetch_add(1, SeqCst);
        events()
    };
    let app = slow(LATE, answer).layer(Runs::new().layer(key)).layer(early());
    let app = app.layer(SseLayer::new().without_heartbeat());
    let start = Instant::now();
    let first = ask(&app, Requester::Post).await;
    let second = ask(&app, Requester::Post).await;
    assert_eq!(start.elapsed(), 2 * AFTER);
    drop(first);
    let (text, error) = read(second.into_body()).await;
    assert!(text.contains("data: two") && error.is_none());
    assert_eq!((calls.load(SeqCst), start.elapsed()), (1, LATE));
}

#[tokio::test(start_paused = true)]
async fn late_error_starts_no_run() {
    let runs = Runs::new();
    let app = slow(LATE, || StatusCode::BAD_GATEWAY).layer(runs.layer(key)).layer(early());
    let app = app.layer(SseLayer::new());
    for _ in 0..2 {
        assert!(receive(&app, Requester::Post).await.1.is_some());
        assert!(runs.get(&run_of("/")).await.is_none());
    }
}

/// The early head is inside of the runs. Its late event has reported the error to the clients, so
/// no other event follows.
#[tokio::test(start_paused = true)]
async fn run_of_a_late_error_fails_whichever_tasks_poll() {
    for tasks in TASKS {
        let runs = Runs::new();
        let failing = slow(LATE, || StatusCode::BAD_GATEWAY);
        let app = failing.layer(early().late_event(|_| Some("late".into())));
        let apart = axum::middleware::from_fn(move |request, next| on_tasks(tasks, request, next));
        let app = app.layer(apart).layer(runs.layer(key));
        let app = app.layer(SseLayer::new().on_error(|_| Event::from("failed")));
        let (text, error) = receive(&app, Requester::Post).await;
        let events: Vec<_> = text.lines().filter(|line| line.starts_with("data: ")).collect();
        assert_eq!((events, error), (vec!["data: late"], None), "{tasks:?}");
        let outcome = runs.get(&run_of("/")).await.unwrap().outcome();
        assert_eq!(outcome, Some(Outcome::Failed), "{tasks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn run_of_an_inner_layers_late_answer_ends_as_the_answer() {
    let failing = || {
        tower_sse::response(stream::iter([Ok(Event::from("one")), Err(fmt::Error)])).into_response()
    };
    let refusing = || {
        let (parts, ()) = Requester::EventSource.request("/").into_parts();
        Refusal::per_client().answer(&parts).into_response()
    };
    let cases = [
        (events as fn() -> AxumResponse, Outcome::Completed, false),
        (failing, Outcome::Failed, true),
        (refusing, Outcome::Failed, false),
    ];
    for ((answer, outcome, is_programs), has_middle) in
        cases.into_iter().flat_map(|case| [(case, false), (case, true)])
    {
        let runs = Runs::new();
        let inner: SseLayer = SseLayer::new().on_error(|_| Event::from("inner"));
        let middle = SseLayer::new().on_error(|_| Event::from("middle"));
        let app = slow(LATE, answer).layer(inner).layer(early());
        let app = if has_middle { app.layer(middle) } else { app }.layer(runs.layer(key));
        let (text, error) = receive(&app.layer(SseLayer::new()), Requester::Post).await;
        let run = runs.get(&run_of("/")).await.unwrap();
        assert_eq!(run.outcome(), Some(outcome), "{text}");
        assert_eq!(error.is_none(), outcome == Outcome::Completed, "{text}");
        assert_eq!((text.contains("inner"), text.contains("middle")), (is_programs, false));
        let items: Vec<_> = run.attach(None).await.unwrap().collect().await;
        let error = items.last().and_then(|last| last.as_ref().err()?.error());
        assert_eq!(error.is_some_and(<dyn Error>::is::<fmt::Error>), is_programs, "{text}");
    }
}

/// The `retry` line of the inner layer is not meant for the clients of the run.
#[tokio::test(start_paused = true)]
async fn run_of_a_late_stream_records_no_reconnection_time() {
    for has_middle in [false, true] {
        let app = slow(LATE, events).layer(SseLayer::new()).layer(early());
        let app = if has_middle { app.layer(SseLayer::new()) } else { app };
        let app = app.layer(Runs::new().layer(key)).layer(SseLayer::new().without_retry());
        let (text, _) = receive(&app, Requester::EventSource).await;
        assert!(text.contains("data: two") && !text.contains("retry:"), "{has_middle}: {text}");
    }
}

/// Outside of runs, a late stream that a layer cuts ends cleanly for an `EventSource`.
#[tokio::test(start_paused = true)]
async fn run_of_a_late_stream_that_a_layer_cuts_fails() {
    for has_middle in [false, true] {
        let runs = Runs::new();
        let endless = || tower_sse::response(stream::pending::<Event>()).into_response();
        let app = slow(LATE, endless).layer(SseLayer::new().max_age(LATE)).layer(early());
        let app = if has_middle { app.layer(SseLayer::new()) } else { app }.layer(runs.layer(key));
        let (text, _) = receive(&app.layer(SseLayer::new()), Requester::EventSource).await;
        let run = runs.get(&run_of("/")).await.unwrap();
        assert_eq!(run.outcome(), Some(Outcome::Failed), "{has_middle}: {text}");
    }
}

/// The handler's first run fails at once, before the early head. The handler then starts a second
/// one.
#[tokio::test(start_paused = true)]
async fn second_run_of_a_refused_request_is_cancelled() {
    let (runs, calls) = (Runs::new(), Arc::new(AtomicUsize::new(0)));
    let (shared, count) = (runs.clone(), Arc::clone(&calls));
    let handler = any(async move |request: axum::extract::Request| {
        let (parts, _) = request.into_parts();
        let failing = async || Err::<stream::Pending<Event>, _>(StatusCode::BAD_GATEWAY);
        let key = run_of(parts.uri.path());
        assert!(shared.start_with(&key, &parts, failing).await.unwrap().is_err());
        let endless = async move || {
            sleep(LATE).await;
            count.fetch_add(1, SeqCst);
            Ok::<_, Infallible>(stream::pending::<Event>())
        };
        let Ok(run) = shared.start_with(&key, &parts, endless).await.unwrap();
        run.answer(&parts).await
    });
    let _open = open_and_refuse(Router::new().fallback(handler)).await;
    sleep(2 * LATE).await;
    assert_eq!(calls.load(SeqCst), 1);
}

/// A request that waits for a run outlives the shutdown, but this one no longer waits.
#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_stream_of_a_handler_whose_run_was_refused() {
    let (runs, token) = (Runs::new(), CancellationToken::new());
    let handler = async move |request: axum::extract::Request| {
        let (parts, _) = request.into_parts();
        let failing = async || Err::<stream::Pending<Event>, _>(StatusCode::BAD_GATEWAY);
        assert!(runs.start_with(&run_of("/"), &parts, failing).await.unwrap().is_err());
        pending::<AxumResponse>().await
    };
    let layer = SseLayer::new().without_heartbeat().shutdown(token.clone());
    let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
    let body = ask(&app, Requester::Get).await.into_body();
    token.cancel();
    let start = Instant::now();
    assert_eq!((read(body).await.1, start.elapsed()), (None, Duration::ZERO));
}

/// [`TASKS`] without those that read the first frame, which comes with the answer.
fn tasks() -> impl Iterator<Item = (bool, bool, bool)> {
    TASKS.into_iter().filter(|(_, peeks, _)| !peeks)
}

/// Returns whether the stream of a `GET` ends at once at a shutdown that comes after `2 * LATE`.
/// `tasks` as in [`TASKS`].
async fn ends_with_the_shutdown(app: Router, tasks: (bool, bool, bool)) -> bool {
    let token = CancellationToken::new();
    let apart = move |request, next| on_tasks(tasks, request, next);
    let app = app.layer(early()).layer(axum::middleware::from_fn(apart));
    let layer = SseLayer::new().without_heartbeat().shutdown(token.clone());
    let body = ask(&app.layer(layer), Requester::Get).await.into_body();
    let start = Instant::now();
    // On another task, so that only the shutdown wakes the reader.
    tokio::spawn(async move {
        sleep(2 * LATE).await;
        token.cancel();
    });
    timeout(3 * LATE, read(body)).await.is_ok() && start.elapsed() == 2 * LATE
}

/// The handler drops its wait, or learns that the run has no answer, and then never answers.
#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_stream_of_a_handler_that_awaits_no_run() {
    let cases =
        [true, false].into_iter().flat_map(|is_dropped| tasks().map(move |it| (is_dropped, it)));
    for (is_dropped, tasks) in cases {
        let runs = Runs::new();
        let handler = async move |request: axum::extract::Request| {
            let (key, (parts, _)) = (run_of("/"), request.into_parts());
            let endless = async || pending::<Result<stream::Pending<Event>, StatusCode>>().await;
            let failing = async || {
                sleep(LATE).await;
                Err::<stream::Pending<Event>, _>(StatusCode::BAD_GATEWAY)
            };
            if is_dropped {
                let run = runs.start_with(&key, &parts, endless);
                assert!(timeout(LATE, run).await.is_err());
            } else {
                let run = runs.start_with(&key, None, failing);
                assert!(tokio::join!(run, runs.answer(&key, &parts)).1.is_none());
            }
            pending::<AxumResponse>().await
        };
        let app = Router::new().fallback(any(handler));
        assert!(ends_with_the_shutdown(app, tasks).await, "dropped: {is_dropped}, {tasks:?}");
    }
}

/// The shutdown begins during the wait, which ends on another task than the stream's.
#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_stream_once_its_wait_ends_on_another_task() {
    let (runs, token) = (Runs::new(), CancellationToken::new());
    let handler = async move |request: axum::extract::Request| {
        let (runs, (parts, _)) = (runs.clone(), request.into_parts());
        let work = async move {
            let failing = async || {
                sleep(LATE).await;
                Err::<stream::Pending<Event>, _>(StatusCode::BAD_GATEWAY)
            };
            assert!(runs.start_with(&run_of("/"), &parts, failing).await.unwrap().is_err());
            pending::<AxumResponse>().await
        };
        tokio::spawn(work).await.unwrap()
    };
    let layer = SseLayer::new().without_heartbeat().shutdown(token.clone());
    let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
    let start = Instant::now();
    let body = ask(&app, Requester::Get).await.into_body();
    tokio::spawn(async move {
        sleep(LATE / 4).await;
        token.cancel();
    });
    assert!(timeout(3 * LATE, read(body)).await.is_ok());
    assert_eq!(start.elapsed(), LATE);
}

/// The run's answer was an error, and middleware does something else.
#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_stream_of_middleware_whose_run_was_refused() {
    for tasks in tasks() {
        let app = slow(LATE, || StatusCode::BAD_GATEWAY).layer(Runs::new().layer(key));
        let never = async |request: Request<AxumBody>, next: axum::middleware::Next| {
            drop(next.run(request).await);
            pending::<AxumResponse>().await
        };
        assert!(
            ends_with_the_shutdown(app.layer(axum::middleware::from_fn(never)), tasks).await,
            "{tasks:?}"
        );
    }
}

/// The layer's stream began with the first early head. The run is awaited behind the second.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_no_run_behind_a_second_early_head() {
    for tasks in tasks() {
        let runs = Runs::new();
        let handler = async move |request: axum::extract::Request| {
            let call = async move {
                let (parts, _) = request.into_parts();
                sleep(LATE).await;
                let run = runs.start(&run_of("/"), &parts, stream::pending::<Event>).await.unwrap();
                drop(run.answer(&parts).await);
                pending::<AxumResponse>().await
            };
            EarlyHeadLayer::new(2 * AFTER).answer(call).await.into_response()
        };
        assert!(
            ends_with_the_shutdown(Router::new().fallback(any(handler)), tasks).await,
            "{tasks:?}"
        );
    }
}

/// The request began to await the run that fails before it awaited the other one.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_run_that_is_left_of_two() {
    for tasks in tasks() {
        let runs = Runs::new();
        let handler = async move |request: axum::extract::Request| {
            let (parts, _) = request.into_parts();
            let endless = async || pending::<Result<stream::Pending<Event>, StatusCode>>().await;
            let failing = async || Err::<stream::Pending<Event>, _>(StatusCode::BAD_GATEWAY);
            let (one, other) = (run_of("/one"), run_of("/other"));
            let failing = runs.start_with(&one, &parts, failing);
            _ = tokio::join!(failing, runs.start_with(&other, &parts, endless));
        };
        assert!(
            !ends_with_the_shutdown(Router::new().fallback(any(handler)), tasks).await,
            "{tasks:?}"
        );
    }
}

/// Middleware reads the answer before the layer gets the early head.
#[tokio::test(start_paused = true)]
async fn drain_of_a_late_run_applies_whichever_tasks_poll() {
    for tasks in TASKS {
        let (runs, token) = (Runs::new(), CancellationToken::new());
        let handler = async move |request: axum::extract::Request| {
            let (parts, _) = request.into_parts();
            sleep(LATE).await;
            let run = runs.start(&run_of("/"), &parts, stream::pending::<Event>).await.unwrap();
            let drain = StreamOptions::new().drain(Drain::after(5 * SECOND));
            run.answer(&parts).await.with_options(drain)
        };
        let apart = axum::middleware::from_fn(move |request, next| on_tasks(tasks, request, next));
        let layer = SseLayer::new().without_heartbeat().shutdown(token.clone());
        let app = Router::new().fallback(any(handler)).layer(early()).layer(apart).layer(layer);
        let start = Instant::now();
        let shutdown = async {
            sleep(2 * LATE).await;
            token.cancel();
        };
        _ = tokio::join!(receive(&app, Requester::Get), shutdown);
        assert_eq!(start.elapsed(), 2 * LATE + 5 * SECOND, "{tasks:?}");
    }
}

/// The handler builds its answer from an attachment.
#[tokio::test(start_paused = true)]
async fn drain_of_a_late_attachment_applies() {
    let (runs, token) = (Runs::new(), CancellationToken::new());
    let handler = async move |request: axum::extract::Request| {
        let (parts, _) = request.into_parts();
        sleep(LATE).await;
        let run = runs.start(&run_of("/"), &parts, stream::pending::<Event>).await.unwrap();
        let attachment = run.attach(None).await.unwrap();
        tower_sse::response(attachment)
            .with_options(StreamOptions::new().drain(Drain::after(5 * SECOND)))
    };
    let layer = SseLayer::new().without_heartbeat().shutdown(token.clone());
    let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
    let start = Instant::now();
    let shutdown = async {
        sleep(2 * LATE).await;
        token.cancel();
    };
    _ = tokio::join!(receive(&app, Requester::Get), shutdown);
    assert_eq!(start.elapsed(), 2 * LATE + 5 * SECOND);
}

/// The body is polled before the handler starts a run, and after that.
#[tokio::test(start_paused = true)]
async fn stream_that_ends_while_it_awaits_a_run_leaves_no_waker() {
    for answers in [false, true] {
        let runs = Runs::new();
        let handler = async move |request: axum::extract::Request| {
            let (parts, _) = request.into_parts();
            sleep(2 * AFTER).await;
            let run = runs.start(&run_of("/"), &parts, stream::pending::<Event>).await.unwrap();
            if !answers {
                pending::<()>().await;
            }
            let drain = StreamOptions::new().drain(Drain::after(SECOND));
            run.answer(&parts).await.with_options(drain)
        };
        let layer = SseLayer::new().without_heartbeat().shutdown(CancellationToken::new());
        let app = Router::new().fallback(any(handler)).layer(early()).layer(layer);
        let mut body = ask(&app, Requester::Get).await.into_body();
        let (wakes, waker) = Wakes::new();
        for _ in 0..2 {
            while poll_frame_with(&mut body, &waker) != Polled::Pending {}
            sleep(LATE).await;
        }
        drop((body, waker));
        assert_eq!(Arc::strong_count(&wakes), 1, "answers: {answers}");
    }
}

#[tokio::test(start_paused = true)]
async fn run_refused_at_the_early_head_is_cancelled() {
    for in_handler in [false, true] {
        let runs = Runs::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let endless = async move || {
            sleep(LATE).await;
            count.fetch_add(1, SeqCst);
            stream::pending::<Event>()
        };
        let app = if in_handler {
            let runs = runs.clone();
            Router::new().fallback(any(async move |request: axum::extract::Request| {
                let (parts, _) = request.into_parts();
                let call = async move || Ok::<_, Infallible>(endless().await);
                let run = runs.start_with(&run_of(parts.uri.path()), &parts, call).await;
                let Ok(run) = run.unwrap();
                run.answer(&parts).await
            }))
        } else {
            let answer = async move || tower_sse::response(endless().await);
            Router::new().fallback(any(answer)).layer(runs.layer(key))
        };
        let _open = open_and_refuse(app).await;
        sleep(2 * LATE).await;
        assert_eq!(calls.load(SeqCst), 1, "in the handler: {in_handler}");
        assert!(runs.get(&run_of("/open")).await.is_some());
    }
}

/// The handler has something left to do after it has started the run.
#[tokio::test(start_paused = true)]
async fn run_of_a_handler_that_is_refused_later_is_cancelled() {
    for replaces in [false, true] {
        let runs = Runs::new();
        let shared = runs.clone();
        let handler = async move |request: axum::extract::Request| {
            let (parts, _) = request.into_parts();
            let key = run_of(parts.uri.path());
            let source = stream::pending::<Event>;
            let run = if replaces {
                shared.replace(&key, &parts, source).await
            } else {
                shared.start(&key, &parts, source).await
            };
            sleep(LATE).await;
            run.unwrap().answer(&parts).await
        };
        let _open = open_and_refuse(Router::new().fallback(any(handler))).await;
        let outcome = async |path| runs.get(&run_of(path)).await.unwrap().outcome();
        assert_eq!(outcome("/refused").await, Some(Outcome::Cancelled), "replaces: {replaces}");
        assert_eq!(outcome("/open").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn first_visit_of_a_late_hub_gets_an_id() {
    let hub = Hub::new();
    let topic = hub.clone();
    let app = slow(LATE, move || topic.subscribe(["news"]).resume(None).response()).layer(early());
    let layer = SseLayer::new().without_retry().without_heartbeat().timings(true);
    let reports = Reports::default();
    let app = app.layer(reports.observe(layer));
    let mut body = ask(&app, Requester::EventSource).await.into_body();
    assert_eq!(poll_frame(&mut body), data(": \n"));
    idle(&mut body, LATE - AFTER - SECOND).await;
    sleep(SECOND).await;
    let start = poll_frame(&mut body);
    assert!(
        matches!(&start, Polled::Data(start) if start.starts_with(b"event: start\ndata: {}\nid: ")),
        "{start:?}"
    );
    hub.publish("news", Event::from("one")).await.unwrap();
    sleep(SECOND).await;
    assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
    drop(body);
    assert_eq!(reports.closed()[0].time_to_first_event, Some(LATE));
}

/// The layer can't write into bytes of a content coding.
#[tokio::test(start_paused = true)]
async fn late_hub_in_a_content_coding_has_no_line_of_the_layer() {
    let hub = Hub::new();
    let news = hub.clone();
    let visit = move || {
        let options = StreamOptions::new().retry(SECOND);
        news.subscribe(["news"]).resume(None).response().with_options(options)
    };
    let coded = axum::middleware::map_response(async |mut response: AxumResponse| {
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response
    });
    let app = slow(LATE, visit).layer(early()).layer(coded);
    let mut body = ask(&app.layer(SseLayer::new()), Requester::EventSource).await.into_body();
    sleep(LATE).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    hub.publish("news", Event::from("one")).await.unwrap();
    let Polled::Data(event) = poll_frame(&mut body) else { panic!("no event") };
    assert!(event.starts_with(b"data: one\n"), "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_in_time_has_its_start_although_middleware_copies_extensions() {
    let hub = Hub::new();
    let visit = move || hub.subscribe(["news"]).resume(None).response();
    let app = slow(Duration::ZERO, visit).layer(axum::middleware::from_fn(copy)).layer(early());
    let app = app.layer(SseLayer::new().without_retry().without_heartbeat());
    let mut body = ask(&app, Requester::EventSource).await.into_body();
    let Polled::Data(start) = poll_frame(&mut body) else { panic!("no start") };
    assert!(start.starts_with(b"event: start\ndata: {}\nid: "), "{start:?}");
}

/// Some browsers ignore an id without data.
#[tokio::test(start_paused = true)]
async fn late_view_moves_each_client_on_as_an_early_one_does() {
    let layer = || SseLayer::new().without_retry().without_heartbeat();
    for client in [Requester::EventSource, Requester::Fetch] {
        for waits in [Duration::ZERO, LATE] {
            let hub = Hub::new();
            let topic = hub.clone();
            let view = move || topic.subscribe(["news"]).resume(None).view(|_| None);
            let app = slow(waits, move || view().response()).layer(early()).layer(layer());
            let mut body = ask(&app, client).await.into_body();
            while poll_frame(&mut body) != Polled::Pending {}
            sleep(LATE).await;
            while poll_frame(&mut body) != Polled::Pending {}
            hub.publish("news", Event::from("hidden")).await.unwrap();
            assert_eq!(poll_frame(&mut body), Polled::Pending);
            sleep(6 * SECOND).await;
            let Polled::Data(moved) = poll_frame(&mut body) else { panic!("no position") };
            let has_event = moved.starts_with(b"event: start\ndata: {}\nid: ");
            assert_eq!(has_event, client == Requester::EventSource, "{waits:?} {moved:?}");
        }
    }
}

/// The poll's wait began with the early head, three seconds before the answer.
#[tokio::test(start_paused = true)]
async fn late_view_moves_its_client_on_before_the_poll_ends() {
    let hub = Hub::new();
    let last = LastEventId::from(hub.position());
    hub.publish("news", Event::from("hidden")).await.unwrap();
    let view = move || hub.subscribe(["news"]).resume(last.clone()).view(|_| None).response();
    let app = slow(4 * SECOND, view).layer(EarlyHeadLayer::new(SECOND).when(|_| true));
    let layer = SseLayer::new().options(StreamOptions::new().long_poll(4 * SECOND));
    let (text, error) = receive(&app.layer(layer), Requester::Fetch).await;
    assert!(text.starts_with(": \nid: ") && error.is_none(), "{text}");
}

/// If a heartbeat had the id of a later position, a client that reconnects with it would miss the
/// greeting or gap.
#[tokio::test(start_paused = true)]
async fn late_hub_repeats_no_id_that_skips_a_greeting_or_gap() {
    let heartbeat = Heartbeat::every(SECOND).event("beat", "{}");
    let hub = Hub::new();
    for (last, first) in [(None, "data: hello\n"), (Some("?"), "event: gap\n")] {
        let last = last.map(|last| LastEventId::try_from(last).unwrap());
        let topic = hub.clone();
        let visit = move || topic.subscribe(["news"]).greeting("hello").resume(last.clone());
        let app = slow(LATE, move || visit().response()).layer(early());
        let layer = SseLayer::new().without_retry().heartbeat(heartbeat.clone());
        let mut body = ask(&app.layer(layer), Requester::EventSource).await.into_body();
        let late = loop {
            match poll_frame(&mut body) {
                Polled::Data(bytes) if bytes.starts_with(b"event: beat\n") => {}
                Polled::Data(bytes) => break bytes,
                polled => {
                    assert_eq!(polled, Polled::Pending);
                    sleep(SECOND).await;
                }
            }
        };
        assert!(late.starts_with(first.as_bytes()), "{late:?}");
    }
}

/// The id of the next heartbeats isn't the poll's answer. Otherwise, each poll of an idle hub would
/// end at once.
#[tokio::test(start_paused = true)]
async fn late_poll_waits_although_heartbeats_repeat_its_id() {
    let hub = Hub::new();
    let layer = SseLayer::new().heartbeat(Heartbeat::every(5 * LATE).event("beat", "{}"));
    let layer = layer.without_retry().options(StreamOptions::new().long_poll(100 * SECOND));
    let position = LastEventId::from(hub.position());
    for (client, last) in [(Requester::EventSource, Some(position)), (Requester::Fetch, None)] {
        let topic = hub.clone();
        let visit = move || topic.subscribe(["news"]).resume(last.clone()).response();
        let app = slow(LATE, visit).layer(early()).layer(layer.clone());
        let start = Instant::now();
        let (text, error) = receive(&app, client).await;
        assert_eq!((&*text, error), ("event: beat\ndata: {}\n\n", None), "{client:?}");
        assert_eq!(start.elapsed(), AFTER + 100 * SECOND, "{client:?}");
    }
}

/// Otherwise, the client would come back with that position and get the event again.
#[tokio::test(start_paused = true)]
async fn position_before_an_event_that_middleware_has_read_is_not_sent() {
    let hub = Hub::new();
    let visit = async move || {
        sleep(LATE).await;
        let response = hub.subscribe(["news"]).resume(None).response();
        hub.publish("news", Event::from("one")).await.unwrap();
        response
    };
    let reads = async |request: axum::extract::Request, next: axum::middleware::Next| {
        let (parts, body) = next.run(request).await.into_parts();
        let mut body = body.into_data_stream();
        let mut read = Vec::new();
        while read.last().is_none_or(Bytes::is_empty) {
            read.push(body.next().await.unwrap().unwrap());
        }
        let read = stream::iter(read).map(Ok).chain(body);
        AxumResponse::from_parts(parts, AxumBody::from_stream(read))
    };
    let app = Router::new().fallback(any(visit)).layer(early());
    let app = app.layer(axum::middleware::from_fn(reads));
    let app = app.layer(SseLayer::new().without_retry().without_heartbeat());
    let mut body = ask(&app, Requester::EventSource).await.into_body();
    assert_eq!(poll_frame(&mut body), data(": \n"));
    let Polled::Data(event) = poll_frame(&mut body) else { panic!("no event") };
    assert!(event.starts_with(b"data: one\nid: "), "{event:?}");
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

#[tokio::test(start_paused = true)]
async fn run_of_a_late_answer_resumes() {
    let app = slow(LATE, events).layer(Runs::new().layer(key)).layer(early());
    let app = app.layer(SseLayer::new().without_heartbeat());
    let (text, _) = receive(&app, Requester::Post).await;
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let mut request = Requester::Post.request("/");
    request.headers_mut().insert("last-event-id", id.parse().unwrap());
    let start = Instant::now();
    let (text, _) = read(send(&app, request).await.into_body()).await;
    assert!(text.starts_with("data: two"), "{text}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// A slow store can make each answer of a stopped run late, so the page must not ask for another.
#[tokio::test(start_paused = true)]
async fn page_of_a_cancelled_run_asks_once_more_however_late_the_answers() {
    let runs = Runs::new();
    let (parts, ()) = Requester::Post.request("/").into_parts();
    let silence = stream::pending::<Event>;
    _ = runs.start(&run_of("/"), &parts, silence).await.unwrap();
    assert!(runs.cancel(&run_of("/"), None).await);
    let attach = async move |parts: Parts| {
        sleep(LATE).await;
        runs.answer(&run_of("/"), &parts).await.unwrap()
    };
    let layer = SseLayer::new().without_retry().without_heartbeat();
    let app = Router::new().fallback(any(attach)).layer(early()).layer(layer);
    let (text, error) = receive(&app, Requester::EventSource).await;
    let id = text.strip_prefix(": \nid: ").and_then(|it| it.strip_suffix("\n\n")).expect("an id");
    let mut next = Requester::EventSource.request("/");
    next.headers_mut().insert("last-event-id", id.parse().unwrap());
    assert_eq!((send(&app, next).await.status(), error), (StatusCode::NO_CONTENT, None));
}

/// `EarlyHeadLayer::answer` doesn't see the request, so the handler is called again.
#[tokio::test(start_paused = true)]
async fn page_of_a_cancelled_run_that_was_answered_late_stops() {
    let runs = Runs::new();
    let (parts, ()) = Requester::Post.request("/").into_parts();
    _ = runs.start(&run_of("/"), &parts, stream::pending::<Event>).await.unwrap();
    assert!(runs.cancel(&run_of("/"), None).await);
    let attach = async move |parts: Parts| {
        let is_late = !parts.headers.contains_key("last-event-id");
        let attaching = async move {
            sleep(if is_late { LATE } else { Duration::ZERO }).await;
            runs.answer(&run_of("/"), &parts).await.unwrap()
        };
        early().answer(attaching).await.into_response()
    };
    let layer = SseLayer::new().without_retry().without_heartbeat();
    let app = Router::new().fallback(any(attach)).layer(layer);
    let (text, error) = receive(&app, Requester::EventSource).await;
    let id = text.strip_prefix(": \nid: ").and_then(|it| it.strip_suffix("\n\n")).expect("an id");
    let mut next = Requester::EventSource.request("/");
    next.headers_mut().insert("last-event-id", id.parse().unwrap());
    assert_eq!((send(&app, next).await.status(), error), (StatusCode::NO_CONTENT, None));
}

//! The layer calls an unchanged service once for each run.

use std::sync::mpsc;
use std::task::{Context, Poll};

use tower::{Service, limit::ConcurrencyLimitLayer};

use crate::{rig::Reply, *};

/// A client may repeat a `QUERY` (RFC 10008), even after the answer is complete.
#[tokio::test(start_paused = true)]
async fn query_that_is_repeated_calls_the_service_once() {
    let query = || {
        let mut query = by(Requester::Fetch);
        *query.method_mut() = "QUERY".parse().unwrap();
        query
    };
    let rig = Rig::new(Runs::new());
    let (feed, first) = rig.stream(query()).await;
    drop(first);
    feed.data("data: a\n\n");
    feed.end();
    for mut again in [rig.send(query()).client().await, Client::new(rig.answer(query()).await)] {
        assert_eq!(again.read().await, ["a", "[DONE]"]);
    }
    assert_eq!(rig.handler.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn answer_without_events_passes_and_a_waiting_request_calls_next() {
    let rig = Rig::new(Runs::new());
    let first = rig.call(post()).await;
    let [second, third] = [rig.send(post()), rig.send(post())];
    settle().await;
    assert_eq!(rig.handler.calls(), 1);
    rig.handler.json();
    let answer = first.answer().await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
    assert_eq!(rig.handler.calls(), 2);
    rig.handler.reply(Err("no".into()));
    assert_eq!(second.wait().await.unwrap_err().to_string(), "no");
    settle().await;
    assert_eq!(rig.handler.calls(), 3);
    let feed = rig.handler.stream();
    feed.data("data: a\n\n");
    feed.end();
    assert_eq!(third.client().await.read().await, ["a", "[DONE]"]);
    assert_eq!((rig.runs.stats().started, rig.runs.stats().running), (3, 0));
}

/// Each response reaches its client unchanged.
#[tokio::test(start_paused = true)]
async fn response_that_cannot_be_recorded_frees_the_key() {
    for (status, content_type, content_encoding) in [
        (201, "text/event-stream", "identity"),
        (500, "text/event-stream", "identity"),
        (200, "text/event-stream", "gzip"),
        (200, "text/plain", "identity"),
        (204, "text/event-stream", "identity"),
    ] {
        let rig = Rig::new(Runs::new());
        let first = rig.call(post()).await;
        let response = Response::builder()
            .status(status)
            .header("content-type", content_type)
            .header("content-encoding", content_encoding)
            .body(full("x"));
        rig.handler.reply(Ok(response.unwrap()));
        let answer = first.answer().await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-encoding"], content_encoding);
        assert!(rig.runs.get(&turn()).await.is_none());
        assert_eq!(rig.runs.stats().running, 0);
        assert_eq!(rig.runs.stats().memory, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn panic_before_the_answer_resumes_in_the_first_client() {
    let rig = Rig::new(Runs::new());
    let first = rig.call(post()).await;
    let mut second = rig.send(post());
    settle().await;
    rig.handler.panic();
    assert!(first.panicked().await);
    assert!(second.now().await.is_none());
    assert_eq!(rig.handler.calls(), 2);
    rig.handler.stream().data("data: a\n\n");
    assert_eq!(second.client().await.read().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn first_client_gets_the_head_and_later_ones_its_stream_options() {
    let (closed, closes) = mpsc::channel();
    let rig = Rig::new(Runs::new());
    let first = rig.call(by(Requester::Fetch)).await;
    let (feed, body) = Feed::new();
    let mut response = event_stream(body.boxed_unsync());
    response.headers_mut().insert("x-request-id", HeaderValue::from_static("7"));
    response.headers_mut().insert("content-length", HeaderValue::from_static("7"));
    response.extensions_mut().insert(
        StreamOptions::new()
            .terminator("bye")
            .max_age(MaxAge::new(Duration::from_secs(1)))
            .on_close(move |_| closed.send(()).unwrap()),
    );
    rig.handler.reply(Ok(response));
    let mut first = first.client().await;
    let mut second = rig.send(post()).client().await;
    assert_eq!(first.headers["x-request-id"], "7");
    assert!(!first.headers.contains_key("content-length"));
    assert!(!second.headers.contains_key("x-request-id"));
    for client in [&first, &second] {
        assert_eq!(client.headers["content-type"], "text/event-stream");
        assert_eq!(client.headers["cache-control"], "no-cache, no-transform");
    }
    feed.data("data: a\n\n");
    assert_eq!((first.read().await, second.read().await), (vec!["a".into()], vec!["a".into()]));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(first.read().await, [""; 0]);
    assert_eq!(first.end, Some(End::Failed));
    feed.end();
    assert_eq!(second.read().await, ["bye"]);
    assert_eq!(second.end, Some(End::Clean));
    drop((first, second));
    assert_eq!(closes.try_iter().count(), 1);
}

/// The options of a request are for its client's stream, even if the handler has a layer of its
/// own.
#[tokio::test(start_paused = true)]
async fn run_does_not_get_the_options_of_the_request_that_starts_it() {
    let handler = Handler::default();
    let inner = SseLayer::new().layer(handler.service());
    let service = Runs::new().layer(key).layer(inner);
    let mut request = post();
    let token = StreamOptions::new().max_age(Duration::ZERO).terminator("request");
    token.merge_into_extensions(request.extensions_mut());
    let answer = tokio::spawn(service.oneshot(request));
    settle().await;
    let feed = handler.stream();
    let mut body = answer.await.unwrap().unwrap().into_body();
    feed.data("data: a\n\n");
    let mut frame = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
    assert!(frame().await.unwrap().starts_with(b"data: a\nid: "));
    feed.end();
    assert_eq!(frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn run_outlives_the_long_poll_of_the_client_that_starts_it() {
    let poll = || StreamOptions::new().long_poll(Duration::from_secs(8));
    let rig = Rig::new(Runs::new());
    let mut request = post();
    poll().merge_into_extensions(request.extensions_mut());
    let first = rig.call(request).await;
    let (feed, body) = Feed::new();
    let inner = SseLayer::new().options(poll());
    let mut request = post();
    *request.extensions_mut() = rig.handler.extensions();
    let answer = support::answer_to(request, &inner, event_stream(body));
    rig.handler.reply(Ok(answer.map(BodyExt::boxed_unsync)));
    let mut first = first.client().await;
    feed.data("data: a\n\n");
    assert_eq!((first.read().await, first.end), (vec!["a".into()], Some(End::Clean)));
    feed.data("data: b\n\n");
    let mut second = rig.send(post()).client().await;
    assert_eq!((second.read().await, second.end), (vec!["a".into(), "b".into()], None));
}

/// Over HTTP/1.0, a client can't tell that a body failed, and hyper panics at HTTP/3.
#[tokio::test(start_paused = true)]
async fn head_of_an_upstream_in_any_version_allows_chunks() {
    for version in [Version::HTTP_10, Version::HTTP_3] {
        let handler = Handler::default();
        let service = Runs::new().layer(key).layer(handler.service());
        let answer = tokio::spawn(service.oneshot(post()));
        settle().await;
        let mut response = event_stream(full("data: a\n\n"));
        *response.version_mut() = version;
        handler.reply(Ok(response));
        assert_eq!(answer.await.unwrap().unwrap().version(), Version::HTTP_11);
    }
}

/// Heartbeats of the inner layer are not recorded, and the outer layer still sends its own.
#[tokio::test(start_paused = true)]
async fn layer_inside_leaves_heartbeats_to_the_one_outside() {
    let heartbeat = |every| Heartbeat::every(Duration::from_secs(every));
    for inside in [heartbeat(1), heartbeat(1).event("beat", "{}")] {
        let handler = Handler::default();
        let inner = SseLayer::new().heartbeat(inside).layer(handler.service());
        let outer = SseLayer::new().heartbeat(heartbeat(100));
        let service = outer.layer(Runs::new().layer(key).layer(inner));
        let answer = tokio::spawn(service.oneshot(post()));
        settle().await;
        let feed = handler.stream();
        let mut body = answer.await.unwrap().unwrap().into_body();
        feed.data("data: a\n\n");
        let mut frames = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
        let frame = frames().await;
        assert!(frame.starts_with(b"data: a\nid: "), "{frame:?}");
        // The clock is paused, so it advances to the next timer.
        let before = tokio::time::Instant::now();
        assert_eq!(frames().await, ": \n");
        assert!(before.elapsed() >= Duration::from_secs(100), "{:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_fires_when_the_run_is_over() {
    for outcome in [
        Outcome::Completed,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Abandoned,
        Outcome::Interrupted,
    ] {
        let mut rig = Rig::new(Runs::new());
        rig.layer = SseLayer::new().track_disconnects(true);
        let first = rig.call(post()).await;
        let disconnect = rig.handler.extensions().get::<Disconnect>().unwrap().clone();
        let feed = rig.handler.stream();
        drop(first.client().await);
        settle().await;
        assert!(!disconnect.is_cancelled(), "the client left, and the run goes on");
        rig.end(outcome, &feed).await;
        assert!(disconnect.is_cancelled(), "{outcome:?}");
        assert!(feed.is_dropped(), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_of_a_plain_answer_fires_with_its_body() {
    let rig = Rig::new(Runs::new());
    let first = rig.call(post()).await;
    let disconnect = rig.handler.extensions().get::<Disconnect>().unwrap().clone();
    rig.handler.json();
    let answer = first.answer().await;
    assert!(!disconnect.is_cancelled());
    _ = answer.into_body().collect().await.unwrap();
    assert!(disconnect.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn starter_that_a_layer_outside_refuses_cancels_a_run_without_other_clients() {
    for has_other in [false, true] {
        let mut rig = Rig::new(Runs::new());
        rig.layer = SseLayer::new().max_streams(1);
        let mut blocking = post();
        *blocking.uri_mut() = "/other".parse().unwrap();
        let _blocker = rig.stream(blocking).await;
        let first = rig.call(post()).await;
        let run = rig.runs.get(&turn()).await.unwrap();
        let other = has_other.then(|| {
            let run = run.clone();
            tokio::spawn(async move { run.attach(None).await.expect("a run") })
        });
        settle().await;
        let feed = rig.handler.stream();
        assert_eq!(first.answer().await.status(), 503);
        settle().await;
        assert_eq!(run.outcome(), (!has_other).then_some(Outcome::Cancelled));
        assert_eq!(feed.is_dropped(), !has_other);
        drop(other);
    }
}

/// Returns a function that sends a request to a service in which at most `limit` calls wait for
/// their answers.
fn limited(rig: &Rig, limit: usize) -> impl Fn(&str) -> JoinHandle<Reply> + use<> {
    let limit = ConcurrencyLimitLayer::new(limit).layer(rig.handler.service());
    let service = rig.runs.layer(key).layer(limit);
    move |path| {
        let (mut request, service) = (post(), service.clone());
        *request.uri_mut() = path.parse().unwrap();
        let answer =
            async { service.oneshot(request).await.map(|answer| answer.map(|_| full(""))) };
        tokio::spawn(answer)
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_call_hold_no_permit_inside() {
    let rig = Rig::new(Runs::new());
    let send = limited(&rig, 2);
    let same = [(); 4].map(|()| send("/turn"));
    settle().await;
    send("/other");
    settle().await;
    assert_eq!(rig.handler.calls(), 2, "one for each key");
    send("/third");
    settle().await;
    assert_eq!(rig.handler.calls(), 2, "the limit");
    // The first two calls return no stream, so a request that waits for `/turn` calls again.
    for calls in [3, 4] {
        rig.handler.json();
        settle().await;
        assert_eq!(rig.handler.calls(), calls);
    }
    rig.handler.json();
    rig.handler.stream();
    settle().await;
    assert!(same.iter().all(JoinHandle::is_finished));
}

#[tokio::test(start_paused = true)]
async fn request_that_leaves_before_its_call_frees_the_key_unreported() {
    let ends = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ends);
    let count = move |_: &RunEnd| _ = counted.fetch_add(1, Relaxed);
    let rig = Rig::new(Runs::builder().on_end(count).build());
    let send = limited(&rig, 2);
    let [_first, second, _third] = [(); 3].map(|()| send("/turn"));
    settle().await;
    let _others = ["/other", "/another"].map(&send);
    settle().await;
    rig.handler.json();
    settle().await;
    assert_eq!(rig.handler.calls(), 3, "the second request waits for a permit");
    second.abort();
    settle().await;
    rig.handler.json();
    settle().await;
    assert_eq!((rig.handler.calls(), ends.load(Relaxed)), (4, 0), "the third one calls");
}

/// A service that costs money at each call must not be called for a run that is already cancelled.
#[tokio::test(start_paused = true)]
async fn request_whose_run_is_cancelled_before_its_call_is_answered_at_once() {
    let rig = Rig::new(Runs::new());
    let send = limited(&rig, 2);
    let [_first, second] = [(); 2].map(|()| send("/turn"));
    settle().await;
    let _others = ["/other", "/another"].map(&send);
    settle().await;
    rig.handler.json();
    settle().await;
    assert_eq!(rig.handler.calls(), 3, "the second request waits for a permit");
    assert!(rig.runs.cancel(&turn(), None).await);
    settle().await;
    let stats = rig.runs.stats();
    assert_eq!((stats.started, ended_as(&stats, Outcome::Cancelled)), (3, 1), "without a call");
    assert!(second.is_finished());
    assert_eq!(second.await.unwrap().unwrap().status(), 404);
    rig.handler.json();
    settle().await;
    assert_eq!(rig.handler.calls(), 3);
}

/// A service whose `poll_ready` fails while the flag is set.
#[derive(Clone)]
struct Failing<S>(S, Arc<AtomicBool>);

impl<S: Service<Request<()>, Error = BoxError>> Service<Request<()>> for Failing<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.1.load(Relaxed) { Poll::Ready(Err("failed".into())) } else { self.0.poll_ready(cx) }
    }

    fn call(&mut self, request: Request<()>) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_waited_gets_the_error_of_a_service_that_failed() {
    let rig = Rig::new(Runs::new());
    let fails = Arc::new(AtomicBool::new(false));
    let service = rig.runs.layer(key).layer(Failing(rig.handler.service(), Arc::clone(&fails)));
    let send = || tokio::spawn(service.clone().oneshot(post()));
    let [_first, second] = [send(), send()];
    settle().await;
    fails.store(true, Relaxed);
    rig.handler.json();
    assert_eq!(second.await.unwrap().unwrap_err().to_string(), "failed");
    assert!(rig.runs.get(&turn()).await.is_none());
    fails.store(false, Relaxed);
    send();
    settle().await;
    assert_eq!(rig.handler.calls(), 2);
}

//! Other layers inside and outside of the early head.

use axum::response::sse::KeepAlive;
use tower_http::timeout::TimeoutLayer;

use super::*;

#[tokio::test(start_paused = true)]
async fn sse_of_axum_passes() {
    let answer = || {
        let events =
            ["one", "two"].map(|data| Ok::<_, Infallible>(sse::Event::default().data(data)));
        Sse::new(stream::iter(events)).keep_alive(KeepAlive::default())
    };
    let app = slow(LATE, answer).layer(early()).layer(SseLayer::new().without_heartbeat());
    assert_eq!(receive(&app, Requester::Post).await, (format!(":\n{EVENTS}"), None));
}

#[tokio::test(start_paused = true)]
async fn timeout_inside_still_limits_the_call() {
    let limit = || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, 30 * SECOND);
    let app = slow(LATE, events).layer(limit()).layer(early()).layer(SseLayer::new());
    let start = Instant::now();
    let (_, error) = receive(&app, Requester::Post).await;
    assert!(error.unwrap().contains("504 Gateway Timeout"));
    assert_eq!(start.elapsed().as_secs(), 30);
    let app = slow(LATE, events).layer(early()).layer(SseLayer::new()).layer(limit());
    assert!(receive(&app, Requester::Post).await.0.ends_with(EVENTS), "outside, it does not");
}

#[tokio::test(start_paused = true)]
async fn compression_outside_leaves_the_stream_uncompressed() {
    let app =
        slow(LATE, events).layer(early()).layer(SseLayer::new()).layer(CompressionLayer::new());
    let mut request = Requester::Post.request("/");
    request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
    let response = send(&app, request).await;
    assert_eq!(response.headers().get("content-encoding"), None);
    assert!(read(response.into_body()).await.0.ends_with(EVENTS));
}

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

#[tokio::test(start_paused = true)]
async fn stream_that_an_inner_layer_cuts_has_no_terminator() {
    let endless = || {
        tower_sse::response(stream::iter([Event::from("one")]).chain(stream::pending()))
            .into_response()
    };
    let inner = SseLayer::new().max_age(SECOND).without_heartbeat().without_retry();
    let outer = SseLayer::new().terminator("[DONE]").without_heartbeat().without_retry();
    let app = slow(LATE, endless).layer(inner).layer(early()).layer(outer);
    let expected = (":\ndata: one\n\n".into(), None);
    assert_eq!(receive(&app, Requester::EventSource).await, expected);
}

#[tokio::test(start_paused = true)]
async fn answer_behind_two_early_heads_keeps_its_options_and_subjects() {
    let handler = async |subjects: Subjects| {
        let call = async move {
            sleep(LATE).await;
            subjects.add("user:7");
            tower_sse::response(stream::pending::<Event>())
                .with_options(StreamOptions::new().heartbeat(SECOND))
        };
        EarlyHeadLayer::new(2 * AFTER).answer(call).await.into_response()
    };
    let streams = tower_sse::streams::Streams::new();
    let layer = SseLayer::new().without_heartbeat().without_retry().streams(&streams);
    // The layer that is added twice passes the request to the outer one.
    let app = Router::new().fallback(any(handler)).layer(early()).layer(early()).layer(layer);
    let closing = async {
        sleep(LATE + 3 * SECOND + SECOND / 2).await;
        streams.close("user:7").await.unwrap();
    };
    let (received, ()) = tokio::join!(receive(&app, Requester::EventSource), closing);
    assert_eq!(received, (":\n:\n:\n:\n".into(), None));
}

/// With a real clock: a paused one stands still while a task is always ready.
#[tokio::test]
async fn body_of_endless_empty_frames_yields() {
    let moment = Duration::from_millis(10);
    let empty = || {
        let frames = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::new()));
        AxumResponse::builder().status(500).body(AxumBody::from_stream(frames)).unwrap()
    };
    let early = EarlyHeadLayer::new(moment).when(|_| true);
    let app = slow(3 * moment, empty).layer(early).layer(SseLayer::new().max_age(10 * moment));
    assert!(receive(&app, Requester::Get).await.0.starts_with(":\n"));
}

#[test]
fn types_of_the_layer_are_send_and_sync() {
    fn is_send_and_sync<T: Send + Sync + Unpin>(_: &T) {}
    is_send_and_sync(&early());
    is_send_and_sync(&early().layer(()));
    fn future_is_send<S>(mut service: S) -> impl Send
    where
        S: Service<Request<AxumBody>, Response: Send, Future: Send>,
    {
        service.call(Requester::Get.request("/"))
    }
    _ = future_is_send(early().layer(slow(LATE, events)));
}

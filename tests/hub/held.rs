//! A `fetch` client that has received everything gets a stream that stays open for a while.

use tower_sse::{CloseReason, StreamOptions, stats::Stats};

use super::support::{assert_polls, data, idle, poll_frame_with, through};
use crate::*;

const HOLD: Duration = Duration::from_secs(20);

/// Returns the answer to a client that has received every event of an ended topic.
fn answer(layer: &SseLayer, request: Request<()>) -> Response<SseBody<EventBody<Subscription>>> {
    let hub = Hub::new();
    end(&hub, "a", Event::from("a1"));
    answer_to(request, layer, hub.subscribe(["a"]).resume(hub.position()).response())
}

/// Returns the body of the answer to a `fetch` client.
fn nothing_more(layer: &SseLayer) -> SseBody<EventBody<Subscription>> {
    let response = answer(layer, Requester::Fetch.request("/"));
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

#[tokio::test(start_paused = true)]
async fn fetch_that_has_everything_waits_twenty_seconds_for_a_clean_end() {
    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().retry(SECOND).padding(9));
    let mut body = nothing_more(&layer);
    idle(&mut body, HOLD - MILLISECOND).await;
    idle(&mut body, 2 * MILLISECOND).await;
    assert!(!body.is_end_stream());
    assert_eq!(reports.reasons(), []);
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(body.is_end_stream());
    assert_eq!((reports.opened(), reports.take()), (1, vec![CloseReason::Ended]));
    // The page may close the stream when it receives the terminator.
    let mut body = nothing_more(&SseLayer::new().terminator("[DONE]"));
    assert_polls(&mut body, [data("data: [DONE]\n\n"), Polled::Pending]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_wait_at_once() {
    let (token, reports) = (CancellationToken::new(), Reports::default());
    // The shutdown is that of the stream's own layer, or of an outer one. With this drain, other
    // streams go on.
    let drain = |layer: SseLayer| layer.drain(Drain::never()).farewell("bye");
    for is_outer in [false, true] {
        let token = token.child_token();
        let (own, outer) = (drain(SseLayer::new()), drain(SseLayer::new().shutdown(token.clone())));
        let own = reports.observe(if is_outer { own } else { own.shutdown(token.clone()) });
        let hub = Hub::new();
        end(&hub, "a", Event::from("a1"));
        let ended = hub.subscribe(["a"]).resume(hub.position()).response();
        let response = answer_to(Requester::Fetch.request("/"), &own, ended);
        let mut body = match is_outer {
            true => through(&outer, response).into_body().boxed_unsync(),
            false => response.into_body().boxed_unsync(),
        };
        let (wakes, waker) = Wakes::new();
        assert_eq!(poll_frame_with(&mut body, &waker), Polled::Pending);
        assert_eq!(wakes.take(), 0);
        token.cancel();
        assert_eq!(wakes.take(), 1, "outer: {is_outer}");
        assert_eq!(poll_frame(&mut body), Polled::End);
        assert_eq!(reports.take(), [CloseReason::Ended]);
    }
}

#[tokio::test(start_paused = true)]
async fn held_stream_takes_a_place_and_no_task_until_its_client_leaves() {
    let (stats, reports) = (Stats::new(), Reports::default());
    let layer = reports.observe(SseLayer::new().max_streams(1).stats(&stats));
    let mut body = nothing_more(&layer);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(stats.snapshot().open, 1);
    let other = |layer: &SseLayer| {
        let waiting = Hub::new().subscribe(["b"]).resume(None).response();
        answer_to(Requester::Fetch.request("/"), layer, waiting).status()
    };
    assert_eq!(other(&layer), 503);
    drop(body);
    assert_eq!(reports.take(), [CloseReason::Ended], "the client has everything");
    assert_eq!(stats.snapshot().open, 0);
    assert_eq!(other(&layer), 200);
}

#[tokio::test(start_paused = true)]
async fn long_poll_waits_no_longer_for_nothing_more() {
    let reports = Reports::default();
    let options = StreamOptions::new().long_poll(3 * SECOND);
    let mut body = nothing_more(&reports.observe(SseLayer::new().options(options)));
    idle(&mut body, 3 * SECOND - MILLISECOND).await;
    idle(&mut body, 2 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert_eq!(reports.take(), [CloseReason::Ended]);
}

#[tokio::test(start_paused = true)]
async fn maximum_age_ends_the_wait() {
    let reports = Reports::default();
    let mut body = nothing_more(&reports.observe(SseLayer::new().max_age(3 * SECOND)));
    idle(&mut body, 3 * SECOND - MILLISECOND).await;
    idle(&mut body, 2 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert_eq!(reports.take(), [CloseReason::Ended]);
}

#[tokio::test(start_paused = true)]
async fn held_stream_keeps_the_place_of_its_subject_until_a_close() {
    let (streams, reports) = (Streams::builder().limit("user:", 1).build(), Reports::default());
    let layer = reports.observe(SseLayer::new().streams(&streams));
    let open = || {
        let mut request = Requester::Fetch.request("/");
        streams.subjects_of(&mut request).add("user:1");
        answer(&layer, request)
    };
    let mut body = open().into_body();
    let (wakes, waker) = Wakes::new();
    assert_eq!(poll_frame_with(&mut body, &waker), Polled::Pending);
    assert_eq!((open().status().as_u16(), streams.count("user:1")), (429, 1));
    assert_eq!((streams.close("user:1").await.unwrap(), wakes.take()), (1, 1));
    assert_eq!(open().status(), 200, "a close frees the place");
    assert_eq!(reports.take(), [CloseReason::Disconnected], "the second one");
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert_eq!(reports.take(), [CloseReason::Ended], "the client has everything");
    assert_eq!(open().status(), 200);
}

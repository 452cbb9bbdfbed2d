use std::time::Duration;

use axum::{Router, body::Body, response::IntoResponse, routing::get};
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_sse::{Event, Heartbeat, LastEventId, Retry, SseLayer, StreamOptions};

use crate::support::*;

fn outer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(SECOND).comment("outer"))
        .retry(Retry::fixed(SECOND))
        .padding(9)
        .terminator(Event::from("outer end"))
        .on_error(|_| Event::from("outer error"))
}

#[tokio::test(start_paused = true)]
async fn the_innermost_layer_owns_a_stream() {
    let inner: SseLayer = SseLayer::new()
        .heartbeat(Heartbeat::every(10 * SECOND).comment("inner"))
        .padding(4)
        .terminator(Event::from("inner end"));
    let (feed, body) = Feed::new();
    let response = through(&outer(), through(&inner, event_stream(body)));
    assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    let mut body = response.into_body();

    assert_eq!(poll_frame(&mut body), data(":  \n"));
    idle(&mut body, 9 * SECOND).await;
    idle(&mut body, 2 * SECOND).await;
    assert_polls(&mut body, [data(": inner\n"), Polled::Pending]);
    feed.data("data: one\n\n");
    feed.end();
    assert_polls(&mut body, [data("data: one\n\n"), data("data: inner end\n\n"), Polled::End]);
}

/// The last line is sent once, and the error is delayed once, not once per layer.
#[tokio::test(start_paused = true)]
async fn an_error_passes_through_the_outer_layer() {
    let (feed, body) = Feed::new();
    let mut body = through(&outer(), through(&SseLayer::new(), event_stream(body))).into_body();
    feed.fail(std::io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), data(":\n"));
    idle(&mut body, Duration::from_millis(21)).await;
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}

/// Options set in between come too late: an inner layer already owns the stream.
#[tokio::test(start_paused = true)]
async fn layers_in_between_do_not_change_the_stream() {
    let (_feed, body) = Feed::new();
    let owned = through(&SseLayer::new().without_heartbeat(), event_stream(body));
    let owned = owned.with_options(StreamOptions::new().padding(4));
    let mut body = through(&outer(), owned).into_body();
    for _ in 0..3 {
        idle(&mut body, 60 * SECOND).await;
    }
}

async fn handler() -> impl IntoResponse {
    tower_sse::response(stream::iter([Event::from("one")]))
}

#[tokio::test]
async fn a_routes_own_layer_takes_precedence_over_its_routers() {
    let own = SseLayer::new().terminator(Event::from("end of /own"));
    let bare = ServiceBuilder::new().layer(SseLayer::new().padding(4)).service_fn(
        |_: Request<Body>| async {
            Ok::<_, std::convert::Infallible>(stream::iter([Event::from("one")]))
        },
    );
    let app = Router::new()
        .route("/own", get(handler).layer(own))
        .route_service("/bare", bare)
        .route("/common", get(handler))
        .layer(SseLayer::new().terminator(Event::from("common end")));

    for (path, expected) in [
        ("/own", "data: one\n\ndata: end of /own\n\n"),
        ("/bare", ":  \ndata: one\n\n"),
        ("/common", "data: one\n\ndata: common end\n\n"),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers().get_all("x-accel-buffering").iter().count(), 1);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_last_event_id_that_the_outer_layer_found_is_kept() {
    let outer: SseLayer = SseLayer::new().last_event_id_query("lastEventId");
    let request = Request::get("/?lastEventId=7").body(()).unwrap();
    let response = answer_by(request, &outer, |request| {
        answer_by(request, &SseLayer::new(), |request| {
            let last = request.extensions().get::<LastEventId>().expect("a last event id");
            stream::iter([Event::from(last.to_string())])
        })
    });
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 7\n\n");
}

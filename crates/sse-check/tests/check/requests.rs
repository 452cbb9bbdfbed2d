//! Hops that drop the request's headers, refuse a request or compress the answer.

use std::{future::ready, net::SocketAddr, time::Duration};

use axum::extract::Request as HttpRequest;
use axum::middleware::map_request;
use axum::{Router, routing::get};
use tower_sse::{Heartbeat, LastEventId, SseLayer, hub::Hub};

use crate::report::look_through;
use crate::{server::*, support::listen};

/// Serves a hub's topic with and without a hop that drops these headers of requests.
async fn serve_hub(hub: Hub, dropped: &'static [&'static str]) -> [SocketAddr; 2] {
    let events =
        async move |last: Option<LastEventId>| hub.subscribe_to("topic").resume(last).response();
    let layer = SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(1)));
    let app = Router::new().route("/", get(events)).layer(layer);
    let hop = app.clone().layer(map_request(move |mut request: HttpRequest| {
        dropped.iter().for_each(|name| _ = request.headers_mut().remove(*name));
        ready(request)
    }));
    let mut addresses = Vec::new();
    for app in [hop, app] {
        let (listener, address) = listen().await;
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        addresses.push(address);
    }
    [addresses[0], addresses[1]]
}

fn publish(hub: &Hub) {
    let hub = hub.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(300));
        for n in 0.. {
            ticks.tick().await;
            hub.publish("topic", format!("event {n}")).await.unwrap();
        }
    });
}

#[tokio::test]
async fn hop_that_drops_the_last_event_id_fails_and_is_named() {
    let hub = Hub::new();
    let [outer, inner] = serve_hub(hub.clone(), &["last-event-id"]).await;
    publish(&hub);
    let only = "--for 4s --only resumption";
    // The client is two hops from the server.
    let report = look_through(&[outer, outer, inner], only).await;
    report.expect_with(
        "resumption",
        "fail",
        &format!("between http://{outer}/ and http://{inner}/"),
    );
    report.expect_with("resumption", "fail", "Last-Event-ID");
    report.expect_with("resumption", "fail", "guide/proxies/#what-a-proxy-hides");
    // A server that got the id sends no `start`.
    let report = look_through(&[outer], only).await;
    report.expect_with("resumption", "fail", "a start event came, as without an id");
    look_through(&[inner, inner], only).await.expect("resumption", "pass");
}

/// The first connection receives all events before the second connection begins, so the check knows
/// which events the second connection misses.
#[tokio::test]
async fn hop_that_drops_the_id_is_named_although_the_newest_event_comes() {
    let newest_only = |request: &Request| match request.header("last-event-id") {
        None => Answer::new(events(0, 6, 200)),
        Some(_) => Answer::new(events(5, 1, 0)),
    };
    let resuming = |request: &Request| match request.header("last-event-id") {
        None => Answer::new(events(0, 6, 200)),
        Some(id) => Answer::new(events(id.parse::<u64>().unwrap() + 1, 3, 0)),
    };
    let [outer, inner] = [serve(newest_only).await, serve(resuming).await];
    let only = "--for 4s --only resumption";
    let report = look_through(&[outer, inner], only).await;
    report.expect_with(
        "resumption",
        "fail",
        &format!("between http://{outer}/ and http://{inner}/"),
    );
    report.expect_with("resumption", "fail", "only the newest of 3 events came");
    look_through(&[outer, outer], only).await.expect_with(
        "resumption",
        "warning",
        "only the newest of 3",
    );
    look_through(&[outer], only).await.expect_with("resumption", "warning", "only the newest of 3");
}

/// The inner address answers before a newer event comes, the outer one after it.
#[tokio::test]
async fn hop_to_newest_events_only_is_not_blamed_for_a_replaced_one() {
    let at_first = || events(0, 2, 100).chain(late(events(2, 1, 0), 4_000));
    let after = |first, head_at| {
        move |request: &Request| match request.header("last-event-id") {
            None => Answer::new(at_first()),
            Some(_) => Answer { head_at, ..Answer::new(events(first, 3 - first, 0)) },
        }
    };
    // Both addresses get their second request after 3 seconds.
    let [outer, inner] = [serve(after(2, 2_000)).await, serve(after(1, 0)).await];
    let report = look_through(&[outer, inner], "--for 6s --only resumption").await;
    report.expect_with("resumption", "warning", "only the newest of 2 events came");
}

/// The proxy of Nuxt's `routeRules` drops `Accept`.
#[tokio::test]
async fn start_that_was_not_sent_through_the_hop_is_not_held_back() {
    let hops = serve_hub(Hub::new(), &["accept"]).await;
    let report = look_through(&hops, "--for 3s --allow-empty --only delay").await;
    report.expect_with("delay", "fail", "guide/proxies/#what-a-proxy-hides");
    report.expect_with("delay", "fail", "Accept or Cache-Control is changed, so the server");
    assert!(!report.to_string().contains("held"), "{report}");
}

/// Varnish's default configuration drops `Cache-Control`, so the server takes an `EventSource` for
/// a client library.
#[tokio::test]
async fn start_comes_through_a_hop_that_drops_cache_control() {
    let hops = serve_hub(Hub::new(), &["cache-control"]).await;
    let report = look_through(&hops, "--for 3s --allow-empty --only delay").await;
    report.expect("delay", "pass");
}

/// Without any byte, it is unknown whether the hop holds the event or the server sent none.
#[tokio::test]
async fn start_that_did_not_come_before_any_other_byte_may_be_held() {
    let start = serve_steps([write("event: start\nid: 7\ndata\n\n")]).await;
    let report = look_through(&[serve_steps([]).await, start], "--for 2s --allow-empty").await;
    report.expect_with("delay", "fail", "sees no EventSource, or its first event is held");
}

#[tokio::test]
async fn server_error_leads_to_the_page_about_absent_servers() {
    for status in ["500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout"] {
        let outer = serve(move |_| Answer::with_head(status)).await;
        let report = look_through(&[outer], "--for 1s").await;
        report.expect_with("answer", "fail", "guide/proxies/#while-no-server-is-up");
    }
}

#[tokio::test]
async fn status_501_names_the_header_incremental_of_the_other_address() {
    let refused = serve(|_| Answer::with_head("501 Not Implemented")).await;
    let with = serve(|_| Answer { head: format!("{HEAD}\r\nincremental: ?1"), ..Answer::new([]) });
    let report = look_through(&[refused, with.await], "--for 1s --only answer").await;
    report.expect_with("answer", "fail", "guide/proxies/#incremental");
    report.expect_with("answer", "fail", "incremental: \"?1\"");
    report.expect_with("answer", "fail", "the body begins with \"data: a");
    let without = serve_steps([]).await;
    let report = look_through(&[refused, without], "--for 1s --only answer").await;
    report.expect_with("answer", "fail", "guide/proxies/#while-no-server-is-up");
}

/// `next dev` and express's `compression()` do this.
#[tokio::test]
async fn stream_that_the_hop_compresses_and_holds_is_called_compressed() {
    let head = format!("{HEAD}\r\ncontent-encoding: gzip");
    let inner = serve_steps(events(0, 20, 100)).await;
    let outer = serve(move |_| Answer { head: head.clone(), ..Answer::new([]) }).await;
    let report = look_through(&[outer, inner], "--for 3s --only delay").await;
    report.expect_with("delay", "fail", "compressed events are held back");
    report.expect_with("delay", "fail", "guide/upstreams/#compression");
    // If the server itself compresses, the hop is not to blame.
    let report = look_through(&[outer, outer], "--for 1s --only delay").await;
    report.expect("delay", "not checked");
}

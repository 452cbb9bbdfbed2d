//! Clients that stall while the values of their topics are replaced.

use std::{pin::Pin, task::Context};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tower_sse::BoxError;

use crate::*;

/// In `a` to `m`, each event replaces the one before it.
fn prices() -> Hub {
    Hub::builder().retention_of(|topic| (topic < "n").then(Retention::latest)).build()
}

fn served(subscription: Subscription) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    let layer = SseLayer::new().without_heartbeat();
    answer_to(Requester::Fetch.request("/"), &layer, subscription.response()).into_body()
}

#[track_caller]
fn frame(body: &mut (impl Body<Data = Bytes, Error = BoxError> + Unpin)) -> Bytes {
    match poll_frame(body) {
        Polled::Data(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

fn has(frame: &Bytes, data: &str) -> bool {
    String::from_utf8_lossy(frame).contains(&format!("data: {data}\n"))
}

#[tokio::test(start_paused = true)]
async fn frame_of_newest_values_waits_until_the_last_one_is_written() {
    let hub = prices();
    let mut body = served(hub.subscribe(["a", "b"]).resume(None));
    publish_all(&hub, ["a1"]);
    let held = frame(&mut body);
    for data in ["a2", "a3", "b1", "a4"] {
        publish(&hub, &data[..1], data);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
    let (wakes, waker) = Wakes::new();
    assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)).is_pending());
    publish_all(&hub, ["a5"]);
    assert_eq!(wakes.get(), 0, "no event wakes it");
    drop(held);
    assert_eq!(wakes.get(), 1);
    let next = frame(&mut body);
    assert!(has(&next, "a5") && has(&next, "b1"));
    assert_eq!(String::from_utf8_lossy(&next).matches("data: ").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_not_all_replaced_do_not_wait() {
    let hub = prices();
    let mut body = served(hub.subscribe(["a", "z"]).resume(None));
    publish_all(&hub, ["a1"]);
    let _held = frame(&mut body);
    publish_all(&hub, ["z2"]);
    assert!(has(&frame(&mut body), "z2"));
}

/// What collects the frames of a body holds all of them.
#[tokio::test(start_paused = true)]
async fn body_that_is_collected_ends() {
    let hub = prices();
    publish_all(&hub, ["a1"]);
    let mut body = served(hub.subscribe(["a"]).resume(None));
    let held = frame(&mut body);
    hub.end("a", Event::from("a2")).await.unwrap();
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(has(&held, "a1") && has(&rest, "a2"));

    // The end does not wait: it has nothing to choose.
    hub.end("c", Event::from("c1")).await.unwrap();
    let mut ended = served(hub.subscribe(["c"]).resume(None));
    let _held = frame(&mut ended);
    assert_eq!(poll_frame(&mut ended), Polled::End);

    let mut body = served(hub.subscribe(["b"]).resume(None));
    publish_all(&hub, ["b1"]);
    let _held = frame(&mut body);
    publish_all(&hub, ["b2"]);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(Duration::from_secs(59)).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    advance(Duration::from_secs(2)).await;
    assert!(has(&frame(&mut body), "b2"));
}

//! The dashboard's promises, over a socket.
#![cfg(all(feature = "axum", feature = "json"))]

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;
use tower_sse::Message;

use self::support::{EventReader, client::get, connect_h1, serve_axum};

#[path = "../examples/dashboard/main.rs"]
#[allow(dead_code)]
mod dashboard;
#[path = "dashboard/drills.rs"]
mod drills;
mod support;

const INTERVAL: Duration = Duration::from_millis(50);

async fn serve(interval: Duration) -> SocketAddr {
    serve_axum(dashboard::app(interval)).await
}

async fn watch(address: SocketAddr, last_event_id: Option<&str>) -> EventReader<Incoming> {
    let headers: Vec<_> = last_event_id.map(|id| ("last-event-id", id)).into_iter().collect();
    EventReader::new(get(address, "/events", &headers).await)
}

/// Awaits what must come; heartbeats are not enough.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// The next event, which is a sample.
async fn sample(reader: &mut EventReader<Incoming>) -> (u64, Value) {
    let message = soon(reader.next()).await.unwrap();
    assert_eq!(message.event, "sample");
    (message.last_event_id.parse().unwrap(), serde_json::from_str(&message.data).unwrap())
}

async fn id(reader: &mut EventReader<Incoming>) -> u64 {
    sample(reader).await.0
}

async fn post(address: SocketAddr, path: &str) -> StatusCode {
    let request = Request::post(path).header("host", "localhost").body(Full::<Bytes>::default());
    let response = connect_h1(address).await.send_request(request.unwrap()).await.unwrap();
    response.status()
}

#[tokio::test]
async fn samples_have_consecutive_ids_from_history_into_live() {
    let address = serve(INTERVAL).await;
    let mut first = watch(address, None).await;
    for expected in 1..=10 {
        assert_eq!(id(&mut first).await, expected);
    }
    let mut second = watch(address, None).await;
    for expected in 1..=20 {
        assert_eq!(id(&mut second).await, expected);
    }
}

#[tokio::test]
async fn every_stream_starts_with_the_reconnection_time() {
    let address = serve(INTERVAL).await;
    let first = soon(watch(address, None).await.next()).await.unwrap();
    assert_eq!(first.retry, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_came_after_its_last_id_and_nothing_else() {
    let address = serve(INTERVAL).await;
    let mut witness = watch(address, None).await;
    while id(&mut witness).await < 12 {}
    // Within the history, and about where live begins.
    for last in [0_u64, 7, 12] {
        let mut reader = watch(address, Some(&last.to_string())).await;
        for expected in last + 1..last + 15 {
            assert_eq!(id(&mut reader).await, expected);
        }
    }
}

#[tokio::test]
async fn an_id_that_is_no_number_is_a_first_visit() {
    let address = serve(INTERVAL).await;
    assert_eq!(id(&mut watch(address, Some("1 or so")).await).await, 1);
}

#[tokio::test]
async fn who_was_away_too_long_is_told_of_the_gap() {
    let address = serve(Duration::from_millis(1)).await;
    let mut witness = watch(address, None).await;
    while id(&mut witness).await < 305 {}
    let mut reader = watch(address, Some("2")).await;
    let next = told_gap(&soon(reader.next()).await.unwrap(), 2);
    assert!(next > 3, "the oldest of 300 is {next}");
    for expected in next..next + 310 {
        assert_eq!(id(&mut reader).await, expected);
    }
}

#[tokio::test]
async fn an_id_of_an_earlier_run_is_told_of_the_gap_and_gets_all_that_is_kept() {
    let address = serve(INTERVAL).await;
    id(&mut watch(address, None).await).await;
    let mut reader = watch(address, Some("500")).await;
    assert_eq!(told_gap(&soon(reader.next()).await.unwrap(), 500), 1);
    for expected in 1..=5 {
        assert_eq!(id(&mut reader).await, expected);
    }
}

/// Where the stream goes on.
fn told_gap(message: &Message, after: u64) -> u64 {
    assert_eq!(message.event, "gap");
    let gap: Value = serde_json::from_str(&message.data).unwrap();
    assert_eq!(gap["after"], after);
    gap["next"].as_u64().unwrap()
}

#[tokio::test]
async fn the_button_ends_the_streams_of_its_page_and_says_for_how_long() {
    let address = serve(INTERVAL).await;
    let cut = get(address, "/events?page=a", &[]).await;
    let mut other = EventReader::new(get(address, "/events?page=b", &[]).await);
    assert_eq!(post(address, "/cut?page=a&away=5").await, StatusCode::NO_CONTENT);

    let end = soon(cut.into_body().collect()).await;
    let bytes = end.expect("a clean one").to_bytes();
    assert!(bytes.ends_with(b"retry: 5000\n"), "{bytes:?}");
    // Longer than the history was then, so it is live.
    for expected in 1..=40 {
        assert_eq!(id(&mut other).await, expected);
    }
}

#[tokio::test]
async fn samples_are_plausible() {
    let busy = Arc::new(());
    let burning = Arc::downgrade(&busy);
    thread::spawn(move || while burning.strong_count() > 0 {});

    let started = now();
    let address = serve(INTERVAL).await;
    let mut reader = watch(address, None).await;
    let (mut before, mut cpu, mut received) = (started, 0.0_f64, 0);
    // The CPU is measured five times a second at most, and our own events are traffic.
    while cpu == 0.0 || received == 0 || before < started + 500 {
        let (_, sample) = sample(&mut reader).await;
        let count = |of: &str, what: &str| sample[of][what].as_u64().unwrap();
        let used = sample["cpu"].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&used), "{sample}");
        assert!(sample["cores"].as_u64().unwrap() > 0, "{sample}");
        assert!((1..=count("memory", "total")).contains(&count("memory", "used")), "{sample}");
        assert!(count("disk", "free") <= count("disk", "total"), "{sample}");
        // More than a TB in a second was counted since the system is up, not since the sample before.
        assert!(count("disk", "read") + count("disk", "written") < 1 << 40, "{sample}");
        let time = sample["time"].as_u64().unwrap();
        assert!((before..=now()).contains(&time), "{sample}");
        assert!((started..=time).contains(&sample["started"].as_u64().unwrap()), "{sample}");
        (before, cpu, received) = (time, cpu.max(used), received.max(count("network", "received")));
        assert!(before < started + 20_000, "no load or no traffic: {sample}");
    }
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

#[tokio::test]
async fn the_page_needs_no_other_host() {
    let address = serve(INTERVAL).await;
    let response = get(address, "/", &[]).await;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let page = response.into_body().collect().await.unwrap().to_bytes();
    let page = str::from_utf8(&page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for foreign in ["://", "src=", "url(", "@import", "=\"//"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

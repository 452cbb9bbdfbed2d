//! The dashboard's guarantees, over a socket.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use self::support::{
    EventReader,
    client::{get, post},
    serve_axum, soon,
};

#[path = "../../../examples/dashboard/main.rs"]
#[allow(dead_code)]
mod dashboard;
mod drills;
#[path = "../../../tests/support/mod.rs"]
mod support;

const INTERVAL: Duration = Duration::from_millis(20);

async fn serve(interval: Duration) -> SocketAddr {
    serve_axum(dashboard::app(interval)).await
}

async fn watch(address: SocketAddr, last_event_id: Option<&str>) -> EventReader<Incoming> {
    let headers: Vec<_> = last_event_id.map(|id| ("last-event-id", id)).into_iter().collect();
    EventReader::new(get(address, "/events", &headers).await)
}

/// Returns the next event, which must be a sample, with its ID.
async fn sample(reader: &mut EventReader<Incoming>) -> (String, Value) {
    let message = soon(reader.next()).await.unwrap();
    assert_eq!(message.event, "sample");
    (message.last_event_id.to_string(), serde_json::from_str(&message.data).unwrap())
}

async fn number(reader: &mut EventReader<Incoming>) -> u64 {
    number_of(&sample(reader).await.1)
}

fn number_of(sample: &Value) -> u64 {
    sample["number"].as_u64().unwrap()
}

/// Returns the IDs of the samples up to `last`, indexed by their numbers. The one at 0 is the ID
/// before the first sample.
async fn ids_to(last: u64, reader: &mut EventReader<Incoming>) -> Vec<String> {
    let mut ids = vec![String::new()];
    for expected in 1..=last {
        let (id, sample) = sample(reader).await;
        assert_eq!(number_of(&sample), expected);
        ids.push(id);
    }
    let epoch = ids[1].split_once('-').unwrap().0;
    ids[0] = format!("{epoch}-0");
    ids
}

async fn press(address: SocketAddr, path: &str) -> StatusCode {
    post(address, path, &[], "").await.status()
}

#[tokio::test]
async fn samples_are_numbered_consecutively_from_kept_to_live() {
    let address = serve(INTERVAL).await;
    let mut first = watch(address, None).await;
    for expected in 1..=10 {
        assert_eq!(number(&mut first).await, expected);
    }
    let mut second = watch(address, None).await;
    for expected in 1..=20 {
        assert_eq!(number(&mut second).await, expected);
    }
}

#[tokio::test]
async fn every_stream_starts_with_the_reconnection_time() {
    let address = serve(INTERVAL).await;
    let first = soon(watch(address, None).await.next()).await.unwrap();
    assert_eq!(first.retry, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_reconnecting_client_gets_exactly_the_events_after_its_last_id() {
    let address = serve(INTERVAL).await;
    let ids = ids_to(12, &mut watch(address, None).await).await;
    // Within what is kept, and around the start of live samples.
    for last in [0, 7, 12] {
        let mut reader = watch(address, Some(&ids[last as usize])).await;
        for expected in last + 1..last + 15 {
            assert_eq!(number(&mut reader).await, expected);
        }
    }
}

#[tokio::test]
async fn an_unknown_id_gets_a_gap_event_and_then_a_first_visit() {
    let address = serve(INTERVAL).await;
    let ids = ids_to(2, &mut watch(address, None).await).await;
    let never_given = format!("{}000", ids[2]);
    // An ID of no known form, one from before there was a hub, and one of this hub's future.
    for last in ["1 or so", "2", &never_given] {
        let mut reader = watch(address, Some(last)).await;
        read_gaps(&mut reader).await;
        for expected in 1..=5 {
            assert_eq!(number(&mut reader).await, expected, "{last}");
        }
    }
}

#[tokio::test]
async fn a_client_that_was_away_too_long_gets_a_gap_event() {
    let address = serve(Duration::from_millis(1)).await;
    let mut witness = watch(address, None).await;
    let mut ids = ids_to(305, &mut witness).await;
    let mut reader = watch(address, Some(&ids[2])).await;
    let gap = soon(reader.next()).await.unwrap();
    assert_eq!((&*gap.event, &*gap.data), ("gap", "samples"));
    let next = number(&mut reader).await;
    assert!(next > 3, "the oldest of 300 is {next}");
    for expected in next + 1..next + 310 {
        assert_eq!(number(&mut reader).await, expected);
    }
    while (ids.len() as u64) < next {
        ids.push(sample(&mut witness).await.0);
    }
    // So a client that is cut right after the gap misses nothing more and gets no second gap.
    assert_eq!(*gap.last_event_id, *ids[next as usize - 1]);
}

#[tokio::test]
async fn an_id_of_an_earlier_run_gets_a_gap_event_and_all_kept_samples() {
    let earlier = serve(INTERVAL).await;
    let ids = ids_to(3, &mut watch(earlier, None).await).await;
    let address = serve(INTERVAL).await;
    number(&mut watch(address, None).await).await;
    let mut reader = watch(address, Some(&ids[3])).await;
    let last = read_gaps(&mut reader).await;
    for expected in 1..=5 {
        assert_eq!(number(&mut reader).await, expected);
    }
    // A client that is cut right after the gaps does not get them again.
    let mut reader = watch(address, Some(&last)).await;
    for expected in 1..=5 {
        assert_eq!(number(&mut reader).await, expected);
    }
}

/// Reads the gaps of both topics, which come first, and returns the ID after them.
async fn read_gaps(reader: &mut EventReader<Incoming>) -> String {
    let (one, other) = (soon(reader.next()).await.unwrap(), soon(reader.next()).await.unwrap());
    assert_eq!((&*one.event, &*one.data), ("gap", "samples"));
    assert_eq!((&*other.event, &*other.data), ("gap", "drills"));
    other.last_event_id.to_string()
}

#[tokio::test]
async fn the_button_ends_its_pages_streams_and_sends_a_reconnection_time() {
    let address = serve(INTERVAL).await;
    let cut = get(address, "/events?page=a", &[]).await;
    let mut other = EventReader::new(get(address, "/events?page=b", &[]).await);
    assert_eq!(press(address, "/cut?page=a&away=5").await, StatusCode::NO_CONTENT);

    let end = soon(cut.into_body().collect()).await;
    let bytes = end.expect("a clean one").to_bytes();
    assert!(bytes.ends_with(b"retry: 5000\n"), "{bytes:?}");
    // More than was kept then, so it is live.
    for expected in 1..=40 {
        assert_eq!(number(&mut other).await, expected);
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
        // More than a TB per second was counted since the system started, not since the sample
        // before.
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

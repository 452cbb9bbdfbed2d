//! Drills of deployments: how the clients of a server reconnect after its shutdown.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower_sse::Message;

use crate::{support::EventReader, *};

/// At this interval the kept samples cover 15 seconds, in which every drill is over.
const INTERVAL: Duration = Duration::from_millis(50);
const CLIENTS: u64 = 200;
/// The maximum number of clients that reconnect in one second if they are spread; more of them are
/// a storm. Over 5 seconds it is 40 on average.
const PEAK: u64 = 90;

/// Limits concurrent drills: each has 400 sockets, and a process often no more than a thousand.
async fn sockets() -> SemaphorePermit<'static> {
    static DRILLS: Semaphore = Semaphore::const_new(2);
    DRILLS.acquire().await.unwrap()
}

/// The report on a drill.
struct Run {
    phase: String,
    /// The reconnections in each second.
    returned: Vec<u64>,
    exited: Option<f64>,
    /// The maximum number of open streams in the samples meanwhile.
    open: u64,
}

impl Run {
    fn of(data: &str, kind: &str) -> Option<Self> {
        let runs: Value = serde_json::from_str(data).unwrap();
        let run = &runs[kind];
        Some(Self {
            phase: run.get("phase")?.as_str().unwrap().to_owned(),
            returned: run["returned"].as_array()?.iter().map(|n| n.as_u64().unwrap()).collect(),
            exited: run["exited"].as_f64(),
            open: 0,
        })
    }

    fn peak(&self) -> u64 {
        self.returned.iter().copied().max().unwrap()
    }
}

/// Starts a drill, and reads until it is over.
async fn drill(address: SocketAddr, reader: &mut EventReader<Incoming>, kind: &str) -> Run {
    let path = format!("/drill?spread={}", kind == "spread");
    assert_eq!(press(address, &path).await, StatusCode::ACCEPTED);
    until_over(reader, kind).await
}

async fn until_over(reader: &mut EventReader<Incoming>, kind: &str) -> Run {
    let mut open = 0;
    loop {
        let message = reader.next().await.unwrap();
        if message.event == "sample" {
            let sample: Value = serde_json::from_str(&message.data).unwrap();
            open = open.max(sample["streams"]["open"].as_u64().unwrap());
        } else if message.event == "gap" {
            // Only the newest report on drills is kept, and it comes next.
            assert_eq!(message.data, "drills");
        } else if let Some(run) = Run::of(&message.data, kind) {
            assert_ne!(run.phase, "failed");
            if run.phase == "over" {
                return Run { open, ..run };
            }
        }
    }
}

#[tokio::test]
async fn clients_that_are_drained_at_once_reconnect_as_a_storm() {
    let _sockets = sockets().await;
    let address = serve(INTERVAL).await;
    let run = drill(address, &mut watch(address, None).await, "storm").await;
    assert_eq!(run.returned.iter().sum::<u64>(), CLIENTS, "all are back: {:?}", run.returned);
    assert!(run.peak() > PEAK, "{:?}", run.returned);
    // One second, and one more on a busy machine; without a reconnection time it would be three.
    let first = run.returned.iter().position(|count| *count > 0).unwrap();
    assert!(first == 1 || first == 2, "clients wait for the reconnection time: {:?}", run.returned);
    let exited = run.exited.unwrap();
    assert!(exited < 1.0, "the old server was gone after {exited} s");
}

#[tokio::test]
async fn clients_that_are_drained_one_after_another_reconnect_without_a_storm() {
    let _sockets = sockets().await;
    let address = serve(INTERVAL).await;
    let run = drill(address, &mut watch(address, None).await, "spread").await;
    assert_eq!(run.returned.iter().sum::<u64>(), CLIENTS, "all are back: {:?}", run.returned);
    assert!(run.peak() <= PEAK, "{:?}", run.returned);
    let exited = run.exited.unwrap();
    // The last of 200 draws from 5 seconds.
    assert!(exited > 4.0 && exited < 6.0, "the old server was gone after {exited} s");
    // At most the clients of three seconds are away at a time, and the reader is connected too.
    assert!(run.open > 100 && run.open <= CLIENTS + 1, "{} streams were open", run.open);
}

#[tokio::test]
async fn samples_count_open_streams_and_closed_streams_by_reason() {
    let _sockets = sockets().await;
    let address = serve(INTERVAL).await;
    let mut reader = watch(address, None).await;
    let (_, before) = sample(&mut reader).await;
    assert_eq!(before["streams"]["open"], 1, "the reader's own");
    assert_eq!(before["streams"]["opened"], 1);
    let closed = before["streams"]["closed"].as_object().unwrap();
    assert_eq!(closed.len(), 8);
    assert!(closed.values().all(|count| *count == 0), "{before}");

    drill(address, &mut reader, "storm").await;
    // A sample from after the drill, in which every client has opened two streams.
    let after = loop {
        let (_, sample) = sample(&mut reader).await;
        if sample["streams"]["open"] == 1 && sample["streams"]["opened"] == 2 * CLIENTS + 1 {
            break sample["streams"].clone();
        }
    };
    assert_eq!(after["closed"]["drained"], CLIENTS, "from the old server");
    assert_eq!(after["closed"]["disconnected"], CLIENTS, "they left the new one by themselves");
    for reason in ["ended", "failed", "expired", "panicked", "cancelled", "revoked"] {
        assert_eq!(after["closed"][reason], 0, "{reason}");
    }
}

#[tokio::test]
async fn only_one_drill_runs_at_a_time() {
    let _sockets = sockets().await;
    let address = serve(INTERVAL).await;
    let mut reader = watch(address, None).await;
    assert_eq!(press(address, "/drill").await, StatusCode::ACCEPTED);
    assert_eq!(press(address, "/drill").await, StatusCode::CONFLICT);
    assert_eq!(press(address, "/drill?spread=true").await, StatusCode::CONFLICT);
    until_over(&mut reader, "storm").await;
    // The event that reports its end comes shortly before the drill has finished.
    while press(address, "/drill").await == StatusCode::CONFLICT {}
    until_over(&mut reader, "storm").await;
}

fn number_in(sample: &str) -> u64 {
    number_of(&serde_json::from_str(sample).unwrap())
}

#[tokio::test]
async fn a_client_that_connects_after_a_drill_gets_its_result_and_resumes_as_usual() {
    let _sockets = sockets().await;
    let address = serve(INTERVAL).await;
    let mut reader = watch(address, None).await;
    let (first_id, first) = sample(&mut reader).await;
    let first = number_of(&first);
    drill(address, &mut reader, "storm").await;

    // A client that returns, and a client on its first visit. Only the newest report is kept, and the
    // ones that it replaces are no gap.
    for (last, seen) in [(Some(&*first_id), first), (None, 0)] {
        let mut reader = watch(address, last).await;
        let (mut number, mut reports) = (seen, Vec::new());
        while reports.is_empty() || number < seen + 40 {
            let Message { event, data, last_event_id, .. } = reader.next().await.unwrap();
            if event == "sample" {
                number += 1;
                assert_eq!(number_in(&data), number);
            } else {
                reports.push((event, data, last_event_id.to_string(), number));
            }
        }
        let [(event, data, id, seen)] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!(&**event, "drill");
        assert_eq!(Run::of(data, "storm").unwrap().phase, "over");
        // A cut right after it loses nothing either.
        let mut reader = watch(address, Some(id)).await;
        let next = reader.next().await.unwrap();
        assert_eq!((&*next.event, number_in(&next.data)), ("sample", seen + 1));
    }
}

#[tokio::test]
async fn a_drill_is_reported_for_longer_than_samples_are_kept() {
    let _sockets = sockets().await;
    let address = serve(Duration::from_millis(2)).await;
    let mut reader = watch(address, None).await;
    drill(address, &mut reader, "storm").await;
    let over = number(&mut reader).await;
    while number(&mut reader).await < over + 310 {}

    let mut reader = watch(address, None).await;
    let first = reader.next().await.unwrap();
    assert_eq!(Run::of(&first.data, "storm").expect("a drill").phase, "over");
    assert!(number(&mut reader).await > over, "all that is kept is newer");
}

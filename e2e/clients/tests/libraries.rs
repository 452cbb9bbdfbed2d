//! Tests with reqwest-eventsource, which accepts only `text/event-stream` and stops for good at any
//! status but 200.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::{Router, routing::get};
use futures_util::StreamExt;
use reqwest_eventsource::{Error, Event as Received, EventSource};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tower_sse::{Event, LastEventId, Refusal, SseLayer, hub::Hub, stats::Stats};

const PATIENCE: Duration = Duration::from_secs(60);

async fn serve(hub: &Hub, layer: SseLayer) -> SocketAddr {
    let hub = hub.clone();
    let events = async move |last: Option<LastEventId>| hub.subscribe_to("a").resume(last);
    let app = Router::new().route("/", get(events)).layer(layer);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn listen(address: SocketAddr) -> EventSource {
    EventSource::get(format!("http://{address}/"))
}

/// Returns the data of the next `count` events without a name. The client reconnects after each
/// end.
async fn messages(client: &mut EventSource, count: usize) -> Vec<String> {
    let mut messages = Vec::new();
    let read = async {
        while messages.len() < count {
            match client.next().await.expect("the client is not over") {
                Ok(Received::Message(message)) if message.event == "message" => {
                    messages.push(message.data);
                }
                Ok(_) | Err(Error::StreamEnded) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, read).await.expect("in time");
    messages
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("in time");
}

#[tokio::test]
async fn library_that_is_refused_comes_back_and_misses_nothing() {
    let (hub, stats) = (Hub::new(), Stats::new());
    let refusal = Refusal::per_client().retry(Duration::from_millis(50));
    let layer = SseLayer::new().max_streams(1).refusal(refusal).stats(&stats);
    let address = serve(&hub, layer).await;
    let first = reqwest::get(format!("http://{address}/")).await.unwrap();
    let mut client = listen(address);
    let publish = async {
        until(|| stats.snapshot().refused > 2).await;
        drop(first);
        until(|| stats.snapshot().opened == 2).await;
        for text in ["1", "2", "3"] {
            hub.publish("a", text).await.unwrap();
        }
    };
    let (received, ()) = tokio::join!(messages(&mut client, 3), publish);
    assert_eq!(received, ["1", "2", "3"]);
}

#[tokio::test]
async fn library_that_has_everything_of_an_ended_topic_stops() {
    let (hub, stats) = (Hub::new(), Stats::new());
    let address = serve(&hub, SseLayer::new().stats(&stats)).await;
    let mut client = listen(address);
    let end = async {
        until(|| stats.snapshot().open == 1).await;
        hub.publish("a", "1").await.unwrap();
        hub.end("a", Event::from("2")).await.unwrap();
    };
    let (received, ()) = tokio::join!(messages(&mut client, 2), end);
    assert_eq!(received, ["1", "2"]);
    let rest = timeout(PATIENCE, client.collect::<Vec<_>>()).await.expect("the client is over");
    assert!(
        matches!(rest.last(), Some(Err(Error::InvalidStatusCode(status, _))) if *status == 204)
    );
    assert_eq!(stats.snapshot().opened, 1);
}

#[tokio::test]
async fn library_that_is_away_before_its_first_event_receives_it() {
    let (hub, stats) = (Hub::new(), Stats::new());
    let layer = SseLayer::new().max_age(Duration::from_millis(200)).stats(&stats);
    let address = serve(&hub, layer).await;
    let mut client = listen(address);
    let publish = async {
        until(|| stats.snapshot().open == 1).await;
        until(|| stats.snapshot().open == 0).await;
        hub.publish("a", "1").await.unwrap();
    };
    let (received, ()) = tokio::join!(messages(&mut client, 1), publish);
    assert_eq!(received, ["1"]);
}

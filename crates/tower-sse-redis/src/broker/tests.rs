//! Connections whose packets are dropped, as by a firewall that has forgotten them, and the ids of
//! markers.

use std::{cell::Cell, pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tower_sse::hub::{Hub, PublishError};
use tower_sse_redis_model::{Log, Network};

use super::entry::{STEP, StreamId};
use super::redis_stream::MARK;
use crate::{Redis, RedisBroker, set_dialer};

/// The numbers of the reader's and of the publishers' connections, as processes of the model.
const READER: usize = 0;
const PUBLISHERS: usize = 1;
const LIMIT: Duration = Duration::from_secs(3);
/// The longest time for which a read waits for an entry.
const BLOCK: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);

/// Returns a model of Redis and a broker of this thread. Every second connection is the publishers',
/// and `open` is called with the number of its process.
fn model(open: impl Fn(&Network, usize) + Clone + Send + 'static) -> (Network, RedisBroker) {
    let network = Network::new(fastrand::Rng::with_seed(0), 2, 0, Log::new(false));
    let (served, dialed) = (network.clone(), Cell::new(READER));
    set_dialer(move |host| {
        (host == "model").then_some(())?;
        let process = dialed.replace(1 - dialed.get());
        let (network, open) = (served.clone(), open.clone());
        Some(async move {
            let stream = network.clone().dial(format!("process-{process}")).await;
            open(&network, process);
            stream
        })
    });
    let broker = Redis::open("redis://model/").unwrap().timeout(LIMIT).broker("events");
    (network, broker.publish_deadline(LONG))
}

#[tokio::test(start_paused = true)]
async fn publishers_connection_without_replies_is_replaced_after_one_time_limit() {
    let (network, broker) = model(|_, _| {});
    let (health, hub) =
        (broker.health(), Hub::connect(broker.publish_deadline(LIMIT)).await.unwrap());
    network.drop_packets(PUBLISHERS);
    let since = Instant::now();
    while health.reconnections() == 0 {
        sleep(LIMIT / 30).await;
    }
    assert!(since.elapsed() <= BLOCK + LIMIT * 4 / 3, "{:?}", since.elapsed());
    hub.publish("a", "1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_without_a_reply_is_unknown_soon_after_its_session() {
    let (network, broker) = model(|_, _| {});
    let hub = Hub::connect(broker).await.unwrap();
    [READER, PUBLISHERS].iter().for_each(|process| network.drop_packets(*process));
    let error = timeout(BLOCK + LIMIT * 3, hub.publish("a", "1")).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
    hub.publish("a", "2").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_without_a_reply_is_unknown_soon_after_its_hub_closes() {
    let (network, broker) = model(|_, _| {});
    let hub = Hub::connect(broker).await.unwrap();
    [READER, PUBLISHERS].iter().for_each(|process| network.drop_packets(*process));
    let mut publishing = pin!(hub.publish("a", "1"));
    assert!(timeout(LIMIT / 30, &mut publishing).await.is_err(), "it awaits its reply");
    hub.close();
    let error = timeout(LIMIT * 2, publishing).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn event_is_published_although_the_marker_before_it_gets_no_reply() {
    let (network, broker) = model(|_, _| {});
    let hub = Hub::connect(broker).await.unwrap();
    // The first survey is over, and the reader waits.
    sleep(LIMIT / 30).await;
    network.command(&["DEL", "events"]);
    // The publishers' link is so slow that each of the next commands arrives alone.
    network.limit_bandwidth(PUBLISHERS, 1000);
    let (publisher, before) = (hub.clone(), network.commands());
    let publishing = tokio::spawn(async move { publisher.publish("a", "1").await });
    // The stream is missing, and the publisher asks for its newest entry before it adds a marker.
    while network.commands() < before + 2 {
        sleep(LIMIT / 3000).await;
    }
    [READER, PUBLISHERS].iter().for_each(|process| network.drop_packets(*process));
    network.limit_bandwidth(PUBLISHERS, u64::MAX);
    timeout(BLOCK + LIMIT * 3, publishing).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn event_that_waits_is_refused_when_its_hub_closes() {
    let (network, broker) = model(|_, _| {});
    let (health, hub) = (broker.health(), Hub::connect(broker).await.unwrap());
    [READER, PUBLISHERS].iter().for_each(|process| network.shut_out(*process));
    while health.is_ready() {
        sleep(LIMIT / 30).await;
    }
    let mut publishing = pin!(hub.publish("a", "1"));
    assert!(timeout(LIMIT, &mut publishing).await.is_err(), "it waits");
    hub.close();
    let error = timeout(LIMIT, publishing).await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Closed), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn second_connection_without_replies_delays_no_start() {
    let (_network, broker) = model(|network, process| {
        if process == PUBLISHERS {
            network.drop_packets(PUBLISHERS);
        }
    });
    assert!(timeout(LONG / 2, Hub::connect(broker)).await.unwrap().is_err());
}

/// Both the script of a marker and a process that connects compute steps.
#[tokio::test(start_paused = true)]
async fn marker_ahead_of_the_clock_is_a_step() {
    let mut rng = fastrand::Rng::with_seed(0);
    let network = Network::new(rng.fork(), 1, 0, Log::new(false));
    for _ in 0..10_000 {
        network.set_clock(rng.i64(1..5_000));
        let time = network.command(&["TIME"]).unwrap();
        let (seconds, rest) = time.split_once(' ').unwrap();
        let [seconds, rest] = [seconds, rest].map(|part| part.parse::<u64>().unwrap());
        // Each call of the model takes a microsecond.
        let now = seconds * 1_000_000 + rest + 1;
        let bits = rng.u32(..40);
        let milliseconds = now / 1000 + 1 + rng.u64(..1 << bits);
        let newest = StreamId { milliseconds, counter: rng.u64(..1 << 20) };
        network.command(&["DEL", "events"]);
        let arguments = [milliseconds, newest.counter, STEP].map(|it| it.to_string());
        let [milliseconds, counter, step] = arguments.each_ref().map(String::as_str);
        let marker = ["EVAL", MARK, "1", "events", "empty", milliseconds, counter, step, "nonce"];
        let id = network.command(&marker);
        assert_eq!(id, Some(newest.step(now).to_string()), "after {newest}");
    }
}

//! Prints how long `Feed::report_loss` and `Feed::event` take in a hub of many topics, each with
//! one subscription.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{convert::Infallible, hint::black_box, pin::Pin};

use futures_core::Stream;
use tower_sse::Event;
use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher};
use tower_sse::hub::{Hub, PublishError, Subscription};

const ROUNDS: u64 = 20;

/// A broker that gives its feed to the benchmark.
struct Engine(Arc<Mutex<Option<Feed>>>);

struct ReadOnly;

impl Broker for Engine {
    type Publisher = ReadOnly;
    type Error = Infallible;

    fn name(&self) -> String {
        "losses".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<ReadOnly, Infallible> {
        *self.0.lock().unwrap() = Some(feed);
        Ok(ReadOnly)
    }
}

impl Publisher for ReadOnly {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Refused("read only".into()))
    }
}

/// Reads until the subscription waits.
fn read(subscription: &mut Subscription) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(item) = Pin::new(&mut *subscription).poll_next(&mut cx) {
        black_box(item);
    }
}

async fn measure(topics: usize) {
    let feed = Arc::default();
    let hub = Hub::connect(Engine(Arc::clone(&feed))).await.unwrap();
    let mut feed = feed.lock().unwrap().take().unwrap();
    let names: Vec<_> = (0..topics).map(|topic| format!("topic:{topic}")).collect();
    let mut clients: Vec<_> =
        names.iter().map(|name| hub.subscribe_to(name).resume(None)).collect();
    let [mut events, mut waiting, mut awake] = [Duration::ZERO; 3];
    for round in 0..ROUNDS {
        clients.iter_mut().for_each(read);
        let name = &names[round as usize * 7919 % topics];
        let event = Event::from("x");
        let started = Instant::now();
        let arrival = Arrival::new(3 * round + 1, Duration::ZERO, Duration::ZERO);
        feed.event(arrival, name, &event).unwrap();
        events += started.elapsed();
        clients.iter_mut().for_each(read);
        for (number, took) in [(3 * round + 2, &mut waiting), (3 * round + 3, &mut awake)] {
            let started = Instant::now();
            feed.report_loss(number).unwrap();
            *took += started.elapsed();
        }
    }
    let [events, waiting, awake] =
        [events, waiting, awake].map(|took| (took / ROUNDS as u32).as_nanos() as f64 / 1e3);
    println!("| {topics} | {events:.1} µs | {waiting:.1} µs | {awake:.1} µs |");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!(
        "| topics | event | loss, all subscriptions wait | loss, none waits |\n|---|---|---|---|"
    );
    for topics in [1, 1_000, 10_000, 50_000] {
        // Without tokio's budget: the subscriptions are polled more often than it allows.
        tokio::task::unconstrained(measure(topics)).await;
    }
}

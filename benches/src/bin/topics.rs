//! Prints what a subscription to many topics costs, on one thread without sockets: once with the
//! caches as the last round left them, once after writing 128 MiB of other memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use std::{hint::black_box, pin::Pin, sync::Arc};

use futures_core::Stream;
use tokio::task::unconstrained;
use tower_sse::LastEventId;
use tower_sse::hub::{Hub, Subscription};

const OTHER_MEMORY: usize = 128 << 20;

/// The times of one round.
struct Round {
    /// The time of the poll that returns an event after a pause, and of the next poll, which waits.
    event: Duration,
    /// The mean time to read one item of a backlog that has all events.
    item: Duration,
    subscribe: Duration,
    drop: Duration,
}

type Part = (&'static str, fn(&Round) -> Duration);

const PARTS: [Part; 4] = [
    ("an event after a pause", |round| round.event),
    ("an item of a backlog", |round| round.item),
    ("to subscribe", |round| round.subscribe),
    ("to drop", |round| round.drop),
];

/// A waker that remembers whether it was woken: a poll that yields wakes its task.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads until the subscription waits and returns the number of items.
fn read(subscription: &mut Subscription, woken: &Arc<Woken>) -> usize {
    let waker = Waker::from(Arc::clone(woken));
    let mut cx = Context::from_waker(&waker);
    let mut items = 0;
    loop {
        match Pin::new(&mut *subscription).poll_next(&mut cx) {
            Poll::Ready(item) => items += usize::from(black_box(item).is_some()),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => return items,
        }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

struct Subject {
    hub: Hub,
    names: Vec<String>,
    /// The id before all events.
    start: LastEventId,
    published: usize,
    /// The same for all polls: a subscription that is polled by another task starts to wait anew.
    woken: Arc<Woken>,
    other: Vec<u8>,
}

impl Subject {
    async fn new(topics: usize) -> Self {
        let hub = Hub::builder().max_memory(1 << 30).build();
        let names: Vec<_> = (0..topics).map(|topic| format!("topic:{topic}")).collect();
        let start = LastEventId::from(hub.position());
        let (woken, other) = (Arc::default(), vec![0; OTHER_MEMORY]);
        let mut subject = Self { hub, names, start, published: 0, woken, other };
        for topic in 0..topics {
            subject.publish(topic).await;
        }
        subject
    }

    async fn publish(&mut self, topic: usize) {
        self.hub.publish(&self.names[topic], "x").await.expect("a hub that is open");
        self.published += 1;
    }

    async fn round(&mut self, cold: bool) -> Round {
        self.forget(cold);
        let (subscribe, mut subscription) =
            timed(|| self.hub.subscribe(&self.names).resume(self.start.clone()));
        self.forget(cold);
        let (backlog, items) = timed(|| read(&mut subscription, &self.woken));
        assert_eq!(items, self.published, "a backlog without gaps");
        // Always another topic, because events of one topic that follow each other are one item.
        self.publish(self.published * 7919 % self.names.len()).await;
        self.forget(cold);
        let (event, items) = timed(|| read(&mut subscription, &self.woken));
        assert_eq!(items, 1);
        self.forget(cold);
        let (drop, ()) = timed(|| drop(subscription));
        Round { event, item: backlog / self.published as u32, subscribe, drop }
    }

    fn forget(&mut self, cold: bool) {
        if cold {
            self.other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
            black_box(&self.other);
        }
    }
}

/// Prints the medians of a part, with warm and with cold caches.
fn print(topics: usize, (name, part): Part, [warm, cold]: &[Vec<Round>; 2]) {
    let [warm, cold] = [warm, cold].map(|rounds| {
        let mut times: Vec<_> = rounds.iter().map(part).collect();
        times.sort();
        times[times.len() / 2].as_nanos() as f64 / 1e3
    });
    println!("| {topics} | {name} | {warm:.1} µs | {cold:.1} µs |");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| topics | | warm | cold |\n|---|---|---|---|");
    for (topics, rounds) in [(100, 40), (1_000, 40), (5_000, 40), (100_000, 10)] {
        let mut subject = Subject::new(topics).await;
        let mut measured = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (cold, measured) in [false, true].into_iter().zip(&mut measured) {
                // Without tokio's budget: the subscription is polled more often than it allows.
                measured.push(unconstrained(subject.round(cold)).await);
            }
        }
        for part in PARTS {
            print(topics, part, &measured);
        }
    }
}

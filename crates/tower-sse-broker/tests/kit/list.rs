//! Tests of the example broker, whose log is a list in memory.

use std::{future::poll_fn, pin::Pin, sync::mpsc, thread};

use futures_core::Stream;
use tokio::{runtime::Builder, time::timeout};
use tower_sse::hub::{Hub, Subscription};
use tower_sse_broker::__private::Identity;

use crate::list_broker::Entry;
use crate::*;

struct Server(ListBroker);

impl Server {
    async fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kit{}", CREATED.fetch_add(1, Relaxed));
        Self(ListBroker { name, server: list_broker::Server::default() })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>) + Send + 'static) -> Fault<'_> {
        Box::pin(async move { change(&mut self.0.server.entries()) })
    }
}

impl World for Server {
    type Broker = ListBroker;

    fn broker(&self) -> ListBroker {
        self.0.clone()
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(self.change(move |entries| {
            let is_event = |entry: &Entry| !matches!(entry.kind, Kind::Mark);
            let places = entries.iter().enumerate().rev().filter(|(_, entry)| is_event(entry));
            let oldest = places.map(|(place, _)| place).nth(keep - 1).unwrap();
            drop(entries.drain(..oldest));
        }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(self.change(Vec::clear))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let copy = Arc::new(Mutex::new(Vec::new()));
        let copied = Arc::clone(&copy);
        let take = move |entries: &mut Vec<_>| *copied.lock().unwrap() = entries.clone();
        let put_back = move |entries: &mut Vec<_>| *entries = mem::take(&mut copy.lock().unwrap());
        Some((self.change(take), self.change(put_back)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_broker_passes_the_kit() {
    check(Server::new).await;
}

/// Removes from the list an event that a hub and its client have read, then changes the list.
async fn lose_event(change: impl FnOnce(&mut Vec<Entry>, Entry)) -> (Hub, Subscription) {
    let server = Server::new().await;
    let hub = Hub::connect(server.broker()).await.unwrap();
    let mut client = hub.subscribe_to("a").resume(None);
    hub.publish("a", "lost").await.unwrap();
    next(&mut client).await;
    let mut entries = server.0.server.entries();
    let lost = entries.pop().unwrap();
    change(&mut entries, lost);
    (hub, client)
}

async fn next(client: &mut Subscription) -> String {
    let next = poll_fn(|cx| Pin::new(&mut *client).poll_next(cx));
    let next = timeout(Duration::from_secs(60), next).await.expect("an event or a gap").unwrap();
    String::from_utf8(next.as_bytes().to_vec()).unwrap()
}

/// The list is out of order, so the mark of the loss is not read.
#[test]
fn follower_pauses_while_no_mark_of_loss_can_be_read() {
    let (refused, is_refused) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let change = |entries: &mut Vec<Entry>, mut lost: Entry| {
                let (first, mut mark) = (entries[0].clone(), entries[0].clone());
                mark.identity.number = lost.identity.number + 1;
                lost.identity.fingerprint += 1;
                entries.push(mark);
                entries.extend(vec![first; 10]);
                entries.push(lost);
            };
            let (hub, _client) = lose_event(change).await;
            sleep(Duration::from_secs(1)).await;
            assert!(matches!(hub.publish("a", "later").await, Err(PublishError::Refused(_))));
        });
        refused.send(()).unwrap();
    });
    assert!(is_refused.recv_timeout(Duration::from_secs(10)).is_ok(), "it spins");
}

/// Another process, which has not read the lost event, has added a mark with that event's number.
#[tokio::test(start_paused = true)]
async fn mark_with_the_number_of_lost_event_does_not_cover_it() {
    let change = |entries: &mut Vec<Entry>, lost: Entry| {
        let identity = Identity { number: lost.identity.number, fingerprint: 1 };
        entries.push(Entry { identity, kind: Kind::Mark, ..lost });
    };
    let (_hub, mut client) = lose_event(change).await;
    let gap = next(&mut client).await;
    assert!(gap.contains("event: gap"), "{gap}");
}

//! A hub whose last owner drops it while its broker feeds it is not dropped by the broker's thread.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, mpsc},
    task::Waker,
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tower_sse::{
    Event,
    hub::{
        Hub, PublishError,
        broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher},
    },
};

use crate::{reentry::Run, *};

/// What a broker feeds to its hubs.
#[derive(Clone, Copy)]
enum Fed {
    Event,
    Loss,
}

fn feed_one(feed: &mut Feed, fed: Fed, sequence: u64) -> bool {
    let result = match fed {
        Fed::Event => {
            let arrival = Arrival::new(sequence, Duration::ZERO, Duration::ZERO);
            feed.event(arrival, "a", &Event::from("x"))
        }
        Fed::Loss => feed.report_loss(sequence),
    };
    result.is_ok()
}

fn refused() -> Result<Acknowledged, PublishError> {
    Err(PublishError::Refused("read only".into()))
}

/// Drops the last owner of a hub when the hub wakes a subscription, and so within the feeding.
fn drop_when_woken(hub: Hub) {
    let owner = Arc::new(Mutex::new(None));
    let woken = Arc::clone(&owner);
    let waker = Waker::from(Arc::new(Run(move || {
        let owner = woken.lock().unwrap().take();
        drop(owner);
    })));
    let client = asleep(&hub, &["a"], &waker);
    *owner.lock().unwrap() = Some((hub, client));
}

/// Calls a closure in its `drop`.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Feeds = Vec<(usize, Feed)>;

/// A broker whose feeds are in a list, which a publisher leaves when it is dropped.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Feeds>>);

impl List {
    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        self.0.lock().unwrap()
    }

    fn feed(&self, fed: Fed, sequence: u64) {
        for (_, feed) in self.feeds().iter_mut() {
            feed_one(feed, fed, sequence);
        }
    }
}

impl Broker for List {
    type Publisher = Member;
    type Error = Infallible;

    fn name(&self) -> String {
        "list".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Member, Infallible> {
        let mut feeds = self.feeds();
        let member = feeds.iter().map(|(member, _)| member + 1).max().unwrap_or(0);
        feeds.push((member, feed));
        drop(feeds);
        Ok(Member { list: self, member })
    }
}

struct Member {
    list: List,
    member: usize,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.list.feeds().retain(|(member, _)| *member != self.member);
    }
}

impl Publisher for Member {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        refused()
    }
}

#[test]
fn publisher_leaves_a_list_that_its_broker_has_locked() {
    for fed in [Fed::Event, Fed::Loss] {
        without_deadlock(move || {
            let list = List::default();
            let [one, other] =
                [(); 2].map(|()| Hub::connect(list.clone()).now_or_never().unwrap().unwrap());
            drop_when_woken(one);
            list.feed(fed, 1);
            while list.feeds().len() > 1 {
                thread::yield_now();
            }
            list.feed(Fed::Event, 2);
            assert_eq!(sequence(other.position().as_str()), 2);
        });
    }
}

/// A broker with a thread that reads, which ends with its hub.
struct Thread {
    items: mpsc::Receiver<(Fed, u64)>,
    joined: mpsc::Sender<thread::Result<()>>,
}

impl Broker for Thread {
    type Publisher = Reader;
    type Error = Infallible;

    fn name(&self) -> String {
        "thread".to_owned()
    }

    async fn start(self, mut feed: Feed) -> Result<Reader, Infallible> {
        let Self { items, joined } = self;
        let read = move || while items.recv().is_ok_and(|(fed, n)| feed_one(&mut feed, fed, n)) {};
        Ok(Reader { thread: Some(thread::spawn(read)), joined })
    }
}

struct Reader {
    thread: Option<JoinHandle<()>>,
    joined: mpsc::Sender<thread::Result<()>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.joined.send(self.thread.take().unwrap().join()).unwrap();
    }
}

impl Publisher for Reader {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        refused()
    }
}

#[test]
fn publisher_joins_the_thread_that_feeds_its_hub() {
    for fed in [Fed::Event, Fed::Loss] {
        let ((send, items), (joined, is_joined)) = (mpsc::channel(), mpsc::channel());
        let connecting = Hub::connect(Thread { items, joined });
        drop_when_woken(connecting.now_or_never().unwrap().unwrap());
        send.send((fed, 1)).unwrap();
        // The reader is told that the hub is gone.
        _ = send.send((fed, 2));
        is_joined.recv_timeout(PATIENCE).expect("joined").expect("without a panic");
    }
}

/// A broker that hands out its feed, and whose publisher says where it is dropped.
struct Told {
    feed: Arc<Mutex<Option<Feed>>>,
    dropped: mpsc::Sender<(ThreadId, Option<Handle>)>,
}

impl Broker for Told {
    type Publisher = Teller;
    type Error = Infallible;

    fn name(&self) -> String {
        "told".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Teller, Infallible> {
        *self.feed.lock().unwrap() = Some(feed);
        Ok(Teller(self.dropped))
    }
}

struct Teller(mpsc::Sender<(ThreadId, Option<Handle>)>);

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.send((thread::current().id(), Handle::try_current().ok())).unwrap();
    }
}

impl Publisher for Teller {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        refused()
    }
}

/// Connects a hub within this runtime, lets its last owner drop it within the feeding, and returns
/// where its publisher was dropped. Asserts that its events were not freed by the feeding.
fn where_it_drops(runtime: Option<&tokio::runtime::Runtime>, fed: Fed) -> Option<Handle> {
    let (dropped, is_dropped) = mpsc::channel();
    let feed = Arc::default();
    let here = thread::current().id();
    let freed = OnDrop(move || assert_ne!(thread::current().id(), here));
    let hub = {
        let _context = runtime.map(tokio::runtime::Runtime::enter);
        let builder = Hub::builder().retention_of(move |_| {
            _ = &freed;
            None
        });
        let connecting = builder.connect(Told { feed: Arc::clone(&feed), dropped });
        connecting.now_or_never().unwrap().unwrap()
    };
    drop_when_woken(hub);
    let mut feed = feed.lock().unwrap().take().unwrap();
    feed_one(&mut feed, fed, 1);
    let (thread, context) = is_dropped.recv_timeout(PATIENCE).unwrap();
    assert_ne!(thread, here);
    assert!(!feed_one(&mut feed, fed, 2), "the hub is gone");
    context
}

#[test]
fn publisher_is_dropped_in_the_runtime_that_connected_it() {
    for fed in [Fed::Event, Fed::Loss] {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let context = where_it_drops(Some(&runtime), fed).expect("a runtime");
        assert_eq!(context.id(), runtime.handle().id());
    }
}

#[test]
fn publisher_without_a_runtime_is_dropped_outside_of_the_feeding() {
    for fed in [Fed::Event, Fed::Loss] {
        assert!(where_it_drops(None, fed).is_none());
    }
}

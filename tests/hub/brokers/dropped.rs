//! If the last clone and the last subscription of a hub are dropped while its broker feeds it,
//! another thread than the broker's drops the hub itself.

use crate::*;

#[derive(Clone, Copy)]
enum Fed {
    Event,
    Loss,
}

fn feed_one(feed: &mut Feed, fed: Fed, sequence: u64) -> bool {
    let result = match fed {
        Fed::Event => feed.event(arrival(sequence), "a", &Event::from("x")),
        Fed::Loss => feed.report_loss(sequence),
    };
    result.is_ok()
}

/// Drops the last clone and the last subscription of a hub when the hub wakes this subscription,
/// which is while the broker feeds the hub.
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

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The feeds of a broker. A feed leaves the list when its publisher is dropped.
#[derive(Clone, Default)]
struct List(Arc<Mutex<Vec<(usize, Feed)>>>);

impl List {
    fn feeds(&self) -> MutexGuard<'_, Vec<(usize, Feed)>> {
        self.0.lock().unwrap()
    }

    fn feed(&self, fed: Fed, sequence: u64) {
        for (_, feed) in self.feeds().iter_mut() {
            feed_one(feed, fed, sequence);
        }
    }

    fn connect(&self, member: usize) -> Hub {
        let list = self.clone();
        connect_by_hand(Hub::builder(), move |feed| {
            list.feeds().push((member, feed));
            OnDrop(move || list.feeds().retain(|(other, _)| *other != member))
        })
    }
}

#[test]
fn publisher_leaves_a_list_that_its_broker_has_locked() {
    for fed in [Fed::Event, Fed::Loss] {
        without_deadlock(move || {
            let list = List::default();
            let [one, other] = [0, 1].map(|member| list.connect(member));
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

#[test]
fn publisher_joins_the_thread_that_feeds_its_hub() {
    for fed in [Fed::Event, Fed::Loss] {
        let ((send, items), (joined, is_joined)) = (mpsc::channel(), mpsc::channel());
        drop_when_woken(connect_by_hand(Hub::builder(), |mut feed| {
            let read =
                move || while items.recv().is_ok_and(|(fed, n)| feed_one(&mut feed, fed, n)) {};
            let mut thread = Some(thread::spawn(read));
            OnDrop(move || joined.send(thread.take().unwrap().join()).unwrap())
        }));
        send.send((fed, 1)).unwrap();
        // This call of the feed fails, because the hub is gone.
        _ = send.send((fed, 2));
        is_joined.recv_timeout(PATIENCE).expect("joined").expect("without a panic");
    }
}

#[test]
fn publisher_joins_a_thread_that_waits_for_the_end_of_its_hub() {
    without_deadlock(|| {
        let hub = connect_by_hand(Hub::builder(), |feed| {
            let wait = move || {
                while !feed.is_closed() {
                    thread::yield_now();
                }
            };
            let mut thread = Some(thread::spawn(wait));
            OnDrop(move || thread.take().unwrap().join().unwrap())
        });
        drop(hub);
    });
}

/// Connects a hub within `runtime`, and drops the hub's last clone while the hub is fed. Returns
/// the runtime in which the hub's publisher was dropped. Asserts that the feeding thread dropped
/// neither the publisher nor the hub's closures.
fn where_it_drops(runtime: Option<&Runtime>, fed: Fed) -> Option<Handle> {
    let (dropped, is_dropped) = mpsc::channel();
    let (given, taken) = mpsc::channel();
    let here = thread::current().id();
    let freed = OnDrop(move || assert_ne!(thread::current().id(), here));
    let hub = {
        let _context = runtime.map(Runtime::enter);
        let builder = Hub::builder().retention_of(move |_| {
            _ = &freed;
            None
        });
        connect_by_hand(builder, move |feed| {
            given.send(feed).unwrap();
            let place = || (thread::current().id(), Handle::try_current().ok());
            OnDrop(move || dropped.send(place()).unwrap())
        })
    };
    drop_when_woken(hub);
    let mut feed = taken.recv().unwrap();
    feed_one(&mut feed, fed, 1);
    let (thread, context) = is_dropped.recv_timeout(PATIENCE).unwrap();
    assert_ne!(thread, here);
    assert!(!feed_one(&mut feed, fed, 2), "the hub is gone");
    context
}

#[test]
fn publisher_is_dropped_in_the_runtime_that_connected_it_if_one_did() {
    for fed in [Fed::Event, Fed::Loss] {
        let runtime = Builder::new_current_thread().build().unwrap();
        let context = where_it_drops(Some(&runtime), fed).expect("a runtime");
        assert_eq!(context.id(), runtime.handle().id());
        assert!(where_it_drops(None, fed).is_none());
    }
}

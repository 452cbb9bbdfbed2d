//! Wakers and callbacks that the hub calls can use the hub, and wakers can panic.

use crate::*;

pub(crate) struct Run<F: Fn() + Send + Sync>(pub(crate) F);

impl<F: Fn() + Send + Sync> Wake for Run<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Runs `test`, and fails instead of waiting forever if there is a deadlock or an endless loop.
pub(crate) fn without_deadlock(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("a deadlock, or an endless loop");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

#[test]
fn waker_can_publish_resume_and_close() {
    without_deadlock(|| {
        let alone = Hub::new();
        for ([one, other], closes) in [([alone.clone(), alone], true), (connected().1, false)] {
            let inner = [one.clone(), other.clone()];
            let woken = AtomicUsize::new(0);
            let waker = Waker::from(Arc::new(Run(move || {
                if woken.fetch_add(1, SeqCst) == 0 {
                    publish(&inner[0], "a", "again");
                    drop(inner[1].subscribe(["a", "new"]).resume(id(&inner[0], 2)));
                    if closes {
                        inner[0].close();
                    }
                }
            })));
            let mut clients = [0; 10].map(|_| asleep(&one, &["a"], &waker));
            publish(&other, "a", "first");
            for client in &mut clients {
                assert_eq!(client.read(), ["first@1", "again@2"]);
                assert_eq!(client.has_ended, closes);
            }
            assert_eq!(read(&other, &["a"], id(&other, 0)), ["first@1", "again@2"]);
        }
    });
}

type Held = Arc<Mutex<Vec<Subscription>>>;

/// Returns subscriptions for a task that drops one of them each time it is woken, or all of them
/// with its last waker.
fn holder(hub: &Hub) -> Held {
    let subscriptions = [["a", "b"]; 20].map(|topics| hub.subscribe(topics).resume(None));
    Arc::new(Mutex::new(subscriptions.into()))
}

#[test]
fn waker_can_drop_subscriptions_to_the_same_topic() {
    without_deadlock(|| {
        let hub = Hub::new();
        let held = holder(&hub);
        let given = Arc::clone(&held);
        let waker = Waker::from(Arc::new(Run(move || drop(given.lock().unwrap().pop()))));
        let _clients = [0; 10].map(|_| asleep(&hub, &["a"], &waker));
        publish(&hub, "a", "x");
        assert_eq!(held.lock().unwrap().len(), 10);
        assert_eq!(hub.subscriber_count("b"), 10);
        hub.close();
    });
}

#[test]
fn dropped_waker_can_drop_subscriptions_to_the_same_topic() {
    without_deadlock(|| {
        let hub = Hub::new();
        let task = || {
            let held = holder(&hub);
            Waker::from(Arc::new(Run(move || assert!(!held.lock().unwrap().is_empty()))))
        };
        let mut client = asleep(&hub, &["a", "b"], &task());
        assert_eq!(hub.subscriber_count("b"), 21);
        assert!(client.poll_with(&task()).is_pending());
        assert_eq!(hub.subscriber_count("b"), 21, "the first task is gone with its last waker");
        publish(&hub, "a", "x");
        drop(client);
        assert_eq!(hub.subscriber_count("a"), 0);
        assert_eq!(hub.subscriber_count("b"), 0);
    });
}

#[test]
fn retention_callback_can_use_the_hub() {
    without_deadlock(|| {
        static HUB: OnceLock<Hub> = OnceLock::new();
        let built = Hub::builder().retention_of(|topic| {
            let hub = HUB.get().expect("topics come later");
            if let Some(topic) = topic.strip_prefix("sub:") {
                publish(hub, topic, "x");
                drop(hub.subscribe([topic]).resume(None));
            }
            None
        });
        let hub = HUB.get_or_init(|| built.build());
        let mut client = Client::new(hub.subscribe(["sub:a", "a"]).recent(1).resume(None));
        assert_eq!(client.read(), ["x@1"]);
        publish(hub, "sub:sub:b", "y");
        assert_eq!(hub.topics().len(), 5);
    });
}

#[test]
fn panicking_waker_does_not_keep_other_subscribers_waiting() {
    for sleepers in [2, 20] {
        let hub = Hub::new();
        let panics = Waker::from(Arc::new(Run(|| panic!("asked for"))));
        let (count, counts) = Wakes::new();
        let mut clients: Vec<_> = (0..sleepers)
            .map(|at| asleep(&hub, &["a"], if at == 0 { &panics } else { &counts }))
            .collect();
        publish(&hub, "a", "x");
        assert_eq!(count.get(), sleepers - 1);
        for (at, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read_with(if at == 0 { &panics } else { &counts }), ["x@1"]);
        }
        let mut other = asleep(&hub, &["b"], &counts);
        hub.close();
        assert_eq!(count.get(), 2 * sleepers - 1);
        assert!(other.read().is_empty() && other.has_ended);
    }
}

#[test]
fn broker_whose_waker_panics_does_not_keep_subscribers_waiting() {
    let panics = Waker::from(Arc::new(Run(|| panic!("asked for"))));
    let (hub, feed) = fed_by_hand();
    let mut closed = Box::pin(feed.closed());
    assert!(closed.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    let (count, counts) = Wakes::new();
    let mut behind = Box::pin(feed.closed());
    assert!(behind.as_mut().poll(&mut Context::from_waker(&counts)).is_pending());
    let mut client = asleep(&hub, &["a"], &counts);
    hub.close();
    assert_eq!(count.get(), 2);
    assert!(client.read().is_empty() && client.has_ended);
}

struct PanicsOnDrop;

impl Wake for PanicsOnDrop {
    fn wake(self: Arc<Self>) {
        // Waking must not panic. Only dropping the last waker panics.
        std::mem::forget(self);
    }
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("asked for");
    }
}

#[test]
fn waker_that_panics_on_drop_leaves_no_subscriber_behind() {
    let hub = Hub::new();
    let topics = ["a", "b", "c"];
    let sleep = || asleep(&hub, &topics, &Waker::from(Arc::new(PanicsOnDrop)));
    drop(sleep());
    let mut moved = sleep();
    assert!(moved.poll().is_pending(), "another task's waker takes its place");
    assert_eq!(topics.map(|topic| hub.subscriber_count(topic)), [1; 3]);
    publish(&hub, "b", "x");
    assert_eq!(moved.read(), ["x@1"]);
    drop(moved);
    let mut ends = sleep();
    hub.close();
    assert!(ends.poll().is_ready());
    drop(ends);
    assert_eq!(topics.map(|topic| hub.subscriber_count(topic)), [0; 3]);
}

use std::sync::{Arc, Mutex};
use std::{collections::BTreeMap, mem, pin::pin, time::Duration};

use tokio::sync::{Notify, oneshot};
use tokio::{select, time::timeout};
use tower_sse::hub::broker::{Acknowledged, Publication};
use tower_sse::{BoxError, hub::PublishError};

use crate::gate::{Gate, InFlight};
use crate::tasks::{lock, without_panic};

/// The maximum number of events in a batch.
const MAX_EVENTS: usize = 1000;
/// The total size of a batch's events at which the batch is full, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A queue that publishes events in batches. While a batch is being committed, new events wait for
/// the next one. Thousands of events can be published at once, even if commits are slow.
///
/// The queue holds at most one event per waiting call to [`publish`](Self::publish), even while no
/// batch can be sent.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<QueueState>,
    /// Wakes the task that sends batches.
    filled: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    /// In the order of their arrival.
    events: BTreeMap<u64, Queued>,
    /// The number of events that have arrived.
    arrivals: u64,
    /// Whether to send a batch even if no event is waiting.
    is_woken: bool,
    is_closed: bool,
}

/// An event that's waiting to be sent or acknowledged.
#[derive(Debug)]
pub struct Queued {
    /// The event.
    pub publication: Publication,
    /// A random [fingerprint](crate::__private::Identity) to store with the event, from 1 to
    /// `i64::MAX`.
    pub nonce: u64,
    reply: Reply,
}

/// The sender of an event's result. Sending or dropping it calls the publisher's waker, which is
/// the program's code: a panic there must not end the task that sends batches.
#[derive(Debug)]
struct Reply(Option<oneshot::Sender<Result<Acknowledged, PublishError>>>);

/// The sender of a queue's batches, for [`Queue::run`].
pub trait SendBatch<C>: Send {
    /// Sends a batch of up to 1,000 events, which ends at the event that brings it to 4 MiB. The
    /// batch can be empty. Pass each event's outcome to [`Queued::answer`]. If you drop an event
    /// without an answer, its publisher receives [`PublishError::Unknown`]. If you return `true`,
    /// [`Queue::run`] calls `send` again at once, even if no event is waiting, unless the session
    /// has ended or the hub is closed.
    fn send(
        &mut self,
        in_flight: &InFlight<'_, C>,
        batch: Vec<Queued>,
    ) -> impl Future<Output = bool> + Send;
}

/// An event's place in the queue. Dropping the place removes the event, unless a batch has it.
struct Place<'a> {
    queue: &'a Queue,
    number: u64,
}

/// A guard that closes the queue when [`Queue::run`] ends, even by a panic.
struct Closing<'a>(&'a Queue);

impl Queued {
    /// Sends the outcome to the publisher, which may have stopped waiting.
    pub fn answer(mut self, outcome: Result<Acknowledged, PublishError>) {
        let reply = self.reply.0.take();
        without_panic(|| reply.map(|reply| reply.send(outcome)));
    }

    fn size(&self) -> usize {
        let fields = self.publication.event.fields();
        self.publication.topic.len() + fields.data.len() + fields.comment.map_or(0, str::len)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        without_panic(|| drop(self.0.take()));
    }
}

impl Queue {
    /// Adds an event and waits at most `deadline` for its outcome. If the deadline passes or this
    /// future is dropped, the event is removed from the queue, unless it was already sent.
    ///
    /// # Errors
    ///
    /// - The error that [`SendBatch::send`] passes to [`Queued::answer`].
    /// - [`Refused`](PublishError::Refused), with the reason from `not_sent`, if the event wasn't
    ///   sent before the deadline.
    /// - [`Unknown`](PublishError::Unknown) if `send` received the event, but dropped it or didn't
    ///   answer it before the deadline.
    /// - [`Closed`](PublishError::Closed) if the queue is closed.
    pub async fn publish<E: Into<BoxError>>(
        &self,
        publication: Publication,
        deadline: Duration,
        not_sent: impl FnOnce() -> E,
    ) -> Result<Acknowledged, PublishError> {
        let (reply, outcome) = oneshot::channel();
        let (nonce, reply) = (fastrand::u64(1..1 << 63), Reply(Some(reply)));
        let place = self.add(Queued { publication, nonce, reply });
        match timeout(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            _ if place.leave() => Err(PublishError::Refused(not_sent().into())),
            Ok(Err(_)) => {
                Err(PublishError::Unknown("the connection closed before the response".into()))
            }
            Err(_) => Err(PublishError::Unknown("no response before the deadline".into())),
        }
    }

    /// Sends batches while the gate is open. Closes the queue and returns once `closed` has
    /// completed and the current batch is finished.
    ///
    /// Spawn this as a separate task. Closing the hub drops the task of
    /// [`follow`](crate::__private::follow), even if publishers of the last batch are still waiting
    /// for their answers.
    pub async fn run<C: Clone>(
        self: Arc<Self>,
        gate: Arc<Gate<C>>,
        closed: impl Future<Output = ()>,
        mut sender: impl SendBatch<C>,
    ) {
        let _closing = Closing(&self);
        let mut closed = pin!(closed);
        loop {
            let session = select! {
                biased;
                () = &mut closed => return,
                session = gate.session() => session,
            };
            let mut more = false;
            loop {
                select! {
                    biased;
                    () = &mut closed => return,
                    () = session.ended.cancelled() => break,
                    () = self.filled(), if !more => {}
                    () = async {}, if more => {}
                }
                let in_flight = gate.begin(session.clone());
                more = sender.send(&in_flight, self.take_batch()).await;
            }
        }
    }

    /// Makes [`run`](Self::run) send a batch even if no event is waiting.
    pub fn wake(&self) {
        lock(&self.state).is_woken = true;
        self.filled.notify_one();
    }

    fn add(&self, queued: Queued) -> Place<'_> {
        let mut state = lock(&self.state);
        let number = state.arrivals;
        state.arrivals += 1;
        if state.is_closed {
            drop(state);
            queued.answer(Err(PublishError::Closed));
        } else {
            state.events.insert(number, queued);
            drop(state);
            self.filled.notify_one();
        }
        Place { queue: self, number }
    }

    /// Waits for an event or a call to [`wake`](Self::wake). Only one task may wait, because
    /// `notify_one` wakes only one.
    async fn filled(&self) {
        let is_empty = || {
            let state = lock(&self.state);
            state.events.is_empty() && !state.is_woken
        };
        while is_empty() {
            self.filled.notified().await;
        }
    }

    fn take_batch(&self) -> Vec<Queued> {
        let mut state = lock(&self.state);
        state.is_woken = false;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < MAX_EVENTS
            && bytes < MAX_BYTES
            && let Some((_, queued)) = state.events.pop_first()
        {
            bytes += queued.size();
            batch.push(queued);
        }
        batch
    }
}

impl Drop for Closing<'_> {
    /// Answers waiting and later events with [`PublishError::Closed`].
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.is_closed = true;
        let events = mem::take(&mut state.events);
        drop(state);
        for queued in events.into_values() {
            queued.answer(Err(PublishError::Closed));
        }
    }
}

impl Place<'_> {
    /// Takes the event out of the queue. Returns `false` if the queue no longer has it.
    fn leave(&self) -> bool {
        let queued = lock(&self.queue.state).events.remove(&self.number);
        queued.is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::{Context, Wake, Waker};

    use tower_sse::hub::{Hub, broker::Broker, broker::Feed, broker::Publisher};

    use super::*;
    use crate::log::Identity;

    struct QueueAlone(Arc<Queue>);

    impl Broker for QueueAlone {
        type Publisher = Self;
        type Error = Infallible;

        fn name(&self) -> String {
            "queue".to_owned()
        }

        async fn start(self, _: Feed) -> Result<Self, Infallible> {
            Ok(self)
        }
    }

    impl Publisher for QueueAlone {
        async fn publish(&self, publication: Publication) -> Result<Acknowledged, PublishError> {
            self.0.publish(publication, Duration::MAX, || "late").await
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// If a waker's panic weren't caught, it would end the task that sends batches and so close the
    /// hub. A second panic during the first would abort the process.
    #[tokio::test]
    async fn panics_of_publishers_wakers_are_caught() {
        let queue = Arc::new(Queue::default());
        let hub = Hub::connect(QueueAlone(Arc::clone(&queue))).await.unwrap();
        let mut publishing = ["answered", "dropped"].map(|data| Box::pin(hub.publish("a", data)));
        let waker = Waker::from(Arc::new(Panics));
        for publishing in &mut publishing {
            assert!(publishing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let [answered, dropped] = queue.take_batch().try_into().unwrap();
        answered.answer(Err(PublishError::Closed));
        drop(dropped);
        let [answered, dropped] = publishing;
        assert!(matches!(answered.await, Err(PublishError::Closed)));
        assert!(matches!(dropped.await, Err(PublishError::Unknown(_))));
    }

    /// Publishers can wait for the gate and for the end of a session.
    #[test]
    fn gate_opens_and_shuts_although_wakers_panic() {
        let (gate, waker) = (Gate::default(), Waker::from(Arc::new(Panics)));
        let mut context = Context::from_waker(&waker);
        let mut opening = pin!(gate.session());
        let mut retiring = pin!(gate.retired());
        assert!(opening.as_mut().poll(&mut context).is_pending());
        assert!(retiring.as_mut().poll(&mut context).is_pending());
        let wakes = Arc::<Wakes>::default();
        let counts = Waker::from(Arc::clone(&wakes));
        let mut behind = [0; 10].map(|_| (Box::pin(gate.session()), Box::pin(gate.retired())));
        for (opening, retiring) in &mut behind {
            assert!(opening.as_mut().poll(&mut Context::from_waker(&counts)).is_pending());
            assert!(retiring.as_mut().poll(&mut Context::from_waker(&counts)).is_pending());
        }
        let session = gate.open(());
        assert!(opening.as_mut().poll(&mut context).is_ready());
        assert_eq!(wakes.0.load(Relaxed), 10);
        let mut ending = pin!(session.ended.cancelled());
        assert!(ending.as_mut().poll(&mut context).is_pending());
        gate.shut();
        assert!(ending.as_mut().poll(&mut context).is_ready());
        gate.retire();
        assert!(retiring.as_mut().poll(&mut context).is_ready());
        assert_eq!(wakes.0.load(Relaxed), 20);
    }

    #[test]
    fn event_with_a_known_number_is_unknown_although_other_wakers_panic() {
        let (gate, waker) = (Gate::default(), Waker::from(Arc::new(Panics)));
        let session = gate.open(());
        let mut ending = pin!(session.ended.cancelled());
        assert!(ending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let in_flight = gate.begin(session.clone());
        let acknowledged = in_flight.acknowledge(Identity::unread(0), Duration::ZERO);
        assert!(matches!(acknowledged, Err(PublishError::Unknown(_))), "{acknowledged:?}");
        assert!(session.ended.is_cancelled());
    }
}

//! Brokers connect the hubs of several processes.
//!
//! - [`tower-sse-redis`](https://docs.rs/tower-sse-redis): Redis 7 or later, or Valkey
//! - [`tower-sse-postgres`](https://docs.rs/tower-sse-postgres): PostgreSQL
//! - [`tower-sse-sqlite`](https://docs.rs/tower-sse-sqlite): a SQLite file, for processes on one
//!   machine
//! - [`MemoryBroker`](crate::testing::MemoryBroker) (feature `testing`): for tests in one process
//!
//! [A table](super#many-processes) shows which broker to choose. For any other broker, implement
//! [`Broker`] and [`Publisher`], and test it with
//! [`tower-sse-broker`](https://docs.rs/tower-sse-broker).

use std::sync::{Arc, Weak, mpsc};
use std::{mem, thread, time::Duration};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::append::{HubState, NotAppended};
use crate::callback::{catch_panic, caught};
use crate::wake::catching_wakes;
use crate::{BoxError, event::Event};

pub use crate::event::event::Fields;
pub use crate::hub::link::{Acknowledged, Arrival, Publication, Publisher};

/// An engine that carries events between the hubs of several processes, which then act as one. Pass
/// it to [`Hub::connect`](crate::hub::Hub::connect).
///
/// # What a broker must do
///
/// 1. **Number the events.** Each event has the same number in all processes, and every process is
///    fed the events in the order of their numbers. The numbers are above 0 and below `u64::MAX`,
///    and may have holes. No two events ever have the same number, even after the broker has lost
///    events. So take the first number from the clock, such as the microseconds since 1970. After
///    its log has lost events, the broker reports a [loss](Feed::report_loss) with a number above
///    all earlier ones. Only then does it feed new events.
/// 2. **Feed completely.** Once [`start`](Self::start) has returned, the broker feeds every event
///    or reports its loss. It feeds an event only after all events with lower numbers. If one of
///    these is missing, it first reports a loss. The loss's number is at least that of the missing
///    event and below that of the event to feed.
/// 3. **Load before it is ready.** Before `start` returns, the broker feeds at least the events
///    that are at most [`Feed::max_age`] old. If older events are left out or no longer exist, it
///    first reports a loss, as in rule 2. If the broker can't tell whether an empty log is new or
///    has lost its events, it begins the log with a special entry, a *mark*. Each process that
///    reads the mark reports a loss (rule 4). A first visit receives no gap for it.
/// 4. **Report losses.** In each process, the task that reads the log checks for losses, even while
///    nothing is published. Before it reports a loss, it feeds all earlier events that it has.
///    - *The log has lost events:* the server has returned to an older state, or an event that was
///      fed to a process has vanished without being trimmed. The process that notices this writes a
///      mark into the log. Each process reports the loss when it reads the mark, so all report it
///      at the same place among the events.
///    - *One process has missed events,* such as entries that were trimmed before it had read them.
///      Only this process reports the loss, and it writes no mark.
///    - A process that can't distinguish these cases reports the loss at once, and also writes a
///      mark. A broker that can't notice a loss says so in its documentation.
/// 5. **Feed twice rather than skip.** After a broken connection, the broker resumes at the last
///    event that it has fed, or earlier. A hub ignores events that it already has.
/// 6. **Acknowledge only what is certain.** If [`Publisher::publish`] returns `Ok`, the broker
///    feeds the event, or reports a loss, in every process that stays connected. `publish`
///    publishes the event at most once, even if it fails. It returns within a time limit that the
///    broker sets, even with thousands of calls in flight.
/// 7. **Send nothing before the first poll** of `publish`'s future. If the future is dropped later,
///    the event may still be published, but other calls must not be affected.
/// 8. **Keep every [field](crate::Event::fields).** The topic, the data and the comment can be any
///    text, even empty. The broker refuses an event that it can't keep, with a reason that names
///    the limit.
/// 9. **Use the same clock** in all processes for an event's time of publication. The clock can be
///    the server's, or the publishing process's if the broker keeps the time with the event. An
///    event's age is the time since its publication, never below zero.
/// 10. **Have a [name](Self::name)** that the hubs of all processes share and no unrelated hub has.
/// 11. **Know the [highest number](Publisher::newest_possible)** that it may have assigned so far.
///
/// # What a broker may rely on
///
/// - [`Feed::event`] and [`Feed::report_loss`] don't block and don't panic. Feeding an event takes
///   a few microseconds, and about 10 milliseconds for every 100,000 subscriptions that wait for
///   it. A loss takes about 100 milliseconds for every 100,000 topics. So yield to other tasks
///   after about 100 events and after a loss, for example with tokio's `consume_budget`.
/// - The publisher is never dropped within `event` or `report_loss`. So its `drop` can wait for the
///   feeding thread, or for a lock that the broker holds while it feeds. The publisher may be
///   dropped on a separate thread, in the context of the runtime that polled
///   [`Hub::connect`](crate::hub::Hub::connect).
/// - `event` and `report_loss` call wakers, and `event` also calls the program's
///   [`retention_of`](crate::hub::HubBuilder::retention_of). If this closure subscribes to another
///   topic, the hub calls [`newest_possible`](Publisher::newest_possible).
/// - Once a method of the feed has returned [`Closed`], feeding has no effect.
/// - If the program drops the future of `Hub::connect` early, the hub, the future of `start`, and a
///   task started by [`Feed::spawn`] are dropped too.
///
/// `tower-sse-broker` has a
/// [kit](https://docs.rs/tower-sse-broker/latest/tower_sse_broker/testing/) that tests a broker
/// against these rules.
// `benches/record/turns-2026-12-01.md` has these times, measured on two busy processors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Broker` of this version of tower-sse",
    note = "if its crate implements `Broker`, two versions of tower-sse are in the program: run \
            `cargo tree --duplicates --invert tower-sse`"
)]
pub trait Broker: Send + Sized + 'static {
    /// The type through which the hub publishes.
    type Publisher: Publisher;

    /// The error that [`start`](Self::start) returns.
    type Error: Into<BoxError>;

    /// Returns the broker's name, which must be the same for all hubs that are connected to each
    /// other. No other hub may use this name.
    ///
    /// Event ids begin with a hash of the name. So the name must not contain anything that changes
    /// when the server moves, such as an address. Begin the name with the kind of broker, as in
    /// `redis:news`.
    fn name(&self) -> String;

    /// Connects, loads the history into `feed`, and returns the publisher. From then on, each
    /// published event is fed to the hub, usually by a task that [`Feed::spawn`] starts.
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](crate::hub::Hub::connect) returns the error.
    fn start(self, feed: Feed)
    -> impl Future<Output = Result<Self::Publisher, Self::Error>> + Send;
}

/// The interface through which a broker feeds its hub. The feed ignores events and losses with the
/// number 0 or `u64::MAX`.
#[must_use = "a hub whose feed is dropped receives nothing"]
pub struct Feed {
    /// Weak, so that a broker does not keep its hub alive.
    hub: Weak<HubState>,
    closed: CancellationToken,
    max_age: Duration,
    /// The runtime in which the hub was connected.
    runtime: Option<Handle>,
}

impl Feed {
    pub(crate) fn new(hub: &Arc<HubState>, closed: CancellationToken, max_age: Duration) -> Self {
        Self { hub: Arc::downgrade(hub), closed, max_age, runtime: Handle::try_current().ok() }
    }

    /// Appends an event to its topic. Ignores the event and returns `false` if the hub has already
    /// received an event or a loss with the event's number or a higher one.
    ///
    /// After a topic has [ended](crate::hub::Hub::end), the hub drops further events of that topic
    /// until the topic's name can be used again, or a loss is reported. If
    /// [`retention_of`](crate::hub::HubBuilder::retention_of) panics, the hub treats the event as a
    /// [loss](Self::report_loss).
    ///
    /// # Errors
    ///
    /// Returns an error if the hub is closed or dropped.
    pub fn event(&mut self, arrival: Arrival, topic: &str, event: &Event) -> Result<bool, Closed> {
        self.with_hub(arrival.sequence, |hub| {
            let append = || hub.append(topic, event, arrival.ends_topic, Some(arrival)).map(drop);
            // `append` calls the program's `retention_of`, whose panic must not end the broker's
            // task.
            let received = catch_panic(append);
            let is_new = accepted(received.unwrap_or_else(|| hub.record_loss(arrival.sequence)))?;
            if is_new && let Some(link) = &hub.link {
                link.set_lag(arrival.age);
            }
            Ok(is_new)
        })
    }

    /// Reports that each topic may have lost events with numbers up to `sequence`. Subscribers
    /// first receive the earlier events that are still kept, and then a
    /// [gap](crate::hub::GapPolicy) for each of their topics. Reports nothing and returns `false`
    /// if the hub has already received an event or a loss with this number or a higher one.
    ///
    /// # Errors
    ///
    /// Returns an error if the hub is closed or dropped.
    pub fn report_loss(&mut self, sequence: u64) -> Result<bool, Closed> {
        self.with_hub(sequence, |hub| accepted(hub.record_loss(sequence)))
    }

    /// Feeds the hub, except with the number `u64::MAX`, after which no subscription could
    /// continue. The hub itself ignores 0, and a closed hub accepts no number.
    fn with_hub(
        &self,
        sequence: u64,
        feed: impl FnOnce(&HubState) -> Result<bool, Closed>,
    ) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        let result = if sequence == u64::MAX && !hub.is_closed() { Ok(false) } else { feed(&hub) };
        if let Some(hub) = Arc::into_inner(hub) {
            self.drop_elsewhere(hub);
        }
        result
    }

    /// Drops a hub on a separate thread, because its last other owner was dropped while it was fed.
    /// The publisher's `drop` may take locks that the broker holds here, or wait for the feeding
    /// thread.
    #[cold]
    fn drop_elsewhere(&self, hub: HubState) {
        let (sender, receiver) = mpsc::channel();
        let runtime = self.runtime.clone();
        // This isn't a task: there may be no runtime, and a runtime that has shut down drops tasks.
        let thread = thread::Builder::new().name("tower-sse-drop".to_owned()).spawn(move || {
            let _context = runtime.as_ref().map(Handle::enter);
            drop(receiver.recv());
        });
        match thread {
            // The thread receives the hub before it ends.
            Ok(_) => _ = sender.send(hub),
            // Leaks the hub rather than risk a deadlock.
            Err(_) => mem::forget(hub),
        }
    }

    /// Returns the age limit of the hub's [`retention`](crate::hub::HubBuilder::retention). The
    /// broker must load the history at least this far back.
    #[must_use]
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns whether the hub is closed or dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns a future that is ready once the hub is closed, or its last clone and last
    /// subscription are dropped.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        catching_wakes(self.closed.clone().cancelled_owned())
    }

    /// Spawns a task that feeds the hub. The task is dropped when the hub is closed or dropped. A
    /// publisher that waits for an answer from the task must therefore set a time limit.
    ///
    /// If the future from `reader` completes or panics while the hub is open, the hub is
    /// [closed](crate::hub::Hub::close), and an ERROR line is logged (feature `tracing`). If the
    /// task's runtime ends, the hub is closed, but nothing is logged.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn<F, Fut>(self, reader: F)
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (hub, closed) = (Fed(self.hub.clone()), self.closed.clone());
        tokio::spawn(async move {
            let reading = caught(async move { reader(self).await });
            let ended = closed.run_until_cancelled(reading).await;
            if let Some(_output) = ended
                && !closed.is_cancelled()
                && hub.0.strong_count() > 0
            {
                #[cfg(feature = "tracing")]
                tracing::error!(
                    panicked = _output.is_none(),
                    "the reader of a broker has ended, so its hub is closed"
                );
            }
        });
    }

    /// Returns the hub, by which `MemoryBroker` identifies the feed, and the token that is
    /// cancelled when the hub is closed or dropped.
    #[cfg(feature = "testing")]
    pub(crate) const fn hub(&self) -> (&Weak<HubState>, &CancellationToken) {
        (&self.hub, &self.closed)
    }
}

opaque_debug!(Feed);

/// Closes a hub when the task that feeds it ends, or is dropped with its runtime.
struct Fed(Weak<HubState>);

impl Drop for Fed {
    fn drop(&mut self) {
        // Closing a closed hub would visit all its topics again.
        if let Some(hub) = self.0.upgrade().filter(|hub| !hub.is_closed()) {
            hub.close();
        }
    }
}

fn accepted(result: Result<(), NotAppended>) -> Result<bool, Closed> {
    match result {
        Ok(()) | Err(NotAppended::Ended) => Ok(true),
        Err(NotAppended::Stale) => Ok(false),
        Err(NotAppended::Closed) => Err(Closed),
    }
}

/// The error for a [`Feed`] whose hub is closed or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed;

error_text!(Closed, |_| "the hub is closed");

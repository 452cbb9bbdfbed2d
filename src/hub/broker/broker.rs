use super::{Feed, Publisher};
use crate::BoxError;

/// An engine that carries the events of one hub between processes.
///
/// [`Hub::connect`](crate::hub::Hub::connect) takes one. The [module](super) lists those that exist.
///
/// # What a broker must do
///
/// 1. **Number.** It gives each event one number, the same in all processes, and feeds every process
///    in the order of the numbers. They lie between 0 and `u64::MAX`, and may have holes. It never
///    gives a number to a second event, not even after it has lost everything: begin at the clock,
///    for example with the microseconds since 1970. If the log can return without its newest events,
///    so that their numbers would be given again, the broker first reports a loss at a number above
///    all that it has ever given.
/// 2. **Feed completely.** From the return of [`start`](Self::start) on, each event below the newest
///    number that was fed is fed too, or is at or below a reported loss.
/// 3. **Load before it is ready.** Before `start` returns, it feeds the events of the last
///    [`Feed::max_age`]. If there are or were older ones, it first reports the number of the newest
///    event that it does not feed as a [loss](Feed::report_loss). A client with an older id would
///    otherwise miss events in silence. It may feed older events too. A server that cannot tell a new
///    log from a lost one begins each log with a mark of a loss: a client's first visit has no gap.
/// 4. **Report losses.** Each reader looks for losses, also while nobody publishes. It feeds what it
///    knows from before a loss, and then reports it.
///    - *The log has lost events:* the server starts with an older state, or an event that a process
///      was fed is not in the log, and was not trimmed. The process that notices it writes a mark into
///      the log. Each process reports the loss where it reads the mark, so all do at the same place.
///    - *One process has missed events,* such as entries that were trimmed before it has read them. It
///      alone reports the loss, and writes no mark.
///    - A process that cannot distinguish the two does both. A broker that cannot notice a loss says
///      so in its documentation.
/// 5. **Feed again rather than not at all.** After a break, it continues at the last event that it
///    has fed, or before. A hub ignores what it has.
/// 6. **Acknowledge the truth.** [`Publisher::publish`] returns `Ok` only if every process that stays
///    connected will be fed the event, or a loss. Whatever it returns, it has published the event at
///    most once. It returns within a time limit of its own, also if thousands of calls are in flight:
///    if a commit is slow, commit together the events that wait.
/// 7. **Send nothing before the first poll** of the future of `publish`. One that is dropped may or
///    may not publish its event, and disturbs no other.
/// 8. **Keep every [field](crate::Event::fields)**, with any text in the topic, the data and the
///    comment: line feeds, quotes, nothing. What it cannot keep it refuses, with a reason that names
///    the limit.
/// 9. **Use one clock** for the time of an event: that of the server, or that of the publisher, kept
///    with the event. The name of an ended topic is free again by this clock. The age of an event is
///    the difference to now, and at least zero.
/// 10. **Have a name** that is the same in all processes of the hub, and that no other hub has. See
///     [`name`](Self::name).
/// 11. **Know the highest number** that it can have assigned. See [`Publisher::newest_possible`].
///
/// [`tower-sse-broker`](https://docs.rs/tower-sse-broker) keeps rules 2 to 6 for a broker whose log is on
/// a server.
///
/// # What a broker may rely on
///
/// - [`Feed::event`] and [`Feed::report_loss`] do not block and do not panic. An event takes a few
///   microseconds. A loss wakes the subscriptions of all topics: with 50,000 topics, it takes 5
///   milliseconds if none waits, and 20 if all wait. So yield to other tasks after some 100 events
///   and after a loss, such as with tokio's `consume_budget`.
/// - They never drop the publisher. If the program drops its last hub during the call, the hub and its
///   publisher are dropped on a thread of their own, in the context of the runtime that polled
///   [`Hub::connect`](crate::hub::Hub::connect), if any. So the publisher's `drop` may wait for the
///   thread that feeds, or for a lock that is held while feeding.
/// - They wake tasks and call [`retention_of`](crate::hub::HubBuilder::retention_of). This runs code of
///   the program, which must not wait for a lock that is held while feeding.
/// - After [`Closed`](super::Closed), feeding has no effect.
/// - The future of `start` is dropped if the program stops waiting for it, and then the hub is dropped
///   too. A reader that [`Feed::spawn`] has started ends with it.
///
/// [`testing::broker`](crate::testing::broker) (feature `testing`) has scenes that check a broker
/// against this list.
// The times are those of `cargo run --release --package tower-sse-benches --bin losses`, on two busy
// processors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Broker` of this version of tower-sse",
    note = "if its crate implements `Broker`, two versions of tower-sse are in the program: run \
            `cargo tree --duplicates --invert tower-sse`"
)]
pub trait Broker: Send + Sized + 'static {
    /// The way from the hub to the broker.
    type Publisher: Publisher;

    /// The error of a failed connection.
    type Error: Into<BoxError>;

    /// Returns the name that all processes of one hub share, and that no other hub has.
    ///
    /// Ids of events begin with a hash of it. It contains nothing that changes when the server moves,
    /// and begins with the kind of the broker, as in `redis:news`: another log of the same name would
    /// otherwise take foreign ids for its own.
    fn name(&self) -> String;

    /// Connects, loads the history into `feed`, and returns the publisher. From then on, a task that
    /// [`Feed::spawn`] has started feeds each published event.
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](crate::hub::Hub::connect) returns the error.
    fn start(self, feed: Feed)
    -> impl Future<Output = Result<Self::Publisher, Self::Error>> + Send;
}

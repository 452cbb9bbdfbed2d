use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tower_sse::{BoxError, runs::RunKey};

use super::{
    command::Command,
    inbox::Inbox,
    reply::{Page, Reply, StoreError},
    run_id::{ProcessId, RunId},
};

/// A store that can be connected.
pub(crate) trait Connect: Send + Sized + 'static {
    /// The error of a failed connection.
    type Error: Into<BoxError>;

    /// Connects. Once connected, passes pushes and hints to the inbox of `settings`.
    ///
    /// The future is ready once commands can be sent and pushes are received: a subscription that
    /// follows misses no push. Afterwards, the store reconnects by itself, at intervals of at most
    /// 3/32 of the lease, until the [`Store`] is dropped.
    fn connect(
        self,
        settings: Settings,
    ) -> impl Future<Output = Result<Arc<dyn Store>, Self::Error>> + Send;
}

/// What a store needs to know about the runs of this process.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The name of this process in claims.
    pub(crate) process: ProcessId,
    /// The time for which ended runs are kept. The store keeps them for
    /// [`kept_for`].
    pub(crate) retain_for: Duration,
    /// The receiver of pushes and hints.
    pub(crate) inbox: Inbox,
}

/// A future of the store. Dropping it does not recall what was sent.
pub(crate) type Pending<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The connection to a store.
///
/// - Every command can be sent twice without harm, because it names an epoch or a sequence number.
///   A command whose reply was lost may be executed at any later time.
/// - Commands of one call are executed in order, but not as a transaction.
/// - A command that concerns a run whose claim was written by another version of the protocol
///   changes nothing and fails with [`StoreError::Version`].
pub(crate) trait Store: Send + Sync + 'static {
    /// Returns the lease: an owner that does not renew it in this time counts as late.
    fn lease(&self) -> Duration;

    /// Returns the memory that the store needs for a run with this key.
    fn overhead(&self, key: &RunKey) -> Overhead;

    /// Returns the state of the connection, which changes with each new one.
    fn connection(&self) -> watch::Receiver<Connection>;

    /// Executes commands in one round trip, and returns one result for each, in their order.
    ///
    /// With a `connection`, the commands are sent only over this connection: if the store uses
    /// another one by now, every result is [`StoreError::Unavailable`].
    ///
    /// A missing reply fails with [`StoreError::Lost`] after the store's reply timeout. The store
    /// then replaces the connection.
    fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Pending<Vec<Result<Reply, StoreError>>>;

    /// Loads a part of a run's events above `after`. The store decides how much a page has. The
    /// future has no time limit, but fails if the connection breaks.
    fn load(&self, run: &RunId, after: u64) -> Pending<Result<Page, StoreError>>;

    /// Starts passing the pushes of a run to the inbox. Once the future is ready, every later push
    /// is passed, or reported [as lost](super::inbox::Incoming::LostPushes). The store subscribes
    /// again after a break.
    fn subscribe(&self, run: &RunId) -> Pending<Result<(), StoreError>>;

    /// Stops passing the pushes of a run.
    fn unsubscribe(&self, run: &RunId);
}

/// The memory that a store needs for a run besides its events, its head and its error, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overhead {
    /// For its claim, which is all that is left of a call without an event stream.
    pub(crate) claim: usize,
    /// For its stream, with its end.
    pub(crate) stream: usize,
    /// For each batch.
    pub(crate) batch: usize,
}

/// The state of the connection to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// The number of the connection in use, which rises with each new one. A connection to a
    /// server that was restarted has a new number, even if a proxy kept it open.
    Up(u64),
    /// The store cannot be reached.
    Down,
}

/// The minimum time for which the store keeps a run after its end, and after its owner has looked at
/// it.
const MIN_KEPT_FOR: Duration = Duration::from_secs(60);

/// Returns the time for which the store keeps a run. If an eighth of this time has passed when the
/// owner of a live run looks at the stream, the time starts again. The owner looks at the stream at
/// least twice in three leases.
pub(crate) fn kept_for(retain_for: Duration, lease: Duration) -> Duration {
    retain_for.max(lease * 4).max(MIN_KEPT_FOR)
}

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    command::Command,
    inbox::Inbox,
    reply::{Page, Reply, StoreError},
    run_id::{ProcessId, RunId},
};
use crate::{BoxError, runs::RunKey};

/// A store that can be connected.
pub trait Connect: Send + Sized + 'static {
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
pub struct Settings {
    /// The name of this process in claims.
    pub process: ProcessId,
    /// The time for which ended runs are kept. The store keeps them for
    /// [`kept_for`](crate::runs::cluster::timing::kept_for).
    pub retain_for: Duration,
    /// The receiver of pushes and hints.
    pub inbox: Inbox,
}

/// A future of the store. Dropping it does not recall what was sent.
pub type Pending<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The connection to a store.
///
/// - Every command can be sent twice without harm, because it names an epoch or a sequence number.
///   A command whose reply was lost may be executed at any later time.
/// - Commands of one call are executed in order, but not as a transaction.
/// - A command that concerns a run whose claim was written by another version of the protocol
///   changes nothing and fails with [`StoreError::Version`].
pub trait Store: Send + Sync + 'static {
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
pub struct Overhead {
    /// For its claim, which is all that is left of a call without an event stream.
    pub claim: usize,
    /// For its stream, with its end.
    pub stream: usize,
    /// For each batch.
    pub batch: usize,
}

/// The state of the connection to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The number of the connection in use, which rises with each new one. A connection to a
    /// server that was restarted has a new number, even if a proxy kept it open.
    Up(u64),
    /// The store cannot be reached.
    Down,
}

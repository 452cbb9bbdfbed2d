use std::{pin::Pin, sync::Arc};

use bytes::Bytes;

use super::process::{Claim, Process, Purpose};
use super::{RunKey, StartError, options::Options, record::Record};
use crate::{BoxError, connection::LastEventId};

/// A store through which several processes share their runs: `RedisRuns` of the crate
/// [`tower-sse-redis`](https://docs.rs/tower-sse-redis). Don't implement this trait in other
/// crates: the types in its method's signature are exempt from semantic versioning.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `RunStore` of this version of tower-sse",
    note = "if it is `RedisRuns`, two versions of tower-sse are in the program: run \
            `cargo tree --duplicates --invert tower-sse`"
)]
pub trait RunStore: Send + Sized + 'static {
    /// The error if connecting fails.
    type Error: Into<BoxError>;

    /// Connects. The future is ready once other processes can reach the runs of this process.
    #[doc(hidden)]
    fn connect(
        self,
        options: Options,
    ) -> impl Future<Output = Result<Connected, Self::Error>> + Send;
}

/// A connected process's own runs, and its access to the runs of all processes.
pub type Connected = (Arc<Process>, Arc<dyn SharedRuns>);

/// The future of a request to the store, boxed to keep the futures of `Runs` small if there is no
/// store.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runs of all processes that share a store.
pub trait SharedRuns: Send + Sync {
    /// Returns or claims the run with this key.
    fn claim<'a>(
        self: Arc<Self>,
        key: &'a RunKey,
        purpose: Purpose,
    ) -> Pending<'a, Result<Claim, StartError>>;

    /// Returns the run with this key, if any, for a client that has seen the events up to `last`.
    fn find<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
    ) -> Pending<'a, Result<Option<Arc<Record>>, StartError>>;

    /// Cancels the run with this key. If there are `lines` and the run is running, the run first
    /// records them as one event. Returns whether the run was cancelled.
    fn cancel<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
        lines: Option<Bytes>,
    ) -> Pending<'a, bool>;

    /// Cancels the run of this record, but no other run with the same key.
    fn cancel_record<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, ()>;

    /// Returns a record of the same run that can serve `last`: `record` may be a mirror (a copy of
    /// another process's run) without the event after `last`. If `waits` is set, tries to reach the
    /// store for up to twice the lease.
    fn serve<'a>(
        &'a self,
        record: &'a Arc<Record>,
        last: Option<&'a LastEventId>,
        waits: bool,
    ) -> Pending<'a, Result<Arc<Record>, StartError>>;

    /// Waits until a record of another process's run has all events that the store has. Returns
    /// whether these events could be loaded.
    fn is_loaded<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, bool>;

    /// Waits, for a limited time, until other processes can read all runs that have ended.
    fn exported(&self) -> Pending<'_, ()>;

    /// Returns the number of mirrors, and the number of runs whose export is overdue.
    fn figures(&self) -> (usize, usize);
}

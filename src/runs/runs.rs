use std::sync::Arc;

use super::{RunsStats, process::Process, shared::SharedRuns};

/// The runs of one process, by key, with their limits. With [`connect`](Self::connect), processes
/// share their runs.
///
/// Clones share the same runs. Running runs continue after the last clone is dropped.
///
/// Runs are tokio tasks. Methods that start one [panic](tokio::spawn) outside of a tokio runtime
/// with timers.
///
/// # Answers
///
/// The answer depends on the request and on the run that has its key:
///
/// | run | request without an id | request with an id |
/// |---|---|---|
/// | none | starts a run | `404` |
/// | starting | waits, then all events | `404` |
/// | running | all events | the events after the id |
/// | [`Completed`] and kept | all events | the events after the id |
/// | any other end, and kept | starts a run | the events after the id |
///
/// - The [layer](Self::layer) and [`start`](Self::start) answer so. Without an id,
///   [`replace`](Self::replace) always starts a run, in place of any other.
/// - [`answer`](Self::answer) never starts a run: it returns `None` if there is none, and sends all
///   events of any run that has ended and is kept.
/// - An id that the run has not assigned gets `404`, as does a client whose next event was evicted.
/// - The sequence number 0 stands for the beginning: a client with the id `epoch-0` gets all events.
/// - At a limit, during a shutdown, or while the [store](super#several-processes) cannot be
///   reached, a request that would start a run gets the refusal
///   [`per_client`](crate::Refusal::per_client) instead, whatever the layer's own is. At a limit,
///   `replace` still takes the place of a run that is running at this process.
///
/// If the run has ended and has no events for the client, or ends while the client waits for the
/// call to answer (a replaced run counts as [`Cancelled`]):
///
/// - An `EventSource` gets `204`, which stops it. If the run was [`Interrupted`] and the client has no
///   id, it gets the refusal.
/// - Any other client without an id gets an empty `200` after [`Completed`], the refusal after
///   [`Interrupted`], and `404` after any other end.
/// - Any other client with an id gets an empty `200` after [`Completed`] and [`Cancelled`], and `404`
///   after any other end.
/// - An empty `200` means that nothing is missing. Only [`Completed`] adds the terminator to it.
/// - The refusal makes a client start the run again, on another process. After [`Cancelled`], it
///   would start an answer again that the user has stopped.
/// - If a run is replaced before its call has answered, the requests that have joined it get the new
///   run. The request that has started it gets the answer after [`Cancelled`]: of two turns that are
///   sent at once, the first gets `404`. [`answer`](Self::answer) returns `None`.
///
/// [`Completed`]: super::Outcome::Completed
/// [`Cancelled`]: super::Outcome::Cancelled
/// [`Interrupted`]: super::Outcome::Interrupted
#[derive(Clone)]
pub struct Runs {
    pub(super) process: Arc<Process>,
    /// The runs of all processes, if there is a store.
    pub(super) shared: Option<Arc<dyn SharedRuns>>,
}

impl Runs {
    /// Returns statistics of all runs, for an endpoint such as `/metrics`.
    #[must_use]
    pub fn stats(&self) -> RunsStats {
        let mut stats = self.process.stats();
        if let Some(shared) = &self.shared {
            (stats.mirrors, stats.waiting_exports) = shared.figures();
        }
        stats
    }
}

opaque_debug!(Runs);

use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, SetOnce, watch};
use tokio::time::Instant;
use tower_sse::runs::__private::{MirrorWriter, Mirrored, Phase, Record};
use tower_sse::runs::Outcome;

use crate::runs::cluster::timing::Timing;
use crate::runs::seam::{Batch, Page, ProcessId, Push, RunId, StoredEnd};
use tower_sse_broker::tasks::{catching_wakes, lock};

/// The maximum number of requests for a mirror that wait for events that the store may not have
/// yet.
const MAX_WAITERS: usize = 16;

/// A copy of a run of another process, while a client or a handle of this process uses it.
pub(crate) struct Mirror {
    pub(crate) run: RunId,
    /// The record. Readers and handles keep it alive.
    pub(super) copy: MirrorWriter,
    /// Whether the first page was loaded, once that is known.
    readable: SetOnce<bool>,
    /// Whether a load has succeeded, once the first one has ended.
    loaded: watch::Sender<Option<bool>>,
    /// Tells the mirror's task of each request for a load.
    pub(super) requests: watch::Sender<()>,
    state: Mutex<MirrorState>,
    /// The permits of requests that wait for an event that the store may not have yet.
    pub(super) waiters: Semaphore,
}

struct MirrorState {
    /// The event after which the record will begin. `None` once the store has reported the run's
    /// newest event.
    start: Option<u64>,
    /// The newest event that checks have found in the store.
    stored: u64,
    /// The time of the last reply that had the run, or of the last push.
    contact: Instant,
    /// Whether a check has found that the run is over and no longer has its key.
    has_ended: bool,
    /// The owner of the run, once that is known.
    owner: Option<ProcessId>,
}

impl Mirror {
    /// Creates the mirror of an empty record for a client that has seen the events up to `start`.
    pub(super) fn new(run: RunId, copy: MirrorWriter, start: u64) -> Self {
        let state = MirrorState {
            start: Some(start),
            stored: 0,
            contact: Instant::now(),
            has_ended: false,
            owner: None,
        };
        Self {
            run,
            copy,
            readable: SetOnce::new(),
            loaded: watch::Sender::default(),
            requests: watch::Sender::new(()),
            state: Mutex::new(state),
            waiters: Semaphore::new(MAX_WAITERS),
        }
    }

    /// Returns the record if it has all events above `after`, or will have them.
    pub(super) fn serve(&self, after: u64) -> Option<Arc<Record>> {
        let record = self.record().filter(|record| !record.is_lost())?;
        let is_served = match &mut lock(&self.state).start {
            Some(start) => {
                *start = after.min(*start);
                true
            }
            None => record.serves(after),
        };
        is_served.then_some(record)
    }

    /// Begins the record, unless it has begun: after `newest`, the newest event in the store, or
    /// earlier if a client needs earlier events.
    pub(super) fn start_below(&self, newest: u64) {
        let mut state = lock(&self.state);
        state.stored = state.stored.max(newest);
        if let Some(start) = state.start.take() {
            self.copy.skip_to(start.min(newest));
        }
    }

    /// Returns whether a check has found this event, or a later one, in the store.
    pub(super) fn is_stored(&self, sequence: u64) -> bool {
        lock(&self.state).stored >= sequence
    }

    /// Returns whether the store has reported the newest event of the run.
    pub(super) fn has_started(&self) -> bool {
        lock(&self.state).start.is_none()
    }

    pub(crate) fn record(&self) -> Option<Arc<Record>> {
        self.copy.record()
    }

    /// Returns whether a client or a handle uses the mirror, and the mirror has not lost its run.
    pub(super) fn is_used(&self) -> bool {
        self.record().is_some_and(|record| !record.is_lost())
    }

    /// Returns whether the run was out of reach for too long.
    pub(super) fn is_out_of_reach(&self, timing: Timing) -> bool {
        lock(&self.state).contact.elapsed() >= timing.patience
    }

    pub(super) fn set_owner(&self, owner: ProcessId) {
        lock(&self.state).owner = Some(owner);
    }

    pub(super) fn is_of(&self, owner: &ProcessId) -> bool {
        lock(&self.state).owner.as_ref() == Some(owner)
    }

    pub(crate) fn set_contact(&self) {
        lock(&self.state).contact = Instant::now();
    }

    /// Lets the next load end the run, even if the run's stream has lost its end.
    pub(crate) fn set_ended(&self) {
        lock(&self.state).has_ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).has_ended
    }

    /// Waits until clients can read the first page. Returns whether it could be loaded.
    pub(super) async fn readable(&self) -> bool {
        *catching_wakes(self.readable.wait()).await
    }

    /// Waits until the first load has ended. Returns whether it or a later one succeeded.
    pub(crate) async fn loaded(&self) -> bool {
        let mut loaded = self.loaded.subscribe();
        let loaded = catching_wakes(loaded.wait_for(Option::is_some)).await;
        loaded.is_ok_and(|loaded| *loaded == Some(true))
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.borrow().is_some()
    }

    /// Records whether a page could be loaded. Only the first call counts.
    pub(super) fn set_readable(&self, is_readable: bool) {
        _ = self.readable.set(is_readable);
    }

    /// Records the result of a load. A later failure doesn't count: the next load follows it.
    pub(super) fn set_loaded(&self, is_loaded: bool) {
        self.set_readable(is_loaded);
        self.loaded.send_modify(|it| *it = Some(is_loaded || *it == Some(true)));
    }

    /// Requests a load. A load that is under way may lack what the caller wants, so another follows
    /// it.
    pub(super) fn request_load(&self) {
        self.requests.send_replace(());
    }

    /// Applies a push. Returns whether the run must be loaded.
    pub(crate) fn push(&self, push: Push) -> bool {
        let Some(record) = self.record() else { return false };
        self.set_contact();
        match push {
            // Load a starting record: clients are served only once it has the handler's options.
            Push::Batch(_) | Push::End(_) if record.phase() == Phase::Starting => return true,
            Push::Batch(Batch { first, last, bytes }) => {
                match self.copy.append_batch(first, last, &bytes) {
                    Mirrored::Appended => {}
                    Mirrored::Hole => return true,
                    Mirrored::Malformed => self.copy.lose(),
                }
            }
            Push::Newest(newest) => return newest > record.newest(),
            Push::End(end) if end.newest > record.newest() => return true,
            Push::End(end) => self.apply_end(&record, end),
            Push::Void => self.copy.void(),
        }
        false
    }

    /// Applies a part of the run's stream. Returns whether there can be more to apply.
    pub(super) fn apply_page(&self, page: Page) -> bool {
        let Some(record) = self.record() else { return false };
        self.set_contact();
        let head = page.head.as_ref().or(page.end.as_ref().and_then(|end| end.head.as_ref()));
        if let Some(head) = head {
            self.copy.begin(head);
        }
        for Batch { first, last, bytes } in page.batches {
            if last <= record.newest() {
                continue;
            }
            // Events that the copy still lacks before this batch are missing in the stream too.
            self.copy.skip_to(first.saturating_sub(1));
            if self.copy.append_batch(first, last, &bytes) == Mirrored::Malformed {
                self.copy.lose();
                return false;
            }
        }
        if let Some(end) = page.end {
            self.copy.skip_to(end.newest);
            self.apply_end(&record, end);
        }
        !page.is_last
    }

    /// Ends the record, which has all events.
    fn apply_end(&self, record: &Record, end: StoredEnd) {
        if record.newest() > end.newest && end.outcome == Outcome::Completed {
            // The owner did not write this end: an owner completes a run only with all its events.
            self.copy.lose();
        } else {
            self.copy.end(end.outcome, end.error);
        }
    }
}

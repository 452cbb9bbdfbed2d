use std::sync::{
    Arc, Weak,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};

use tokio::{
    sync::{Semaphore, SetOnce},
    time::Instant,
};

use super::{
    command::{Batch, Check, Command},
    head,
    reply::{Page, Push, StoredEnd},
    run_id::RunId,
    timing::Timing,
};
use crate::{
    history::sync::{Mutex, lock},
    runs::{
        Outcome,
        record::{Mirrored, Record},
    },
};

/// The maximum number of requests that wait for an event that the mirror does not have yet.
const MAX_WAITERS: usize = 16;

/// A copy of a run of another process, while a client or a handle uses it here.
pub(crate) struct Mirror {
    pub(crate) run: RunId,
    /// Weak: readers and handles keep it alive.
    record: Weak<Record>,
    /// Whether the first page could be loaded, once that is known.
    readable: SetOnce<bool>,
    /// Whether the first load succeeded, once it has ended.
    loaded: SetOnce<bool>,
    /// The newest event that the store is known to have.
    reached: AtomicU64,
    state: Mutex<State>,
    pub(crate) waiters: Semaphore,
}

struct State {
    /// The time of the last reply or push.
    contact: Instant,
    /// Since when the store has not had the run.
    gone_since: Option<Instant>,
    /// Whether the run has ended according to its claim.
    has_ended: bool,
    loading: Loading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loading {
    No,
    /// A task is loading the run.
    Yes,
    /// The same, and a load was asked for since it began.
    Again,
}

impl Mirror {
    pub(crate) fn new(run: RunId, record: &Arc<Record>) -> Self {
        let (contact, loading) = (Instant::now(), Loading::No);
        let state = State { contact, gone_since: None, has_ended: false, loading };
        Self {
            run,
            record: Arc::downgrade(record),
            readable: SetOnce::new(),
            loaded: SetOnce::new(),
            reached: AtomicU64::new(0),
            state: Mutex::new(state),
            waiters: Semaphore::new(MAX_WAITERS),
        }
    }

    pub(crate) fn record(&self) -> Option<Arc<Record>> {
        self.record.upgrade()
    }

    /// Returns whether the run was out of reach for too long.
    pub(super) fn is_out_of_reach(&self, timing: Timing) -> bool {
        let State { contact, gone_since, .. } = *lock(&self.state);
        let is_gone = gone_since.is_some_and(|since| since.elapsed() >= timing.lease);
        is_gone || contact.elapsed() >= timing.patience
    }

    /// Returns the command that checks the run.
    pub(super) fn check(&self, is_watched: bool, wants_head: bool) -> Command {
        Command::Check(Check { run: self.run.clone(), is_watched, wants_head })
    }

    pub(crate) fn set_contact(&self) {
        let mut state = lock(&self.state);
        state.contact = Instant::now();
        state.gone_since = None;
    }

    pub(crate) fn set_gone(&self) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        state.contact = now;
        state.gone_since.get_or_insert(now);
    }

    /// Ends the run once it is loaded, even if its stream has lost its end.
    pub(crate) fn set_ended(&self) {
        lock(&self.state).has_ended = true;
    }

    /// Waits for the first page, after which clients can read what is loaded. Returns whether there
    /// is one.
    pub(super) async fn readable(&self) -> bool {
        *self.readable.wait().await
    }

    /// Waits until the first load has ended. Returns whether it succeeded.
    pub(crate) async fn loaded(&self) -> bool {
        *self.loaded.wait().await
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Records whether a page could be loaded. Only the first one counts.
    pub(super) fn set_readable(&self, is_readable: bool) {
        _ = self.readable.set(is_readable);
    }

    /// Records the result of a load. Only the first one counts.
    pub(super) fn set_loaded(&self, is_loaded: bool) {
        self.set_readable(is_loaded);
        _ = self.loaded.set(is_loaded);
    }

    /// Records that the store has the events up to `newest`, and notifies requests that wait for one.
    pub(crate) fn reach(&self, newest: u64) {
        if self.reached.fetch_max(newest, AcqRel) < newest
            && let Some(record) = self.record()
        {
            record.changed.notify_waiters();
        }
    }

    pub(crate) fn has_reached(&self, sequence: u64) -> bool {
        self.reached.load(Acquire) >= sequence
    }

    /// Asks for a load. Returns whether the caller must start it.
    pub(super) fn request_load(&self) -> bool {
        let loading = &mut lock(&self.state).loading;
        std::mem::replace(loading, Loading::Again) == Loading::No
    }

    /// Applies a push. Returns whether the run must be loaded, because pushes are missing.
    pub(crate) fn push(&self, push: Push) -> bool {
        let Some(record) = self.record() else { return false };
        self.set_contact();
        match push {
            Push::Head(head) => {
                record.begin(head::decode(&head));
                false
            }
            Push::Batch(Batch { first, last, bytes }) => {
                self.reach(last);
                match record.append_batch(first, last, &bytes) {
                    Mirrored::Appended => false,
                    Mirrored::Hole => true,
                    Mirrored::Malformed => {
                        record.lose_mirror();
                        false
                    }
                }
            }
            Push::Newest(newest) => {
                self.reach(newest);
                newest > record.newest()
            }
            Push::End(end) => !self.apply_end(&record, end),
            Push::Void => {
                record.void_mirror();
                false
            }
        }
    }

    /// Begins a load if one was asked for since the last one began. Returns whether the run had ended
    /// by then. Otherwise, no load is under way any more.
    pub(super) fn begin_load(&self) -> Option<bool> {
        let mut state = lock(&self.state);
        let is_asked_for = state.loading == Loading::Again;
        state.loading = if is_asked_for { Loading::Yes } else { Loading::No };
        is_asked_for.then_some(state.has_ended)
    }

    /// Records that no load is under way, although the last one has no result.
    pub(super) fn abort_load(&self) {
        lock(&self.state).loading = Loading::No;
        self.set_loaded(false);
    }

    /// Applies a part of the run's stream. Returns whether there can be more to apply.
    pub(super) fn apply_page(&self, page: Page) -> bool {
        let Some(record) = self.record() else { return false };
        self.set_contact();
        let newest = page.batches.last().map(|batch| batch.last);
        self.reach(newest.max(page.end.as_ref().map(|end| end.newest)).unwrap_or(0));
        if let Some(head) = &page.head {
            record.begin(head::decode(head));
        } else if !page.batches.is_empty() {
            record.begin(None);
        }
        for Batch { first, last, bytes } in page.batches {
            if last <= record.newest() {
                continue;
            }
            // The stream does not have the events before it either.
            record.skip_to(first.saturating_sub(1));
            if record.append_batch(first, last, &bytes) == Mirrored::Malformed {
                record.lose_mirror();
                return false;
            }
        }
        if let Some(end) = page.end {
            record.skip_to(end.newest);
            self.apply_end(&record, end);
        }
        !page.is_last
    }

    /// Ends the record if it has all events. Returns whether it has.
    fn apply_end(&self, record: &Arc<Record>, end: StoredEnd) -> bool {
        let newest = record.newest();
        // A mirror for an id that no process has assigned begins behind the end.
        let has_more = newest > end.newest && self.has_reached(end.newest.saturating_add(1));
        if has_more && end.outcome == Outcome::Completed {
            // Its owner did not write this: a run is complete only with all its events.
            record.lose_mirror();
        } else if newest >= end.newest {
            record.end_mirror(end.outcome, end.error);
        }
        newest >= end.newest
    }
}

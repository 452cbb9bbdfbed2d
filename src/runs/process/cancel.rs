use std::sync::Arc;

use bytes::Bytes;

use super::process::Process;
use crate::{
    connection::LastEventId,
    history::seen,
    runs::{
        RunKey,
        record::{LastEvent, Record},
    },
};

/// Cancels runs of this process.
impl Process {
    /// Cancels the run of this process with this key, after the event with these `lines` if there
    /// are any. Returns `false` if it was neither starting nor running, or has no event `last`.
    pub fn cancel(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        let Some(record) = self.get(key) else { return false };
        seen(last, record.epoch, record.newest()).is_some()
            && self.cancel_record(&record, lines.map(LastEvent::New).as_ref())
    }

    /// Cancels a run of this process, after `event` if there is one. Returns whether it was
    /// starting or running.
    pub fn cancel_record(
        self: &Arc<Self>,
        record: &Arc<Record>,
        event: Option<&LastEvent>,
    ) -> bool {
        let is_cancelled =
            self.with_registry(|registry, deferred| registry.cancel(record, event, deferred));
        if event.is_some() {
            self.make_room(0);
        }
        is_cancelled
    }
}

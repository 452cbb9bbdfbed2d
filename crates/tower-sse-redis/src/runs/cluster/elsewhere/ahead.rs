use std::sync::Arc;

use tokio::time::timeout;
use tower_sse::runs::{
    Outcome, StartError,
    support::{Phase, Record},
};

use super::{load::Load, mirror::Mirror, mirrors::Mirrors};

/// Clients that have seen more events of a run than this process has of it.
impl Mirrors {
    /// Waits until a mirror has the event `after`, which its client has seen, or its run has ended.
    /// Returns the mirror's record, or a record of the run's end if that event was not exported.
    pub(super) async fn until_reached(
        self: &Arc<Self>,
        mirror: &Arc<Mirror>,
        record: Arc<Record>,
        after: u64,
    ) -> Result<Arc<Record>, StartError> {
        if !record.has_reached(after) {
            self.reach(mirror, &record, after).await?;
        }
        if record.is_lost() {
            return Err(StartError::Unavailable);
        }
        match record.phase() {
            _ if record.newest() >= after => Ok(record),
            // Its owner did not export all events that it had given to clients.
            Phase::Ended(outcome @ (Outcome::Cancelled | Outcome::Interrupted)) => {
                Ok(self.end_of(&record, outcome, after))
            }
            _ => Err(StartError::NotFound),
        }
    }

    /// Waits until a record has the event `after`, or its run has ended.
    async fn reach(
        self: &Arc<Self>,
        mirror: &Arc<Mirror>,
        record: &Record,
        after: u64,
    ) -> Result<(), StartError> {
        let reached = record.until(|| record.has_reached(after).then_some(()));
        let reached = if mirror.is_stored(after) {
            timeout(self.timing.patience, reached).await
        } else {
            let Ok(_waiting) = mirror.waiters.try_acquire() else {
                return Err(StartError::Unavailable);
            };
            // The owner may have assigned the id before it has exported the event. It exports a run
            // that is watched at once.
            let watched = async {
                if self.watch(mirror).await.needs_load {
                    Load::start(self, mirror);
                }
                reached.await;
            };
            timeout(self.timing.id_wait(), watched).await
        };
        reached.map_err(|_| StartError::Unavailable)
    }

    /// Returns a record of the end of a run, for a client that has seen the events up to `after`,
    /// more than the owner exported.
    fn end_of(&self, record: &Record, outcome: Outcome, after: u64) -> Arc<Record> {
        let (_, _, error) = record.progress();
        let (end, mirror) = self.process.mirror(record.key.clone(), record.epoch, after);
        mirror.begin(&record.head());
        mirror.end(outcome, error);
        end
    }
}

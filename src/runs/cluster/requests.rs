use std::sync::Arc;

use tokio::time::sleep;

use super::{
    cluster::Cluster,
    seam::{
        command::EndMode,
        reply::{Liveness, LookReply},
        run_id::{ProcessId, RunId},
    },
};
use crate::{
    connection::LastEventId,
    history::ResumeFrom,
    runs::{
        Outcome, RunKey, StartError,
        process::{Claim, Purpose},
        record::{Phase, Record},
    },
};

/// The highest sequence number of an id. A store keeps all numbers up to this one exactly.
pub(super) const MAX_SEQUENCE: u64 = 1 << 53;

/// The number of times that a request looks for the run with its key before it is refused. A
/// request looks again if another process was faster.
const MAX_LOOKS: usize = 16;

/// Finding and claiming runs of all processes for requests.
impl Cluster {
    /// Returns the run with this key, or claims the key for a new run.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        key: &RunKey,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let _locked = self.keys.lock(key).await;
        for _ in 0..MAX_LOOKS {
            let look = match self.look(key).await {
                Ok(look) => look,
                Err(_) if purpose == Purpose::Replace => return Err(StartError::Unavailable),
                Err(_) => {
                    let here = self.live_here(key).map(Claim::Existing);
                    return here.ok_or(StartError::Unavailable);
                }
            };
            if purpose == Purpose::Attach
                && matches!(look, LookReply::Free | LookReply::Restoring)
                && let Some(record) = self.lost_by_store(key)
            {
                return Ok(Claim::Existing(record));
            }
            let earlier = match look {
                LookReply::Restoring => return Err(StartError::Unavailable),
                LookReply::Live { run, .. } | LookReply::Ended { run, .. }
                    if purpose == Purpose::Replace =>
                {
                    Some(run)
                }
                LookReply::Live { run, process, liveness } => {
                    match self.live(&run, &process, liveness).await? {
                        Some(record) => return Ok(Claim::Existing(record)),
                        None => continue,
                    }
                }
                LookReply::Ended { run, outcome: Outcome::Completed, .. } => {
                    let record = self.open(&run, None).await?;
                    let is_own =
                        self.process.peek(key).is_some_and(|own| Arc::ptr_eq(&own, &record));
                    // The claim was forged, because this process's own run was interrupted. Each
                    // further look would find the same claim.
                    if is_own && record.phase() == Phase::Ended(Outcome::Interrupted) {
                        return Err(StartError::Unavailable);
                    }
                    return Ok(Claim::Existing(record));
                }
                LookReply::Free
                | LookReply::Claimed
                | LookReply::Changed
                | LookReply::Ended { .. } => None,
            };
            if let Some(producer) = self.start(key, earlier).await? {
                return Ok(Claim::New(producer));
            }
        }
        Err(StartError::Unavailable)
    }

    /// Returns the record of a live run for a client without an id. Returns `None` if the caller
    /// has to look again.
    async fn live(
        &self,
        run: &RunId,
        process: &ProcessId,
        liveness: Liveness,
    ) -> Result<Option<Arc<Record>>, StartError> {
        if *process == self.id {
            // A claim whose request has left, or whose call returned no event stream, is given
            // back: there never was a run.
            let own = self.exports.record(run).filter(|own| own.phase() != Phase::Void);
            match own {
                Some(record) if record.phase().is_live() => {
                    // No process may declare the run dead while it is running here.
                    if liveness != Liveness::Alive {
                        self.exports.synchronize(run.epoch);
                    }
                    return Ok(Some(record));
                }
                Some(record) if record.is_forgotten() => {
                    // This process has forgotten the run, so nothing can restore it.
                    let lost = self.end(run, EndMode::Lost).await;
                    lost.map_err(|_| StartError::Unavailable)?;
                }
                Some(_) => {
                    if self.exports.has_ended(run.epoch) {
                        // The store had the end of the run, and has lost it.
                        self.exports.synchronize(run.epoch);
                    }
                    self.wait_until(|| self.exports.has_ended(run.epoch)).await;
                }
                // The request has left, the call returned no event stream, or the reply to the
                // claim was lost.
                None => {
                    let released = self.end(run, EndMode::Release).await;
                    released.map_err(|_| StartError::Unavailable)?;
                }
            }
            return Ok(None);
        }
        match liveness {
            Liveness::Alive => return self.open(run, None).await.map(Some),
            Liveness::Late(wait) => sleep(wait).await,
            Liveness::Dead => _ = self.mirrors.bury(run).await,
        }
        Ok(None)
    }

    /// Returns the live run of this process whose claim the store has lost, and restores the claim.
    fn lost_by_store(&self, key: &RunKey) -> Option<Arc<Record>> {
        let record = self.live_here(key)?;
        self.exports.synchronize(record.epoch);
        Some(record)
    }

    /// Returns the live run with this key at this process. Clients get it even if the store cannot
    /// be reached.
    pub(super) fn live_here(&self, key: &RunKey) -> Option<Arc<Record>> {
        self.process.peek(key).filter(|record| record.phase().is_live())
    }

    /// Returns the run with this key for a client that has seen the events up to `last`.
    pub(crate) async fn find(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        let (run, is_certain) = match self.look(key).await {
            Ok(LookReply::Live { run, .. }) => (run, true),
            Ok(LookReply::Ended { run, is_certain, .. }) => (run, is_certain),
            Ok(LookReply::Restoring) => {
                let here = self.lost_by_store(key);
                return here.map(Some).ok_or(StartError::Unavailable);
            }
            Ok(LookReply::Free | LookReply::Claimed | LookReply::Changed) => {
                return Ok(self.lost_by_store(key));
            }
            Err(_) => return self.live_here(key).map(Some).ok_or(StartError::Unavailable),
        };
        match self.open(&run, last).await {
            // The id may be one of a later run, whose claim its owner may still restore.
            Err(StartError::NotFound) if !is_certain => Err(StartError::Unavailable),
            found => found.map(Some),
        }
    }

    /// Returns the record of a run: the original if this process owns the run, otherwise a mirror.
    pub(crate) async fn open(
        &self,
        run: &RunId,
        last: Option<&LastEventId>,
    ) -> Result<Arc<Record>, StartError> {
        let after = match ResumeFrom::parse(last, run.epoch, MAX_SEQUENCE) {
            ResumeFrom::FirstVisit => 0,
            ResumeFrom::Seen(sequence) => sequence,
            ResumeFrom::Unknown(_) => return Err(StartError::NotFound),
        };
        if let Some(record) = self.process.peek(&run.key).filter(|record| record.epoch == run.epoch)
        {
            return Ok(record);
        }
        self.mirrors.open(run, after).await
    }
}

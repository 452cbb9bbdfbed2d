#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{
    export::{Effect, Export},
    plan::{Plan, Target},
    reply::{EndReply, Reply, StoreError},
    run_id::RunId,
    stored_runs::StoredRuns,
    timing::{EARLY, LATE_CLAIM, RETRY_DELAY, Timing},
};
use crate::history::Epoch;
#[cfg(tower_sse_simulation)]
use crate::simulation::HashMap;

/// The number of commands up to which renewals that are almost due join a pipeline. With more, they
/// would delay what is due.
const MAX_EARLY: usize = 256;

/// When each run is due, and the state of its export.
pub(super) struct Queue {
    pub(super) exports: HashMap<Epoch, Export>,
    pub(super) due: BTreeSet<(Instant, Epoch)>,
    /// Claims whose reply was lost, and until when they may still be executed.
    pub(super) lost_claims: HashMap<RunId, LostClaim>,
    pub(super) ended: StoredRuns,
    /// The bytes in the store of runs that have not ended there.
    pub(super) live_bytes: usize,
}

/// A claim whose reply was lost.
#[derive(Clone, Copy)]
pub(super) struct LostClaim {
    pub(super) lost_at: Instant,
    pub(super) due: Instant,
}

/// Applies one reply. Calls `fail` if the rest of the replies for the run mean nothing.
pub(super) fn apply(
    export: &mut Export,
    target: &Target,
    result: Result<Reply, StoreError>,
    connection: u64,
    timing: Timing,
    fail: impl FnOnce() -> bool,
) -> Effect {
    match (target, result) {
        (_, Ok(Reply::Sync(reply))) => export.synced(&reply, connection, timing),
        (_, Ok(Reply::Renew(reply))) => {
            export.renewed(reply, timing);
            Effect::None
        }
        (Target::Batch(_, last, len), Ok(Reply::Append(reply))) => {
            export.appended(reply, *last, *len);
            Effect::None
        }
        (Target::Trim(_, keep_from), Ok(Reply::Trim { entries })) => {
            export.trimmed(entries, *keep_from);
            Effect::None
        }
        (_, Ok(Reply::End(reply))) => export.ended(&reply),
        (_, Err(StoreError::Unavailable(_))) => {
            fail();
            Effect::None
        }
        (_, Err(StoreError::Lost(_))) => {
            fail();
            export.forget_connection();
            Effect::None
        }
        (_, Ok(_) | Err(StoreError::Run(_) | StoreError::Version)) => {
            fail();
            export.refuse()
        }
    }
}

impl Queue {
    pub(super) fn new(max_per_owner: Option<usize>) -> Self {
        Self {
            exports: HashMap::default(),
            due: BTreeSet::new(),
            lost_claims: HashMap::default(),
            ended: StoredRuns::new(max_per_owner),
            live_bytes: 0,
        }
    }

    /// Makes a run due at a time, unless it is due earlier. Returns whether it is now due before all
    /// others.
    pub(super) fn hasten(&mut self, epoch: Epoch, due: impl FnOnce(&Export) -> Instant) -> bool {
        let Some(export) = self.exports.get_mut(&epoch) else { return false };
        let due = due(export);
        let is_later = export.due > due;
        let is_first = self.due.first().is_none_or(|(first, _)| *first > due);
        if is_later {
            self.due.remove(&(export.due, epoch));
            export.due = due;
            self.due.insert((due, epoch));
        }
        is_later && is_first
    }

    pub(super) fn set_due(&mut self, epoch: Epoch, due: Instant) {
        if let Some(export) = self.exports.get_mut(&epoch) {
            self.due.remove(&(export.due, epoch));
            export.due = due;
            self.due.insert((due, epoch));
        }
    }

    /// Takes the commands that are due. Runs of a plan are due again after `beat`, unless replies
    /// arrive.
    pub(super) fn plan(
        &mut self,
        connection: u64,
        (max_memory, retain): (usize, Duration),
        beat: Duration,
    ) -> Plan {
        let now = Instant::now();
        let mut plan = Plan::default();
        for (run, claim) in &self.lost_claims {
            if claim.due <= now && !plan.is_full() {
                plan.release(run.clone());
            }
        }
        self.ended.expire(retain, now);
        let live = self.live_bytes;
        while !plan.is_full()
            && let Some(run) = self.ended.evict(live, max_memory)
        {
            plan.forget(run);
        }
        while !plan.is_full()
            && let Some(&(due, epoch)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(export) = self.exports.get_mut(&epoch) else { continue };
            if export.ended_until.is_some_and(|until| until <= now) {
                self.exports.remove(&epoch);
                continue;
            }
            export.plan(&mut plan, connection, now);
            // Until the replies arrive.
            export.due = now + beat;
            let due = (export.due, epoch);
            self.due.insert(due);
        }
        if plan.takes_early_renewals() {
            self.plan_early(&mut plan, connection, now);
        }
        plan
    }

    /// Adds the renewals that are almost due, because one call for all costs less than one for each.
    fn plan_early(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        let exports = &self.exports;
        let is_renewal = |due: Instant, epoch: &Epoch| {
            exports.get(epoch).is_some_and(|export| export.beat_at == due && !export.is_done())
        };
        let early = self.due.iter().take_while(|(due, _)| *due <= now + EARLY);
        let early = early.filter(|(due, epoch)| *due > now && is_renewal(*due, epoch));
        let early: Vec<_> = early.take(MAX_EARLY.saturating_sub(plan.len())).copied().collect();
        for (due, epoch) in early {
            if let Some(export) = self.exports.get_mut(&epoch) {
                export.plan(plan, connection, due);
            }
        }
    }

    pub(super) fn released(
        &mut self,
        run: &RunId,
        result: &Result<Reply, StoreError>,
        now: Instant,
    ) {
        let Some(claim) = self.lost_claims.get_mut(run) else { return };
        let is_settled = match result {
            // The claim may still be executed after this command.
            Ok(Reply::End(EndReply::Gone | EndReply::Other)) => now >= claim.lost_at + LATE_CLAIM,
            Ok(_) => true,
            Err(_) => false,
        };
        if is_settled {
            self.lost_claims.remove(run);
        } else {
            claim.due = now + RETRY_DELAY;
        }
    }
}

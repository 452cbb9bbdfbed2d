use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tower_sse::runs::__private::Phase;

use super::{check, mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{CheckReply, End, EndMode, EndReply, Failure, ProcessId};
use tower_sse_broker::tasks::caught;

/// The result of a check of one mirror.
#[derive(Default)]
pub(super) struct Checked {
    /// The owner of a live run.
    pub(super) owner: Option<ProcessId>,
    /// Whether the run has ended, and still has the key.
    pub(super) has_ended: bool,
    /// Whether the store may have events, a head or an end that the mirror lacks.
    pub(super) needs_load: bool,
}

/// Applies the reply to a check.
pub(super) fn apply(mirror: &Mirror, result: Result<CheckReply, Failure>) -> Checked {
    let mut checked = Checked::default();
    let (Ok(reply), Some(record)) = (result, mirror.record()) else {
        return checked;
    };
    if !matches!(reply, CheckReply::Gone) {
        mirror.set_contact();
    }
    match reply {
        CheckReply::Starting { owner } => {
            mirror.start_below(0);
            checked.owner = Some(owner);
        }
        CheckReply::Running { newest, owner, head } => {
            begin(mirror, newest, head);
            checked.needs_load = newest > record.newest() || record.phase() == Phase::Starting;
            checked.owner = Some(owner);
        }
        CheckReply::Ended { newest, head, .. } => {
            begin(mirror, newest, head);
            (checked.has_ended, checked.needs_load) = (true, true);
        }
        CheckReply::Other { newest, head } => {
            begin(mirror, newest, head);
            mirror.set_ended();
            checked.needs_load = true;
        }
        CheckReply::Void => {
            mirror.start_below(0);
            mirror.copy.void();
        }
        CheckReply::Gone => mirror.set_gone(),
    }
    checked
}

/// Begins a record, unless it has begun, and sets its options if the reply has the head.
fn begin(mirror: &Mirror, newest: u64, head: Option<Bytes>) {
    mirror.start_below(newest);
    if let Some(head) = head {
        mirror.copy.begin(&head);
    }
}

impl Mirrors {
    /// Checks a mirror for a client, so the owner treats the run as watched. Ends the run of a dead
    /// owner.
    pub(super) async fn watch(&self, mirror: &Arc<Mirror>) -> Checked {
        let is_starting = mirror.record().is_some_and(|record| record.phase() == Phase::Starting);
        let mut checked = Checked::default();
        for result in self.store.check(&[mirror.check(true, is_starting)]).await {
            checked = apply(mirror, result);
            if let Some(dead) = self.dead(mirror, &checked) {
                checked.needs_load |= !self.bury_all(&[dead]).await.is_empty();
            }
        }
        checked
    }

    /// Returns a mirror with its owner, if the owner is dead.
    fn dead(&self, mirror: &Arc<Mirror>, checked: &Checked) -> Option<(Arc<Mirror>, ProcessId)> {
        let owner = checked.owner.as_ref().filter(|owner| self.store.is_dead(owner))?;
        Some((Arc::clone(mirror), owner.clone()))
    }

    /// Ends runs whose owners are dead, unless another process does. Returns the mirrors that have to
    /// load the end of their run.
    async fn bury_all<'m>(&self, dead: &'m [(Arc<Mirror>, ProcessId)]) -> Vec<&'m Arc<Mirror>> {
        let bury = |(mirror, owner): &(Arc<Mirror>, ProcessId)| {
            let mode = EndMode::Bury { owner: owner.clone() };
            End { run: mirror.run.clone(), mode }
        };
        let results = self.end_all(&dead.iter().map(bury).collect::<Vec<_>>()).await;
        let buried = dead.iter().zip(results).filter(|(_, result)| is_buried(result));
        buried.map(|((mirror, _), _)| mirror).inspect(|mirror| mirror.set_ended()).collect()
    }
}

/// Returns whether a reply shows that the run is over.
fn is_buried(result: &Result<EndReply, Failure>) -> bool {
    use EndReply::{Buried, Ended, Other, Over};
    matches!(result, Ok(Buried { .. } | Ended { .. } | Over(_) | Other { .. }))
}

/// The maximum number of runs in one call of the store.
pub(super) const MAX_COMMANDS: usize = 512;

/// Checks the mirrors at this interval, until the [`Runs`](tower_sse::runs::Runs) is dropped.
pub(crate) async fn supervise(mirrors: Weak<Mirrors>, interval: Duration) {
    while caught(run(&mirrors, interval)).await.is_none() {}
}

async fn run(mirrors: &Weak<Mirrors>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(mirrors) = mirrors.upgrade() else { return };
        mirrors.map.prune(&mirrors.store);
        check_all(&mirrors, &mirrors.map.all()).await;
    }
}

/// Checks mirrors, and ends the runs whose owners are dead.
async fn check_all(mirrors: &Arc<Mirrors>, due: &[Arc<Mirror>]) {
    let mut dead = Vec::new();
    for due in due.chunks(MAX_COMMANDS) {
        let check = |mirror: &Arc<Mirror>| {
            let record = mirror.record().filter(|record| record.phase().is_live())?;
            let check = mirror.check(record.is_read(), record.phase() == Phase::Starting);
            Some((Arc::clone(mirror), check))
        };
        let (due, checks): (Vec<_>, Vec<_>) = due.iter().filter_map(check).unzip();
        let results = mirrors.store.check(&checks).await;
        for (mirror, result) in due.into_iter().zip(results) {
            let checked = check::apply(&mirror, result);
            if checked.needs_load {
                mirrors.start_load(&mirror);
            }
            dead.extend(mirrors.dead(&mirror, &checked));
            // Test this before the next chunk: after a long round, the last contact would be old
            // although the owner is healthy.
            if mirror.is_out_of_reach(mirrors.timing) {
                mirror.copy.lose();
            }
        }
    }
    for dead in dead.chunks(MAX_COMMANDS) {
        for mirror in mirrors.bury_all(dead).await {
            mirrors.start_load(mirror);
        }
    }
}

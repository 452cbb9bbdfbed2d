use std::sync::{Arc, Weak};
use std::{slice, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tower_sse::runs::__private::Phase;

use super::{check, mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{CheckReply, End, EndMode, EndReply, Failure, Liveness, Reply};
use tower_sse_broker::tasks::caught;

/// The result of a check of one mirror.
#[derive(Default)]
pub(super) struct Checked {
    /// Whether the run's owner is alive. It only counts for a live run.
    pub(super) liveness: Liveness,
    /// Whether the run has ended.
    pub(super) has_ended: bool,
    /// Whether the store may have events, a head or an end that the mirror lacks.
    pub(super) needs_load: bool,
}

/// Applies the reply to a check.
pub(super) fn apply(mirror: &Mirror, result: Result<Reply, Failure>) -> Checked {
    let mut checked = Checked::default();
    let (Ok(Reply::Check(reply)), Some(record)) = (result, mirror.record()) else {
        return checked;
    };
    if !matches!(reply, CheckReply::Gone) {
        mirror.set_contact();
    }
    match reply {
        CheckReply::Starting(liveness) => {
            mirror.start_below(0);
            checked.liveness = liveness;
        }
        CheckReply::Running { newest, liveness, head } => {
            begin(mirror, newest, head);
            checked.needs_load = newest > record.newest() || record.phase() == Phase::Starting;
            checked.liveness = liveness;
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
        for result in self.store.execute(None, vec![mirror.check(true, is_starting)]).await {
            checked = apply(mirror, result);
            if checked.liveness == Liveness::Dead {
                checked.needs_load |= !self.bury_all(slice::from_ref(mirror)).await.is_empty();
            }
        }
        checked
    }

    /// Ends runs whose owners are dead. Returns the mirrors that have to load the end of their run.
    pub(super) async fn bury_all<'m>(&self, dead: &'m [Arc<Mirror>]) -> Vec<&'m Arc<Mirror>> {
        let bury = |mirror: &Arc<Mirror>| End { run: mirror.run.clone(), mode: EndMode::Bury };
        let results = self.end_all(dead.iter().map(bury).collect()).await;
        let buried = dead.iter().zip(results).filter(|(_, result)| is_buried(result));
        buried.map(|(mirror, _)| mirror).inspect(|mirror| mirror.set_ended()).collect()
    }
}

/// Returns whether a run has ended.
fn is_buried(result: &Result<Reply, Failure>) -> bool {
    use EndReply::{Buried, Ended, Other, Over};
    matches!(result, Ok(Reply::End(Buried { .. } | Ended { .. } | Over(_) | Other { .. })))
}

/// The maximum number of commands in a pipeline.
pub(super) const MAX_COMMANDS: usize = 512;

/// Checks the mirrors at this interval, until the [`Runs`](tower_sse::runs::Runs) is dropped.
pub(crate) async fn supervise(mirrors: Weak<Mirrors>, interval: Duration) {
    while caught(run(&mirrors, interval)).await.is_none() {}
}

async fn run(mirrors: &Weak<Mirrors>, interval: Duration) {
    let mut next = Instant::now() + interval;
    // The runs whose owners are late, each with the time at which to check it again.
    let mut late: Vec<(Instant, Arc<Mirror>)> = Vec::new();
    loop {
        let first = late.iter().map(|(at, _)| *at).min();
        sleep_until(first.map_or(next, |first| first.min(next))).await;
        let Some(mirrors) = mirrors.upgrade() else { return };
        let now = Instant::now();
        let due = if now >= next {
            next = now + interval;
            late.clear();
            mirrors.map.prune(&mirrors.store);
            mirrors.map.all()
        } else {
            late.extract_if(.., |(at, _)| *at <= now).map(|(_, mirror)| mirror).collect()
        };
        late.extend(check_all(&mirrors, &due).await);
    }
}

/// Checks mirrors, and ends the runs whose owners are dead. Returns the mirrors whose owners are
/// late, each with the time at which to check it again.
async fn check_all(mirrors: &Arc<Mirrors>, due: &[Arc<Mirror>]) -> Vec<(Instant, Arc<Mirror>)> {
    let (mut late, mut dead) = (Vec::new(), Vec::new());
    for due in due.chunks(MAX_COMMANDS) {
        let check = |mirror: &Arc<Mirror>| {
            let record = mirror.record().filter(|record| record.phase().is_live())?;
            let check = mirror.check(record.is_read(), record.phase() == Phase::Starting);
            Some((Arc::clone(mirror), check))
        };
        let (due, checks): (Vec<_>, Vec<_>) = due.iter().filter_map(check).unzip();
        let results = mirrors.store.execute(None, checks).await;
        for (mirror, result) in due.into_iter().zip(results) {
            let checked = check::apply(&mirror, result);
            if checked.needs_load {
                mirrors.start_load(&mirror);
            }
            match checked.liveness {
                Liveness::Alive => {}
                Liveness::Late(wait) => late.push((Instant::now() + wait, Arc::clone(&mirror))),
                Liveness::Dead => dead.push(Arc::clone(&mirror)),
            }
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
    late
}

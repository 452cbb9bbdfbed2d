use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tower_sse::runs::support::{Phase, caught};

use super::{check, load::Load, mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::reply::Liveness;

/// The maximum number of commands in a pipeline.
const MAX_COMMANDS: usize = 512;

/// Checks the mirrors at this interval, until the process' [`Runs`](tower_sse::runs::Runs) is dropped.
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
                Load::start(mirrors, &mirror);
            }
            match checked.liveness {
                Liveness::Alive => {}
                Liveness::Late(wait) => late.push((Instant::now() + wait, Arc::clone(&mirror))),
                Liveness::Dead => dead.push(Arc::clone(&mirror)),
            }
            // Tested before the next chunk is checked: after a long round, the last contact would
            // be old although the owner is healthy.
            if mirror.is_out_of_reach(mirrors.timing) {
                mirror.copy.lose();
            }
        }
    }
    for dead in dead.chunks(MAX_COMMANDS) {
        for mirror in mirrors.bury_all(dead).await {
            Load::start(mirrors, mirror);
        }
    }
    late
}

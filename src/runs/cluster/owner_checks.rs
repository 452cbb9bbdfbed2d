use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    cluster::Cluster,
    command::EndMode,
    exporter, head,
    load::Load,
    mirror::Mirror,
    reply::{CheckReply, EndReply, Liveness, Reply, StoreError},
    run_id::RunId,
};
use crate::runs::{Outcome, record::Phase, registry::Shared};

/// The maximum number of checks in a pipeline.
const MAX_CHECKS: usize = 512;

/// Checks the mirrors at this interval, until the process' [`Runs`](crate::runs::Runs) is dropped.
pub(crate) async fn supervise(shared: Weak<Shared>, interval: Duration) {
    while !exporter::catch(run(&shared, interval)).await {}
}

async fn run(shared: &Weak<Shared>, interval: Duration) {
    let mut wait = interval;
    loop {
        sleep(wait).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(cluster) = &shared.cluster else { return };
        cluster.mirrors.prune(&*cluster.store);
        // A late owner is looked at again as soon as it can be dead.
        wait = check_all(&shared, cluster).await.unwrap_or(interval).min(interval);
    }
}

/// Checks all mirrors. Returns the time after which to look at a late owner again.
async fn check_all(shared: &Arc<Shared>, cluster: &Cluster) -> Option<Duration> {
    let mut late = None;
    let live = cluster.mirrors.all().into_iter().filter_map(|mirror| {
        let record = mirror.record().filter(|record| record.phase().is_live())?;
        Some((mirror, record))
    });
    let live: Vec<_> = live.collect();
    for mirrors in live.chunks(MAX_CHECKS) {
        let checks = mirrors.iter().map(|(mirror, record)| {
            mirror.check(record.is_read(), record.phase() == Phase::Starting)
        });
        let results = cluster.store.execute(None, checks.collect()).await;
        for ((mirror, _), result) in mirrors.iter().zip(results) {
            let wait = apply(shared, mirror, result).await;
            late = late.into_iter().chain(wait).min();
        }
    }
    for (mirror, record) in &live {
        if mirror.is_out_of_reach(cluster.timing) {
            record.lose_mirror();
        }
    }
    late
}

/// Applies the reply to a check. Returns the time after which to look at a late owner again.
pub(super) async fn apply(
    shared: &Arc<Shared>,
    mirror: &Arc<Mirror>,
    result: Result<Reply, StoreError>,
) -> Option<Duration> {
    let (Ok(Reply::Check(reply)), Some(record)) = (result, mirror.record()) else { return None };
    if !matches!(reply, CheckReply::Gone) {
        mirror.set_contact();
    }
    match reply {
        CheckReply::Starting(liveness) => return judge(shared, mirror, liveness).await,
        CheckReply::Running { newest, liveness, head } => {
            mirror.reach(newest);
            if let Some(head) = head {
                record.begin(head::decode(&head));
            }
            if newest > record.newest() || record.phase() == Phase::Starting {
                Load::start(shared, mirror);
            }
            return judge(shared, mirror, liveness).await;
        }
        CheckReply::Ended { newest, .. } => {
            mirror.reach(newest);
            Load::start_last(shared, mirror);
        }
        CheckReply::Other => Load::start_last(shared, mirror),
        CheckReply::Void => record.void_mirror(),
        CheckReply::Gone => mirror.set_gone(),
    }
    None
}

/// Ends a run whose owner is dead, and reports its end.
async fn judge(shared: &Arc<Shared>, mirror: &Arc<Mirror>, liveness: Liveness) -> Option<Duration> {
    match (liveness, &shared.cluster) {
        (Liveness::Late(wait), _) => return Some(wait),
        (Liveness::Dead, Some(cluster)) if cluster.bury(shared, &mirror.run).await => {
            Load::start_last(shared, mirror);
        }
        _ => {}
    }
    None
}

impl Cluster {
    /// Ends a run whose owner is dead. Returns whether it has ended.
    pub(crate) async fn bury(&self, shared: &Arc<Shared>, run: &RunId) -> bool {
        match self.end(run, EndMode::Bury).await {
            Ok(EndReply::Ended { outcome: Outcome::Interrupted, newest }) => {
                shared.report_dead(run, newest);
                true
            }
            Ok(EndReply::Ended { .. } | EndReply::Over(_) | EndReply::Other) => true,
            _ => false,
        }
    }
}

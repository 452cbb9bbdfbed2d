use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{
    cluster::Cluster,
    command::{Check, Command, EndMode},
    exporter, head,
    mirror::Mirror,
    mirrors,
    reply::{CheckReply, EndReply, Liveness, Reply, StoreError},
};
use crate::runs::{
    Outcome,
    record::{Phase, Record},
    registry::Shared,
};

/// The maximum number of checks in a pipeline.
const MAX_CHECKS: usize = 512;

/// Checks the mirrors until the process' [`Runs`](crate::runs::Runs) is dropped.
pub(crate) async fn supervise(shared: Weak<Shared>) {
    while !exporter::catch(run(&shared)).await {}
}

async fn run(shared: &Weak<Shared>) {
    let mut late = None;
    loop {
        let Some(due) = shared.upgrade().as_ref().and_then(|shared| {
            let cluster = shared.cluster.as_ref()?;
            let check = cluster.timing.check;
            // A late owner is looked at again as soon as it can be dead.
            Some(Instant::now() + late.map_or(check, |wait: Duration| wait.min(check)))
        }) else {
            return;
        };
        sleep_until(due).await;
        let Some(shared) = shared.upgrade() else { return };
        if let Some(cluster) = &shared.cluster {
            cluster.mirrors.prune(&*cluster.store);
            late = check_all(&shared, cluster).await;
        }
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
        let commands = mirrors.iter().map(|(mirror, record)| command(mirror, record)).collect();
        let results = cluster.store.execute(None, commands).await;
        for ((mirror, _), result) in mirrors.iter().zip(results) {
            late = late.into_iter().chain(lateness(&result)).min();
            apply(shared, mirror, result).await;
        }
    }
    for (mirror, record) in &live {
        give_up(cluster, mirror, record);
    }
    late
}

const fn lateness(result: &Result<Reply, StoreError>) -> Option<Duration> {
    match result {
        Ok(Reply::Check(
            CheckReply::Starting(Liveness::Late(wait))
            | CheckReply::Running { liveness: Liveness::Late(wait), .. },
        )) => Some(*wait),
        _ => None,
    }
}

fn command(mirror: &Mirror, record: &Record) -> Command {
    Command::Check(Check {
        run: mirror.run.clone(),
        is_watched: record.is_read(),
        wants_head: record.phase() == Phase::Starting,
    })
}

/// Fails the clients of a run that was out of reach for too long.
fn give_up(cluster: &Cluster, mirror: &Mirror, record: &Arc<Record>) {
    let (contact, gone_since) = mirror.contact();
    let is_gone = gone_since.is_some_and(|since| since.elapsed() >= cluster.timing.lease);
    if is_gone || contact.elapsed() >= cluster.timing.patience {
        record.lose_mirror();
    }
}

/// Applies the reply to a check.
pub(super) async fn apply(
    shared: &Arc<Shared>,
    mirror: &Arc<Mirror>,
    result: Result<Reply, StoreError>,
) {
    let (Ok(Reply::Check(reply)), Some(record)) = (result, mirror.record()) else { return };
    if !matches!(reply, CheckReply::Gone) {
        mirror.set_contact();
    }
    match reply {
        CheckReply::Starting(liveness) => bury_dead(shared, mirror, liveness).await,
        CheckReply::Running { newest, liveness, head } => {
            mirror.reach(newest);
            if let Some(head) = head {
                record.begin(head::decode(&head));
            }
            if newest > record.newest() || record.phase() == Phase::Starting {
                mirrors::load(shared, mirror);
            }
            bury_dead(shared, mirror, liveness).await;
        }
        CheckReply::Ended { newest, .. } => {
            mirror.reach(newest);
            mirror.set_ended();
            mirrors::load(shared, mirror);
        }
        CheckReply::Other => {
            mirror.set_ended();
            mirrors::load(shared, mirror);
        }
        CheckReply::Void => record.void_mirror(),
        CheckReply::Gone => mirror.set_gone(),
    }
}

/// Ends a run whose owner is dead, and reports its end.
async fn bury_dead(shared: &Arc<Shared>, mirror: &Arc<Mirror>, liveness: Liveness) {
    let Some(cluster) = &shared.cluster else { return };
    if liveness == Liveness::Dead && cluster.bury(shared, &mirror.run).await {
        mirror.set_ended();
        mirrors::load(shared, mirror);
    }
}

impl Cluster {
    /// Ends a run whose owner is dead. Returns whether it has ended.
    pub(crate) async fn bury(&self, shared: &Arc<Shared>, run: &super::run_id::RunId) -> bool {
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

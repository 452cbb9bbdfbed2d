use std::{
    slice,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{load::Load, mirror::Mirror};
use crate::runs::{
    Outcome,
    cluster::{
        cluster::Cluster,
        owner::exporter,
        seam::{
            command::{Command, End, EndMode},
            head,
            reply::{CheckReply, EndReply, Liveness, Reply, StoreError},
            run_id::RunId,
        },
    },
    process::Shared,
    record::{Phase, Record},
};

/// The maximum number of commands in a pipeline.
const MAX_COMMANDS: usize = 512;

/// Checks the mirrors at this interval, until the process' [`Runs`](crate::runs::Runs) is dropped.
pub(crate) async fn supervise(shared: Weak<Shared>, interval: Duration) {
    while !exporter::catch(run(&shared, interval)).await {}
}

async fn run(shared: &Weak<Shared>, interval: Duration) {
    let mut next = Instant::now() + interval;
    // The runs whose owners are late, and when to look at each again: as soon as it can be dead.
    let mut late: Vec<(Instant, Arc<Mirror>)> = Vec::new();
    loop {
        let first = late.iter().map(|(at, _)| *at).min();
        sleep_until(first.map_or(next, |first| first.min(next))).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(cluster) = &shared.cluster else { return };
        let now = Instant::now();
        let mirrors = if now >= next {
            next = now + interval;
            late.clear();
            cluster.mirrors.prune(&*cluster.store);
            cluster.mirrors.all()
        } else {
            late.extract_if(.., |(at, _)| *at <= now).map(|(_, mirror)| mirror).collect()
        };
        late.extend(check(&shared, cluster, &mirrors).await);
    }
}

/// Checks mirrors, and ends the runs whose owners are dead. Returns those whose owners are late, and
/// when to look at each again.
async fn check(
    shared: &Arc<Shared>,
    cluster: &Cluster,
    mirrors: &[Arc<Mirror>],
) -> Vec<(Instant, Arc<Mirror>)> {
    let (mut late, mut dead) = (Vec::new(), Vec::new());
    for mirrors in mirrors.chunks(MAX_COMMANDS) {
        let check = |mirror: &Arc<Mirror>| {
            let record = mirror.record().filter(|record| record.phase().is_live())?;
            let check = mirror.check(record.is_read(), record.phase() == Phase::Starting);
            Some((Arc::clone(mirror), check))
        };
        let (mirrors, checks): (Vec<_>, Vec<_>) = mirrors.iter().filter_map(check).unzip();
        let results = cluster.store.execute(None, checks).await;
        for (mirror, result) in mirrors.into_iter().zip(results) {
            match apply(shared, &mirror, result) {
                Liveness::Alive => {}
                Liveness::Late(wait) => late.push((Instant::now() + wait, Arc::clone(&mirror))),
                Liveness::Dead => dead.push(Arc::clone(&mirror)),
            }
            // At once: after a long round, the last contact is old although the owner is healthy.
            if mirror.is_out_of_reach(cluster.timing)
                && let Some(record) = mirror.record()
            {
                record.lose_mirror();
            }
        }
    }
    bury(shared, cluster, &dead).await;
    late
}

/// Checks a mirror for a client, so that the owner learns that the run is watched. Returns whether the
/// run has ended.
pub(super) async fn watch(shared: &Arc<Shared>, cluster: &Cluster, mirror: &Arc<Mirror>) -> bool {
    let is_starting = mirror.record().is_some_and(|record| record.phase() == Phase::Starting);
    let check = mirror.check(true, is_starting);
    let mut has_ended = false;
    for result in cluster.store.execute(None, vec![check]).await {
        has_ended = matches!(result, Ok(Reply::Check(CheckReply::Ended { .. })));
        if apply(shared, mirror, result) == Liveness::Dead {
            bury(shared, cluster, slice::from_ref(mirror)).await;
        }
    }
    has_ended
}

/// Applies the reply to a check. Returns whether the owner is alive, for a run that is live.
fn apply(
    shared: &Arc<Shared>,
    mirror: &Arc<Mirror>,
    result: Result<Reply, StoreError>,
) -> Liveness {
    let (Ok(Reply::Check(reply)), Some(record)) = (result, mirror.record()) else {
        return Liveness::Alive;
    };
    if !matches!(reply, CheckReply::Gone) {
        mirror.set_contact();
    }
    match reply {
        CheckReply::Starting(liveness) => {
            mirror.start_below(&record, 0);
            return liveness;
        }
        CheckReply::Running { newest, liveness, head } => {
            begin(mirror, &record, newest, head);
            if newest > record.newest() || record.phase() == Phase::Starting {
                Load::start(shared, mirror);
            }
            return liveness;
        }
        CheckReply::Ended { newest, head, .. } => {
            begin(mirror, &record, newest, head);
            Load::start(shared, mirror);
        }
        CheckReply::Other { newest, head } => {
            begin(mirror, &record, newest, head);
            Load::start_last(shared, mirror);
        }
        CheckReply::Void => {
            mirror.start_below(&record, 0);
            record.void_mirror();
        }
        CheckReply::Gone => mirror.set_gone(),
    }
    Liveness::Alive
}

/// Begins a record, if that is still to be done.
fn begin(mirror: &Mirror, record: &Record, newest: u64, head: Option<Bytes>) {
    mirror.start_below(record, newest);
    if let Some(head) = head {
        record.begin(head::decode(&head));
    }
}

/// Ends runs whose owners are dead, and loads their ends.
async fn bury(shared: &Arc<Shared>, cluster: &Cluster, mirrors: &[Arc<Mirror>]) {
    for mirrors in mirrors.chunks(MAX_COMMANDS) {
        let bury = |mirror: &Arc<Mirror>| bury_command(&mirror.run);
        let results = cluster.store.execute(None, mirrors.iter().map(bury).collect()).await;
        for (mirror, result) in mirrors.iter().zip(results) {
            if is_buried(shared, &mirror.run, &result) {
                Load::start_last(shared, mirror);
            }
        }
    }
}

fn bury_command(run: &RunId) -> Command {
    Command::End(End { run: run.clone(), mode: EndMode::Bury })
}

/// Returns whether a run has ended, and reports the end if this process has ended it.
fn is_buried(shared: &Shared, run: &RunId, result: &Result<Reply, StoreError>) -> bool {
    match result {
        Ok(Reply::End(EndReply::Ended { outcome: Outcome::Interrupted, newest })) => {
            shared.report_dead(run.key.clone(), run.epoch, *newest);
            true
        }
        Ok(Reply::End(reply)) => {
            matches!(reply, EndReply::Ended { .. } | EndReply::Over(_) | EndReply::Other)
        }
        _ => false,
    }
}

impl Cluster {
    /// Ends a run whose owner is dead.
    pub(crate) async fn bury(&self, shared: &Shared, run: &RunId) {
        let results = self.store.execute(None, vec![bury_command(run)]).await;
        results.iter().for_each(|result| _ = is_buried(shared, run, result));
    }
}

use std::sync::Arc;

use super::{
    cluster::Cluster,
    command::EndMode,
    reply::{EndReply, LookReply},
    requests::MAX_SEQUENCE,
    run_id::RunId,
};
use crate::{
    connection::LastEventId,
    history::ResumeFrom,
    runs::{Outcome, RunKey, record::Record, registry::Shared},
};

/// Cancels runs, wherever they are.
impl Shared {
    /// Cancels the run with this key, wherever it is. Returns whether it was starting or running.
    pub(crate) async fn cancel(self: &Arc<Self>, key: &RunKey, last: Option<&LastEventId>) -> bool {
        match &self.cluster {
            None => self.cancel_here(key, last),
            Some(cluster) => Box::pin(self.cancel_in(cluster, key, last)).await,
        }
    }

    async fn cancel_in(
        self: &Arc<Self>,
        cluster: &Cluster,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> bool {
        match cluster.look(key).await {
            Ok(LookReply::Live { run, .. }) => {
                let seen = ResumeFrom::parse(last, run.epoch, MAX_SEQUENCE);
                !matches!(seen, ResumeFrom::Unknown(_)) && self.cancel_run(cluster, &run).await
            }
            Ok(LookReply::Ended { .. }) => false,
            _ => self.cancel_here(key, last),
        }
    }

    async fn cancel_run(self: &Arc<Self>, cluster: &Cluster, run: &RunId) -> bool {
        let own = cluster.exports.record(run);
        let ended_here = own.is_some_and(|own| self.end(&own, Outcome::Cancelled, None));
        // When it returns, a request at any process finds the run ended.
        let reply = cluster.end(run, EndMode::Cancel).await;
        ended_here || matches!(reply, Ok(EndReply::Ended { .. }))
    }

    /// Cancels a run, wherever it is.
    pub(crate) async fn cancel_record(self: &Arc<Self>, record: &Arc<Record>) {
        match &self.cluster {
            None => _ = self.end(record, Outcome::Cancelled, None),
            Some(cluster) => {
                let run = RunId::new(record.key.clone(), record.epoch);
                Box::pin(self.cancel_run(cluster, &run)).await;
            }
        }
    }

    fn cancel_here(self: &Arc<Self>, key: &RunKey, last: Option<&LastEventId>) -> bool {
        let Some(record) = self.get(key) else { return false };
        last.is_none_or(|last| record.has_assigned(last))
            && self.end(&record, Outcome::Cancelled, None)
    }
}

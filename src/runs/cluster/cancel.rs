use std::sync::Arc;

use bytes::Bytes;

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
    runs::{
        RunKey,
        record::{LastEvent, Record},
        registry::Shared,
    },
};

/// Cancels runs, wherever they are.
impl Shared {
    /// Cancels the run with this key, wherever it is, after the event with these `lines` if there
    /// are any. Returns whether it was starting or running.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        match &self.cluster {
            None => self.cancel_here(key, last, lines),
            Some(cluster) => Box::pin(self.cancel_in(cluster, key, last, lines)).await,
        }
    }

    async fn cancel_in(
        self: &Arc<Self>,
        cluster: &Cluster,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        match cluster.look(key).await {
            Ok(LookReply::Live { run, .. }) => {
                let seen = ResumeFrom::parse(last, run.epoch, MAX_SEQUENCE);
                let is_unknown = matches!(seen, ResumeFrom::Unknown(_));
                !is_unknown && self.cancel_run(cluster, &run, lines).await
            }
            Ok(LookReply::Ended { .. }) => false,
            _ => self.cancel_here(key, last, lines),
        }
    }

    async fn cancel_run(
        self: &Arc<Self>,
        cluster: &Cluster,
        run: &RunId,
        lines: Option<Bytes>,
    ) -> bool {
        let own = cluster.exports.record(run);
        let is_exported = own.is_some() && lines.is_some();
        let event = lines.clone().map(LastEvent::New);
        let ended_here = own.is_some_and(|own| self.cancel_own(&own, event.as_ref()));
        if is_exported {
            // The events before the last one are exported with it, so that its id is the same at
            // every process.
            cluster.wait_until(|| cluster.exports.has_ended(run.epoch)).await;
            if ended_here {
                return true;
            }
        }
        // When it returns, a request at any process finds the run ended.
        let reply = cluster.end(run, EndMode::Cancel { lines }).await;
        ended_here || matches!(reply, Ok(EndReply::Ended { .. }))
    }

    /// Cancels a run, wherever it is.
    pub(crate) async fn cancel_record(self: &Arc<Self>, record: &Arc<Record>) {
        match &self.cluster {
            None => _ = self.cancel_own(record, None),
            Some(cluster) => {
                let run = RunId::new(record.key.clone(), record.epoch);
                Box::pin(self.cancel_run(cluster, &run, None)).await;
            }
        }
    }

    fn cancel_here(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        let Some(record) = self.get(key) else { return false };
        last.is_none_or(|last| record.has_assigned(last))
            && self.cancel_own(&record, lines.map(LastEvent::New).as_ref())
    }

    /// Cancels a run of this process, after its last event if there is one. Returns whether it was
    /// starting or running.
    pub(super) fn cancel_own(
        self: &Arc<Self>,
        record: &Arc<Record>,
        event: Option<&LastEvent>,
    ) -> bool {
        let is_cancelled =
            self.with_registry(|registry, deferred| registry.cancel(record, event, deferred));
        if event.is_some() {
            self.make_room(0);
        }
        is_cancelled
    }
}

use std::sync::Arc;

use bytes::Bytes;

use super::{
    cluster::Cluster,
    requests::MAX_SEQUENCE,
    seam::{
        command::EndMode,
        reply::{EndReply, LookReply},
        run_id::RunId,
    },
};
use crate::{
    connection::LastEventId,
    history::ResumeFrom,
    runs::{RunKey, process::Shared, record::LastEvent},
};

/// Cancels runs of all processes.
impl Shared {
    /// Cancels the run with this key, after the event with these `lines` if there are any.
    pub(in crate::runs) async fn cancel_in(
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

    /// Cancels this run, after the event with these `lines` if there are any.
    pub(in crate::runs) async fn cancel_run(
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
}

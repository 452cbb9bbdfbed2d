use bytes::Bytes;
use tower_sse::{
    LastEventId,
    runs::{
        RunKey,
        support::{LastEvent, seen},
    },
};

use super::{cluster::Cluster, requests::MAX_SEQUENCE};
use crate::runs::seam::{
    command::EndMode,
    reply::{EndReply, LookReply},
    run_id::RunId,
};

/// Cancels runs of all processes.
impl Cluster {
    /// Cancels the run with this key, after the event with these `lines` if there are any.
    pub(super) async fn cancel_key(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        match self.look(key).await {
            Ok(LookReply::Live { run, .. }) => {
                let seen = seen(last, run.epoch, MAX_SEQUENCE);
                seen.is_some() && self.cancel_run(&run, lines).await
            }
            Ok(LookReply::Ended { .. }) => false,
            _ => self.process.cancel(key, last, lines),
        }
    }

    /// Cancels this run, after the event with these `lines` if there are any.
    pub(super) async fn cancel_run(&self, run: &RunId, lines: Option<Bytes>) -> bool {
        let own = self.exports.record(run);
        let is_exported = own.is_some() && lines.is_some();
        let event = lines.clone().map(LastEvent::New);
        let ended_here = own.is_some_and(|own| self.process.cancel_record(&own, event.as_ref()));
        if is_exported {
            // The owner exports the earlier events together with the last one, so that the last one
            // has the same id at every process.
            self.wait_until(|| self.exports.has_ended(run.epoch)).await;
            if ended_here {
                return true;
            }
        }
        // Once this method has returned, a request at any process finds that the run has ended.
        let reply = self.end(run, EndMode::Cancel { lines }).await;
        ended_here || matches!(reply, Ok(EndReply::Ended { .. }))
    }
}

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{plan::Plan, *};

/// What all clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The streams whose heads arrived.
    pub(crate) opened: AtomicU64,
    /// The clean ends of these streams.
    pub(crate) ended: AtomicU64,
    /// The streams that their clients left.
    pub(crate) left: AtomicU64,
    /// The streams of clients that returned to a run when it was abandoned.
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The clients that returned too late to a run.
    pub(crate) missed: AtomicU64,
    pub(crate) runs: AtomicU64,
}

impl Account {
    /// Asserts that the server has reported each stream and run once, with the right reason. Its
    /// figures include the streams that it has drained at the end.
    pub(crate) fn assert_matches(&self, server: &Figures, plan: &Plan) {
        let drained = plan.max_streams() as u64;
        let [opened, ended, left, failed, refused, runs] =
            [&self.opened, &self.ended, &self.left, &self.failed, &self.refused, &self.runs]
                .map(|count| count.load(Relaxed));
        assert_eq!(opened, ended + left + failed);
        assert_eq!(server.opened, opened + drained);
        // One more, at the limit.
        assert_eq!(server.refused, refused + 1);

        assert_eq!(
            (server.reported_opened, &server.reported_closed),
            (server.opened, &server.closed)
        );
        assert_eq!(server.closed.values().sum::<u64>(), server.opened);
        let closed = |reason| server.closed.get(reason).copied().unwrap_or_default();
        assert_eq!((closed("drained"), closed("failed")), (drained, failed));
        assert_eq!(
            closed("ended") + closed("disconnected"),
            opened - failed,
            "closed for another reason: {:?}",
            server.closed
        );
        // A client can leave while the end is on its way to it.
        assert!(closed("ended") >= ended, "{ended}");

        assert_eq!(server.started, runs);
        assert_eq!(server.ended.values().sum::<u64>() + server.running, runs);
        let [completed, abandoned] = ["completed", "abandoned"].map(|it| server.ended[it]);
        assert!(completed > 0 && abandoned > 0);
        assert_eq!(completed + abandoned + server.running, runs);
        assert_eq!(server.lagged, 0);
        // Redis has restarted once, without its data.
        assert_eq!(server.losses, 1);
        assert!(server.gaps > 0);
    }
}

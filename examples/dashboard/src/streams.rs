use std::collections::BTreeMap;

use serde::Serialize;
use tower_sse::stats::Stats;

/// The event streams of this server, including those of the drills.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    open: u64,
    opened: u64,
    /// The number of closed streams by reason.
    closed: BTreeMap<&'static str, u64>,
}

impl Streams {
    pub(super) fn of(stats: &Stats) -> Self {
        let now = stats.snapshot();
        Self {
            open: now.open,
            opened: now.opened,
            closed: now
                .closed_by_reason
                .into_iter()
                .map(|(reason, count)| (reason.as_str(), count))
                .collect(),
        }
    }
}

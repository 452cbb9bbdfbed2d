use std::collections::VecDeque;

use tokio::sync::watch;
use tower_sse::{Encoded, Event};

/// So many samples are kept for clients that come back: five minutes, at one per second.
const KEPT: usize = 300;

/// The samples that are kept, by consecutive ids.
#[derive(Default)]
pub(super) struct History {
    newest: u64,
    samples: VecDeque<Encoded>,
}

impl History {
    /// The id of the next sample.
    pub(super) fn next_id(&self) -> u64 {
        self.newest + 1
    }

    pub(super) fn push(&mut self, sample: Encoded) {
        if self.samples.len() == KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.newest += 1;
    }

    pub(super) fn before_oldest(&self) -> u64 {
        self.newest - self.samples.len() as u64
    }

    /// What a client that has `seen` must get. If that was too long ago, or in an earlier life of this
    /// server, it is told so.
    fn after(&self, seen: u64) -> Vec<Encoded> {
        let before_oldest = self.before_oldest();
        let (gap, known) = if (before_oldest..=self.newest).contains(&seen) {
            (None, (seen - before_oldest) as usize)
        } else {
            let next = before_oldest + 1;
            let gap = format!(r#"{{"after":{seen},"next":{next}}}"#);
            (Some(Event::new().event("gap").data(gap).into()), 0)
        };
        gap.into_iter().chain(self.samples.range(known..).cloned()).collect()
    }
}

/// What comes after the sample `seen`, as soon as there is something. To catch up and to follow live is
/// the same, so nothing can be lost or doubled in between.
pub(super) async fn next(
    history: &mut watch::Receiver<History>,
    seen: &mut u64,
) -> Option<Vec<Encoded>> {
    let history = history.wait_for(|history| history.newest != *seen).await.ok()?;
    let unseen = history.after(*seen);
    *seen = history.newest;
    Some(unseen)
}

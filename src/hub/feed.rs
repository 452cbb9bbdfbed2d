use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::shared::{NotAppended, Shared};
use crate::{callback::catch_panic, event::Event};

/// The connection on which a broker passes events to a hub.
///
/// Sequence numbers must rise, so the broker must not call these methods concurrently.
#[derive(Clone)]
pub struct Feed {
    /// Weak, so that a broker does not keep its hub alive.
    hub: Weak<Shared>,
    closed: CancellationToken,
    max_age: Duration,
}

/// The error of feeding a hub that is closed or dropped. The broker must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Feed {
    pub(super) fn new(hub: &Arc<Shared>, closed: CancellationToken, max_age: Duration) -> Self {
        Self { hub: Arc::downgrade(hub), closed, max_age }
    }

    /// Appends an event that was published `age` ago. Returns `false` if the hub already had this
    /// sequence number or a higher one.
    ///
    /// If the program's code panics during the call, a loss is reported.
    pub fn event(
        &self,
        sequence: u64,
        topic: &str,
        event: &Event,
        age: Duration,
    ) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        // It calls the program's `retention_of` and wakers, whose panics must not end the broker's
        // task. The event may not have been appended then.
        let received = catch_panic(|| hub.receive(sequence, topic, event, age));
        let is_new = accepted(received.unwrap_or_else(|| hub.report_loss(sequence)))?;
        if is_new && let Some(link) = hub.link() {
            link.set_lag(age);
        }
        Ok(is_new)
    }

    /// Reports that each topic may have lost events up to this sequence number. Subscribers receive
    /// the earlier events that are kept, then a gap for each topic.
    pub fn report_loss(&self, sequence: u64) -> Result<bool, Closed> {
        accepted(self.hub.upgrade().ok_or(Closed)?.report_loss(sequence))
    }

    /// Returns the age up to which the hub keeps events, and up to which the broker loads the
    /// history.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Runs a future until the hub is closed or dropped, even while nothing is published.
    pub async fn run_until_closed(&self, future: impl Future<Output = ()>) {
        _ = self.closed.run_until_cancelled(future).await;
    }
}

fn accepted(result: Result<(), NotAppended>) -> Result<bool, Closed> {
    match result {
        Ok(()) => Ok(true),
        Err(NotAppended::Stale) => Ok(false),
        Err(NotAppended::Closed) => Err(Closed),
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("max_age", &self.max_age).finish_non_exhaustive()
    }
}

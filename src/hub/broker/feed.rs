use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    callback::catch_panic,
    event::Event,
    hub::{Hub, append::NotAppended, link::Arrival, state::HubState},
};

/// The connection over which a broker passes events to a hub.
///
/// Sequence numbers must rise, so the broker must not call these methods concurrently.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Weak, so that a broker does not keep its hub alive.
    hub: Weak<HubState>,
    closed: CancellationToken,
    max_age: Duration,
}

/// The error for a feed whose hub is closed or dropped. Feeding has no effect from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Feed {
    pub(crate) fn new(hub: &Arc<HubState>, closed: CancellationToken, max_age: Duration) -> Self {
        Self { hub: Arc::downgrade(hub), closed, max_age }
    }

    /// Appends an event, or drops it if its topic has ended. Returns `false` if the hub already had
    /// this sequence number or a higher one.
    ///
    /// If [`retention_of`](crate::hub::HubBuilder::retention_of) panics, the event is not appended,
    /// and its loss is reported.
    pub fn event(&self, arrival: Arrival, topic: &str, event: &Event) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        // `append` calls the program's `retention_of` and wakers. Their panics must not end the
        // broker's task. If the event was appended before the panic, the loss is stale.
        let received =
            catch_panic(|| hub.append(topic, event, arrival.is_last, Some(arrival)).map(drop));
        let is_new = accepted(received.unwrap_or_else(|| hub.record_loss(arrival.sequence)))?;
        if is_new && let Some(link) = &hub.link {
            link.set_lag(arrival.age);
        }
        Ok(is_new)
    }

    /// Reports that each topic may have lost events up to this sequence number. Subscribers receive
    /// the kept events from before the loss, then a gap for each topic. Returns `false` if the hub
    /// has already reached this sequence number, and so missed nothing.
    pub fn report_loss(&self, sequence: u64) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        accepted(hub.record_loss(sequence))
    }

    /// Returns the age up to which the broker loads the history.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns whether the hub is closed or dropped.
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns whether this feed belongs to `hub`.
    pub fn feeds(&self, hub: &Hub) -> bool {
        std::ptr::eq(self.hub.as_ptr(), Arc::as_ptr(&hub.shared))
    }

    /// Runs a future, and drops it when the hub is closed or dropped.
    pub async fn run_until_closed(&self, future: impl Future<Output = ()>) {
        _ = self.closed.run_until_cancelled(future).await;
    }
}

fn accepted(result: Result<(), NotAppended>) -> Result<bool, Closed> {
    match result {
        Ok(()) | Err(NotAppended::Ended) => Ok(true),
        Err(NotAppended::Stale) => Ok(false),
        Err(NotAppended::Closed) => Err(Closed),
    }
}

use std::{
    mem,
    sync::{Arc, Weak, mpsc},
    thread,
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Arrival, Closed};
use crate::{
    callback::{catch_panic, caught},
    event::Event,
    hub::{append::NotAppended, state::HubState},
};

/// The way from a broker to its hub, for [`Broker::start`](super::Broker::start).
///
/// There is one feed for each hub, and numbers rise from call to call. The feed ignores the numbers 0 and
/// `u64::MAX`. Feeding does not block.
#[must_use = "a hub whose feed is dropped receives nothing"]
pub struct Feed {
    /// Weak, so that a broker does not keep its hub alive.
    hub: Weak<HubState>,
    closed: CancellationToken,
    max_age: Duration,
    /// The runtime in which the hub was connected.
    runtime: Option<Handle>,
}

impl Feed {
    pub(crate) fn new(hub: &Arc<HubState>, closed: CancellationToken, max_age: Duration) -> Self {
        Self { hub: Arc::downgrade(hub), closed, max_age, runtime: Handle::try_current().ok() }
    }

    /// Appends an event to its topic, or drops it if the topic has ended and no loss was reported
    /// since. Returns `false` if the hub already had this number or a higher one, as an event or as a
    /// loss, and so ignores the event.
    ///
    /// If [`retention_of`](crate::hub::HubBuilder::retention_of) panics, the hub reports the event as
    /// lost.
    ///
    /// # Errors
    ///
    /// Returns an error if the hub is closed or dropped.
    pub fn event(&mut self, arrival: Arrival, topic: &str, event: &Event) -> Result<bool, Closed> {
        self.with_hub(arrival.sequence, |hub| {
            let append = || hub.append(topic, event, arrival.ends_topic, Some(arrival)).map(drop);
            // `append` calls the program's `retention_of` and wakers. Their panics must not end the
            // broker's task. If the event was appended before the panic, the loss is stale.
            let received = catch_panic(append);
            let is_new = accepted(received.unwrap_or_else(|| hub.record_loss(arrival.sequence)))?;
            if is_new && let Some(link) = &hub.link {
                link.set_lag(arrival.age);
            }
            Ok(is_new)
        })
    }

    /// Reports that each topic may have lost events up to this number. Subscribers receive the kept
    /// events from before the loss, then a [gap](crate::hub::GapPolicy) for each topic. Returns `false`
    /// if the hub has already reached this number, and so has missed nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the hub is closed or dropped.
    pub fn report_loss(&mut self, sequence: u64) -> Result<bool, Closed> {
        self.with_hub(sequence, |hub| accepted(hub.record_loss(sequence)))
    }

    /// Feeds the hub. No subscription could continue after `u64::MAX`, and the hub itself ignores 0.
    fn with_hub(
        &self,
        sequence: u64,
        feed: impl FnOnce(&HubState) -> Result<bool, Closed>,
    ) -> Result<bool, Closed> {
        let hub = self.hub.upgrade().ok_or(Closed)?;
        let result = if sequence == u64::MAX { Ok(false) } else { feed(&hub) };
        if let Some(hub) = Arc::into_inner(hub) {
            self.drop_elsewhere(hub);
        }
        result
    }

    /// Drops a hub whose owners have left while it was fed. The broker may hold locks that the
    /// publisher in the hub takes when it is dropped, and the publisher may wait for this thread.
    #[cold]
    fn drop_elsewhere(&self, hub: HubState) {
        let (sender, receiver) = mpsc::channel();
        let runtime = self.runtime.clone();
        // Not a task: there may be no runtime, and one that has shut down drops tasks at once.
        let thread = thread::Builder::new().name("tower-sse-drop".to_owned()).spawn(move || {
            let _context = runtime.as_ref().map(Handle::enter);
            drop(receiver.recv());
        });
        match thread {
            // The thread receives before it ends.
            Ok(_) => _ = sender.send(hub),
            // A leak rather than a deadlock.
            Err(_) => mem::forget(hub),
        }
    }

    /// Returns the age up to which the broker loads the history: that of the hub's
    /// [`retention`](crate::hub::HubBuilder::retention).
    #[must_use]
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns whether the hub is closed or dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns a future that is ready once the hub is closed or dropped.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.closed.clone().cancelled_owned()
    }

    /// Spawns a task that feeds the hub, and drops it when the hub is closed or dropped. Publishing must
    /// not wait for that task without a time limit.
    ///
    /// If the future of `reader` completes or panics while the hub is open, the hub would be silent
    /// for ever. It is [closed](crate::hub::Hub::close) then, with an ERROR line (feature `tracing`).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn<F, Fut>(self, reader: F)
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (hub, closed) = (self.hub.clone(), self.closed.clone());
        tokio::spawn(async move {
            let reading = caught(async move { reader(self).await });
            let ended = closed.run_until_cancelled(reading).await;
            if let Some(_output) = ended
                && !closed.is_cancelled()
                && let Some(hub) = hub.upgrade()
            {
                error!(
                    panicked = _output.is_none(),
                    "the reader of a broker has ended, so its hub is closed"
                );
                hub.close();
            }
        });
    }

    /// Returns the hub, to find its feed again, and the token that is cancelled when it is closed or
    /// dropped.
    #[cfg(feature = "testing")]
    pub(crate) const fn hub(&self) -> (&Weak<HubState>, &CancellationToken) {
        (&self.hub, &self.closed)
    }
}

opaque_debug!(Feed);

fn accepted(result: Result<(), NotAppended>) -> Result<bool, Closed> {
    match result {
        Ok(()) | Err(NotAppended::Ended) => Ok(true),
        Err(NotAppended::Stale) => Ok(false),
        Err(NotAppended::Closed) => Err(Closed),
    }
}

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{callback::without_panic, hub::state::HubState, lock::lock};

/// The time for which a publisher waits for its acknowledged event while this process receives
/// nothing from the broker.
const PATIENCE: Duration = Duration::from_millis(250);

/// The publishers that wait until the hub has received their event from the broker.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    // By sequence number. Each broker assigns a number once.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Arrivals {
    /// Waits until `hub` has received this acknowledged event. Only then it knows whether the topic
    /// had ended before. The wait ends at the deadline, or if the hub receives nothing.
    pub(crate) async fn wait(&self, hub: &HubState, sequence: u64, deadline: Duration) {
        let Some(mut arrival) = self.add(hub, sequence) else { return };
        let started = Instant::now();
        loop {
            let committed = hub.committed();
            let has_arrived = timeout(PATIENCE, &mut arrival).await.is_ok();
            // A process that cannot read now reports what the broker has acknowledged.
            let is_stuck = committed == hub.committed() || started.elapsed() >= deadline;
            if has_arrived || is_stuck {
                return;
            }
        }
    }

    /// Adds a publisher, unless `hub` has received its event or is closed.
    fn add(&self, hub: &HubState, sequence: u64) -> Option<oneshot::Receiver<()>> {
        let mut waiting = lock(&self.waiting);
        // Checked with the lock held, so that `arrived` either comes later or was seen.
        if hub.committed() >= sequence || hub.is_closed() {
            return None;
        }
        let (sender, arrival) = oneshot::channel();
        waiting.insert(sequence, sender);
        Some(arrival)
    }

    /// Wakes the publishers of events up to this sequence number, which the hub has committed.
    pub(crate) fn arrived(&self, sequence: u64) {
        loop {
            let publisher = {
                let mut waiting = lock(&self.waiting);
                match waiting.first_entry() {
                    Some(first) if *first.key() <= sequence => first.remove(),
                    _ => return,
                }
            };
            // Waking runs code of a runtime.
            without_panic(|| _ = publisher.send(()));
        }
    }
}

use std::{collections::BTreeMap, sync::Mutex};

use tokio::sync::oneshot;

use crate::callback::without_panic;

/// The publishers that wait until the hub has received their event from the broker.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    // By sequence number. Each broker assigns a number once.
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
}

impl Arrivals {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until [`arrived`](Self::arrived) is called with this sequence number or a higher one,
    /// unless `has_arrived` returns `true`.
    pub(crate) async fn wait(&self, sequence: u64, has_arrived: impl Fn() -> bool) {
        let arrival = {
            let mut waiting = self.lock();
            // Checked with the lock held, so that `arrived` either comes later or was seen.
            if has_arrived() {
                return;
            }
            let (sender, arrival) = oneshot::channel();
            waiting.insert(sequence, sender);
            arrival
        };
        _ = arrival.await;
    }

    /// Wakes the publishers of events up to this sequence number, which the hub has committed.
    pub(crate) fn arrived(&self, sequence: u64) {
        loop {
            let publisher = {
                let mut waiting = self.lock();
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

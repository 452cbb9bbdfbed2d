use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tower_sse::runs::__private::Phase;
use tower_sse::runs::Outcome;

use super::{mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{Batch, Failure, spawn_on};
use tower_sse_broker::tasks::caught;

/// Loads a mirror each time that a load is requested, until the mirror is dropped.
async fn run(mirrors: Weak<Mirrors>, mirror: Weak<Mirror>, mut requests: watch::Receiver<()>) {
    while requests.changed().await.is_ok() {
        let (Some(mirrors), Some(mirror)) = (mirrors.upgrade(), mirror.upgrade()) else { return };
        // Boxed to save memory, because most mirrors wait most of the time. A load that was
        // requested during this one begins even if this one panics.
        if caught(Box::pin(mirrors.load(&mirror))).await.is_none() {
            mirror.set_loaded(false);
        }
    }
}

impl Mirrors {
    /// Starts the task that loads a mirror, now and each time that a load is requested.
    pub(super) fn keep_loaded(self: &Arc<Self>, mirror: &Arc<Mirror>) {
        let requests = mirror.requests.subscribe();
        mirror.request_load();
        let task = run(Arc::downgrade(self), Arc::downgrade(mirror), requests);
        spawn_on(&self.runtime, task);
    }

    async fn load(&self, mirror: &Mirror) {
        if !mirror.is_loaded() {
            // Subscribe before the first check and load, so that no later push is missed.
            if self.store.subscribe(&mirror.run).await.is_ok() {
                self.watch(mirror).await;
            }
            // The store is out of reach, or has since lost the run's claim, which the owner may
            // restore.
            if !mirror.has_started() {
                return mirror.set_loaded(false);
            }
        }
        // If the claim says that the run has ended, the stream already has the end, and this load
        // finds it.
        // There is none if the call returned no event stream, or if the store has lost it.
        let has_ended = mirror.has_ended();
        let result = self.load_all(mirror).await;
        match (&result, mirror.record()) {
            (Ok(()), Some(record)) if has_ended => {
                // The call returned no event stream, and another run has since taken the key.
                if record.phase() == Phase::Starting && record.newest() == 0 {
                    mirror.copy.void();
                } else {
                    mirror.copy.end(Outcome::Interrupted, None);
                }
            }
            // The stream can no longer be read, even if the claim says that the run continues.
            (Err(Failure::Run), _) => mirror.copy.lose(),
            _ => {}
        }
        mirror.set_loaded(result.is_ok());
    }

    /// Loads pages until the last one is loaded, the run has ended, or nothing uses the mirror.
    async fn load_all(&self, mirror: &Mirror) -> Result<(), Failure> {
        let mut last = 0;
        loop {
            // A load keeps its turn until the page has arrived: the page occupies the link even if no
            // client waits for it any more.
            let _turn = self.turns.take(last).await;
            let record = mirror.record().filter(|record| record.phase().is_live());
            let Some(after) = record.map(|record| record.newest()) else { return Ok(()) };
            let page = self.store.load(&mirror.run, after).await?;
            let bytes = page.batches.iter().map(|batch| batch.bytes.len()).sum();
            self.turns.loaded(bytes);
            last = bytes;
            self.process.make_room_for(page.batches.iter().map(Batch::len).sum(), bytes);
            if !mirror.apply_page(page) {
                return Ok(());
            }
            mirror.set_readable(true);
        }
    }
}

use std::sync::Arc;

use tower_sse::runs::__private::Phase;
use tower_sse::runs::Outcome;

use super::{mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{Batch, Failure, spawn};
use tower_sse_broker::tasks::caught;

/// A load of a mirror, on a task of its own.
struct Load {
    mirror: Arc<Mirror>,
    is_over: bool,
}

impl Mirrors {
    /// Starts a load. If a load is under way, that load starts again instead.
    pub(super) fn start_load(self: &Arc<Self>, mirror: &Arc<Mirror>) {
        if mirror.request_load() {
            let mirror = Arc::clone(mirror);
            let load = Load { mirror, is_over: false };
            spawn(load.run(Arc::clone(self)));
        }
    }
}

impl Load {
    /// Loads the run until no further load is requested.
    async fn run(mut self, mirrors: Arc<Mirrors>) {
        if !self.mirror.is_loaded() && !self.watch(&mirrors).await {
            return;
        }
        // A load that was requested during this one begins even if this one panics.
        while caught(self.load_while_asked(&mirrors)).await.is_none() {
            self.mirror.set_loaded(false);
        }
    }

    async fn load_while_asked(&mut self, mirrors: &Arc<Mirrors>) {
        // If the claim says that the run has ended, the stream already has the end, and the next
        // load finds it.
        while let Some(has_ended) = self.begin() {
            let result = self.load_all(mirrors).await;
            match (&result, self.mirror.record()) {
                (Ok(()), Some(record)) if has_ended => {
                    // The call returned no event stream, and another run has since taken the key.
                    if record.phase() == Phase::Starting && record.newest() == 0 {
                        self.mirror.copy.void();
                    } else {
                        self.mirror.copy.end(Outcome::Interrupted, None);
                    }
                }
                // The stream can no longer be read, even if the claim says that the run continues.
                (Err(Failure::Run), _) => self.mirror.copy.lose(),
                _ => {}
            }
            self.mirror.set_loaded(result.is_ok());
        }
    }

    /// Subscribes to the run and then checks it, before the first load, so that no later push is
    /// missed. Returns whether the store has the run. If not, the store is out of reach, or has
    /// since lost the run's claim, which the owner may restore.
    async fn watch(&self, mirrors: &Arc<Mirrors>) -> bool {
        if mirrors.store.subscribe(&self.mirror.run).await.is_err() {
            return false;
        }
        if mirrors.watch(&self.mirror).await {
            self.mirror.request_load();
        }
        self.mirror.has_started()
    }

    fn begin(&mut self) -> Option<bool> {
        let begun = self.mirror.begin_load();
        self.is_over = begun.is_none();
        begun
    }

    /// Loads pages until the last one is loaded, the run has ended, or nothing uses the mirror.
    async fn load_all(&self, mirrors: &Arc<Mirrors>) -> Result<(), Failure> {
        let mirror = &self.mirror;
        loop {
            // Loads take turns in order. A turn lasts until the page has arrived, because it
            // occupies the link even if no client waits for it any more.
            let _turn = mirrors.pages.acquire().await;
            let record = mirror.record().filter(|record| record.phase().is_live());
            let Some(after) = record.map(|record| record.newest()) else { return Ok(()) };
            let page = mirrors.store.load(&mirror.run, after).await?;
            let bytes = page.batches.iter().map(|batch| batch.bytes.len()).sum();
            mirrors.process.make_room_for(page.batches.iter().map(Batch::len).sum(), bytes);
            if !mirror.apply_page(page) {
                return Ok(());
            }
            mirror.set_readable(true);
        }
    }
}

impl Drop for Load {
    /// Ends a load that does not find the run, panics before it begins, or loses its runtime.
    /// Another load can be requested then.
    fn drop(&mut self) {
        if !self.is_over {
            self.mirror.abort_load();
        }
    }
}

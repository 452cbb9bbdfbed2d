use std::{slice, sync::Arc};

use super::{
    cluster::Cluster,
    command::Batch,
    exporter,
    mirror::Mirror,
    owner_checks,
    reply::{Liveness, StoreError},
};
use crate::runs::{Outcome, call::spawn, record::Phase, registry::Shared};

/// The maximum number of pages that are loaded at the same time. Together, they have about a
/// megabyte, which a slow link passes before it is the turn of anything else.
pub(super) const MAX_PAGES: usize = 16;

/// A load of a mirror, on a task of its own.
pub(super) struct Load {
    mirror: Arc<Mirror>,
    is_over: bool,
}

impl Load {
    /// Starts a load, unless one is under way, which then starts again.
    pub(super) fn start(shared: &Arc<Shared>, mirror: &Arc<Mirror>) {
        if mirror.request_load() {
            let load = Self { mirror: Arc::clone(mirror), is_over: false };
            spawn(load.run(Arc::clone(shared)));
        }
    }

    /// Starts a load with which the run ends, even if its stream has lost its end.
    pub(super) fn start_last(shared: &Arc<Shared>, mirror: &Arc<Mirror>) {
        mirror.set_ended();
        Self::start(shared, mirror);
    }

    /// Loads the run until nothing asks for a load any more.
    async fn run(mut self, shared: Arc<Shared>) {
        let Some(cluster) = &shared.cluster else { return };
        if !self.mirror.is_loaded() {
            self.watch(&shared, cluster).await;
        }
        // A load that was asked for during one that panics begins all the same.
        while !exporter::catch(self.load_while_asked(&shared, cluster)).await {
            self.mirror.set_loaded(false);
        }
    }

    async fn load_while_asked(&mut self, shared: &Arc<Shared>, cluster: &Cluster) {
        // The end is in the store before the claim says that the run has ended.
        while let Some(has_ended) = self.begin() {
            let result = self.load_all(shared, cluster).await;
            match (&result, self.mirror.record()) {
                (Ok(()), Some(record)) if has_ended => {
                    // Its call gave no stream, and another run has got its key since.
                    if record.phase() == Phase::Starting && record.newest() == 0 {
                        record.void_mirror();
                    } else {
                        record.end_mirror(Outcome::Interrupted, None);
                    }
                }
                // Nothing can be read any more, even if the claim says that the run goes on.
                (Err(StoreError::Run(_)), Some(record)) => record.lose_mirror(),
                _ => {}
            }
            self.mirror.set_loaded(result.is_ok());
        }
    }

    /// Subscribes, then checks, before the first load: what is pushed after it cannot be missed.
    async fn watch(&self, shared: &Arc<Shared>, cluster: &Cluster) {
        let mirror = &self.mirror;
        if cluster.store.subscribe(&mirror.run).await.is_ok() {
            let check = mirror.check(true, true);
            for result in cluster.store.execute(None, vec![check]).await {
                if owner_checks::apply(shared, mirror, result) == Liveness::Dead {
                    owner_checks::bury(shared, cluster, slice::from_ref(mirror)).await;
                }
            }
        }
    }

    fn begin(&mut self) -> Option<bool> {
        let begun = self.mirror.begin_load();
        self.is_over = begun.is_none();
        begun
    }

    /// Loads all pages, until nothing needs them any more.
    async fn load_all(&self, shared: &Arc<Shared>, cluster: &Cluster) -> Result<(), StoreError> {
        let mirror = &self.mirror;
        loop {
            // Loads take turns, in their order. A turn lasts until the page is here, because it
            // occupies the link also if no client waits for it any more.
            let _turn = cluster.pages.acquire().await;
            let record = mirror.record().filter(|record| record.phase().is_live());
            let Some(after) = record.map(|record| record.newest()) else { return Ok(()) };
            let page = cluster.store.load(&mirror.run, after).await?;
            shared.make_room(page.batches.iter().map(Batch::memory).sum());
            if !mirror.apply_page(page) {
                return Ok(());
            }
            mirror.set_readable(true);
        }
    }
}

impl Drop for Load {
    /// Ends a load that panics before it begins, or whose runtime is dropped. The next visitor loads
    /// again.
    fn drop(&mut self) {
        if !self.is_over {
            self.mirror.abort_load();
        }
    }
}

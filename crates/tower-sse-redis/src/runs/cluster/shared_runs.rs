use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tower_sse::{
    LastEventId,
    runs::{
        RunKey, RunStore, StartError,
        support::{Claim, Connected, Options, Pending, Purpose, Record, SharedRuns},
    },
};

use super::{cluster::Cluster, elsewhere::mirror::Mirror, timing::RETRY_DELAY};
use crate::{
    Error,
    runs::{RedisRuns, seam::RunId, store::RedisStore},
};

impl RunStore for RedisRuns {
    type Error = Error;

    async fn connect(self, options: Options) -> Result<Connected, Error> {
        let retain_for = options.retain_for;
        let open = move |id, receive| RedisStore::open(self, id, retain_for, receive);
        let cluster = Cluster::connect(options, open).await?;
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

impl Cluster {
    /// Returns the mirror to which a record belongs. A run of this process has none.
    fn mirror_of(&self, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        self.mirrors.of(&RunId::of(record), record)
    }
}

impl SharedRuns for Cluster {
    fn claim<'a>(
        self: Arc<Self>,
        key: &'a RunKey,
        purpose: Purpose,
    ) -> Pending<'a, Result<Claim, StartError>> {
        Box::pin(async move { self.claim_key(key, purpose).await })
    }

    fn find<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
    ) -> Pending<'a, Result<Option<Arc<Record>>, StartError>> {
        Box::pin(self.find_key(key, last))
    }

    fn cancel<'a>(
        &'a self,
        key: &'a RunKey,
        last: Option<&'a LastEventId>,
        lines: Option<Bytes>,
    ) -> Pending<'a, bool> {
        Box::pin(self.cancel_key(key, last, lines))
    }

    fn cancel_record<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, ()> {
        Box::pin(async { _ = self.cancel_run(&RunId::of(record), None).await })
    }

    fn serve<'a>(
        &'a self,
        record: &'a Arc<Record>,
        last: Option<&'a LastEventId>,
        waits: bool,
    ) -> Pending<'a, Result<Arc<Record>, StartError>> {
        Box::pin(async move {
            let patience = if waits { self.timing.patience } else { Duration::ZERO };
            let until = Instant::now() + patience;
            loop {
                if self.mirror_of(record).is_none() {
                    return Ok(Arc::clone(record));
                }
                match self.open(&RunId::of(record), last).await {
                    Err(StartError::Unavailable) if Instant::now() < until => {
                        sleep(RETRY_DELAY).await;
                    }
                    served => return served,
                }
            }
        })
    }

    fn is_loaded<'a>(&'a self, record: &'a Arc<Record>) -> Pending<'a, bool> {
        Box::pin(async {
            match self.mirror_of(record) {
                Some(mirror) => mirror.loaded().await,
                None => true,
            }
        })
    }

    fn exported(&self) -> Pending<'_, ()> {
        Box::pin(async { _ = self.wait_until(|| self.process.is_exported()).await })
    }

    fn figures(&self) -> (usize, usize) {
        (self.mirrors.len(), self.exports.waiting())
    }
}

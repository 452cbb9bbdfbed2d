use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_sse::runs::RunKey;

use super::{
    encode::Encoder,
    failure::{Class, Failure, check},
    link::Link,
    page::parse_page,
    redis_runs::RedisRuns,
};
use crate::{
    Error,
    runs::seam::{
        command::Command,
        reply::{Page, Reply, StoreError},
        run_id::RunId,
        store::{Connect, Connection, Overhead, Pending, Settings, Store},
    },
};

/// The memory of a claim besides its name, as measured with Redis 7.
const CLAIM: usize = 384;
/// The memory of a stream besides its name. Redis reserves 4 KiB for its newest entries.
const STREAM: usize = 4_864;
/// The memory of an entry besides its events.
const ENTRY: usize = 48;

/// The store of runs on one Redis server.
struct RedisStore {
    link: Arc<Link>,
    runtime: Handle,
    /// Ends the task that keeps the connection.
    _guard: DropGuard,
}

impl Connect for RedisRuns {
    type Error = Error;

    async fn connect(self, settings: Settings) -> Result<Arc<dyn Store>, Error> {
        let link = Arc::new(Link::open(self, settings).await?);
        let (runtime, ended) = (Handle::current(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        let kept = Arc::clone(&link);
        let keep = async move { _ = ended.run_until_cancelled(kept.keep()).await };
        #[cfg(tower_sse_simulation)]
        let keep = tower_sse::simulation::adopt(keep);
        runtime.spawn(keep);
        Ok(Arc::new(RedisStore { link, runtime, _guard: guard }))
    }
}

impl Store for RedisStore {
    fn lease(&self) -> Duration {
        self.link.endpoint.scope.lease
    }

    fn overhead(&self, key: &RunKey) -> Overhead {
        let name = self.link.endpoint.scope.keys.claim(key).len();
        Overhead { claim: CLAIM + name, stream: STREAM + name, batch: ENTRY }
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        self.link.state()
    }

    fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Pending<Vec<Result<Reply, StoreError>>> {
        let link = Arc::clone(&self.link);
        Box::pin(async move { link.execute(connection, &commands).await })
    }

    fn load(&self, run: &RunId, after: u64) -> Pending<Result<Page, StoreError>> {
        let (link, run) = (Arc::clone(&self.link), run.clone());
        Box::pin(async move { link.load(&run, after).await })
    }

    fn subscribe(&self, run: &RunId) -> Pending<Result<(), StoreError>> {
        let (link, channel) = (Arc::clone(&self.link), self.link.endpoint.scope.keys.channel(run));
        // Added before the future is polled: an earlier `unsubscribe` that has not been sent yet
        // must find this subscription.
        link.endpoint.subscriptions.add(channel.clone(), run);
        Box::pin(async move { link.subscribe(channel).await })
    }

    fn unsubscribe(&self, run: &RunId) {
        let (link, channel) = (Arc::clone(&self.link), self.link.endpoint.scope.keys.channel(run));
        link.endpoint.subscriptions.remove(&channel);
        self.runtime.spawn(async move { link.unsubscribe(&channel).await });
    }
}

impl Link {
    async fn load(&self, run: &RunId, after: u64) -> Result<Page, StoreError> {
        let session = self.session()?;
        let encoder =
            Encoder { scope: &self.endpoint.scope, hashes: &session.hashes, is_new: false };
        let command = encoder.load(run, after);
        let load =
            async || check(session.load(&command).await.map_err(|error| Failure::lost(&error))?);
        let reply = match load().await {
            Err(failure)
                if failure.class == Class::NoScript && session.load_scripts().await.is_ok() =>
            {
                load().await
            }
            reply => reply,
        };
        Ok(parse_page(reply?).ok_or_else(Failure::unexpected)?)
    }

    async fn subscribe(&self, channel: String) -> Result<(), StoreError> {
        let _changing = self.endpoint.subscriptions.changing.lock().await;
        let subscribed = self.session()?.subscribe(&[channel]).await;
        subscribed.map_err(|error| Failure::lost(&error).into())
    }

    async fn unsubscribe(&self, channel: &str) {
        let _changing = self.endpoint.subscriptions.changing.lock().await;
        if !self.endpoint.subscriptions.has(channel)
            && let Ok(session) = self.session()
        {
            session.unsubscribe(channel).await;
        }
    }
}

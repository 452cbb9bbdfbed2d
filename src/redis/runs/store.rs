use std::{sync::Arc, time::Duration};

use ::redis::{Value, cmd};
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    super::{Error, Redis, reader::PageSize},
    failure::{Failure, check},
    keys::Keys,
    link::Link,
    page::parse_page,
    session::{Dialer, Session},
    subscriptions::Subscriptions,
};
use crate::{
    history::sync::{Mutex, lock},
    runs::cluster::{
        command::Command,
        reply::{Page, Reply, StoreError},
        run_id::{ProcessId, RunId},
        store::{Connection, Pending, RunStore, Settings, Store},
    },
};

/// The maximum number of entries in one page. A batch has at most 64 KiB, unless an event has more.
const MAX_ENTRIES: usize = 128;
/// The minimum time that keys are kept.
const MIN_KEPT_FOR: Duration = Duration::from_secs(60);

/// The store of runs on one Redis server.
struct RedisStore {
    inner: Arc<Inner>,
    runtime: Handle,
    /// Ends the task that keeps the connection.
    _guard: DropGuard,
}

pub(super) struct Inner {
    pub(super) link: Link,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) keys: Keys,
    pub(super) process: ProcessId,
    pub(super) lease: Duration,
    pub(super) kept_for: Duration,
    pub(super) page_size: Mutex<PageSize>,
}

impl RunStore for Redis {
    type Error = Error;

    async fn connect(self, settings: Settings) -> Result<Arc<dyn Store>, Error> {
        let Settings { process, retain_for, inbox } = settings;
        let Some(prefix) = self.key else {
            let reason = "no key is set: runs of programs with the same key are shared";
            return Err(Error::new("connect runs to Redis", reason));
        };
        let database = self.servers.database();
        let keys = Keys::new(&prefix, database);
        let subscriptions = Arc::new(Subscriptions::new(&keys, &process, inbox));
        let dialer = Dialer::new(
            self.servers,
            &prefix,
            keys.clone(),
            self.lease,
            Arc::clone(&subscriptions),
        )?;
        let opening = Link::open(dialer, Arc::clone(&subscriptions), self.health, self.lease);
        let inner = Arc::new(Inner {
            link: opening.await?,
            subscriptions,
            keys,
            process,
            lease: self.lease,
            kept_for: retain_for.max(self.lease * 2).max(MIN_KEPT_FOR),
            page_size: Mutex::new(PageSize::new()),
        });
        let (runtime, ended) = (Handle::current(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        let kept = Arc::clone(&inner);
        let keep = async move { _ = ended.run_until_cancelled(kept.link.keep()).await };
        #[cfg(tower_sse_simulation)]
        let keep = crate::simulation::adopt(keep);
        runtime.spawn(keep);
        Ok(Arc::new(RedisStore { inner, runtime, _guard: guard }))
    }
}

impl Store for RedisStore {
    fn lease(&self) -> Duration {
        self.inner.lease
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        self.inner.link.state()
    }

    fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Pending<Vec<Result<Reply, StoreError>>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.execute(connection, &commands).await })
    }

    fn load(&self, run: &RunId, after: u64) -> Pending<Result<Page, StoreError>> {
        let (inner, run) = (Arc::clone(&self.inner), run.clone());
        Box::pin(async move { inner.load(&run, after).await })
    }

    fn subscribe(&self, run: &RunId) -> Pending<Result<(), StoreError>> {
        let (inner, channel) = (Arc::clone(&self.inner), self.inner.keys.channel(run));
        // At once: an earlier `unsubscribe` that has not been sent yet must find it.
        inner.subscriptions.add(channel.clone(), run);
        Box::pin(async move { inner.subscribe(channel).await })
    }

    fn unsubscribe(&self, run: &RunId) {
        let (inner, channel) = (Arc::clone(&self.inner), self.inner.keys.channel(run));
        inner.subscriptions.remove(&channel);
        self.runtime.spawn(async move { inner.unsubscribe(&channel).await });
    }
}

impl Inner {
    pub(super) fn session(&self) -> Result<Arc<Session>, StoreError> {
        let session = self.link.session().filter(|session| !session.ended.is_cancelled());
        session.ok_or_else(|| StoreError::Unavailable(self.link.reason()))
    }

    async fn load(&self, run: &RunId, after: u64) -> Result<Page, StoreError> {
        let session = self.session()?;
        let count = lock(&self.page_size).entries().min(MAX_ENTRIES);
        let mut command = cmd("XRANGE");
        command.arg(self.keys.stream(run));
        match after {
            0 => command.arg("-"),
            _ => command.arg(format!("{}-0", after.saturating_add(1))),
        };
        command.arg("+").arg("COUNT").arg(count);
        let sent = Instant::now();
        let reply = match session.send_all(vec![command]).await {
            Ok(replies) => replies.into_iter().next().unwrap_or(Value::Nil),
            Err(error) => {
                // The page may have been too large for the link.
                lock(&self.page_size).halve();
                return Err(Failure::lost(&error).into());
            }
        };
        let page = parse_page(check(reply)?, count).ok_or_else(Failure::unexpected)?;
        let entries = if page.is_last { 0 } else { count };
        lock(&self.page_size).adapt(entries, sent.elapsed());
        Ok(page)
    }

    async fn subscribe(&self, channel: String) -> Result<(), StoreError> {
        let _changing = self.subscriptions.changing.lock().await;
        let subscribed = self.session()?.subscribe(&[channel]).await;
        subscribed.map_err(|error| Failure::lost(&error).into())
    }

    async fn unsubscribe(&self, channel: &str) {
        let _changing = self.subscriptions.changing.lock().await;
        if !self.subscriptions.has(channel)
            && let Ok(session) = self.session()
        {
            session.unsubscribe(channel).await;
        }
    }
}

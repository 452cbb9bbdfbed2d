use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tower_sse::hub::broker::support::lock;
use tower_sse_broker::Backoff;

use super::{
    endpoint::Endpoint,
    keys::Keys,
    redis_runs::RedisRuns,
    scope::Scope,
    session::{Session, with_pushes},
    subscriptions::Subscriptions,
};
use crate::{
    Error, RedisHealth,
    runs::seam::{
        inbox::Receive,
        reply::Failure,
        run_id::ProcessId,
        store::{Connection, kept_for},
    },
    server::{
        keeper::{Sessions, keep},
        server_info::Eviction,
    },
};

/// The link of one process to Redis. Its session is replaced when it breaks.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    health: RedisHealth,
    session: Mutex<Option<Arc<Session>>>,
    state: watch::Sender<Connection>,
}

impl Link {
    /// Opens the first session.
    pub(super) async fn open(
        runs: RedisRuns,
        process: ProcessId,
        retain_for: Duration,
        receive: Receive,
    ) -> Result<Self, Error> {
        let RedisRuns { mut servers, prefix, lease, health } = runs;
        for client in &mut servers.clients {
            *client = with_pushes(client)?;
        }
        let keys = Keys::new(&prefix, servers.database());
        let subscriptions = Arc::new(Subscriptions::new(&keys, &process, receive));
        let scope = Scope { keys, process, lease, kept_for: kept_for(retain_for, lease) };
        let name = servers.connection_name(&prefix);
        let link = Self {
            endpoint: Endpoint { servers, name, scope, subscriptions },
            health,
            session: Mutex::new(None),
            state: watch::Sender::new(Connection::Down),
        };
        link.connect(1, None)
            .await
            .inspect_err(|error| link.health.common.set_error(error.clone()))?;
        Ok(link)
    }

    /// Returns the session, if there is one that is not broken.
    pub(super) fn session(&self) -> Result<Arc<Session>, Failure> {
        let session = lock(&self.session).clone();
        session.filter(|session| !session.ended.is_cancelled()).ok_or(Failure::Unavailable)
    }

    pub(super) fn state(&self) -> watch::Receiver<Connection> {
        self.state.subscribe()
    }

    /// Keeps a session until this future is dropped.
    pub(super) async fn keep(&self) {
        let Some(session) = lock(&self.session).clone() else { return };
        // An owner must reconnect within its grace period, which leaves time for four attempts.
        let backoff = Backoff::up_to(self.interval() * 3 / 8);
        let mut kept = Kept { link: self, number: session.number, newest: Arc::clone(&session) };
        keep(&mut kept, session, &self.health, backoff).await;
    }

    /// Opens a session, subscribes to all channels, and makes it the current one.
    async fn connect(
        &self,
        number: u64,
        previous: Option<&Session>,
    ) -> Result<Arc<Session>, Error> {
        let session = Session::open(&self.endpoint, number, previous).await?;
        let changing = self.endpoint.subscriptions.changing.lock().await;
        let subscribed = session.subscribe(&self.endpoint.subscriptions.channels()).await;
        subscribed.map_err(|error| Error::new("subscribe to channels of Redis", error))?;
        self.health.set_evicting(session.info.eviction != Eviction::None);
        let session = Arc::new(session);
        self.set(Some(Arc::clone(&session)), Connection::Up(number));
        drop(changing);
        Ok(session)
    }

    fn set(&self, session: Option<Arc<Session>>, state: Connection) {
        self.health.common.set_ready(session.is_some());
        *lock(&self.session) = session;
        self.state.send_replace(state);
    }

    /// Returns the time between checks of the connections.
    fn interval(&self) -> Duration {
        self.endpoint.scope.lease / 4
    }

    /// Checks a session at intervals. Returns the error when it breaks.
    async fn watch(&self, session: &Session) -> Error {
        let mut due = Instant::now() + self.interval();
        loop {
            if session.ended.run_until_cancelled(sleep_until(due)).await.is_none() {
                return Error::new("keep the connection to Redis", "connection lost");
            }
            due = Instant::now() + self.interval();
            match session.check(&self.endpoint.scope).await {
                Ok(info) => self.health.set_evicting(info.eviction != Eviction::None),
                Err(error) => return error,
            }
        }
    }
}

/// The sessions of a link.
struct Kept<'a> {
    link: &'a Link,
    /// The number of the newest session, or of the newest attempt to open one.
    number: u64,
    newest: Arc<Session>,
}

impl Sessions for Kept<'_> {
    type Session = Arc<Session>;

    async fn broken(&mut self, session: &mut Arc<Session>) -> Error {
        let error = self.link.watch(session).await;
        session.ended.cancel();
        self.link.set(None, Connection::Down);
        error
    }

    async fn open(&mut self) -> Result<Arc<Session>, Error> {
        self.number += 1;
        self.newest = self.link.connect(self.number, Some(&self.newest)).await?;
        // Messages that were published while there was no session are lost.
        self.link.endpoint.subscriptions.lose_pushes();
        Ok(Arc::clone(&self.newest))
    }
}

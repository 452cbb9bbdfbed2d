use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    endpoint::Endpoint,
    keys::Keys,
    scope::Scope,
    session::{Session, with_pushes},
    subscriptions::Subscriptions,
};
use crate::{
    history::sync::{Mutex, lock},
    redis::{
        Error, Redis, RedisHealth, backoff::Backoff, health::display_with_sources,
        server_info::Eviction, servers::connection_name,
    },
    runs::cluster::{
        seam::{
            reply::StoreError,
            store::{Connection, Settings},
        },
        timing::kept_for,
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
    pub(super) async fn open(redis: Redis, settings: Settings) -> Result<Self, Error> {
        let Settings { process, retain_for, inbox } = settings;
        let Redis { key: Some(prefix), mut servers, lease, health, .. } = redis else {
            let reason = "no key is set: runs of programs with the same key are shared";
            return Err(Error::new("connect runs to Redis", reason));
        };
        for client in &mut servers.clients {
            *client = with_pushes(client)?;
        }
        let keys = Keys::new(&prefix, servers.database());
        let subscriptions = Arc::new(Subscriptions::new(&keys, &process, inbox));
        let scope = Scope { keys, process, lease, kept_for: kept_for(retain_for, lease) };
        let name = connection_name(&prefix);
        let link = Self {
            endpoint: Endpoint { servers, name, scope, subscriptions },
            health,
            session: Mutex::new(None),
            state: watch::Sender::new(Connection::Down),
        };
        link.connect(1, None).await.inspect_err(|error| link.health.set_error(error))?;
        Ok(link)
    }

    /// Returns the session, or why there is none.
    pub(super) fn session(&self) -> Result<Arc<Session>, StoreError> {
        let session = lock(&self.session).clone();
        session.filter(|session| !session.ended.is_cancelled()).ok_or_else(|| {
            let error = self.health.last_error();
            StoreError::Unavailable(
                error.map_or_else(|| "no connection to Redis".into(), Into::into),
            )
        })
    }

    pub(super) fn state(&self) -> watch::Receiver<Connection> {
        self.state.subscribe()
    }

    /// Keeps a session until this future is dropped.
    pub(super) async fn keep(&self) {
        // The time of an owner's grace period, in which it must be back, has four attempts.
        let mut backoff = Backoff::up_to(self.interval() * 3 / 8);
        loop {
            let Some(session) = lock(&self.session).clone() else { return };
            let error = self.watch(&session).await;
            session.ended.cancel();
            self.set(None, Connection::Down);
            self.health.set_error(&error);
            warn!(error = %display_with_sources(&error), "connection to Redis for runs lost");
            backoff.end_session(session.opened.elapsed());
            let mut number = session.number;
            loop {
                sleep(backoff.next()).await;
                number += 1;
                let Err(error) = self.connect(number, Some(&session)).await else { break };
                self.health.set_error(&error);
                debug!(error = %display_with_sources(&error), "failed to reconnect to Redis");
            }
            self.health.count_reconnection();
            // Messages of the time without a session are lost.
            self.endpoint.subscriptions.lose_pushes();
        }
    }

    /// Opens a session, subscribes to all channels, and makes it the current one.
    async fn connect(&self, number: u64, previous: Option<&Session>) -> Result<(), Error> {
        let session = Session::open(&self.endpoint, number, previous).await?;
        let changing = self.endpoint.subscriptions.changing.lock().await;
        let subscribed = session.subscribe(&self.endpoint.subscriptions.channels()).await;
        subscribed.map_err(|error| Error::new("subscribe to channels of Redis", error))?;
        self.report_policy(session.info.eviction);
        self.set(Some(Arc::new(session)), Connection::Up(number));
        drop(changing);
        Ok(())
    }

    fn set(&self, session: Option<Arc<Session>>, state: Connection) {
        self.health.set_following(session.is_some());
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
                Ok(info) => self.report_policy(info.eviction),
                Err(error) => return error,
            }
        }
    }

    fn report_policy(&self, eviction: Eviction) {
        if self.health.set_evicting(eviction != Eviction::None) {
            warn!("Redis evicts keys when its memory is full, which ends runs: use noeviction");
        }
    }
}

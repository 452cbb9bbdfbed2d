use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    super::{
        Error, RedisHealth, backoff::Backoff, health::display_with_sources, server_info::Eviction,
    },
    session::{Dialer, Session},
    subscriptions::Subscriptions,
};
use crate::{
    history::sync::{Mutex, lock},
    runs::cluster::store::Connection,
};

/// The current session with Redis. It is replaced when it breaks.
pub(super) struct Link {
    dialer: Dialer,
    subscriptions: Arc<Subscriptions>,
    health: RedisHealth,
    session: Mutex<Option<Arc<Session>>>,
    state: watch::Sender<Connection>,
    /// The time between checks of the connections.
    interval: Duration,
}

impl Link {
    /// Opens the first session.
    pub(super) async fn open(
        dialer: Dialer,
        subscriptions: Arc<Subscriptions>,
        health: RedisHealth,
        lease: Duration,
    ) -> Result<Self, Error> {
        let link = Self {
            dialer,
            subscriptions,
            health,
            session: Mutex::new(None),
            state: watch::Sender::new(Connection::Down),
            interval: lease / 4,
        };
        let connected = link.connect(1, None).await;
        connected.inspect_err(|error| link.health.set_error(error))?;
        Ok(link)
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    pub(super) fn state(&self) -> watch::Receiver<Connection> {
        self.state.subscribe()
    }

    /// Returns why there is no session.
    pub(super) fn reason(&self) -> Arc<str> {
        self.health.last_error().map_or_else(|| "no connection to Redis".into(), Into::into)
    }

    /// Keeps a session until this future is dropped.
    pub(super) async fn keep(&self) {
        // The time of an owner's grace period, in which it must be back, has four attempts.
        let mut backoff = Backoff::up_to(self.interval * 3 / 8);
        while let Some(session) = self.session() {
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
            self.subscriptions.lose_pushes();
        }
    }

    /// Opens a session, subscribes to all channels, and makes it the current one.
    async fn connect(&self, number: u64, previous: Option<&Session>) -> Result<(), Error> {
        let session = self.dialer.open(number, previous).await?;
        let changing = self.subscriptions.changing.lock().await;
        let subscribed = session.subscribe(&self.subscriptions.channels()).await;
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

    /// Checks a session at intervals. Returns the error when it breaks.
    async fn watch(&self, session: &Session) -> Error {
        let mut due = Instant::now() + self.interval;
        loop {
            if session.ended.run_until_cancelled(sleep_until(due)).await.is_none() {
                return Error::new("keep the connection to Redis", "connection lost");
            }
            due = Instant::now() + self.interval;
            match session.check().await {
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

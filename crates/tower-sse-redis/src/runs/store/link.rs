use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Pipeline;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower_sse::hub::broker::support::lock;
use tower_sse_broker::Backoff;

use super::commands::{Encoder, Keys, Scope, parts};
use super::session::{Endpoint, Session, Subscriptions, with_pushes};
use super::{redis_runs::RedisRuns, replies::decode};
use crate::runs::seam::{Command, Connection, Failure, ProcessId, Receive, Reply, kept_for};
use crate::server::health::{Sessions, keep};
use crate::{Error, RedisHealth, server::server_info::Eviction};

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

/// Sending commands in pipelines.
impl Link {
    /// Executes commands. Loads the scripts again if the server has lost them.
    pub(super) async fn execute(
        &self,
        connection: Option<u64>,
        commands: &[Command],
    ) -> Vec<Result<Reply, Failure>> {
        // The Redis client takes a pipeline without commands for an error, which would end the session.
        if commands.is_empty() {
            return Vec::new();
        }
        let session = match self.session() {
            Ok(session) if connection.is_none_or(|number| number == session.number) => session,
            _ => return vec![Err(Failure::Unavailable); commands.len()],
        };
        let mut results = self.send(&session, commands).await;
        let is_missing = |result: &Result<_, Failure>| matches!(result, Err(Failure::NoScript));
        if results.iter().any(is_missing) && session.load_scripts().await.is_ok() {
            let missing = || results.iter().map(is_missing);
            let again = commands.iter().zip(missing()).filter(|(_, is_missing)| *is_missing);
            let again: Vec<_> = again.map(|(command, _)| command.clone()).collect();
            let again = self.send(&session, &again).await;
            let slots = results.iter_mut().filter(|result| is_missing(result));
            slots.zip(again).for_each(|(slot, result)| *slot = result);
        }
        results
    }

    /// Sends commands in one pipeline.
    async fn send(&self, session: &Session, commands: &[Command]) -> Vec<Result<Reply, Failure>> {
        let is_new = session.opened.elapsed() < self.endpoint.scope.lease * 2;
        let encoder = Encoder { scope: &self.endpoint.scope, hashes: &session.hashes, is_new };
        let mut pipeline = Pipeline::with_capacity(commands.len());
        parts(commands).for_each(|part| encoder.encode(part, &mut pipeline));
        let mut replies = match session.send_all(&pipeline).await {
            Ok(replies) => replies.into_iter(),
            Err(_) => return vec![Err(Failure::Lost); commands.len()],
        };
        let mut results = Vec::with_capacity(commands.len());
        parts(commands).for_each(|part| decode(part, &mut replies, &mut results));
        if results.contains(&Err(Failure::WrongServer)) {
            session.ended.cancel();
        }
        results
    }
}

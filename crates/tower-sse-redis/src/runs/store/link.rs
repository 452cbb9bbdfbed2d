use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::RedisError;
use tokio::{select, sync::watch, time::Instant, time::sleep};
use tower_sse_broker::{__private::Backoff, debug, warn};

use super::batcher::MAX_COMMANDS;
use super::beats::{BEATS, Heartbeat};
use super::commands::{Keys, Scope};
use super::redis_runs::RedisRuns;
use super::session::{Endpoint, Session, Subscriptions, with_pushes};
use crate::runs::seam::{Connection, Failure, Incoming, ProcessId, Receive, kept_for};
use crate::server::server_info::{Eviction, set_evicting};
use crate::server::{failed, route::Route, servers::connection_name};
use crate::{Error, Health};
use tower_sse_broker::tasks::lock;

/// The link of one process to Redis. Its session is replaced when it breaks.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    health: Health,
    /// The newest session, which may be broken.
    session: Mutex<Option<Arc<Session>>>,
    pub(super) state: watch::Sender<Connection>,
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
        let name = connection_name(&prefix);
        let link = Self {
            endpoint: Endpoint {
                route: Route::new(servers, scope.keys.everyone()),
                name,
                scope,
                subscriptions,
                heartbeat: Mutex::new(Heartbeat::new(lease)),
            },
            health,
            session: Mutex::new(None),
            state: watch::Sender::new(None),
        };
        link.connect(1, None).await.inspect_err(|error| link.health.set_error(error.clone()))?;
        Ok(link)
    }

    /// Returns the session, if there is one that is not broken.
    pub(super) fn session(&self) -> Result<Arc<Session>, Failure> {
        let session = lock(&self.session).clone();
        session.filter(|session| !session.ended.is_cancelled()).ok_or(Failure::Unavailable)
    }

    /// Keeps a session open until this future is dropped: replaces each session that breaks.
    pub(super) async fn keep(&self, backoff: &mut Backoff) {
        let Some(mut session) = lock(&self.session).clone() else { return };
        let mut number = session.number;
        loop {
            let opened = Instant::now();
            let error = self.watch(&session).await;
            session.ended.cancel();
            self.set(&session, None);
            warn!(%error, "connection to Redis lost");
            self.health.set_error(error);
            backoff.end_session(opened.elapsed());
            session = loop {
                sleep(backoff.next_delay()).await;
                number += 1;
                match self.connect(number, Some(&session)).await {
                    Ok(session) => break session,
                    Err(error) => {
                        debug!(%error, "failed to reconnect to Redis");
                        self.health.set_error(error);
                    }
                }
            };
            (self.endpoint.subscriptions.receive)(Incoming::Reconnected);
            self.health.count_reconnection();
        }
    }

    /// Opens a session, subscribes to all channels, and makes it the current one.
    async fn connect(
        &self,
        number: u64,
        previous: Option<&Session>,
    ) -> Result<Arc<Session>, Error> {
        self.endpoint.route.begin();
        let open = || Session::open(&self.endpoint, number, previous);
        let mut opened = open().await;
        for _ in 0..2 {
            // Try the node that the error names, or another of the program's servers.
            if opened.as_ref().is_err_and(|error| self.endpoint.route.follow(error)) {
                opened = open().await;
            }
        }
        let session = opened?;
        let changing = self.endpoint.subscriptions.changing.lock().await;
        let channels = self.endpoint.subscriptions.channels();
        let subscribing = async {
            for channels in channels.chunks(MAX_COMMANDS) {
                session.subscribe(channels).await?;
            }
            Ok(())
        };
        let subscribed = select! {
            subscribed = subscribing => {
                let failed = |error: RedisError| failed("subscribe to channels of Redis", error);
                subscribed.map_err(failed)
            }
            // A reply can take longer than a process counts as alive without a beat.
            error = repeat(self.interval(), || session.check(&self.endpoint)) => Err(error),
        };
        subscribed?;
        set_evicting(&self.health, session.info.eviction != Eviction::None);
        let session = Arc::new(session);
        self.set(&session, Some(number));
        drop(changing);
        Ok(session)
    }

    fn set(&self, session: &Arc<Session>, state: Connection) {
        self.health.set_ready(state.is_some());
        *lock(&self.session) = Some(Arc::clone(session));
        self.state.send_replace(state);
    }

    /// Returns the time between checks of the connections.
    pub(super) fn interval(&self) -> Duration {
        self.endpoint.scope.lease / BEATS
    }

    /// Checks the two connections of a session at intervals, each on its own: a check can wait
    /// behind what its connection carries. Returns the error when the session breaks.
    async fn watch(&self, session: &Session) -> Error {
        let interval = self.interval();
        select! {
            biased;
            () = session.ended.cancelled() => {
                failed("keep the connection to Redis", "connection lost")
            }
            error = repeat(interval, || async move {
                let (info, refused) = session.check(&self.endpoint).await?;
                set_evicting(&self.health, info.eviction != Eviction::None);
                self.health.set_ready(refused.is_none());
                refused.into_iter().for_each(|error| self.health.set_error(error));
                Ok(())
            }) => error,
            error = self.endpoint.route.replaced() => error,
            error = repeat(interval, || session.check_pushes()) => error,
        }
    }
}

/// Marks a link as not ready when the task that keeps it ends or is dropped.
pub(super) struct Unready(pub(super) Arc<Link>);

impl Drop for Unready {
    fn drop(&mut self) {
        self.0.health.set_ready(false);
    }
}

/// Repeats a check at intervals. Returns its error.
async fn repeat<F, T>(interval: Duration, check: impl Fn() -> F) -> Error
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        sleep(interval).await;
        if let Err(error) = check().await {
            return error;
        }
    }
}

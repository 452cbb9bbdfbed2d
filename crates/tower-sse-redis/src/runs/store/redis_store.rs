use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::Pipeline;
use tokio::{select, sync::watch, time::Instant, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_sse::runs::RunKey;
use tower_sse_broker::{__private::Backoff, debug, warn};

use super::beats::{BEATS, Heartbeat};
use super::commands::{Keys, Scope, parts};
use super::redis_runs::RedisRuns;
use super::replies::{check, decode, parse_page};
use super::session::{Endpoint, Session, Subscriptions, with_pushes};
use crate::runs::seam::spawn;
use crate::runs::seam::{
    Command, Connection, Failure, Incoming, Overhead, Page, ProcessId, Receive, Reply, RunId,
    kept_for,
};
use crate::server::server_info::{Eviction, set_evicting};
use crate::server::{failed, route::Route, servers::connection_name};
use crate::{Error, Health};
use tower_sse_broker::tasks::{caught, lock};

/// The memory of a claim besides its name, as measured with Redis 7.
const CLAIM: usize = 384;
/// The memory of a stream besides its name. Redis reserves 4 KiB for its newest entries.
const STREAM: usize = 4_864;
/// The memory of an entry besides its events.
const ENTRY: usize = 48;

/// The connection to the store of runs on one Redis server.
///
/// - Every command can be sent twice without harm, because it names an epoch or a sequence number.
///   A command whose reply was lost may be executed at any later time.
/// - Commands of one call are executed in order, but not as a transaction.
/// - If another version of the protocol wrote a run's claim, commands for the run change nothing,
///   and fail with [`Failure::Version`].
pub(crate) struct RedisStore {
    link: Arc<Link>,
    /// Ends the task that keeps the connection.
    _guard: DropGuard,
}

impl RedisStore {
    /// Connects. Once connected, passes pushes and hints to `receive`.
    ///
    /// The future is ready once commands can be sent and pushes are received, so a later
    /// subscription misses no push. Then the store reconnects by itself, at intervals of at most
    /// a tenth of the lease, until it is dropped.
    pub(crate) async fn open(
        runs: RedisRuns,
        process: ProcessId,
        retain_for: Duration,
        receive: Receive,
    ) -> Result<Self, Error> {
        let link = Arc::new(Link::open(runs, process, retain_for, receive).await?);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let kept = Arc::clone(&link);
        spawn(async move {
            // A process must reconnect before it counts as dead, after a lease.
            let mut backoff = Backoff::up_to(kept.interval() / 2);
            let keeping = async {
                // After a panic, starts again, because the process would count as dead otherwise.
                while caught(kept.keep(&mut backoff)).await.is_none() {
                    sleep(backoff.next_delay()).await;
                }
            };
            _ = ended.run_until_cancelled(keeping).await;
        });
        Ok(Self { link, _guard: guard })
    }

    /// Returns the lease: a process counts as dead after this time without a sign of life.
    pub(crate) fn lease(&self) -> Duration {
        self.link.endpoint.scope.lease
    }

    /// Returns whether a process is dead.
    pub(crate) fn is_dead(&self, process: &ProcessId) -> bool {
        lock(&self.link.endpoint.heartbeat).is_dead(process)
    }

    /// Returns the memory that the store needs for a run with this key.
    pub(crate) fn overhead(&self, key: &RunKey) -> Overhead {
        let name = self.link.endpoint.scope.keys.claim(key).len();
        Overhead { claim: CLAIM + name, stream: STREAM + name, batch: ENTRY }
    }

    /// Returns the connection's state. The state changes with each new connection.
    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.link.state.subscribe()
    }

    /// Executes commands in one round trip, and returns one result for each, in their order.
    ///
    /// With a `connection`, the commands are sent only over this one. If the store now uses another
    /// one, every result is [`Failure::Unavailable`].
    ///
    /// A command without a reply fails with [`Failure::Lost`] after the store's reply timeout, and
    /// the store replaces the connection. Dropping the future does not recall what was sent.
    pub(crate) async fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, Failure>> {
        self.link.execute(connection, &commands).await
    }

    /// Loads a part of a run's events above `after`. There is no time limit, but the future fails
    /// if the session ends, or if the connection for loads breaks three times.
    ///
    /// Reads a large event in parts: a single reply would occupy the link for too long.
    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        let (session, endpoint) = (self.link.session()?, &self.link.endpoint);
        let encoder = session.encoder(endpoint);
        let (mut event, mut read) = (None, Vec::new());
        loop {
            let command = encoder.load(run, after, read.len());
            let load = async || check(session.load(endpoint, &command).await?);
            let reply = match load().await {
                Err(Failure::NoScript) if session.load_scripts().await.is_ok() => load().await,
                reply => reply,
            };
            let (mut page, length) = parse_page(reply?).ok_or(Failure::Run)?;
            let Some(part) = page.batches.last_mut().filter(|_| length > 0) else {
                return Ok(page);
            };
            let next = (part.first, part.last, length);
            if event.replace(next).is_some_and(|event| event != next) {
                // The owner has trimmed or restored the stream meanwhile.
                (event, read) = (None, Vec::new());
                continue;
            }
            read.extend_from_slice(&part.bytes);
            if read.len() >= length {
                part.bytes = read.into();
                return Ok(page);
            }
        }
    }

    /// Starts passing on a run's pushes. Once the future is ready, every later push is passed on or
    /// reported as [lost](crate::runs::seam::Incoming::LostPushes). It subscribes again after a
    /// break.
    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
        let Endpoint { subscriptions, scope, .. } = &self.link.endpoint;
        let channel = scope.keys.channel(run);
        // Add it before the future waits: an earlier `unsubscribe` that has not been sent yet must
        // find it.
        lock(&subscriptions.runs).insert(channel.clone(), run.clone());
        let _changing = subscriptions.changing.lock().await;
        let subscribed = self.link.session()?.subscribe(&[channel]).await;
        subscribed.map_err(|_| Failure::Lost)
    }

    /// Stops passing on the pushes of a run.
    pub(crate) fn unsubscribe(&self, run: &RunId) {
        let (link, channel) = (Arc::clone(&self.link), self.link.endpoint.scope.keys.channel(run));
        lock(&link.endpoint.subscriptions.runs).remove(&channel);
        spawn(async move {
            let subscriptions = &link.endpoint.subscriptions;
            let _changing = subscriptions.changing.lock().await;
            if !lock(&subscriptions.runs).contains_key(&channel)
                && let Ok(session) = link.session()
            {
                session.unsubscribe(&channel).await;
            }
        });
    }
}

/// The link of one process to Redis. Its session is replaced when it breaks.
struct Link {
    endpoint: Endpoint,
    health: Health,
    /// The newest session, which may be broken.
    session: Mutex<Option<Arc<Session>>>,
    state: watch::Sender<Connection>,
}

impl Link {
    /// Opens the first session.
    async fn open(
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
                route: Route::new(servers),
                name,
                scope,
                subscriptions,
                heartbeat: Mutex::new(Heartbeat::new(lease)),
            },
            health,
            session: Mutex::new(None),
            state: watch::Sender::new(Connection::Down),
        };
        link.connect(1, None).await.inspect_err(|error| link.health.set_error(error.clone()))?;
        Ok(link)
    }

    /// Returns the session, if there is one that is not broken.
    fn session(&self) -> Result<Arc<Session>, Failure> {
        let session = lock(&self.session).clone();
        session.filter(|session| !session.ended.is_cancelled()).ok_or(Failure::Unavailable)
    }

    /// Keeps a session until this future is dropped.
    async fn keep(&self, backoff: &mut Backoff) {
        let Some(mut session) = lock(&self.session).clone() else { return };
        let mut number = session.number;
        loop {
            let opened = Instant::now();
            let error = self.watch(&session).await;
            session.ended.cancel();
            self.set(&session, Connection::Down);
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
            // Messages that were published while there was no session are lost.
            (self.endpoint.subscriptions.receive)(Incoming::LostPushes);
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
            // The error of a cluster names the node that has the keys.
            if opened.as_ref().is_err_and(|error| self.endpoint.route.follow(error)) {
                opened = open().await;
            }
        }
        let session = opened?;
        let changing = self.endpoint.subscriptions.changing.lock().await;
        let subscribed = session.subscribe(&self.endpoint.subscriptions.channels()).await;
        subscribed.map_err(|error| failed("subscribe to channels of Redis", error))?;
        set_evicting(&self.health, session.info.eviction != Eviction::None);
        let session = Arc::new(session);
        self.set(&session, Connection::Up(number));
        drop(changing);
        Ok(session)
    }

    fn set(&self, session: &Arc<Session>, state: Connection) {
        self.health.set_ready(state != Connection::Down);
        *lock(&self.session) = Some(Arc::clone(session));
        self.state.send_replace(state);
    }

    /// Returns the time between checks of the connections.
    fn interval(&self) -> Duration {
        self.endpoint.scope.lease / BEATS
    }

    /// Checks the connections of a session at intervals, independently: a check can wait behind
    /// what its connection carries. Returns the error when the session breaks.
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
            error = repeat(interval, || session.check_loads(&self.endpoint)) => error,
        }
    }
}

/// Repeats a check at intervals. Returns its error.
async fn repeat<F>(interval: Duration, check: impl Fn() -> F) -> Error
where
    F: Future<Output = Result<(), Error>>,
{
    loop {
        sleep(interval).await;
        if let Err(error) = check().await {
            return error;
        }
    }
}

/// Sending commands in pipelines.
impl Link {
    /// Executes commands. Loads the scripts again if the server has lost them.
    async fn execute(
        &self,
        connection: Option<u64>,
        commands: &[Command],
    ) -> Vec<Result<Reply, Failure>> {
        // For the Redis client, an empty pipeline is an error, which would end the session.
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
        let encoder = session.encoder(&self.endpoint);
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

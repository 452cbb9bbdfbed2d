use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_sse::runs::{RunKey, support::spawn};

use super::replies::{check, parse_page};
use super::{commands::Encoder, link::Link, redis_runs::RedisRuns, session::Endpoint};
use crate::{
    Error,
    runs::seam::{Command, Connection, Failure, Overhead, Page, ProcessId, Receive, Reply, RunId},
};

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
/// - A command that concerns a run whose claim was written by another version of the protocol
///   changes nothing and fails with [`Failure::Version`].
pub(crate) struct RedisStore {
    link: Arc<Link>,
    /// Ends the task that keeps the connection.
    _guard: DropGuard,
}

impl RedisStore {
    /// Connects. Once connected, passes pushes and hints to `receive`.
    ///
    /// The future is ready once commands can be sent and pushes are received: a subscription that
    /// follows misses no push. Afterwards, the store reconnects by itself, at intervals of at most
    /// 3/32 of the lease, until it is dropped.
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
        spawn(async move { _ = ended.run_until_cancelled(kept.keep()).await });
        Ok(Self { link, _guard: guard })
    }

    /// Returns the lease: an owner that does not renew it in this time counts as late.
    pub(crate) fn lease(&self) -> Duration {
        self.link.endpoint.scope.lease
    }

    /// Returns the memory that the store needs for a run with this key.
    pub(crate) fn overhead(&self, key: &RunKey) -> Overhead {
        let name = self.link.endpoint.scope.keys.claim(key).len();
        Overhead { claim: CLAIM + name, stream: STREAM + name, batch: ENTRY }
    }

    /// Returns the state of the connection, which changes with each new one.
    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.link.state()
    }

    /// Executes commands in one round trip, and returns one result for each, in their order.
    ///
    /// With a `connection`, the commands are sent only over this connection: if the store uses
    /// another one by now, every result is [`Failure::Unavailable`].
    ///
    /// A missing reply fails with [`Failure::Lost`] after the store's reply timeout. The store then
    /// replaces the connection. Dropping the future does not recall what was sent.
    pub(crate) async fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, Failure>> {
        self.link.execute(connection, &commands).await
    }

    /// Loads a part of a run's events above `after`. The future has no time limit, but fails if the
    /// connection breaks.
    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        let (session, scope) = (self.link.session()?, &self.link.endpoint.scope);
        let encoder = Encoder { scope, hashes: &session.hashes, is_new: false };
        let command = encoder.load(run, after);
        let load = async || check(session.load(&command).await.map_err(|_| Failure::Lost)?);
        let reply = match load().await {
            Err(Failure::NoScript) if session.load_scripts().await.is_ok() => load().await,
            reply => reply,
        };
        parse_page(reply?).ok_or(Failure::Run)
    }

    /// Starts passing on the pushes of a run. Once the future is ready, every later push is passed
    /// on, or reported as [lost](crate::runs::seam::Incoming::LostPushes). The store
    /// subscribes again after a break.
    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
        let Endpoint { subscriptions, scope, .. } = &self.link.endpoint;
        let channel = scope.keys.channel(run);
        // Added before the future waits: an earlier `unsubscribe` that has not been sent yet must
        // find this subscription.
        subscriptions.add(channel.clone(), run);
        let _changing = subscriptions.changing.lock().await;
        let subscribed = self.link.session()?.subscribe(&[channel]).await;
        subscribed.map_err(|_| Failure::Lost)
    }

    /// Stops passing on the pushes of a run.
    pub(crate) fn unsubscribe(&self, run: &RunId) {
        let (link, channel) = (Arc::clone(&self.link), self.link.endpoint.scope.keys.channel(run));
        link.endpoint.subscriptions.remove(&channel);
        spawn(async move {
            let subscriptions = &link.endpoint.subscriptions;
            let _changing = subscriptions.changing.lock().await;
            if !subscriptions.has(&channel)
                && let Ok(session) = link.session()
            {
                session.unsubscribe(&channel).await;
            }
        });
    }
}

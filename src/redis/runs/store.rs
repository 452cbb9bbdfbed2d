use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{Cmd, Value, cmd};
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    super::{Error, Redis, reader::PageSize},
    decode::{Undecoded, decode},
    encode::{Encoder, reply_count},
    failure::{self, Class, check},
    keys::Keys,
    link::Link,
    page::parse_page,
    session::{Dialer, Session},
    subscriptions::Subscriptions,
};
use crate::runs::cluster::{
    command::Command,
    reply::{Page, Reply, StoreError},
    run_id::{ProcessId, RunId},
    store::{Connection, Pending, RunStore, Settings, Store},
};

/// The maximum number of commands of Redis in one pipeline.
const MAX_COMMANDS: usize = 512;
/// The maximum number of bytes in one pipeline, unless one command has more.
const MAX_BYTES: usize = 1024 * 1024;
/// The maximum number of entries in one page. A batch has at most 64 KiB, unless an event has more.
const MAX_ENTRIES: usize = 128;
/// The minimum time that keys are kept.
const MIN_KEPT_FOR: Duration = Duration::from_secs(60);
/// An estimate of a command's size besides its events.
const COMMAND_SIZE: usize = 512;

/// The store of runs on one Redis server.
struct RedisStore {
    inner: Arc<Inner>,
    runtime: Handle,
    /// Ends the task that keeps the connection.
    _guard: DropGuard,
}

struct Inner {
    link: Link,
    subscriptions: Arc<Subscriptions>,
    keys: Keys,
    process: ProcessId,
    lease: Duration,
    kept_for: Duration,
    page_size: Mutex<PageSize>,
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
    fn session(&self) -> Result<Arc<Session>, StoreError> {
        let session = self.link.session().filter(|session| !session.ended.is_cancelled());
        session.ok_or_else(|| StoreError::Unavailable(self.link.reason()))
    }

    async fn execute(
        &self,
        connection: Option<u64>,
        commands: &[Command],
    ) -> Vec<Result<Reply, StoreError>> {
        let session = self.session().and_then(|session| match connection {
            Some(number) if number != session.number => {
                Err(StoreError::Unavailable("the connection has been replaced".into()))
            }
            _ => Ok(session),
        });
        let session = match session {
            Ok(session) => session,
            Err(error) => return vec![Err(error); commands.len()],
        };
        let mut results = Vec::with_capacity(commands.len());
        let mut rest = commands;
        while let Some((pipeline, later)) = rest.split_at_checked(pipeline_len(rest)) {
            if pipeline.is_empty() {
                break;
            }
            if session.ended.is_cancelled() {
                let error = StoreError::Unavailable(self.link.reason());
                results.extend(pipeline.iter().map(|_| Err(error.clone())));
            } else {
                results.extend(self.send(&session, pipeline).await);
            }
            rest = later;
        }
        results
    }

    /// Sends commands in one pipeline. Loads the scripts again if the server has lost them.
    async fn send(
        &self,
        session: &Session,
        commands: &[Command],
    ) -> Vec<Result<Reply, StoreError>> {
        let mut results = self.send_once(session, commands).await;
        let is_missing = |result: &Result<Reply, Undecoded>| matches!(result, Err(Undecoded::Failed(failure)) if failure.class == Class::NoScript);
        let missing: Vec<usize> =
            (0..results.len()).filter(|at| results.get(*at).is_some_and(is_missing)).collect();
        if !missing.is_empty() && session.load_scripts().await.is_ok() {
            let again: Vec<_> =
                missing.iter().filter_map(|at| commands.get(*at)).cloned().collect();
            for (at, result) in missing.into_iter().zip(self.send_once(session, &again).await) {
                if let Some(slot) = results.get_mut(at) {
                    *slot = result;
                }
            }
        }
        results.into_iter().map(|result| result.map_err(StoreError::from)).collect()
    }

    async fn send_once(
        &self,
        session: &Session,
        commands: &[Command],
    ) -> Vec<Result<Reply, Undecoded>> {
        let encoder = self.encoder(session);
        let mut encoded: Vec<Cmd> = Vec::with_capacity(commands.len());
        commands.iter().for_each(|command| encoder.encode(command, &mut encoded));
        let mut replies = match session.send_all(encoded).await {
            Ok(replies) => replies.into_iter(),
            Err(error) => {
                let error = failure::lost(&error);
                return commands.iter().map(|_| Err(Undecoded::Missing(error.clone()))).collect();
            }
        };
        let results = commands.iter().map(|command| {
            let result = decode(command, replies.by_ref().take(reply_count(command)).collect());
            if let Err(Undecoded::Failed(failure)) = &result
                && failure.class == Class::WrongServer
            {
                session.ended.cancel();
            }
            result
        });
        results.collect()
    }

    fn encoder<'a>(&'a self, session: &'a Session) -> Encoder<'a> {
        Encoder {
            keys: &self.keys,
            hashes: &session.hashes,
            process: &self.process,
            lease: self.lease,
            kept_for: self.kept_for,
            is_new: session.opened.elapsed() < self.lease * 2,
        }
    }

    async fn load(&self, run: &RunId, after: u64) -> Result<Page, StoreError> {
        let session = self.session()?;
        let count = self.with_page_size(|size| size.entries().min(MAX_ENTRIES));
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
                self.with_page_size(PageSize::halve);
                return Err(failure::lost(&error));
            }
        };
        let reply = check(reply).map_err(Undecoded::Failed)?;
        let page = parse_page(reply, count).ok_or(Undecoded::Unexpected)?;
        let entries = if page.is_last { 0 } else { count };
        self.with_page_size(|size| size.adapt(entries, sent.elapsed()));
        Ok(page)
    }

    fn with_page_size<R>(&self, with: impl FnOnce(&mut PageSize) -> R) -> R {
        with(&mut self.page_size.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn subscribe(&self, channel: String) -> Result<(), StoreError> {
        let _changing = self.subscriptions.changing.lock().await;
        let subscribed = self.session()?.subscribe(&[channel]).await;
        subscribed.map_err(|error| failure::lost(&error))
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

/// Returns the number of commands that fit into one pipeline, at least 1 if there are any.
fn pipeline_len(commands: &[Command]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    let fits = |command: &&Command| {
        count += reply_count(command);
        bytes += size(command);
        count <= MAX_COMMANDS && bytes <= MAX_BYTES
    };
    commands.iter().take_while(fits).count().max(usize::from(!commands.is_empty()))
}

/// Returns the approximate size of a command. A batch that is pushed is sent twice.
fn size(command: &Command) -> usize {
    match command {
        Command::Append(append) => {
            (1 + usize::from(append.pushes)) * (append.batch.bytes.len() + COMMAND_SIZE)
        }
        _ => COMMAND_SIZE,
    }
}

use std::{io::Write as _, slice, sync::Arc, time::Duration};

use redis::{Cmd, Value, cmd};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_sse::runs::RunKey;
use tower_sse_broker::__private::Backoff;

use super::commands::{Encoder, Script, publish_name, run_of_stream};
use super::link::{Link, Unready};
use super::redis_runs::RedisRuns;
use super::replies::{Fields, check, each, first, number, parse_page, script};
use super::session::Endpoint;
use crate::runs::seam::{
    Batch, Check, CheckReply, Connection, DeadProcess, End, EndMode, EndReply, Failure, LookReply,
    Page, ProcessId, Receive, RunId, Sync, SyncReply, spawn,
};
use crate::{Error, server::whole_milliseconds};
use tower_sse_broker::tasks::{caught, lock};

/// The memory of a claim and of a stream besides their names, as measured with Redis 7, which
/// reserves 4 KiB for the newest entries of a stream.
const RUN: usize = 5_248;

/// The maximum size of a batch that is pushed.
const MAX_PUSH: usize = 64 * 1024;

/// The connection to the store of runs on one Redis server.
///
/// - Every command can be sent twice without harm. A command whose reply was lost may be executed
///   later.
/// - If another version of the protocol wrote a run's claim, the run's `look`, `claim`, `sync`,
///   `check` and `end` change nothing, and fail with [`Failure::Version`].
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
        // Made here, because a runtime can drop a task that it has never polled.
        let unready = Unready(Arc::clone(&link));
        spawn(async move {
            let kept = &unready.0;
            // A process counts as dead after a lease without contact, so it tries to reconnect much
            // more often.
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

    /// Returns the memory that the store needs for a run with this key, besides its entries and texts.
    pub(crate) fn overhead(&self, key: &RunKey) -> usize {
        RUN + 2 * self.link.endpoint.scope.keys.claim(key).len()
    }

    /// Returns the connection's state. The state changes with each new connection.
    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.link.state.subscribe()
    }

    /// Sends the commands that `build` returns, and returns what `read` finds in their replies. The
    /// commands are executed in order, but not as a transaction.
    ///
    /// Without a reply, fails with [`Failure::Lost`] after the store's reply timeout, and the store
    /// replaces the connection. Dropping the future does not recall what was sent.
    pub(super) async fn call<T>(
        &self,
        over: Option<u64>,
        build: impl Fn(&Encoder<'_>) -> Vec<Cmd>,
        read: impl Fn(Vec<Value>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let session = self.link.session()?;
        if over.is_some_and(|number| number != session.number) {
            return Err(Failure::Unavailable);
        }
        let ask = async || {
            let commands = build(&session.encoder(&self.link.endpoint));
            read(match over {
                // For the Redis client, an empty pipeline is an error.
                _ if commands.is_empty() => Vec::new(),
                Some(_) => session.batcher.call(commands).await?,
                None => session.send(commands).await?,
            })
        };
        let mut result = ask().await;
        if matches!(result, Err(Failure::NoScript)) && session.load_scripts().await.is_ok() {
            result = ask().await;
        }
        if matches!(result, Err(Failure::WrongServer)) {
            session.ended.cancel();
        }
        result
    }

    /// Loads a page of a run's events above `after`. Fails if the session ends, or if a reply takes
    /// five times as long as the replies to other calls may take.
    ///
    /// Reads a large event in parts: a single reply would occupy the link for too long.
    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        let session = self.link.session()?;
        let encoder = session.encoder(&self.link.endpoint);
        let (mut event, mut read) = (None, Vec::new());
        loop {
            let command = encoder.load(run, after, read.len());
            let reply = match session.load(command.clone()).await {
                Err(Failure::NoScript) if session.load_scripts().await.is_ok() => {
                    session.load(command).await
                }
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

    /// Starts passing on a run's pushes. Once the future is ready, every later push is passed on,
    /// unless the connection breaks. Then the store subscribes again and passes on
    /// [`Reconnected`](crate::runs::seam::Incoming::Reconnected).
    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
        let Endpoint { subscriptions, scope, .. } = &self.link.endpoint;
        let channel = scope.keys.channel(run);
        // Add the channel before the future waits: an earlier `unsubscribe` that has not been sent
        // yet must find the channel.
        lock(&subscriptions.runs).insert(channel.clone(), run.clone());
        let changing = subscriptions.changing.lock().await;
        let session = self.link.session()?;
        let subscribed = session.subscribe(&[channel]);
        drop(changing);
        let subscribed = session.ended.run_until_cancelled(subscribed).await;
        subscribed.and_then(Result::ok).ok_or(Failure::Lost)
    }

    /// Stops passing on the pushes of a run.
    pub(crate) fn unsubscribe(&self, run: &RunId) {
        let (link, channel) = (Arc::clone(&self.link), self.link.endpoint.scope.keys.channel(run));
        lock(&link.endpoint.subscriptions.runs).remove(&channel);
        spawn(async move {
            let subscriptions = &link.endpoint.subscriptions;
            let changing = subscriptions.changing.lock().await;
            if !lock(&subscriptions.runs).contains_key(&channel)
                && let Ok(session) = link.session()
            {
                let unsubscribed = session.unsubscribe(channel);
                drop(changing);
                session.ended.run_until_cancelled(unsubscribed).await;
            }
        });
    }
}

/// The calls of the store: the commands of each, and what their replies say.
///
/// A call with a number is only sent over the connection with this number, and shares a pipeline
/// with others. Any other call is sent at once, over the newest connection.
impl RedisStore {
    /// Returns which run has a key, and claims nothing.
    pub(crate) async fn look(&self, key: &RunKey) -> Result<LookReply, Failure> {
        let look = |it: &Encoder<'_>| vec![claim(it, Script::Look, key, "")];
        self.call(None, look, script(|fields| fields.look(key))).await
    }

    /// Claims a key for a run of this process, in the phase `starting`. Notifies the owner of the
    /// run that had the key. A repeated claim of a live run is answered by `Claimed` again.
    ///
    /// Replaces the run `earlier`, from a `look`. If it is live, it is cancelled in the same step.
    /// With `None`, the key is claimed if it has no run, a void run, or a run that has ended with
    /// an outcome other than [`Completed`](tower_sse::runs::Outcome::Completed), unless an owner
    /// may still restore a claim. Any other run is returned, as by `look`.
    pub(crate) async fn claim(
        &self,
        run: &RunId,
        earlier: Option<&RunId>,
    ) -> Result<LookReply, Failure> {
        let claim = |it: &Encoder<'_>| {
            vec![match earlier {
                Some(earlier) => replace(it, run, earlier),
                None => claim(it, Script::Claim, &run.key, &run.epoch.to_string()),
            }]
        };
        self.call(None, claim, script(|fields| fields.look(&run.key))).await
    }

    /// Returns what the store has of a run of this process. Given the run's head, begins its
    /// stream. The time for which the store keeps a live run's keys begins again.
    pub(crate) async fn sync(&self, over: u64, sync: &Sync) -> Result<SyncReply, Failure> {
        let Sync { run, entries, restores, is_watched, head } = sync;
        let sync = |it: &Encoder<'_>| {
            let keys = &it.scope.keys;
            let [claim, stream] = it.keys_of(run);
            let control = keys.control(&it.scope.process);
            let mut command = it.call(Script::Sync, &[claim, stream, control]);
            command.arg(run.epoch.to_string()).arg(it.owner()).arg(optional(*entries));
            command.arg(*restores).arg(head.as_deref().unwrap_or_default());
            command.arg(keys.channel(run)).arg(*is_watched);
            vec![command]
        };
        self.call(Some(over), sync, script(Fields::sync)).await
    }

    /// Returns whether the store has the claims of these runs and the streams of those with `true`,
    /// at a lower cost than `sync`. If not, send a `sync` of each. This does not extend the time
    /// for which the store keeps the keys.
    pub(crate) async fn have_keys(
        &self,
        over: u64,
        runs: &[(RunId, bool)],
    ) -> Result<bool, Failure> {
        let exists = |it: &Encoder<'_>| {
            let keys = runs.iter().flat_map(|(run, has_stream)| {
                it.keys_of(run).into_iter().take(1 + usize::from(*has_stream))
            });
            vec![cmd("EXISTS").arg(keys.collect::<Vec<_>>()).clone()]
        };
        let keys = runs.iter().map(|(_, has_stream)| 1 + u64::from(*has_stream)).sum();
        let found = self.call(Some(over), exists, |replies| Ok(number(&first(replies)?))).await?;
        Ok(found == Some(keys))
    }

    /// Appends a batch to a run's stream, which has this number of entries, and returns the number
    /// of entries that were added. Returns `None` if the stream is missing or refuses the batch:
    /// then send a `sync`. Only sent after a `sync` that was answered by `InStep` over the same
    /// connection.
    ///
    /// Set `pushes` if a client of another process watches the run. Other processes then receive
    /// the batch or, above [`MAX_PUSH`], only the number of its last event.
    ///
    /// If the batch [has parts](Batch::has_parts), send them first, by `add_part`.
    pub(crate) async fn append(
        &self,
        over: u64,
        run: &RunId,
        batch: &Batch,
        entries: u64,
        pushes: bool,
    ) -> Result<Option<u64>, Failure> {
        let append = |it: &Encoder<'_>| append(it, run, batch, entries, pushes);
        let read = |replies: Vec<Value>| {
            let mut replies = replies.into_iter();
            match check(replies.next().unwrap_or(Value::Nil)) {
                // A `sync` finds out the reason.
                Ok(Value::Nil) | Err(Failure::Run | Failure::Stopped) => Ok(None),
                // After a large batch, an empty entry is added too, unless Redis refuses it or the
                // run has ended.
                Ok(_) => {
                    let is_marked = batch.is_large() && replies.next() == Some(Value::Int(1));
                    Ok(Some(1 + u64::from(is_marked)))
                }
                Err(failure) => Err(failure),
            }
        };
        self.call(Some(over), append, read).await
    }

    /// Sends a part of a batch that [has several](Batch::has_parts), and returns whether the store
    /// has taken it. `append` appends the batch once all parts are sent in order.
    pub(crate) async fn add_part(
        &self,
        over: u64,
        run: &RunId,
        (at, part): (usize, &[u8]),
    ) -> Result<bool, Failure> {
        let add = |it: &Encoder<'_>| {
            let mut command = it.call(Script::Part, &[it.scope.keys.parts(run)]);
            // The owner of a run that is over doesn't send the rest.
            command.arg(at + 1).arg(part).arg(whole_milliseconds(it.scope.lease * 2));
            vec![command]
        };
        let read = |replies| match first(replies) {
            Err(Failure::Run | Failure::Stopped) => Ok(false),
            reply => reply.map(|reply| reply == Value::Int(1)),
        };
        self.call(Some(over), add, read).await
    }

    /// Removes the head of a run's stream and the batches that end below the event `keep_from`, and
    /// returns the number of entries that were removed.
    pub(crate) async fn trim(
        &self,
        over: u64,
        run: &RunId,
        keep_from: u64,
    ) -> Result<u64, Failure> {
        let trim = |it: &Encoder<'_>| {
            let stream = it.scope.keys.stream(run);
            vec![cmd("XTRIM").arg(stream).arg("MINID").arg(format!("{keep_from}-0")).clone()]
        };
        let read = |replies| number(&first(replies)?).ok_or(Failure::Run);
        self.call(Some(over), trim, read).await
    }

    /// Ends a run, if its mode allows it. Nothing can be appended to a run that was ended.
    pub(crate) async fn end(&self, over: Option<u64>, end: End) -> Result<EndReply, Failure> {
        self.end_all(over, &[end]).await.pop().unwrap_or(Err(Failure::Lost))
    }

    pub(crate) async fn end_all(
        &self,
        over: Option<u64>,
        ends: &[End],
    ) -> Vec<Result<EndReply, Failure>> {
        let commands = |it: &Encoder<'_>| ends.iter().map(|one| end(it, one)).collect();
        let read = |replies: Vec<Value>| {
            each(replies, |reply| Fields::of(reply)?.end().ok_or(Failure::Run))
        };
        let replies = self.call(over, commands, read).await;
        replies.unwrap_or_else(|failure| vec![Err(failure); ends.len()])
    }

    /// Returns the states of other processes' runs, and notifies the owners of those that are
    /// watched.
    pub(crate) async fn check(&self, checks: &[Check]) -> Vec<Result<CheckReply, Failure>> {
        let command = |it: &Encoder<'_>| {
            if checks.is_empty() { Vec::new() } else { vec![check_together(it, checks)] }
        };
        let read = |replies| match first(replies)? {
            Value::Array(replies) if replies.len() == checks.len() => Ok(replies
                .into_iter()
                .map(|reply| Fields::of(reply)?.check().ok_or(Failure::Run))
                .collect()),
            _ => Err(Failure::Run),
        };
        let replies = self.call(None, command, read).await;
        replies.unwrap_or_else(|failure| vec![Err(failure); checks.len()])
    }

    /// Makes this process the heir of a dead one, and returns the dead one's runs that are live, or
    /// whose end is not reported yet. Returns none if the other process lives or has another heir.
    pub(crate) async fn inherit(&self, dead: &DeadProcess) -> Result<Vec<RunId>, Failure> {
        let inherit = |it: &Encoder<'_>| {
            let keys = &it.scope.keys;
            let mut command = it.call(Script::Inherit, &[keys.control(&dead.id), keys.processes()]);
            command.arg(dead.id.as_str()).arg(it.scope.process.as_str()).arg(&dead.seen);
            vec![command]
        };
        let read = script(|streams| {
            let count = streams.0.len();
            Some((0..count).filter_map(|at| run_of_stream(streams.text(at)?)).collect())
        });
        self.call(None, inherit, read).await
    }

    /// Records that the ends of runs of this owner are reported: no other process needs to report
    /// them if this process dies.
    pub(crate) async fn reported(&self, owner: &ProcessId, runs: &[RunId]) -> Result<(), Failure> {
        if runs.is_empty() {
            return Ok(());
        }
        let reported = |it: &Encoder<'_>| {
            let keys = &it.scope.keys;
            let streams: Vec<_> = runs.iter().map(|run| keys.stream(run)).collect();
            vec![cmd("HDEL").arg(keys.control(owner)).arg(streams).clone()]
        };
        self.call(None, reported, |replies| first(replies).map(drop)).await
    }
}

fn claim(it: &Encoder<'_>, script: Script, key: &RunKey, epoch: &str) -> Cmd {
    let keys = &it.scope.keys;
    let mut names = vec![keys.claim(key), keys.data()];
    names.extend((script == Script::Claim).then(|| keys.control(&it.scope.process)));
    let mut command = it.call(script, &names);
    let (process, ttl) = it.owner();
    command.arg(epoch).arg(process).arg(whole_milliseconds(it.scope.lease)).arg(ttl);
    command.arg(keys.everyone()).arg(keys.control_prefix());
    command
}

fn replace(it: &Encoder<'_>, run: &RunId, earlier: &RunId) -> Cmd {
    let keys = &it.scope.keys;
    let [claim, stream] = [keys.claim(&run.key), keys.stream(earlier)];
    let names = [claim, stream, keys.control(&it.scope.process), keys.processes()];
    let mut command = it.call(Script::Replace, &names);
    command.arg(earlier.epoch.to_string()).arg(run.epoch.to_string()).arg(it.owner());
    command.arg(keys.channel(earlier)).arg(keys.control_prefix());
    command
}

fn append(it: &Encoder<'_>, run: &RunId, batch: &Batch, entries: u64, pushes: bool) -> Vec<Cmd> {
    let Batch { first, last, bytes } = batch;
    let stream = it.scope.keys.stream(run);
    let id = format!("{last}-0");
    let add = if batch.has_parts() {
        let mut join = it.call(Script::Join, &[stream.clone(), it.scope.keys.parts(run)]);
        join.arg(id).arg(first).arg(bytes.len());
        join
    } else {
        let mut add = Cmd::with_capacity(8, stream.len() + bytes.len() + SPARE);
        add.arg("XADD").arg(&stream).arg("NOMKSTREAM").arg(id);
        add.arg("f").arg(first).arg("d").arg(&**bytes);
        add
    };
    let mut commands = vec![add];
    if batch.is_large() {
        let mut mark = it.call(Script::Mark, slice::from_ref(&stream));
        mark.arg(format!("{last}-1")).arg(entries + 1);
        commands.push(mark);
    }
    if pushes {
        let mut push = Vec::with_capacity(bytes.len() + SPARE);
        if bytes.len() > MAX_PUSH {
            // Other processes load the batch, so that later pushes do not wait for it.
            _ = write!(push, "n{last}");
        } else {
            _ = write!(push, "d{first} {last} ");
            push.extend_from_slice(bytes);
        }
        let mut publish = Cmd::with_capacity(3, stream.len() + push.len() + SPARE);
        publish.arg(publish_name(it.is_cluster)).arg(it.scope.keys.channel_of(stream)).arg(push);
        commands.push(publish);
    }
    commands
}

fn end(it: &Encoder<'_>, End { run, mode }: &End) -> Cmd {
    let (name, outcome) = match mode {
        EndMode::Own { outcome, .. } => ("own", outcome.as_str()),
        EndMode::Cancel { .. } => ("cancel", "cancelled"),
        EndMode::Bury { .. } => ("bury", "interrupted"),
        EndMode::Release => ("release", "interrupted"),
        EndMode::Forget => ("forget", ""),
        EndMode::Discard => ("discard", ""),
    };
    let (error, newest, entries) = match mode {
        EndMode::Own { error, newest, entries, .. } => (error.as_deref(), *newest, *entries),
        _ => (None, 0, None),
    };
    let (keys, process) = (&it.scope.keys, &it.scope.process);
    let [claim, stream] = it.keys_of(run);
    let owner = if let EndMode::Bury { owner } = mode { owner } else { process };
    let names = [claim, stream, keys.control(owner), keys.processes()];
    let mut command = it.call(Script::End, &names);
    command.arg(run.epoch.to_string()).arg(name).arg(outcome).arg(error.unwrap_or_default());
    command.arg(newest).arg(optional(entries)).arg(process.as_str());
    command.arg(whole_milliseconds(it.scope.kept_for));
    command.arg(whole_milliseconds(it.scope.lease * 2));
    command.arg(keys.channel(run)).arg(keys.control_prefix());
    match mode {
        EndMode::Cancel { lines: Some(lines) } => _ = command.arg(&**lines),
        EndMode::Bury { owner } => _ = command.arg(owner.as_str()),
        _ => {}
    }
    command
}

fn check_together(it: &Encoder<'_>, checks: &[Check]) -> Cmd {
    let keys: Vec<_> = checks.iter().flat_map(|check| it.keys_of(&check.run)).collect();
    let mut command = it.call(Script::Check, &keys);
    command.arg(whole_milliseconds(it.scope.kept_for)).arg(it.scope.keys.control_prefix());
    for Check { run, is_watched } in checks {
        command.arg(run.epoch.to_string()).arg(*is_watched).arg(it.scope.keys.channel(run));
    }
    command
}

/// The capacity for what a command has besides its keys and events.
const SPARE: usize = 64;

fn optional(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

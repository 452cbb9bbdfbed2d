use std::thread;

use futures_util::StreamExt;
use redis::{
    Cmd, RedisResult, Value,
    aio::{MultiplexedConnection, PubSub},
    cmd,
};
use tokio::time::timeout;

use crate::*;

const VERSION: &str = include_str!("../../../src/redis/runs/lua/version.lua");
/// The functions that most scripts share.
const COMMON: &str = include_str!("../../../src/redis/runs/lua/common.lua");
const CLAIM: &str = include_str!("../../../src/redis/runs/lua/claim.lua");
const REPLACE: &str = include_str!("../../../src/redis/runs/lua/replace.lua");
const SYNC: &str = include_str!("../../../src/redis/runs/lua/sync.lua");
const END: &str = include_str!("../../../src/redis/runs/lua/end.lua");
const RENEW: &str = include_str!("../../../src/redis/runs/lua/renew.lua");
const JOIN: &str = include_str!("../../../src/redis/runs/lua/join.lua");
const CHECK: &str = include_str!("../../../src/redis/runs/lua/check.lua");

/// The claim.
pub(crate) const KEY: &str = "app:run:{owner:name}";
/// The key that is missing only on a server that has lost its data.
pub(crate) const DATA: &str = "app:run:data";
/// The channel of hints to all processes.
pub(crate) const EVERYONE: &str = "app:run:ctl@0";
pub(crate) const CONTROL: &str = "app:run:ctl@0:";
pub(crate) const LEASE: u64 = 8_000;
/// The grace period of this lease: three eighths.
pub(crate) const GRACE: u64 = 3_000;
/// The id of the entry that ends a stream.
pub(crate) const END_ID: &str = "18446744073709551615-0";

/// The runs of one key on a server, and their scripts. Replies are texts, separated by spaces.
pub(crate) struct Store {
    pub(crate) server: Server,
    pub(crate) connection: MultiplexedConnection,
    /// Whether scripts run as over a connection that is younger than a lease.
    pub(crate) is_new_connection: bool,
    /// Whether the owner of a run pushes its batches.
    pub(crate) pushes: bool,
    /// The lines of the event with which runs are cancelled.
    pub(crate) lines: &'static str,
    /// The time that keys are kept, in milliseconds.
    pub(crate) ttl: u64,
    /// The newest event of the run that was ended last.
    pub(crate) ended_at: u64,
}

/// The messages of one channel.
pub(crate) struct Pushes {
    messages: PubSub,
    channel: String,
}

/// What an owner knows when it renews its lease.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sync<'a> {
    pub(crate) entries: Option<u64>,
    pub(crate) restores: bool,
    pub(crate) head: &'a str,
}

pub(crate) const HEAD: Sync<'static> = Sync { entries: None, restores: false, head: "head" };
pub(crate) const RESTORE: Sync<'static> = Sync { restores: true, ..HEAD };

impl Store {
    /// Starts a server. Returns `None` if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let server = Server::start().await?;
        let connection = server.try_connect().await.unwrap();
        let mut store = Self {
            server,
            connection,
            is_new_connection: false,
            pushes: true,
            lines: "",
            ttl: 300_000,
            ended_at: 0,
        };
        assert_eq!(store.join("s1", "").await, "joined");
        Some(store)
    }

    /// Starts a server with the run `a1` of process `p`.
    pub(crate) async fn begun() -> Option<Self> {
        let mut store = Self::start().await?;
        store.begin("a1", "p").await;
        Some(store)
    }

    /// Joins the processes that use the server with this id, after a connection to `earlier`.
    pub(crate) async fn join(&mut self, server: &str, earlier: &str) -> String {
        let lease = LEASE.to_string();
        self.eval(" flags=allow-oom", JOIN, &[DATA], &[server, earlier, &lease, EVERYONE]).await
    }

    pub(crate) async fn look(&mut self) -> String {
        self.claim("", "look").await
    }

    pub(crate) async fn claim(&mut self, epoch: &str, process: &str) -> String {
        self.try_claim(epoch, process).await.unwrap()
    }

    pub(crate) async fn try_claim(&mut self, epoch: &str, process: &str) -> RedisResult<String> {
        let flags = if epoch.is_empty() { " flags=allow-oom" } else { "" };
        let (lease, ttl, is_new) = (LEASE.to_string(), self.ttl.to_string(), self.new_connection());
        let arguments = [epoch, process, &lease, &ttl, is_new, EVERYONE];
        self.try_eval(flags, CLAIM, &[KEY, DATA], &arguments).await
    }

    pub(crate) async fn replace(&mut self, earlier: &str, epoch: &str, process: &str) -> String {
        self.try_replace(earlier, epoch, process).await.unwrap()
    }

    pub(crate) async fn try_replace(
        &mut self,
        earlier: &str,
        epoch: &str,
        process: &str,
    ) -> RedisResult<String> {
        let (lease, ttl) = (LEASE.to_string(), self.ttl.to_string());
        let (stream, channel) = (stream(earlier), channel(earlier));
        let arguments = [earlier, epoch, process, &lease, &ttl, &channel, CONTROL];
        self.try_eval("", REPLACE, &[KEY, &stream], &arguments).await
    }

    pub(crate) async fn sync(&mut self, epoch: &str, process: &str, sync: Sync<'_>) -> String {
        self.try_sync(epoch, process, sync).await.unwrap()
    }

    pub(crate) async fn try_sync(
        &mut self,
        epoch: &str,
        process: &str,
        sync: Sync<'_>,
    ) -> RedisResult<String> {
        let command = self.sync_command(epoch, process, sync).await;
        Ok(text(&command.query_async(&mut self.connection).await?))
    }

    /// Renews the lease `count` times, in one pipeline.
    pub(crate) async fn sync_often(
        &mut self,
        epoch: &str,
        process: &str,
        sync: Sync<'_>,
        count: usize,
    ) -> Vec<String> {
        let command = self.sync_command(epoch, process, sync).await;
        let mut pipeline = redis::pipe();
        (0..count).for_each(|_| _ = pipeline.add_command(command.clone()));
        let replies: Vec<Value> = pipeline.query_async(&mut self.connection).await.unwrap();
        replies.iter().map(text).collect()
    }

    /// Renews the lease of a run, without a look at its stream.
    pub(crate) async fn renew(&mut self, epoch: &str, process: &str) -> String {
        self.renew_all(&[(KEY, epoch, None)], process).await
    }

    /// Renews the lease of a run whose stream must have this number of entries.
    pub(crate) async fn look_and_renew(&mut self, epoch: &str, entries: u64) -> String {
        self.renew_all(&[(KEY, epoch, Some(entries))], "p").await
    }

    /// Renews the leases of several runs at once. Each has its claim, its epoch, and the number of
    /// entries that its stream must have, if it is looked at.
    pub(crate) async fn renew_all(
        &mut self,
        runs: &[(&str, &str, Option<u64>)],
        process: &str,
    ) -> String {
        let (lease, ttl) = (LEASE.to_string(), self.ttl.to_string());
        let mut keys = Vec::new();
        let mut arguments = vec![process.to_owned(), lease, ttl];
        for (key, epoch, entries) in runs {
            keys.push((*key).to_owned());
            keys.extend(entries.map(|_| format!("{key}:{epoch}")));
            let entries = entries.map(|entries| entries.to_string()).unwrap_or_default();
            arguments.extend([(*epoch).to_owned(), entries]);
        }
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.eval(" flags=allow-oom", RENEW, &keys, &arguments).await
    }

    async fn sync_command(
        &mut self,
        epoch: &str,
        process: &str,
        Sync { entries, restores, head }: Sync<'_>,
    ) -> Cmd {
        let (lease, ttl) = (LEASE.to_string(), self.ttl.to_string());
        let entries = entries.map(|entries| entries.to_string()).unwrap_or_default();
        let restores = if restores { "1" } else { "0" };
        let (stream, channel) = (stream(epoch), channel(epoch));
        let pushes = if self.pushes { "1" } else { "0" };
        let arguments = [epoch, process, &lease, &ttl, &entries, restores, head, &channel, pushes];
        self.script(" flags=allow-oom", SYNC, &[KEY, &stream], &arguments).await
    }

    /// Ends the run as its owner, which has exported all events up to `newest`.
    pub(crate) async fn complete(&mut self, epoch: &str, process: &str, newest: u64) -> String {
        self.end_with(epoch, process, "own", "completed", newest, None).await
    }

    pub(crate) async fn end(&mut self, epoch: &str, process: &str, mode: &str) -> String {
        let outcome = if mode == "cancel" { "cancelled" } else { "interrupted" };
        self.end_with(epoch, process, mode, outcome, 0, None).await
    }

    pub(crate) async fn end_with(
        &mut self,
        epoch: &str,
        process: &str,
        mode: &str,
        outcome: &str,
        newest: u64,
        entries: Option<u64>,
    ) -> String {
        let entries = entries.map(|entries| entries.to_string()).unwrap_or_default();
        let (newest, ttl) = (newest.to_string(), self.ttl.to_string());
        let (stream, channel, is_new) = (stream(epoch), channel(epoch), self.new_connection());
        let arguments = [
            epoch, mode, outcome, "", &newest, &entries, process, &ttl, is_new, &channel, CONTROL,
            self.lines,
        ];
        let reply = self.eval(" flags=allow-oom", END, &[KEY, &stream], &arguments).await;
        // Its newest event is compared where it matters.
        match reply.strip_prefix("ended ").and_then(|rest| rest.split_once(' ')) {
            Some((outcome, newest)) => {
                self.ended_at = newest.parse().unwrap();
                format!("ended {outcome}")
            }
            None => reply,
        }
    }

    pub(crate) async fn check(&mut self, epoch: &str, watch: u64, wants_head: bool) -> String {
        let (watch, ttl, is_new) = (watch.to_string(), self.ttl.to_string(), self.new_connection());
        let (stream, channel) = (stream(epoch), channel(epoch));
        let wants_head = if wants_head { "1" } else { "0" };
        let arguments = [is_new, &ttl, CONTROL, epoch, &watch, wants_head, &channel];
        self.eval(" flags=allow-oom", CHECK, &[KEY, &stream], &arguments).await
    }

    const fn new_connection(&self) -> &'static str {
        if self.is_new_connection { "1" } else { "0" }
    }

    /// Claims the key, and begins the stream of the run.
    pub(crate) async fn begin(&mut self, epoch: &str, process: &str) {
        assert_eq!(self.claim(epoch, process).await, "new");
        let begun = self.sync(epoch, process, HEAD).await;
        assert_eq!(begun, "ok 0 1 0");
    }

    /// Appends a batch as the exporter does.
    pub(crate) async fn append(
        &mut self,
        epoch: &str,
        first: u64,
        last: u64,
    ) -> RedisResult<Value> {
        self.append_bytes(epoch, first, last, "data: token\n\n").await
    }

    pub(crate) async fn append_bytes(
        &mut self,
        epoch: &str,
        first: u64,
        last: u64,
        bytes: &str,
    ) -> RedisResult<Value> {
        let mut command = cmd("XADD");
        command.arg(stream(epoch)).arg("NOMKSTREAM").arg(format!("{last}-0"));
        command.arg("f").arg(first).arg("d").arg(bytes);
        command.query_async(&mut self.connection).await
    }

    /// Adds the empty entry that follows a large batch.
    pub(crate) async fn add_marker(&mut self, epoch: &str, last: u64) {
        let stream = stream(epoch);
        _ = self.command(&["XADD", &stream, "NOMKSTREAM", &format!("{last}-1"), "", ""]).await;
    }

    pub(crate) async fn claim_fields(&mut self) -> String {
        self.command(&["HGETALL", KEY]).await
    }

    /// Sets a field of the claim, as if it had been written at another time.
    pub(crate) async fn set(&mut self, field: &str, value: impl ToString) {
        let value = value.to_string();
        _ = self.command(&["HSET", KEY, field, &value]).await;
    }

    pub(crate) async fn get(&mut self, field: &str) -> String {
        self.command(&["HGET", KEY, field]).await
    }

    /// Sets the end of the lease to so many milliseconds ago.
    pub(crate) async fn expire_lease(&mut self, milliseconds: u64) {
        let now = self.server.now().await;
        self.set("l", now - milliseconds).await;
    }

    /// Sets when the owner was first and last seen late, in milliseconds before now.
    pub(crate) async fn seen_late(&mut self, first: u64, last: u64) {
        let now = self.server.now().await;
        self.set("x", now - first).await;
        self.set("y", now - last).await;
    }

    /// Makes the owner look dead: late for longer than the grace period.
    pub(crate) async fn die(&mut self) {
        self.expire_lease(60_000).await;
        self.seen_late(9_000, 1_000).await;
    }

    /// Sets until when owners restore their claims, in milliseconds from now.
    pub(crate) async fn set_restored(&mut self, milliseconds: i64) {
        let until = self.server.now().await as i64 + milliseconds;
        _ = self.command(&["HSET", DATA, "u", &until.to_string()]).await;
    }

    /// Deletes the claim.
    pub(crate) async fn lose_claim(&mut self) {
        assert_eq!(self.command(&["DEL", KEY]).await, "1");
    }

    /// Deletes the stream.
    pub(crate) async fn lose_stream(&mut self, epoch: &str) {
        assert_eq!(self.command(&["DEL", &stream(epoch)]).await, "1");
    }

    /// Returns how long the claim is kept from now on, in milliseconds.
    pub(crate) async fn ttl(&mut self) -> u64 {
        self.ttl_of(KEY).await
    }

    pub(crate) async fn ttl_of(&mut self, key: &str) -> u64 {
        self.command(&["PTTL", key]).await.parse().expect("a time to live")
    }

    /// Lets a key expire, as a jump of the clock does.
    pub(crate) async fn expire(&mut self, key: &str) {
        assert_eq!(self.command(&["PEXPIRE", key, "-1"]).await, "1");
    }

    /// Returns the ids of the stream's entries.
    pub(crate) async fn ids(&mut self, epoch: &str) -> Vec<String> {
        let mut command = cmd("XRANGE");
        command.arg(stream(epoch)).arg("-").arg("+");
        let entries: Vec<(String, Value)> =
            command.query_async(&mut self.connection).await.unwrap();
        entries.into_iter().map(|(id, _)| id).collect()
    }

    /// Returns the number of keys that belong to runs.
    pub(crate) async fn keys_of_runs(&mut self) -> usize {
        let mut command = cmd("KEYS");
        let keys = command.arg("app:run:{*").query_async::<Vec<String>>(&mut self.connection);
        keys.await.unwrap().len()
    }

    pub(crate) async fn subscribe(&self, channel: &str) -> Pushes {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut messages = client.get_async_pubsub().await.unwrap();
        messages.subscribe(channel).await.unwrap();
        Pushes { messages, channel: channel.to_owned() }
    }

    pub(crate) async fn command(&mut self, parts: &[&str]) -> String {
        let mut command = cmd(parts[0]);
        parts[1..].iter().for_each(|part| _ = command.arg(part));
        text(&command.query_async(&mut self.connection).await.unwrap())
    }

    async fn eval(
        &mut self,
        flags: &str,
        script: &str,
        keys: &[&str],
        arguments: &[&str],
    ) -> String {
        self.try_eval(flags, script, keys, arguments).await.unwrap()
    }

    async fn try_eval(
        &mut self,
        flags: &str,
        script: &str,
        keys: &[&str],
        arguments: &[&str],
    ) -> RedisResult<String> {
        let command = self.script(flags, script, keys, arguments).await;
        Ok(text(&command.query_async(&mut self.connection).await?))
    }

    async fn script(
        &mut self,
        flags: &str,
        script: &str,
        keys: &[&str],
        arguments: &[&str],
    ) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(format!("#!lua{flags}\n{VERSION}{COMMON}{script}"));
        let hash: String = load.query_async(&mut self.connection).await.unwrap();
        let mut command = cmd("EVALSHA");
        command.arg(hash).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_no_eternal_keys(&self.server);
        }
    }
}

impl Pushes {
    pub(crate) async fn next(&mut self) -> String {
        let mut messages = self.messages.on_message();
        let message = timeout(PATIENCE, messages.next()).await.expect("a message in time");
        message.unwrap().get_payload().unwrap()
    }

    /// Checks that no further message was published.
    pub(crate) async fn is_empty(&mut self, store: &mut Store) {
        let channel = self.channel.clone();
        _ = store.command(&["PUBLISH", &channel, "last"]).await;
        assert_eq!(self.next().await, "last");
    }
}

pub(crate) fn stream(epoch: &str) -> String {
    format!("{KEY}:{epoch}")
}

pub(crate) fn channel(epoch: &str) -> String {
    format!("{}@0", stream(epoch))
}

/// Returns a reply as text.
fn text(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

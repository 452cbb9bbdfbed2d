//! A user of Redis that lacks a permission for a while, as after a mistake of an operator.

use futures_util::{future::join_all, stream::pending};
use tower_sse::runs::{Attachment, Runs};

use super::{eternal_keys::eternal_keys, *};
use crate::runs::tests::program::{Program, Source, assert_whole, key as turn, read, send};

/// A short one, because owners of a real server die in real time.
const LEASE: Duration = Duration::from_secs(2);
/// The commands of scripts. Redis checks each permission also within a script.
const COMMANDS: [&str; 11] = [
    "del",
    "hget",
    "hmget",
    "hset",
    "pexpire",
    "publish",
    "time",
    "xadd",
    "xlen",
    "xrange",
    "xrevrange",
];
/// The time without a permission. It is longer than the time after which other processes declare an
/// owner dead that has not renewed its lease.
const LONG: Duration = Duration::from_secs(7);
/// The time between two events, and between two requests elsewhere.
const GAP: Duration = Duration::from_millis(20);

/// Two processes that share the run with the key [`turn`].
struct Pair {
    world: Redis,
    one: Program,
    other: Program,
}

impl Pair {
    async fn start() -> Option<Self> {
        let world = Redis::start(LEASE).await?;
        let one = Program::with(world.store(), (), Runs::builder()).await;
        let other = Program::with(world.store(), (), Runs::builder()).await;
        Some(Self { world, one, other })
    }

    /// Starts a run of the first process, whose event a client at the other process has read.
    async fn watched(&self) -> (Source, Attachment) {
        let source = self.one.start().await.unwrap();
        send(&source, &["a"]);
        let mut live = self.other.attach().await;
        assert_eq!(read(&mut live, 1).await, ["a"]);
        (source, live)
    }

    async fn forbid(&self, command: &str) {
        let forbid = format!("ACL SETUSER default -{command}");
        assert_eq!(self.world.server.command::<String>(&forbid).await, "OK");
    }

    async fn permit(&self) {
        let permit = "ACL SETUSER default +@all";
        assert_eq!(self.world.server.command::<String>(permit).await, "OK");
    }

    /// Asks for the run at the other process for a time, which would start it again if it could.
    async fn ask(&self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            if let Ok(started) = self.other.try_start(&turn(), None).await {
                assert!(started.is_none(), "the run is started twice");
            }
            sleep(GAP).await;
        }
    }

    /// Asserts that a process has a whole run, which it may not know at once on a busy machine.
    async fn assert_whole_at(program: &Program, texts: &[&str]) {
        until_async(async || program.status(None).await == 200).await;
        assert_whole(program.attach().await, texts).await;
    }

    async fn assert_completed(&self, texts: &[&str], command: &str) {
        Self::assert_whole_at(&self.other, texts).await;
        let outcomes = (self.one.outcomes(), self.other.outcomes());
        assert_eq!(outcomes, (vec![Outcome::Completed], vec![]), "{command}");
    }
}

/// Sends an event at intervals for a time. Returns the data of all of them.
async fn generate(source: &Source, time: Duration) -> Vec<String> {
    let (start, mut sent) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let text = sent.len().to_string();
        send(source, &[&text]);
        sent.push(text);
        sleep(GAP).await;
    }
    sent
}

async fn lives_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    let source = pair.one.start().await.unwrap();
    let client = pair.one.attach().await;
    // The owner sets the keys' expiry at its next look, for which it needs all permissions.
    let forget = "HDEL app:run:{user:turn} t";
    until_async(async || pair.world.server.command::<u32>(forget).await == 1).await;
    pair.forbid(command).await;
    let (sent, ()) = tokio::join!(generate(&source, LONG), pair.ask(LONG));
    pair.permit().await;
    pair.ask(LEASE).await;
    drop(source);
    let texts: Vec<_> = sent.iter().map(String::as_str).collect();
    assert_whole(client, &texts).await;
    pair.assert_completed(&texts, command).await;
}

#[tokio::test]
async fn no_missing_permission_ends_a_live_run() {
    join_all(COMMANDS.map(lives_without)).await;
}

async fn ends_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    let (source, live) = pair.watched().await;
    let client = pair.one.attach().await;
    pair.forbid(command).await;
    send(&source, &["b"]);
    drop(source);
    assert_whole(client, &["a", "b"]).await;
    pair.ask(LEASE / 2).await;
    pair.permit().await;
    assert_whole(live, &["b"]).await;
    pair.assert_completed(&["a", "b"], command).await;
}

#[tokio::test]
async fn run_that_ends_without_a_permission_is_whole_everywhere_afterwards() {
    join_all(COMMANDS.map(ends_without)).await;
}

/// Otherwise the run would be cancelled, and no run would have its key.
#[tokio::test]
async fn run_that_cannot_be_replaced_for_lack_of_a_permission_goes_on() {
    let Some(pair) = Pair::start().await else { return };
    let (source, live) = pair.watched().await;
    pair.forbid("hset").await;
    let replaced = soon(pair.other.runs.replace(&turn(), None, pending::<tower_sse::Event>)).await;
    assert!(replaced.is_err());
    pair.permit().await;
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
    assert_eq!(pair.one.outcomes(), [Outcome::Completed]);
}

/// A claim whose script stops halfway is given back, which also lets its key expire.
async fn starts_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    pair.forbid(command).await;
    let mut started = pair.one.try_start(&turn(), None).await.ok().flatten();
    pair.permit().await;
    until_async(async || eternal_keys(&pair.world.server).is_empty()).await;
    while started.is_none() {
        match pair.other.try_start(&turn(), None).await {
            Ok(source) => started = Some(source.expect("a free key")),
            Err(_) => sleep(GAP).await,
        }
    }
    send(&started.unwrap(), &["a"]);
    Pair::assert_whole_at(&pair.one, &["a"]).await;
    assert_eq!(pair.one.runs.stats().started + pair.other.runs.stats().started, 1, "{command}");
}

#[tokio::test]
async fn claim_without_a_permission_leaves_the_key_free() {
    join_all(COMMANDS.map(starts_without)).await;
}

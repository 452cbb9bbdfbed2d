//! A user of Redis that lacks a permission for a while, as after a mistake of an operator.

use futures_util::stream::pending;

use super::{eternal_keys::eternal_keys, pair::LEASE, *};

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
/// The claim of the run of a [`Pair`].
const TURN: &str = "app:run:{user:turn}";

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

/// Asks for the run at another process for a time, which would start it again if it could.
async fn ask(program: &Program<Wire>, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Ok(started) = program.try_start(&turn(), None).await {
            assert!(started.is_none(), "the run is started twice");
        }
        sleep(GAP).await;
    }
}

async fn forbid(server: &Server, command: &str) {
    let forbid = format!("ACL SETUSER default -{command}");
    assert_eq!(server.command::<String>(&forbid).await, "OK");
}

async fn permit(server: &Server) {
    assert_eq!(server.command::<String>("ACL SETUSER default +@all").await, "OK");
}

async fn lives_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    let Pair { world: Redis { server, .. }, one, other } = &pair;
    let source = one.start().await.unwrap();
    let client = one.attach().await;
    // The owner sets the keys' expiry at its next look, for which it needs all permissions.
    until_async(async || server.command::<u32>(&format!("HDEL {TURN} t")).await == 1).await;
    forbid(server, command).await;
    let (sent, ()) = tokio::join!(generate(&source, LONG), ask(other, LONG));
    permit(server).await;
    ask(other, LEASE).await;
    drop(source);
    let texts: Vec<_> = sent.iter().map(String::as_str).collect();
    assert_whole(client, &texts).await;
    let answer = other.answer_until_known(None).await;
    assert!(texts.iter().all(|text| answer.contains(&format!("data: {text}\n"))), "{command}");
    assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]), "{command}");
}

#[tokio::test]
async fn no_missing_permission_ends_a_live_run() {
    join_all(COMMANDS.map(lives_without)).await;
}

async fn ends_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    let Pair { world: Redis { server, .. }, one, other } = &pair;
    let (source, live) = pair.watched(&["a"]).await;
    let client = one.attach().await;
    forbid(server, command).await;
    send(&source, &["b"]);
    drop(source);
    assert_whole(client, &["a", "b"]).await;
    ask(other, LEASE / 2).await;
    permit(server).await;
    assert_whole(live, &["b"]).await;
    let answer = other.answer_until_known(None).await;
    assert!(["a", "b"].iter().all(|text| answer.contains(&format!("data: {text}\n"))), "{command}");
    assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]), "{command}");
}

#[tokio::test]
async fn run_that_ends_without_a_permission_is_whole_everywhere_afterwards() {
    join_all(COMMANDS.map(ends_without)).await;
}

/// Otherwise the run would be cancelled, and no run would have its key.
#[tokio::test]
async fn run_that_cannot_be_replaced_for_lack_of_a_permission_goes_on() {
    let Some(pair) = Pair::start().await else { return };
    let Pair { world: Redis { server, .. }, one, other } = &pair;
    let (source, live) = pair.watched(&["a"]).await;
    forbid(server, "hset").await;
    let replaced = soon(other.runs.replace(&turn(), None, pending::<tower_sse::Event>)).await;
    assert!(replaced.is_err());
    permit(server).await;
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
    assert_eq!(one.outcomes(), [Outcome::Completed]);
}

/// A claim whose script stops halfway is given back, which also lets its key expire.
async fn starts_without(command: &str) {
    let Some(pair) = Pair::start().await else { return };
    let Pair { world: Redis { server, .. }, one, other } = &pair;
    forbid(server, command).await;
    let started = one.try_start(&turn(), None).await.ok().flatten();
    permit(server).await;
    until_async(async || eternal_keys(server).is_empty()).await;
    let source = match started {
        Some(source) => source,
        None => other.start_until_known().await.expect("a free key"),
    };
    send(&source, &["a"]);
    drop(source);
    let answer = one.answer_until_known(None).await;
    assert!(answer.contains("data: a\n"), "{command}: {answer}");
    assert_eq!(one.runs.stats().started + other.runs.stats().started, 1, "{command}");
}

#[tokio::test]
async fn claim_without_a_permission_leaves_the_key_free() {
    join_all(COMMANDS.map(starts_without)).await;
}

/// Only the key of this run has another type. The key would never expire.
#[tokio::test]
async fn run_whose_own_stream_has_another_type_is_ended_by_its_owner() {
    let Some(pair) = Pair::start().await else { return };
    let server = &pair.world.server;
    let source = pair.started(&["a"]).await;
    let client = pair.one.attach().await;
    let stream = format!("{TURN}:{}", run_of(&pair.one.id(1).await).epoch);
    assert_eq!(server.command::<u32>("RPUSH list a").await, 1);
    assert_eq!(server.command::<String>(&format!("RENAME list {stream}")).await, "OK");
    assert_fails(client, &["a"], Outcome::Interrupted).await;
    soon(source.closed()).await;
    assert_eq!(pair.one.outcomes(), [Outcome::Interrupted]);
    until_async(async || eternal_keys(server).is_empty()).await;
    assert!(pair.other.start().await.is_some(), "the key of the run is free");
}

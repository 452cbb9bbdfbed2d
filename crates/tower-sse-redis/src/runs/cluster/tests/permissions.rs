//! A user of Redis that lacks a permission for a while, as after a mistake of an operator.

use super::*;

/// Commands that scripts call.
const COMMANDS: &str =
    "DEL EXISTS HGET HGETALL HMGET HSET PEXPIRE PUBLISH XADD XLEN XRANGE XREVRANGE";
/// Longer than the time after which others declare a silent process dead.
const LONG: Duration = Duration::from_millis(28_350);

/// Asks for the run at intervals, for this time. A request would start the run again if the key
/// were free.
async fn ask(process: &Process, time: Duration, interval: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Ok(started) = process.try_start(&KEY, None).await {
            assert!(started.is_none(), "the run is started twice");
        }
        sleep(interval).await;
    }
}

async fn assert_completed(one: &Process, other: &Process, texts: &[&str], command: &str) {
    assert_whole(other.attach().await, texts).await;
    assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]), "{command}");
}

#[tokio::test(start_paused = true)]
async fn no_missing_permission_ends_a_live_run() {
    for command in COMMANDS.split(' ') {
        let (one, other, source) = started(&["a"]).await;
        let client = one.attach().await;
        sleep(Duration::from_secs(2)).await;
        one.store.forbid(command, LONG);
        let sending = async {
            for _ in 0..LONG.as_secs() {
                send(&source, &["b"]);
                sleep(Duration::from_secs(1)).await;
            }
        };
        let asking = async {
            ask(&other, LONG - LEASE / 40, LEASE / 8).await;
            // The permission returns between two attempts of the owner.
            ask(&other, LEASE / 16, LEASE / 800).await;
        };
        join(sending, asking).await;
        drop(source);
        let texts = [&["a"][..], &["b"; LONG.as_secs() as usize]].concat();
        assert_whole(client, &texts).await;
        assert_completed(&one, &other, &texts, command).await;
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_ends_without_a_permission_is_whole_everywhere_afterwards() {
    for command in COMMANDS.split(' ') {
        let (one, other, source, live) = watched(&["a"]).await;
        let client = one.attach().await;
        one.store.forbid(command, LEASE / 2);
        finish(source, &["b"]);
        assert_whole(client, &["a", "b"]).await;
        ask(&other, LEASE / 2, LEASE / 8).await;
        assert_whole(live, &["b"]).await;
        assert_completed(&one, &other, &["a", "b"], command).await;
    }
}

/// A replacement that stopped halfway would cancel the run, and leave its key without a run.
#[tokio::test(start_paused = true)]
async fn run_that_cannot_be_replaced_for_lack_of_a_permission_goes_on() {
    for command in ["DEL", "HGET", "HSET", "PEXPIRE", "XADD"] {
        let (one, other, source, live) = watched(&["a"]).await;
        one.store.forbid(command, LEASE / 4);
        assert!(other.runs.replace(&KEY, None, stream::pending::<Event>).await.is_err());
        sleep(LEASE / 4).await;
        finish(source, &["b"]);
        assert_whole(live, &["b"]).await;
        assert_eq!(one.outcomes(), [Outcome::Completed], "{command}");
    }
}

/// A claim whose script stops halfway is given back, which also lets its key expire.
#[tokio::test(start_paused = true)]
async fn claim_without_a_permission_leaves_the_key_free() {
    for command in COMMANDS.split(' ') {
        let (one, other) = two().await;
        one.store.forbid(command, LEASE / 4);
        let mut started = one.try_start(&KEY, None).await.ok().flatten();
        sleep(LEASE).await;
        let eternal_keys = one.store.network.eternal_keys();
        assert!(eternal_keys.is_empty(), "{command}: {eternal_keys:?}");
        if started.is_none() {
            started = other.start().await;
        }
        send(&started.expect("a free key"), &["a"]);
        assert_whole(one.attach().await, &["a"]).await;
        assert_eq!(one.runs.stats().started + other.runs.stats().started, 1, "{command}");
    }
}

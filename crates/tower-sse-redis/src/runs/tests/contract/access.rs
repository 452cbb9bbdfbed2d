//! Permissions, and servers that refuse writes or evict keys.

use std::{cell::RefCell, collections::HashSet};

use super::*;
use crate::Error;

/// Returns the documented command that creates the Redis user.
fn documented() -> &'static str {
    let page = include_str!("../../../../docs/running.md");
    let line = page.lines().find(|line| line.contains("ACL SETUSER runs"));
    line.expect("a command").trim_start_matches("//! ")
}

async fn connect(server: &Server, user: &str, name: &str) -> Result<Process, Error> {
    let url = format!("redis://{user}:password@127.0.0.1:{}/", server.port());
    let store = Servers::open(&url).unwrap().runs("app").lease(Duration::from_secs(2));
    Process::try_connect(store, name, RETAINED).await
}

#[tokio::test]
async fn documented_permissions_are_enough() {
    let Some(server) = Server::start().await else { return };
    assert_eq!(server.command::<String>(documented()).await, "OK");
    let p = connect(&server, "runs", "p").await.unwrap();
    let q = connect(&server, "runs", "q").await.unwrap();
    assert_eq!(q.look().await, "free");
    q.subscribe("a1").await;
    p.begin("a1").await;
    assert_eq!(p.append_to(&run("a1"), 1, 1, 1, "x".repeat(5_000)).await, "appended 2");
    assert_eq!(p.append("a1", 2, 2).await, "appended 1");
    assert_eq!(p.trim("a1", 2).await, "trimmed 3");
    assert_eq!(q.watch("a1").await, "running 2 head");
    assert_eq!(q.stream("a1").await, ["2 2"]);
    assert_eq!((q.received().await, p.received().await), ("changed".into(), "watched a1".into()));
    q.store.unsubscribe(&run("a1"));
    assert_eq!(server.command::<u32>(&format!("DEL {CLAIM}")).await, 1);
    assert_eq!(p.sync("a1", RESTORE).await, "ok 0 1");
    assert_eq!(q.replace("a1", "a2").await, "claimed");
    assert_eq!(q.sync("a2", HEAD).await, "ok 0 1");
    assert_eq!(q.complete("a2", 0).await, "ended");
    assert_eq!(q.end("a2", Forget).await, "freed");
    // A new session closes a connection of the one before, and checks its own at intervals.
    _ = server.command::<u32>("CLIENT KILL TYPE pubsub SKIPME yes").await;
    _ = p.reconnected_after(1).await;
    // Other commands follow, so the connections are rarely seen at their checks together.
    let checked = RefCell::new(HashSet::new());
    let are_checked = async || {
        let clients = server.command::<String>("CLIENT LIST").await;
        let at_check = clients.lines().filter(|client| client.contains(" cmd=info "));
        let ids = at_check.filter_map(|client| client.split(' ').next().map(str::to_owned));
        checked.borrow_mut().extend(ids);
        checked.borrow().len() >= 4
    };
    until_async(are_checked).await;
    let mut denied = server.command::<Vec<redis::Value>>("ACL LOG").await;
    // A refused `CLIENT SETINFO` would be harmless: it only names the client library.
    denied.retain(|entry| !format!("{entry:?}").contains("setinfo"));
    assert!(denied.is_empty(), "{denied:?}");
}

/// Control of the test above: with fewer permissions, a process can't connect.
#[tokio::test]
async fn each_documented_channel_and_key_is_needed() {
    let Some(server) = Server::start().await else { return };
    for (part, less, what) in [(" &app:run:*", "", "channel"), ("~app:", "~another:", "key")] {
        let command = documented().replace("runs on", &format!("{what} on")).replace(part, less);
        assert_eq!(server.command::<String>(&command).await, "OK");
        let error = connect(&server, what, "p").await.err().unwrap();
        // The text of Redis 7.0, and that of later versions.
        let reasons = [format!("one of the {what}s"), format!("a {what}")]
            .map(|denied| format!("permissions to access {denied}"));
        let has_reason = reasons.iter().any(|reason| format!("{error:?}").contains(reason));
        assert!(has_reason, "{error:?}");
    }
}

/// Redis checks permissions within a script too: a script that lacks one stops halfway.
async fn is_kept_without(command: &str) {
    let Some(scene) = redis().await else { return };
    let acl = async |rights: String| {
        let command = format!("ACL SETUSER default {rights}");
        assert_eq!(scene.world.server.command::<String>(&command).await, "OK");
    };
    scene.p.begin("a1").await;
    acl(format!("-{command}")).await;
    for reply in
        [scene.p.sync("a1", HEAD).await, scene.q.look().await, scene.q.end("a1", bury()).await]
    {
        let is_over = ["run", "gone"].contains(&&*reply) || reply.starts_with("buried");
        assert!(!is_over, "{command}: {reply}");
    }
    acl("+@all".to_owned()).await;
    until_async(async || scene.p.sync("a1", HEAD).await == "ok 0 1").await;
}

#[tokio::test]
async fn run_is_kept_while_a_script_lacks_a_permission() {
    let commands = "del exists hget hgetall hmget hset pexpire publish xadd xlen xrange xrevrange";
    join_all(commands.split(' ').map(is_kept_without)).await;
}

/// While Redis is out of memory, no new run is claimed, and the events of running runs are refused.
/// Runs can end.
#[tokio::test]
async fn runs_without_memory_stay_live_and_can_end() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    let _: String = scene.world.server.command("CONFIG SET maxmemory 1").await;
    assert_eq!(scene.p.append("a1", 1, 1).await, "unavailable");
    assert_eq!(scene.p.claim("a2").await, "unavailable");
    assert_eq!(scene.p.replace("a1", "a2").await, "unavailable");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    assert_eq!(scene.q.look().await, "live a1 of p");
    assert_eq!(scene.q.cancel("a1").await, "live");
    assert_eq!(scene.p.received().await, "hint a1");
    assert_eq!(scene.p.cancel("a1").await, "ended");
    assert_eq!(scene.q.look().await, "cancelled a1");
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

/// There is room for the small entry after a large batch, but not for the batch.
#[tokio::test]
async fn entry_behind_a_large_batch_is_not_added_alone() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    let (server, event) = (&scene.world.server, Bytes::from("x".repeat(60 << 10)));
    let (mut newest, mut entries, mut refused) = (0, 1, 0);
    for room in (0..25).map(|eighth| eighth * (8 << 10)) {
        let _: String = server.command("CONFIG SET maxmemory 0").await;
        let info: String = server.command("INFO memory").await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let max = used.parse::<usize>().unwrap() + room;
        let _: String = server.command(&format!("CONFIG SET maxmemory {max}")).await;
        let (run, next) = (run("a1"), newest + 1);
        if scene.p.append_to(&run, entries, next, next, event.clone()).await == "appended 2" {
            (newest, entries) = (newest + 1, entries + 2);
        } else {
            refused += 1;
        }
        let _: String = server.command("CONFIG SET maxmemory 0").await;
        let reply = scene.p.sync("a1", HEAD).await;
        assert_eq!(reply, format!("ok {newest} {entries}"), "{room} bytes");
    }
    assert!(newest > 0 && refused > 0, "{newest} {refused}");
}

/// After a failover, the connection leads to a server that is no longer the primary. A refused
/// command ends the session before its next check.
#[tokio::test]
async fn replica_is_unavailable_until_it_is_the_primary_again() {
    let Some(scene) = Scene::start(Duration::from_secs(60)).await else { return };
    scene.p.begin("a1").await;
    let server = &scene.world.server;
    let _: String = server.command("REPLICAOF 127.0.0.1 1").await;
    assert_eq!(scene.p.append("a1", 1, 1).await, "wrong server");
    let (refused, mut connection) = (Instant::now(), scene.p.store.connection());
    _ = soon(connection.wait_for(Option::is_none)).await.unwrap();
    assert!(refused.elapsed() < Duration::from_secs(10), "{:?}", refused.elapsed());
    assert_eq!(scene.p.look().await, "unavailable");
    assert!(!scene.p.health.is_ready());
    let _: String = server.command("REPLICAOF NO ONE").await;
    _ = scene.p.reconnected_after(1).await;
    assert!(scene.p.health.is_ready());
}

#[tokio::test]
async fn server_that_evicts_keys_is_reported() {
    let Some(scene) = Scene::start(Duration::from_secs(2)).await else { return };
    let (server, health) = (&scene.world.server, &scene.p.health);
    assert!(!health.stats().evicts());
    let _: String = server.command("CONFIG SET maxmemory 100mb").await;
    let _: String = server.command("CONFIG SET maxmemory-policy allkeys-lru").await;
    until_async(async || health.stats().evicts()).await;
}

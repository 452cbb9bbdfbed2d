//! Leases while the server's clock jumps, or the server comes and goes.

use futures_util::StreamExt;
use redis::{Value, aio::PubSub};

use super::*;

const VERSION: &str = include_str!("../../store/lua/version.lua");
/// The functions that most scripts share.
const COMMON: &str = include_str!("../../store/lua/common.lua");
const CLAIM_SCRIPT: &str = include_str!("../../store/lua/claim.lua");
const JOIN: &str = include_str!("../../store/lua/join.lua");

/// When each process is silent.
const PROCESSES: &str = "app:run:processes";
/// The channel of hints to all processes.
const EVERYONE: &str = "app:run:ctl@0";
/// The prefix of the channels of processes.
const CONTROL: &str = "app:run:ctl@0:";
const LEASE_MS: u64 = LEASE.as_millis() as u64;
const GRACE_MS: u64 = GRACE.as_millis() as u64;

/// A server without processes, on which a test calls the scripts itself.
async fn server() -> Option<Redis> {
    let world = Redis::start(LEASE).await?;
    world.join("s1", "").await;
    Some(world)
}

impl Redis {
    async fn call(&self, script: &str, keys: &[&str], arguments: &[&str]) -> String {
        let script = format!("#!lua flags=allow-oom\n{VERSION}{COMMON}{script}");
        let Value::Array(reply) = self.try_eval(&script, keys, arguments).await.unwrap() else {
            panic!("no array");
        };
        let texts = reply.iter().map(|value| match value {
            Value::Int(number) => number.to_string(),
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    /// Joins the processes that use the server with this id, after a connection to `earlier`.
    async fn join(&self, server: &str, earlier: &str) {
        assert_eq!(self.joined(server, earlier).await, "joined");
    }

    /// Does the same as [`join`](Self::join), and returns the reply.
    async fn joined(&self, server: &str, earlier: &str) -> String {
        let lease = LEASE_MS.to_string();
        let keys = [DATA, PROCESSES, "app:run:ctl@0:p"];
        let arguments = [server, earlier, &lease, EVERYONE, "p", "60000", "1"];
        self.call(JOIN, &keys, &arguments).await
    }

    /// Looks as a process with an old connection does, or claims the key.
    async fn claim(&self, epoch: &str) -> String {
        let arguments = [epoch, "p", &LEASE_MS.to_string(), "1", "0", EVERYONE, CONTROL];
        self.call(CLAIM_SCRIPT, &[CLAIM, DATA, "app:run:ctl@0:p"], &arguments).await
    }

    async fn look(&self) -> String {
        self.claim("").await
    }

    /// Sets a field of `data` to a time, in milliseconds from now: `u` is the time until which
    /// owners restore their claims, and `t` the time since which `data` is kept.
    async fn set_data(&self, field: &str, milliseconds: i64) {
        let time = self.server.now().await as i64 + milliseconds;
        _ = self.server.command::<u32>(&format!("HSET {DATA} {field} {time}")).await;
    }

    /// Lets a key expire, as a jump of the clock does.
    async fn expire(&self, key: &str) {
        assert_eq!(self.server.command::<u32>(&format!("PEXPIRE {key} -1")).await, 1);
    }

    async fn hints(&self) -> Hints {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut messages = client.get_async_pubsub().await.unwrap();
        messages.subscribe(EVERYONE).await.unwrap();
        Hints(messages)
    }
}

/// The hints to all processes.
struct Hints(PubSub);

impl Hints {
    async fn next(&mut self) -> String {
        soon(self.0.on_message().next()).await.unwrap().get_payload().unwrap()
    }

    /// Checks that no further hint was sent.
    async fn is_empty(&mut self, world: &Redis) {
        _ = world.server.command::<u32>(&format!("PUBLISH {EVERYONE} last")).await;
        assert_eq!(self.next().await, "last");
    }
}

/// A node of a cluster can give its keys away, become a replica of the new node, and take over with
/// a state that lacks claims. A process that sends nothing meanwhile finds the server that it knows.
#[tokio::test]
async fn claims_may_be_lost_once_the_server_was_a_replica() {
    let Some(world) = server().await else { return };
    world.join("s1", "s1").await;
    world.set_data("u", -1).await;
    assert_eq!(world.look().await, "free");
    for role in ["127.0.0.1 1", "NO ONE"] {
        let _: String = world.server.command(&format!("REPLICAOF {role}")).await;
    }
    // In a cluster, no command is counted.
    let _: String = world.server.command("CONFIG RESETSTAT").await;
    assert_eq!(world.claim("a1").await, "restoring");
    // That is known, so the first replica, which clears what shows it, changes nothing.
    world.set_data("u", -1).await;
    let Some(replica) = Server::start().await else { return };
    replica.replicate(&world.server).await;
    assert_eq!(world.claim("a1").await, "new");
}

/// Redis changes the id of its replication history for its first replica, such as `redis-cli --rdb`,
/// and some time after its last one.
#[tokio::test]
async fn replicas_that_come_and_go_lose_no_claims() {
    let Some(scene) = super::redis().await else { return };
    let Some(replica) = Server::start().await else { return };
    let primary = &scene.world.server;
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.p.end("a1", Void).await;
    let fresh = history_id(primary).await;
    replica.replicate(primary).await;
    assert_ne!(history_id(primary).await, fresh);
    assert_eq!(scene.q.look().await, "free", "the first replica");

    // Control: the replica takes over.
    let _: String = replica.command("REPLICAOF NO ONE").await;
    let store = replica.redis().runs("app").lease(LEASE);
    let at_replica = Process::connect(store, "s").await;
    assert_eq!(at_replica.look().await, "restoring");

    let with_replica = history_id(primary).await;
    let _: String = primary.command("CONFIG SET repl-backlog-ttl 1").await;
    until_async(async || history_id(primary).await != with_replica).await;
    assert_eq!(scene.q.look().await, "free", "the last replica has left");
    assert_eq!(scene.q.claim("a2").await, "claimed");
}

/// A replica that lags can lack the first claim and `data`. Until the owner has found the replica,
/// a process that starts there finds no other.
#[tokio::test]
async fn process_that_starts_at_a_promoted_replica_waits_for_claims() {
    let Some(world) = Redis::start(LEASE).await else { return };
    let Some(replica) = Server::start().await else { return };
    replica.replicate(&world.server).await;
    let _: String = replica.command("REPLICAOF NO ONE").await;
    let p = Process::connect(world.store(), "p").await;
    assert_eq!(p.claim("a1").await, "claimed", "an empty server that was no replica");

    let at_replica = || replica.redis().runs("app").lease(LEASE);
    let q = Process::connect(at_replica(), "q").await;
    assert_eq!(q.look().await, "restoring");
    assert_eq!(q.claim("a2").await, "restoring");
    let p = Process::connect(at_replica(), "p").await;
    assert_eq!(p.sync("a1", RESTORE).await, "ok 0 1");
    assert_eq!(q.claim("a2").await, "live a1 of p or restoring");
}

/// A server's first replica clears the signs that the server was a replica itself.
#[tokio::test]
async fn claims_may_be_lost_once_a_former_replica_has_one() {
    for demote in ["REPLICAOF", "SLAVEOF"] {
        let Some(world) = server().await else { return };
        let Some(replica) = Server::start().await else { return };
        world.join("s1", "s1").await;
        world.set_data("u", -1).await;
        assert_eq!(world.look().await, "free");
        for role in ["127.0.0.1 1", "NO ONE"] {
            let _: String = world.server.command(&format!("{demote} {role}")).await;
        }
        replica.replicate(&world.server).await;
        assert_eq!(world.claim("a1").await, "restoring", "{demote}");
    }
}

/// Returns the id of a server's replication history.
async fn history_id(server: &Server) -> String {
    let info: String = server.command("INFO replication").await;
    info.lines().find(|line| line.starts_with("master_replid:")).unwrap().to_owned()
}

/// A database that returns has the `data` and the claims of an earlier time.
#[tokio::test]
async fn claims_may_be_lost_once_databases_were_swapped() {
    let Some(world) = server().await else { return };
    let swap = async || assert_eq!(world.server.command::<String>("SWAPDB 0 1").await, "OK");
    swap().await;
    world.join("s1", "s1").await;
    assert_eq!(world.look().await, "restoring", "it is empty");
    world.set_data("u", -1).await;
    assert_eq!(world.claim("k1").await, "new");
    swap().await;
    let mut hints = world.hints().await;
    assert_eq!(world.claim("k2").await, "restoring");
    assert_eq!(hints.next().await, "");
    world.set_data("u", -1).await;
    assert_eq!(world.claim("k2").await, "new", "the swap is known");
    // A process that joins again finds it too.
    swap().await;
    world.expire(CLAIM).await;
    world.join("s1", "s1").await;
    assert_eq!(hints.next().await, "");
    world.join("s1", "s1").await;
    assert_eq!(world.look().await, "restoring", "it begins once");
    hints.is_empty(&world).await;
}

/// A jump of the clock cannot be told from a time in which no process was there.
#[tokio::test]
async fn clock_that_jumps_ahead_ends_no_restoring() {
    let Some(world) = server().await else { return };
    world.join("s2", "s1").await;
    assert_eq!(world.look().await, "restoring");
    // What the clock has left of the lease, and when `data` was kept, seen from after the jump.
    let half = LEASE_MS as i64 / 2;
    world.set_data("u", -1).await;
    world.set_data("t", -half - 100).await;
    assert_eq!(world.claim("a1").await, "restoring");
    // It has begun again.
    assert_eq!(world.claim("a1").await, "restoring");
    world.set_data("u", -1).await;
    world.set_data("t", 1_000 - half).await;
    assert_eq!(world.claim("a1").await, "new");
}

/// A process with a long lease renews `data` less often than a short lease needs.
#[tokio::test]
async fn restoring_ends_although_data_is_renewed_rarely() {
    let Some(world) = server().await else { return };
    world.join("s2", "s1").await;
    for reply in ["restoring", "restoring", "restoring", "new"] {
        for field in ["u", "t"] {
            let passed = format!("HINCRBY {DATA} {field} -{}", LEASE_MS * 5 / 8);
            _ = world.server.command::<u64>(&passed).await;
        }
        assert_eq!(world.claim("a1").await, reply);
    }
}

#[tokio::test]
async fn process_with_a_new_connection_waits_for_a_whole_lease() {
    let Some(scene) = super::redis().await else { return };
    scene.p.begin("a1").await;
    scene.world.expire_lease(60_000).await;
    scene.world.seen_late(GRACE_MS + 1_000, 100).await;
    let reply = scene.q.end("a1", Bury).await;
    assert!(reply.starts_with("late "), "{reply}");
    scene.world.seen_late(LEASE_MS + 100, 100).await;
    assert_eq!(scene.q.end("a1", Bury).await, "ended interrupted 0");
}

/// The grace period follows from the owner's lease, which can differ from the looker's.
#[tokio::test]
async fn grace_period_is_that_of_the_owner() {
    let Some(world) = server().await else { return };
    assert_eq!(world.claim("a1").await, "new");
    for (lease, first, expected) in [
        (LEASE_MS, GRACE_MS - 1_000, "late"),
        (LEASE_MS, GRACE_MS, "dead"),
        (40_000, 14_000, "late"),
        (40_000, 15_000, "dead"),
        // 1.5 seconds at least.
        (2_000, 1_000, "late"),
        (2_000, 1_500, "dead"),
    ] {
        world.set("d", lease).await;
        world.expire_lease(60_000).await;
        world.seen_late(first, 500).await;
        let reply = world.look().await;
        assert!(reply.starts_with(expected), "{reply} of {lease} after {first}");
    }
}

#[tokio::test]
async fn lease_and_watch_from_before_a_backward_jump_are_cut() {
    let Some(scene) = super::redis().await else { return };
    scene.p.begin("a1").await;
    let now = scene.world.server.now().await;
    for field in ["l", "w"] {
        scene.world.set(field, now + 3_600_000).await;
        assert_eq!(scene.q.look().await, "live a1 of p");
        let deadline: u64 = scene.world.get(field).await.unwrap().parse().unwrap();
        assert!(
            deadline <= scene.world.server.now().await + LEASE_MS,
            "{field}: {deadline} at {now}"
        );
    }
}

#[tokio::test]
async fn looks_from_before_a_backward_jump_do_not_count() {
    let Some(world) = server().await else { return };
    assert_eq!(world.claim("a1").await, "new");
    world.expire_lease(60_000).await;
    let now = world.server.now().await;
    for (first, last) in [(now + 60_000, now + 60_000), (now - 10_000, now + 60_000)] {
        world.set("x", first).await;
        world.set("y", last).await;
        assert_eq!(world.look().await, "late a1 p starting  1500");
    }
}

/// If a jump expires a claim, it expires the key that is missing only after a loss too.
#[tokio::test]
async fn claims_that_expire_are_lost() {
    let Some(world) = server().await else { return };
    assert_eq!(world.claim("a1").await, "new");
    // The time until the owner keeps its claim again: an eighth, and renewals between two looks.
    let longest = 60_000 / 8 + LEASE_MS * 2;
    for earlier in ["s1", ""] {
        world.join("s1", earlier).await;
        let kept = world.ttl_of(DATA).await;
        assert!((LEASE_MS..world.ttl_of(CLAIM).await - longest).contains(&kept), "{kept}");
    }
    world.expire(DATA).await;
    assert!(world.look().await.starts_with("live a1 "));
    world.expire(CLAIM).await;
    assert_eq!(world.look().await, "restoring");
    assert!(world.ttl_of(DATA).await >= LEASE_MS);
}

/// A claim that is kept after the clock was set back expires before `data`, which was kept before.
#[tokio::test]
async fn claim_may_be_lost_unseen_once_the_clock_was_set_back() {
    let Some(world) = server().await else { return };
    for finds_out in ["claim", "join"] {
        world.join("s1", "s1").await;
        world.set_data("u", -1).await;
        let mut hints = world.hints().await;
        world.set_data("t", 19_000).await;
        assert_eq!(world.look().await, "free", "clocks are adjusted");
        world.set_data("t", 25_000).await;
        if finds_out == "join" {
            world.join("s1", "s1").await;
            assert_eq!(hints.next().await, "");
        }
        assert_eq!(world.claim("a1").await, "restoring");
        if finds_out == "claim" {
            assert_eq!(hints.next().await, "");
        }
        hints.is_empty(&world).await;
        world.set_data("u", -1).await;
        assert_eq!(world.look().await, "free");
    }
}

/// Owners have a lease to restore their claims, whatever the clock does meanwhile.
#[tokio::test]
async fn clock_that_is_set_back_ends_no_restoring() {
    let Some(world) = server().await else { return };
    world.expire(DATA).await;
    assert_eq!(world.look().await, "restoring");
    for set_back in [1_000, 60_000] {
        world.set_data("u", LEASE_MS as i64 + set_back).await;
        assert_eq!(world.look().await, "restoring");
        let until: u64 = world.server.command(&format!("HGET {DATA} u")).await;
        assert!(until <= world.server.now().await + LEASE_MS, "at most a lease");
    }
}

/// The process was silent before the clock was set back, or is looked after since then.
#[tokio::test]
async fn silent_process_is_noticed_although_the_clock_was_set_back() {
    let Some(world) = server().await else { return };
    let hour = world.server.now().await + 3_600_000;
    let _: u64 = world.server.command(&format!("HSET {PROCESSES} q {hour}")).await;
    assert_eq!(world.joined("s1", "s1").await, "joined q");
    assert_eq!(world.joined("s1", "s1").await, "joined", "one process looks after it");
}

#[tokio::test]
async fn only_a_process_that_knew_the_data_says_that_they_are_lost() {
    let Some(world) = server().await else { return };
    assert_eq!(world.look().await, "free", "a new server");
    world.join("s2", "").await;
    assert_eq!(world.look().await, "free", "another process starts");
    world.join("s2", "s1").await;
    assert_eq!(world.look().await, "restoring", "the server was restarted");
    world.set_data("u", -1).await;
    world.join("s2", "s1").await;
    assert_eq!(world.look().await, "free", "the last process returns, after another has said so");

    world.lose_data().await;
    let hints = world.hints().await;
    world.join("s2", "").await;
    assert_eq!(world.look().await, "restoring", "a process starts while others are connected");
    drop(hints);
}

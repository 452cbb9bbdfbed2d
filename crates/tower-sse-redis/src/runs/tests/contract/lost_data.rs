//! Claims that may be lost, because the server has lost its data or was replaced.

use futures_util::StreamExt;
use redis::aio::PubSub;

use super::*;

const VERSION: &str = include_str!("../../store/lua/version.lua");
/// The functions that most scripts share.
const COMMON: &str = include_str!("../../store/lua/common.lua");
const CLAIM_SCRIPT: &str = include_str!("../../store/lua/claim.lua");
const BEAT: &str = include_str!("../../store/lua/beat.lua");

/// The counters of the processes.
const PROCESSES: &str = "app:run:processes";
/// The channel of hints to all processes.
const EVERYONE: &str = "app:run:ctl@0";
/// The prefix of the channels of processes.
const CONTROL: &str = "app:run:ctl@0:";
const LEASE_MS: u64 = LEASE.as_millis() as u64;

/// Starts a server without processes, on which a test calls the scripts itself.
async fn server() -> Option<Redis> {
    let world = Redis::start(LEASE).await?;
    world.join("s1", "").await;
    Some(world)
}

/// Does the same as [`server`], lets the processes restore their claims, and makes the server a
/// replica for a moment.
async fn former_replica(demote: &str) -> Option<Redis> {
    let world = server().await?;
    world.join("s1", "s1").await;
    world.restored().await;
    assert_eq!(world.look().await, "free");
    for role in ["127.0.0.1 1", "NO ONE"] {
        let _: String = world.server.command(&format!("{demote} {role}")).await;
    }
    Some(world)
}

impl Redis {
    async fn call(&self, script: &str, keys: &[&str], arguments: &[&str]) -> String {
        let script = format!("#!lua flags=allow-oom\n{VERSION}{COMMON}{script}");
        let mut connection = self.server.try_connect().await.unwrap();
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        let reply: Vec<String> = command.query_async(&mut connection).await.unwrap();
        reply.join(" ")
    }

    /// Joins the processes that use the server with this id, after a connection to `earlier`.
    async fn join(&self, server: &str, earlier: &str) {
        let joined = self.beat(server, earlier, "").await;
        assert!(joined.starts_with("joined "), "{joined}");
    }

    /// Does the same as [`join`](Self::join), and says that the time of restoring with this token
    /// is over. Returns the reply.
    async fn beat(&self, server: &str, earlier: &str, restored: &str) -> String {
        let lease = LEASE_MS.to_string();
        let keys = [DATA, PROCESSES, "app:run:ctl@0:p"];
        let arguments = [server, earlier, &lease, EVERYONE, "p", "1", "60000", restored];
        self.call(BEAT, &keys, &arguments).await
    }

    /// Claims the key, or only looks if `epoch` is empty.
    async fn claim(&self, epoch: &str) -> String {
        let arguments = [epoch, "p", &LEASE_MS.to_string(), "1200000", EVERYONE, CONTROL];
        self.call(CLAIM_SCRIPT, &[CLAIM, DATA, "app:run:ctl@0:p"], &arguments).await
    }

    async fn look(&self) -> String {
        self.claim("").await
    }

    /// Lets a key expire, as a jump of the clock does.
    async fn expire(&self, key: &str) {
        assert_eq!(self.server.command::<u32>(&format!("PEXPIRE {key} -1")).await, 1);
    }

    async fn hints(&self) -> PubSub {
        let client = redis::Client::open(self.server.url()).unwrap();
        let mut messages = client.get_async_pubsub().await.unwrap();
        messages.subscribe(EVERYONE).await.unwrap();
        messages
    }
}

/// Returns the next hint to all processes.
async fn next(hints: &mut PubSub) -> String {
    soon(hints.on_message().next()).await.unwrap().get_payload().unwrap()
}

/// A node of a cluster can give its keys away, become a replica of the new node, and take over with
/// a state that lacks claims. A process that sends nothing meanwhile finds the server that it
/// knows.
#[tokio::test]
async fn claims_may_be_lost_once_the_server_was_a_replica() {
    let Some(world) = former_replica("REPLICAOF").await else { return };
    // In a cluster, a node changes its role without a command that is counted.
    let _: String = world.server.command("CONFIG RESETSTAT").await;
    assert_eq!(world.claim("a1").await, "restoring");
    // The loss is known now, so it doesn't matter that the first replica clears the signs of it.
    world.restored().await;
    let Some(replica) = Server::start().await else { return };
    replica.replicate(&world.server).await;
    assert_eq!(world.claim("a1").await, "new");
}

/// Redis changes the id of its replication history for its first replica, such as `redis-cli
/// --rdb`, and some time after its last one has left.
#[tokio::test]
async fn replicas_that_come_and_go_lose_no_claims() {
    let Some(scene) = super::redis().await else { return };
    let Some(replica) = Server::start().await else { return };
    let primary = &scene.world.server;
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.p.end("a1", Release).await;
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
/// a process that starts there finds no other process.
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
        let Some(world) = former_replica(demote).await else { return };
        let Some(replica) = Server::start().await else { return };
        replica.replicate(&world.server).await;
        assert_eq!(world.claim("a1").await, "restoring", "{demote}");
    }
}

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
    world.restored().await;
    assert_eq!(world.claim("k1").await, "new");
    swap().await;
    let mut hints = world.hints().await;
    assert_eq!(world.claim("k2").await, "restoring");
    assert_eq!(next(&mut hints).await, "");
    world.restored().await;
    assert_eq!(world.claim("k2").await, "new", "the swap is known");
    // A process that joins again notices the swap too.
    swap().await;
    world.expire(CLAIM).await;
    world.join("s1", "s1").await;
    assert_eq!(next(&mut hints).await, "");
    world.join("s1", "s1").await;
    assert_eq!(world.look().await, "restoring", "it begins once");
    _ = world.server.command::<u32>(&format!("PUBLISH {EVERYONE} last")).await;
    assert_eq!(next(&mut hints).await, "last", "no further hint was sent");
}

/// A jump of the clock that lets a claim expire lets `data` expire too.
#[tokio::test]
async fn claims_that_expire_are_lost() {
    let Some(world) = server().await else { return };
    assert_eq!(world.claim("a1").await, "new");
    // A stand-in for the longest time until the owner's next `Sync` extends the claim.
    let longest = 1_200_000 / 8 + LEASE_MS;
    for earlier in ["s1", ""] {
        world.join("s1", earlier).await;
        let kept = world.ttl_of(DATA).await;
        assert!((LEASE_MS * 9 / 10..world.ttl_of(CLAIM).await - longest).contains(&kept), "{kept}");
    }
    world.expire(DATA).await;
    assert!(world.look().await.starts_with("live a1 "));
    world.expire(CLAIM).await;
    assert_eq!(world.look().await, "restoring");
    assert!(world.ttl_of(DATA).await >= LEASE_MS * 9 / 10);
}

#[tokio::test]
async fn only_a_process_that_knew_the_data_says_that_they_are_lost() {
    let Some(world) = server().await else { return };
    assert_eq!(world.look().await, "free", "a new server");
    world.join("s2", "").await;
    assert_eq!(world.look().await, "free", "another process starts");
    world.join("s2", "s1").await;
    assert_eq!(world.look().await, "restoring", "the server was restarted");
    world.restored().await;
    world.join("s2", "s1").await;
    assert_eq!(world.look().await, "free", "the last process returns, after another has said so");

    world.lose_data().await;
    let hints = world.hints().await;
    world.join("s2", "").await;
    assert_eq!(world.look().await, "restoring", "a process starts while others are connected");
    drop(hints);
}

/// The token of an earlier time of restoring does not end a later one.
#[tokio::test]
async fn restoring_ends_once_a_process_has_known_of_it_for_a_lease() {
    let Some(world) = server().await else { return };
    let token = async || world.server.command::<String>(&format!("HGET {DATA} u")).await;
    world.join("s2", "s1").await;
    let first = token().await;
    assert!(world.beat("s2", "s2", "").await.contains(&first));
    assert_eq!(world.look().await, "restoring");
    world.beat("s2", "s2", &first).await;
    assert_eq!(world.look().await, "free");
    world.join("s3", "s2").await;
    world.beat("s3", "s3", &first).await;
    assert_eq!(world.look().await, "restoring");
    assert_ne!(token().await, first);
}

/// The program is deployed while processes with an earlier version run.
#[tokio::test]
async fn process_beside_another_version_does_not_connect() {
    let Some(world) = Redis::start(LEASE).await else { return };
    let _: u32 = world.server.command(&format!("HSET {DATA} u 0 s x")).await;
    assert_eq!(world.server.command::<u32>(&format!("PEXPIRE {DATA} 60000")).await, 1);
    let error = Process::try_connect(world.store(), "p", RETAINED).await.err().unwrap();
    assert!(format!("{error:?}").contains("set another prefix (protocol 1)"), "{error:?}");
}

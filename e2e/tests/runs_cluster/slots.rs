//! Runs in a Redis cluster. Slots move or servers fail while runs are read in all processes.

use crate::*;

/// The hash tag of the runs.
const PREFIX: &str = "{app}";
/// A script that replaces a claim.
const REPLACE: &str = concat!(
    "#!lua flags=allow-oom\n",
    include_str!("../../../crates/tower-sse-redis/src/runs/store/lua/version.lua"),
    include_str!("../../../crates/tower-sse-redis/src/runs/store/lua/common.lua"),
    include_str!("../../../crates/tower-sse-redis/src/runs/store/lua/replace.lua"),
);
/// How long a client at a process that does not own the run may wait for an event, if a process
/// starts in no time.
const STALL: Duration = Duration::from_secs(2);
/// A client may also wait this many times as long as a process of the same test takes to start,
/// because a busy machine delays each of many steps.
const STARTS: u32 = 20;
/// The time between two keys of a slow move, which lasts longer than a lease in total.
const SLOW: Duration = Duration::from_millis(200);

/// Three processes that share their runs over a Redis cluster.
struct Slots {
    redis: Nodes,
    processes: Vec<Process>,
    calls: PathBuf,
    /// How long the slowest process took to start.
    slowest: Duration,
}

impl Slots {
    /// Starts processes, each of which knows two of the first three servers.
    async fn start(redis: Nodes) -> Self {
        let calls = redis.nodes[0].directory().join("calls");
        fs::create_dir_all(&calls).unwrap();
        let mut slots = Self { redis, processes: Vec::new(), calls, slowest: Duration::ZERO };
        for at in 0..3 {
            slots.add_process([at, (at + 1) % 3]).await;
        }
        slots
    }

    /// Starts a process that knows these servers.
    async fn add_process(&mut self, nodes: [usize; 2]) {
        let urls = nodes.map(|node| self.redis.nodes[node].url()).join(",");
        let began = Instant::now();
        self.processes.push(process::start(&urls, PREFIX, LEASE, &self.calls).await);
        self.slowest = self.slowest.max(began.elapsed());
    }
}

/// Asserts that every event arrives once, and that the service is called once for each run. Clients
/// at processes that don't own the run may wait for [`STALL`], the time that the servers took, which
/// `fault` returns, and [`STARTS`] times as long as a process takes to start before or after it.
async fn nothing_is_lost_while(
    nodes: Option<Nodes>,
    fault: impl AsyncFnOnce(&mut Slots) -> Duration,
) {
    let Some(redis) = nodes else { return };
    let mut slots = Slots::start(redis).await;
    let addresses: Vec<_> = slots.processes.iter().map(|process| process.address).collect();
    let clients = read_everywhere(&addresses);
    sleep(Duration::from_secs(1)).await;
    let servers = fault(&mut slots).await;
    let owner = slots.redis.owner;
    slots.add_process([owner, owner]).await;
    let mut longest = Duration::ZERO;
    for (at, client) in join_all(clients).await.into_iter().enumerate() {
        let client = client.unwrap();
        client.assert_whole(EVENTS);
        let (run, at) = (at / 3, at % 3);
        if run % 3 != at {
            let stall = client.times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            longest = longest.max(stall);
        }
    }
    let slowest = slots.slowest;
    println!("{longest:?} without an event, {servers:?} of the servers, {slowest:?} to start");
    let bound = STALL + servers + STARTS * slowest;
    assert!(longest <= bound, "{longest:?} of {bound:?}");
    for run in 0..RUNS {
        assert_eq!(calls(&slots.calls, &format!("fault-{run}")), 1, "{run}");
    }
    let owner = &slots.redis.nodes[slots.redis.owner];
    assert_no_eternal_keys(owner);
    // The other nodes do not receive what processes send each other.
    let info: String = owner.command("CLUSTER INFO").await;
    assert!(!info.contains("_messages_publish_sent"), "{info}");
}

#[tokio::test]
async fn slot_moves_three_times() {
    nothing_is_lost_while(Nodes::start(PREFIX).await, async |slots| {
        let mut moved = Duration::ZERO;
        for _ in 0..3 {
            let began = Instant::now();
            slots.redis.move_slot((slots.redis.owner + 1) % 3, Duration::ZERO).await;
            moved += began.elapsed();
            sleep(Duration::from_millis(700)).await;
        }
        moved
    })
    .await;
}

/// During the move, the node that gives up the slot redirects commands one by one, or asks to try
/// again.
#[tokio::test]
async fn slot_moves_slowly() {
    nothing_is_lost_while(Nodes::start(PREFIX).await, async |slots| {
        let (to, started) = ((slots.redis.owner + 1) % 3, Instant::now());
        slots.redis.move_slot(to, SLOW).await;
        started.elapsed()
    })
    .await;
}

/// The server that had the slot leaves. No process was started with the URL of the new server.
#[tokio::test]
async fn slot_moves_to_a_new_server_and_the_old_one_leaves() {
    let Some(mut nodes) = Nodes::start(PREFIX).await else { return };
    nodes.add_node().await;
    nothing_is_lost_while(Some(nodes), async |slots| {
        let (old, began) = (slots.redis.owner, Instant::now());
        slots.redis.move_slot(3, Duration::ZERO).await;
        let moved = began.elapsed();
        sleep(Duration::from_millis(700)).await;
        slots.redis.nodes[old].kill();
        moved
    })
    .await;
}

#[tokio::test]
async fn primary_dies_and_its_replica_takes_over() {
    let Some(mut nodes) = Nodes::start(PREFIX).await else { return };
    nodes.add_replica().await;
    nothing_is_lost_while(Some(nodes), async |slots| {
        let (owner, began) = (slots.redis.owner, Instant::now());
        slots.redis.nodes[owner].kill();
        slots.redis.is_primary(3).await;
        began.elapsed()
    })
    .await;
}

/// The node that gives the keys away ends the subscriptions, so the process follows before it
/// checks its connections.
#[tokio::test]
async fn idle_process_follows_a_slot() {
    let Some(mut nodes) = Nodes::start(PREFIX).await else { return };
    // A process checks its connections each quarter of its lease.
    let lease = PATIENCE;
    let store = Redis::open(&nodes.nodes[0].url()).unwrap().runs(PREFIX).lease(lease);
    let health = store.health();
    let connected = Instant::now();
    let _runs = Runs::builder().connect(store).await.unwrap();
    nodes.move_slot((nodes.owner + 1) % 3, Duration::ZERO).await;
    until(|| health.reconnections() == 1).await;
    assert!(connected.elapsed() < lease / 4, "{:?}", connected.elapsed());
    until(|| health.is_ready()).await;
    let owner = &nodes.nodes[nodes.owner];
    let list: String = owner.command("CLIENT LIST").await;
    let name = format!(" name={PREFIX}:");
    assert_eq!(list.lines().filter(|client| client.contains(&name)).count(), 2, "{list}");
    let subscribed = format!("PUBSUB SHARDNUMSUB {PREFIX}:run:ctl@0");
    let (_, count): (String, u32) = owner.command(&subscribed).await;
    assert_eq!(count, 1);
}

/// The page has the command for a single server, and says what differs in a cluster.
#[tokio::test]
async fn documented_permissions_are_enough_in_a_cluster() {
    let Some(nodes) = Nodes::start(PREFIX).await else { return };
    let page = include_str!("../../../crates/tower-sse-redis/docs/running.md");
    let line = page.lines().find(|line| line.contains("ACL SETUSER runs")).unwrap();
    let (line, last) = line.split_at(line.find("+publish").unwrap());
    assert_eq!(last, "+publish +subscribe +unsubscribe");
    let sharded = "+spublish +ssubscribe +sunsubscribe";
    assert!(page.contains(&format!("`{sharded}`")));
    let line = format!("{}{sharded}", line.replace("app:run", "{app}:run"));
    for node in &nodes.nodes {
        assert_eq!(node.command::<String>(&line).await, "OK");
    }
    let url = nodes.nodes[0].url().replace("redis://", "redis://runs:password@");
    let connect = async || {
        let store = Redis::open(&url).unwrap().runs(PREFIX).lease(LEASE);
        Runs::builder().connect(store).await.unwrap()
    };
    let (one, other) = (connect().await, connect().await);
    let key = RunKey::new("user", "turn").unwrap();
    let (request, ()) = Request::new(()).into_parts();
    let begins = CancellationToken::new();
    let began = begins.clone().cancelled_owned();
    let source = || stream::once(began).map(|()| Ok::<_, String>(Event::from("late")));
    _ = one.start(&key, &request, source).await.unwrap();
    let run = other.get(&key).await.unwrap();
    let events = run.attach(None).await.unwrap();
    begins.cancel();
    assert_eq!(events.filter_map(async |event| event.ok()).count().await, 1);
    for node in &nodes.nodes {
        let mut denied: Vec<Value> = node.command("ACL LOG").await;
        // A refused `CLIENT SETINFO` would be harmless: it only names the client library.
        denied.retain(|entry| !format!("{entry:?}").contains("setinfo"));
        assert!(denied.is_empty(), "{denied:?}");
    }
}

#[tokio::test]
async fn prefix_without_a_hash_tag_is_refused() {
    let Some(nodes) = Nodes::start("app").await else { return };
    for prefix in ["app", "app{}"] {
        let runs = Redis::open(&nodes.nodes[0].url()).unwrap().runs(prefix);
        let refused = Runs::builder().connect(runs).await.unwrap_err();
        assert!(refused.to_string().contains("such as `{app}`"), "{prefix}: {refused}");
    }
}

/// Behind a proxy that hides the cluster, subscriptions do not end when the slot moves.
#[tokio::test]
async fn idle_process_behind_a_proxy_follows_a_slot() {
    let Some(mut nodes) = Nodes::start(PREFIX).await else { return };
    let proxy = as_one_server(&nodes.nodes[nodes.owner]).await;
    let url = format!("redis://{}/", proxy.address);
    let store = Redis::open(&url).unwrap().runs(PREFIX).lease(LEASE);
    let health = store.health();
    let _runs = Runs::builder().connect(store).await.unwrap();
    nodes.move_slot((nodes.owner + 1) % 3, Duration::ZERO).await;
    let is_noticed = |error: tower_sse_redis::Error| {
        error.to_string().contains("the server no longer has the keys")
    };
    until(|| health.last_error().is_some_and(is_noticed)).await;
    let owner = &nodes.nodes[nodes.owner];
    let channels = async || owner.command::<Vec<String>>("PUBSUB SHARDCHANNELS").await;
    until_async(async || !channels().await.is_empty()).await;
}

/// While a slot moves, a script fails if it uses a missing key that it does not declare. Some
/// services refuse such scripts altogether.
#[tokio::test]
async fn permissions_are_checked_without_another_key() {
    let Some(nodes) = Nodes::start(PREFIX).await else { return };
    let [owner, other] = [nodes.owner, (nodes.owner + 1) % 3].map(|node| &nodes.nodes[node]);
    let names = ["claim", "claim:k1", "live", "processes"];
    let names = names.map(|name| format!("{PREFIX}:{name}"));
    let claim = format!("HSET {} v 2 e k1 p owner s running", names[0]);
    assert_eq!(owner.command::<u32>(&claim).await, 4);
    let _: String = owner.command(&format!("XADD {} 0-1 v 2", names[1])).await;
    for list in &names[2..] {
        assert_eq!(owner.command::<u32>(&format!("HSET {list} {} x", names[1])).await, 1);
    }
    let target: String = other.command("CLUSTER MYID").await;
    let migrating = format!("CLUSTER SETSLOT {} MIGRATING {target}", nodes.slot);
    let _: String = owner.command(&migrating).await;
    let mut replace = cmd("EVAL");
    replace.arg(REPLACE).arg(names.len()).arg(&names);
    replace.arg(&["k1", "k2", "other", "60000", "channel", "control:"]);
    let mut connection = owner.try_connect().await.unwrap();
    let reply: Vec<String> = replace.query_async(&mut connection).await.unwrap();
    assert_eq!(reply, ["new"]);
}

//! Which of several servers a process uses if some of those that respond can't be used. Also
//! processes whose server refuses writes, and publishing while the stream moves in a cluster.

use crate::{failover::hub_connections, *};

/// A Sentinel that names the server that a test sets.
struct Named {
    port: u16,
    /// The port of the server that this Sentinel names.
    primary: Arc<AtomicU64>,
    asked: Arc<AtomicUsize>,
    _accepting: AbortOnDropHandle<()>,
}

impl Named {
    /// Starts a Sentinel that answers after `delay`, as a Sentinel behind a slower link does.
    async fn start(primary: u16, delay: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let primary = Arc::new(AtomicU64::new(primary.into()));
        let asked = Arc::default();
        let accepting = {
            let (primary, asked) = (Arc::clone(&primary), Arc::clone(&asked));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(answer(client, Arc::clone(&primary), Arc::clone(&asked), delay));
                }
            }
        };
        let _accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Self { port, primary, asked, _accepting }
    }

    fn name(&self, server: &Server) {
        self.primary.store(server.port().into(), SeqCst);
    }
}

async fn answer(
    mut client: TcpStream,
    primary: Arc<AtomicU64>,
    asked: Arc<AtomicUsize>,
    delay: Duration,
) {
    let mut command = Vec::new();
    while client.read_buf(&mut command).await.is_ok_and(|length| length > 0) {
        if command.ends_with(b"hub\r\n") {
            command.clear();
            asked.fetch_add(1, SeqCst);
            sleep(delay).await;
            let port = primary.load(SeqCst).to_string();
            let answer = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
            _ = client.write_all(answer.as_bytes()).await;
        }
    }
}

/// Sentinels, of which the first answers at once and the others later.
struct Sentinels(Vec<Named>);

impl Sentinels {
    async fn start(named: &[u16]) -> Self {
        Self::start_farther(named, Duration::from_millis(10)).await
    }

    async fn start_farther(named: &[u16], delay: Duration) -> Self {
        let mut sentinels = Vec::new();
        for (at, primary) in named.iter().enumerate() {
            let delay = if at == 0 { Duration::ZERO } else { delay };
            sentinels.push(Named::start(*primary, delay).await);
        }
        Self(sentinels)
    }

    fn redis(&self) -> Redis {
        let urls = self.0.iter().map(|it| format!("redis://127.0.0.1:{}/", it.port));
        Redis::open_by_sentinel("redis://hub/", urls).unwrap()
    }

    fn asked(&self) -> usize {
        self.0.iter().map(|it| it.asked.load(SeqCst)).sum()
    }
}

/// Returns a primary that refuses events because it has no replica. With `has_data`, it has a
/// stream.
async fn lone_primary(has_data: bool) -> Option<Server> {
    let server = Server::start().await?;
    if has_data {
        publishes_and_reads(server.broker()).await;
    }
    let _: String = server.command("CONFIG SET min-replicas-to-write 1").await;
    Some(server)
}

/// Returns a URL that leads to `server` with a delay, and the relay of this URL.
async fn farther(server: &Server) -> (relay::Relay, String) {
    let relay = relay::Relay::start(server.port(), async |mut client, mut server| {
        sleep(Duration::from_millis(30)).await;
        _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    })
    .await;
    let url = format!("redis://{}/", relay.address);
    (relay, url)
}

/// Connects a hub, which publishes and reads, and runs, one of which starts.
async fn connects(redis: Redis, prefix: &str) {
    publishes_and_reads(patient(redis.clone())).await;
    start_run(&Runs::connect(redis.timeout(PATIENCE).runs(prefix)).await.unwrap(), "run").await;
}

#[tokio::test]
async fn most_sentinels_decide_although_another_one_answers_first() {
    let Some(new) = Server::start().await else { return };
    let Some(old) = lone_primary(false).await else { return };
    let Some(older) = lone_primary(true).await else { return };
    for wrong in [new.port(), free_port(), old.port(), older.port()] {
        // Two Sentinels that disagree have no majority, and the process still finds the primary.
        for named in [&[wrong, new.port(), new.port()][..], &[wrong, new.port()]] {
            connects(Sentinels::start(named).await.redis(), "app").await;
        }
    }
}

/// The first Sentinel is cut off from the others, which are far away from the program.
#[tokio::test]
async fn most_sentinels_decide_although_they_are_far_away() {
    let Some(new) = Server::start().await else { return };
    let Some(old) = Server::start().await else { return };
    let named = [old.port(), new.port(), new.port()];
    let sentinels = Sentinels::start_farther(&named, Duration::from_millis(300)).await;
    let mut process = Process::connect(patient(sentinels.redis())).await;
    process.delivers([0]).await;
    assert_eq!([hub_connections(&new).await, hub_connections(&old).await], [2, 0]);
}

#[tokio::test]
async fn list_leads_past_a_primary_that_takes_no_events() {
    let Some(new) = Server::start().await else { return };
    let (_relay, farther) = farther(&new).await;
    let Some(old) = lone_primary(false).await else { return };
    let Some(older) = lone_primary(true).await else { return };
    for other in [new.url(), old.url(), older.url()] {
        connects(Redis::open_any([&other, &farther]).unwrap(), "app").await;
    }
}

/// The nearer server has room for only one of the two connections.
#[tokio::test]
async fn list_leads_past_a_server_that_takes_only_one_connection() {
    let Some(full) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    let (_relay, farther) = farther(&other).await;
    let place = Arc::new(Semaphore::new(1));
    let nearer = relay::Relay::start(full.port(), move |mut client, mut server| {
        let place = Arc::clone(&place);
        async move {
            let Ok(_taken) = place.try_acquire() else { return };
            _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    let nearer = format!("redis://{}/", nearer.address);
    connects(Redis::open_any([nearer, farther]).unwrap(), "app").await;
}

/// A name can lead each connection to another node, like that of a service in front of all nodes.
#[tokio::test]
async fn name_of_all_nodes_leads_to_the_node_that_has_the_keys() {
    let Some(cluster) = Nodes::start(KEY).await else { return };
    let port = |step: usize| cluster.nodes[(cluster.owner + step) % 3].port();
    let [owner, second, third] = [0, 1, 2].map(port);
    let name = relay::Relay::to(owner).await;
    let redis = Redis::open(&format!("redis://{}/", name.address)).unwrap();
    for nodes in [[second, third], [owner, second], [second, owner]] {
        name.alternate(nodes);
        connects(redis.clone(), &format!("{{{KEY}}}")).await;
    }
}

/// The process still reads the events that the server has.
#[tokio::test]
async fn primary_that_takes_no_events_is_used_if_there_is_no_other() {
    let Some(server) = lone_primary(true).await else { return };
    let nobody = format!("redis://127.0.0.1:{}/", free_port());
    let broker = patient(Redis::open_any([server.url(), nobody]).unwrap());
    let process = Process::connect(broker.publish_deadline(SHORT_DEADLINE)).await;
    assert_eq!(process.hub.stats().events, 3);
    let reason = process.refusal().await;
    assert_eq!(reason.downcast_ref().map(Error::kind), Some(ErrorKind::ReadOnly), "{reason}");
}

/// The process knows two other nodes, which lead to the node that takes no events.
#[tokio::test]
async fn node_that_takes_no_events_is_used_for_its_keys() {
    let Some(cluster) = Nodes::start(KEY).await else { return };
    let [owner, second, third] = [0, 1, 2].map(|it| &cluster.nodes[(cluster.owner + it) % 3]);
    publishes_and_reads(owner.broker()).await;
    let _: String = owner.command("CONFIG SET min-replicas-to-write 1").await;
    let broker = patient(Redis::open_any([second.url(), third.url()]).unwrap());
    let process = Process::connect(broker.publish_deadline(SHORT_DEADLINE)).await;
    assert_eq!(process.hub.stats().events, 3);
    let reason = process.refusal().await;
    assert_eq!(reason.downcast_ref().map(Error::kind), Some(ErrorKind::ReadOnly), "{reason}");
}

/// A node that was removed from the cluster keeps running as a primary without slots.
#[tokio::test]
async fn removed_node_in_a_list_keeps_no_process_from_the_cluster() {
    let Some(mut cluster) = Nodes::start(KEY).await else { return };
    cluster.add_replica().await;
    cluster.add_node().await;
    let other = (cluster.owner + 1) % 3;
    let (_relay, farther) = farther(&cluster.nodes[other]).await;
    let prefix = format!("{{{KEY}}}");
    let redis = Redis::open_any([cluster.nodes[4].url(), farther]).unwrap();
    connects(redis.clone(), &prefix).await;

    let id: String = cluster.nodes[4].command("CLUSTER MYID").await;
    for node in &cluster.nodes[..4] {
        let _: String = node.command(&format!("CLUSTER FORGET {id}")).await;
    }
    let _: String = cluster.nodes[4].command("CLUSTER RESET SOFT").await;
    connects(redis.clone(), &prefix).await;

    let mut process = Process::connect(patient(redis.clone())).await;
    let runs = Runs::connect(redis.timeout(PATIENCE).runs(prefix)).await.unwrap();
    let owner = cluster.owner;
    cluster.nodes[owner].kill();
    cluster.is_primary(3).await;
    process.delivers([0]).await;
    start_run(&runs, "after").await;
}

/// The old primary lives on, apart from the new one and from most Sentinels.
#[tokio::test]
async fn processes_leave_a_server_once_most_sentinels_name_another() {
    let Some(old) = Server::start().await else { return };
    let Some(new) = Server::start().await else { return };
    let sentinels = Sentinels::start(&[old.port(); 3]).await;
    let mut process = Process::connect(patient(sentinels.redis())).await;
    let store = sentinels.redis().timeout(PATIENCE).runs("app");
    let health = store.health();
    let runs = Runs::connect(store).await.unwrap();
    process.delivers([0]).await;

    // One Sentinel names another server, as a Sentinel that is cut off does. The hub and the runs
    // each ask all three Sentinels again.
    sentinels.0[0].name(&new);
    let asked = sentinels.asked();
    until(|| sentinels.asked() >= asked + 2 * 3).await;
    process.delivers([1]).await;
    assert_eq!([process.health.reconnections(), health.reconnections()], [0, 0]);

    sentinels.0[1].name(&new);
    until(|| process.health.reconnections() > 0 && health.reconnections() > 0).await;
    until(|| process.health.is_ready() && health.is_ready()).await;
    process.reports("most sentinels name another server").await;
    let other = Process::connect(new.broker()).await;
    _ = other.publish([2]).await;
    process.reads_after_a_gap([2]).await;
    start_run(&runs, "after").await;
    let list: String = old.command("CLIENT LIST").await;
    assert_eq!(list.lines().count(), 1, "{list}");
}

#[tokio::test]
async fn processes_are_not_ready_while_redis_refuses_writes() {
    let Some(server) = Server::start().await else { return };
    let mut process = Process::connect(server.broker()).await;
    let store = server.redis().runs("app");
    let health = store.health();
    let _runs = Runs::connect(store).await.unwrap();
    let _: String = server.command("CONFIG SET min-replicas-to-write 1").await;
    until(|| !process.health.is_ready() && !health.is_ready()).await;
    process.reports("noreplicas").await;
    let error = health.last_error().unwrap().to_string();
    assert!(error.to_uppercase().contains("NOREPLICAS"), "{error}");
    let _: String = server.command("CONFIG SET min-replicas-to-write 0").await;
    until(|| process.health.is_ready() && health.is_ready()).await;
    process.delivers([0]).await;
    assert_eq!([process.health.reconnections(), health.reconnections()], [0, 0]);
}

#[tokio::test]
async fn publish_is_not_refused_while_the_stream_moves() {
    let Some(mut cluster) = Nodes::start(KEY).await else { return };
    let mut process = Process::connect(cluster.nodes[cluster.owner].broker()).await;
    let (hub, stop) = (process.hub.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let publishing = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            match hub.publish("a", number.to_string()).await {
                Ok(_) => acknowledged.push(number.to_string()),
                // The reader has learned of the move before this event was answered.
                Err(PublishError::Unknown(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            if stopped.is_cancelled() {
                break;
            }
        }
        acknowledged
    });
    for _ in 0..3 {
        let position = process.hub.position();
        until(|| process.hub.position() != position).await;
        cluster.move_slot((cluster.owner + 1) % 3, Duration::from_millis(20)).await;
    }
    stop.cancel();
    for number in publishing.await.unwrap() {
        while process.client.data(1).await != [&*number] {}
    }
}

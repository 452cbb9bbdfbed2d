//! Hubs and runs whose server is replaced or away: replicas, clusters and Sentinels.

use crate::*;

/// The server becomes a replica of its successor while the process stays connected to the server.
#[tokio::test]
async fn demoted_server_takes_no_events_and_loses_none_in_silence() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let mut process = Process::connect(proxy.broker()).await;
    _ = process.publish_and_read(0..5).await;
    server.has_waiting_reader().await;
    let _: String = server.command(&format!("REPLICAOF 127.0.0.1 {}", other.port())).await;
    until(|| !process.health.is_ready()).await;
    proxy.switch_to(other.port());
    _ = process.publish([5]).await;
    process.reads_around_a_gap(0..5, [5]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// The server becomes a replica while no read waits, so Redis tells the process nothing.
#[tokio::test]
async fn server_that_is_demoted_between_two_reads_is_left() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    other.replicate(&server).await;
    let redis = Redis::open_any([server.url(), other.url()]).unwrap();
    let mut process = Process::connect(patient(redis).pause(Duration::from_secs(5))).await;
    until(|| process.health.is_ready() && process.stats.log().is_some()).await;
    process.delivers([0]).await;

    let _: String = other.command("REPLICAOF NO ONE").await;
    server.replicate(&other).await;
    until(|| process.health.reconnections() > 0 && process.health.is_ready()).await;
    process.delivers([1]).await;
    assert_eq!(process.stats.losses(), 0);
    assert_eq!(hub_connections(&other).await, 2);
}

#[tokio::test]
async fn stream_that_moves_in_a_cluster_under_load_is_no_gap() {
    let Some(mut cluster) = Nodes::start(KEY).await else { return };
    // Each process knows only one of the servers, which has the stream only at times.
    let owner = cluster.owner;
    let brokers = [1, 2].map(|other| cluster.nodes[(owner + other) % 3].broker());
    let moves = async {
        for other in [1, 2, 0] {
            sleep(Duration::from_millis(300)).await;
            cluster.move_slot((owner + other) % 3, Duration::ZERO).await;
        }
        Vec::new()
    };
    let verdict = load_until(moves, brokers, &Arc::default()).await;
    println!("stream that moves in a cluster: {verdict:?}");
    assert_eq!(verdict.gaps, 0, "{verdict:?}");
}

/// A list of URLs would lead to the earlier primary until Sentinel demotes it.
#[tokio::test]
async fn primary_that_comes_back_gets_no_event_of_a_new_process() {
    let Some(mut server) = Server::start().await else { return };
    let Some(replica) = Server::start().await else { return };
    replica.replicate(&server).await;
    let sentinel = Sentinel::start(&server);
    until_async(async || sentinel.knows_replica().await).await;
    server.kill();
    until_async(async || sentinel.primary().await == Some(replica.port())).await;

    server.restart().await;
    let mut process = Process::connect(patient(sentinel.redis())).await;
    let store = sentinel.redis().timeout(PATIENCE).runs("app").lease(Duration::from_secs(2));
    let runs = Runs::connect(store).await.unwrap();
    process.delivers([0]).await;
    assert_eq!(hub_connections(&replica).await, 2);
    assert_eq!(hub_connections(&server).await, 0);
    // A server that was a replica may not know all running runs, so a run starts only after a
    // lease.
    start_run(&runs, "run").await;
}

#[tokio::test]
async fn sentinels_that_name_no_primary_are_an_error_that_says_why() {
    let Some(server) = Server::start().await else { return };
    let sentinel = Sentinel::start(&server);
    until_async(async || sentinel.primary().await.is_some()).await;
    let without_password = sentinel.url.replace(":watch@", "");
    let socket = "unix:///run/redis.sock";
    for (url, asked, kind, reason) in [
        ("redis://other/", &*sentinel.url, ErrorKind::Other, "no primary named `other`"),
        ("redis://hub/", &*without_password, ErrorKind::NotPermitted, "NOAUTH"),
        ("redis://hub/", &*server.url(), ErrorKind::Other, "unknown command"),
        (socket, &*sentinel.url, ErrorKind::Other, "has no host"),
    ] {
        let redis = Redis::open_by_sentinel(url, [asked]).unwrap();
        let error = Hub::connect(patient(redis)).await.unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == kind && text.contains(reason), "{kind:?}: {text}");
        assert!(!text.contains("watch"), "{text}");
    }
    let none: [&str; 0] = [];
    assert!(Redis::open_by_sentinel("redis://hub/", none).is_err());
}

#[tokio::test]
async fn events_without_a_primary_are_refused_and_none_is_lost() {
    without_a_primary(Duration::from_secs(3)).await;
}

#[tokio::test]
#[ignore = "takes three minutes"]
async fn minutes_without_a_primary_lose_nothing() {
    without_a_primary(Duration::from_secs(180)).await;
}

/// The server is dead for `outage`. Sentinel knows no replica, so it names the server all the time.
async fn without_a_primary(outage: Duration) {
    let Some(mut server) = Server::start_durable().await else { return };
    let sentinel = Sentinel::start(&server);
    until_async(async || sentinel.primary().await == Some(server.port())).await;
    // The deadline is short, so that many events are refused during the outage.
    let broker = patient(sentinel.redis()).publish_deadline(Duration::from_secs(2));
    let mut process = Process::connect(broker).await;
    let store = sentinel.redis().timeout(PATIENCE).runs("app");
    let health = store.health();
    let runs = Runs::connect(store).await.unwrap();
    process.delivers([0]).await;
    start_run(&runs, "before").await;

    server.kill();
    let died = Instant::now();
    let mut refused = 0;
    while died.elapsed() < outage {
        assert!(process.hub.publish("a", "lost").await.is_err());
        refused += 1;
    }
    assert!(refused > 0 && !process.health.is_ready() && !health.is_ready());
    process.reports("connection refused").await;
    assert_eq!(sentinel.primary().await, Some(server.port()));

    server.restart().await;
    until(|| process.health.is_ready() && health.is_ready()).await;
    process.delivers([1]).await;
    assert_eq!(process.stats.losses(), 0);
    start_run(&runs, "after").await;
}

/// The server dies, or it takes events until Sentinel names the other server.
#[tokio::test]
async fn successor_of_a_server_is_found_without_a_silent_loss() {
    for found in [Found::ByName, Found::InList, Found::BySentinel] {
        for dies in [true, false] {
            sentinel(dies, found).await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Processes know one host name, which leads to the primary.
    ByName,
    /// Processes know the URLs of all servers.
    InList,
    /// Processes ask Sentinel.
    BySentinel,
}

/// Puts two processes under load while the server that they use dies or is replaced.
async fn sentinel(dies: bool, found: Found) {
    let Some(mut server) = Server::start().await else { return };
    let Some(replica) = Server::start().await else { return };
    replica.replicate(&server).await;
    let sentinel = Arc::new(Sentinel::start(&server));
    until_async(async || sentinel.knows_replica().await).await;

    let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
    proxies[1].delay(Duration::from_millis(50));
    let brokers = match found {
        Found::ByName => [proxies[0].broker(), proxies[1].broker()],
        Found::InList => {
            let urls = [server.url(), replica.url()];
            let reversed = [replica.url(), server.url()];
            [urls, reversed].map(|urls| patient(Redis::open_any(urls).unwrap()))
        }
        Found::BySentinel => [(); 2].map(|()| patient(sentinel.redis())),
    };
    let _name = follow_name(Arc::clone(&sentinel), proxies.into(), server.port());
    let replace = async {
        sleep(Duration::from_millis(300)).await;
        let began = server.now().await;
        if dies {
            server.kill();
        } else {
            until_async(async || sentinel.fail_over().await).await;
        }
        until_async(async || sentinel.primary().await == Some(replica.port())).await;
        // Connections to the old server are cut within this time.
        sleep(Duration::from_millis(200)).await;
        if found != Found::ByName {
            // Each process has two connections. Those of Sentinel and of this test are not counted.
            until_async(async || hub_connections(&replica).await == 4).await;
        }
        vec![Loss::between(began, replica.now().await)]
    };
    let verdict = load_until(replace, brokers, &Arc::default()).await;
    let what = if dies { "dies" } else { "is demoted" };
    println!("Sentinel, server that {what}, {found:?}: {verdict:?}");
}

pub(crate) async fn hub_connections(server: &Server) -> usize {
    let list: String = server.command("CLIENT LIST").await;
    list.lines().filter(|line| line.contains(" name=tower-sse:")).count()
}

//! Connections that break, and servers that restart.

use std::collections::HashSet;

use tokio::{io::copy, net::TcpStream, task::JoinSet};

use super::*;
use crate::support::listen;

/// A short lease, so that processes connect again soon.
const LEASE: Duration = Duration::from_secs(2);

/// Runs go on although the key that joining needs has another type.
#[tokio::test]
async fn connections_are_replaced_although_joining_fails() {
    let Some(scene) = Scene::start(LEASE).await else { return };
    scene.p.begin("a1").await;
    let (server, number) = (&scene.world.server, scene.p.number());
    let _: String = server.command(&format!("SET {DATA} text")).await;
    _ = server.command::<u32>("CLIENT KILL TYPE normal SKIPME yes").await;
    _ = scene.p.reconnected_after(number).await;
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    _ = server.command::<u32>(&format!("DEL {DATA}")).await;
}

/// What was exported over an earlier connection may be lost, so nothing relies on it.
#[tokio::test]
async fn subscriptions_outlive_a_restart_and_commands_for_earlier_connections_do_not() {
    let Some(mut scene) = Scene::start(LEASE).await else { return };
    scene.q.subscribe("a1").await;
    let numbers = (scene.p.number(), scene.q.number());
    scene.world.restart().await;
    assert!(scene.p.reconnected_after(numbers.0).await > numbers.0);
    let trimmed = scene.p.store.trim(numbers.0, &run("a1"), 1).await;
    assert_eq!(trimmed, Err(Failure::Unavailable));
    assert_eq!(scene.p.look().await, "restoring");
    _ = scene.q.reconnected_after(numbers.1).await;
    while scene.q.received().await != "reconnected" {}
    assert_eq!(scene.p.sync("a1", RESTORE).await, "ok 0 1");
    // Each process that returns may say that the server has lost its data.
    let receives = async |process: &Process, expected: &str| loop {
        match &*process.received().await {
            "hint to all" | "reconnected" => {}
            received => break assert_eq!(received, expected),
        }
    };
    receives(&scene.q, "changed").await;
    _ = scene.q.watch("a1").await;
    receives(&scene.p, "watched a1").await;
}

/// The process subscribes again by one call of more commands than other calls may share.
#[tokio::test]
async fn all_of_many_subscriptions_outlive_broken_connections() {
    let Some(scene) = Scene::start(LEASE).await else { return };
    let runs: Vec<_> = (0..1_100).map(|number| run_of(&number.to_string())).collect();
    for run in &runs {
        scene.q.store.subscribe(run).await.unwrap();
    }
    let numbers = (scene.p.number(), scene.q.number());
    for kind in ["normal", "pubsub"] {
        let kill = format!("CLIENT KILL TYPE {kind} SKIPME yes");
        _ = scene.world.server.command::<u32>(&kill).await;
    }
    _ = scene.p.reconnected_after(numbers.0).await;
    _ = scene.q.reconnected_after(numbers.1).await;
    let mut waiting: HashSet<_> = runs.iter().cloned().collect();
    for run in &runs {
        scene.p.begin_run(run).await;
    }
    while !waiting.is_empty() {
        if let Incoming::Push(run, _) = scene.q.receive().await {
            _ = waiting.remove(&run);
        }
    }
}

/// A proxy keeps the connection of a command that timed out. If it stayed open, Redis would execute
/// the command later.
#[tokio::test]
async fn connection_that_timed_out_is_closed_by_its_successor() {
    let Some(world) = Redis::start(LEASE).await else { return };
    let proxy = Proxy::start([world.server.port(); 2]).await;
    let p = proxy.connect().await;
    p.begin("a1").await;
    let number = p.number();
    let clients = async || world.server.command::<String>("CLIENT LIST").await;
    let list = clients().await;
    let named = list.lines().filter(|line| line.contains(" name=app:"));
    let ids: Vec<_> = named.filter_map(|line| line.split(' ').next()).collect();
    // Only writes wait, so that the next connection can be opened meanwhile.
    let _: String = world.server.command("CLIENT PAUSE 60000 WRITE").await;
    assert_eq!(p.append("a1", 1, 1).await, "lost");
    let is_closed = async || {
        let clients = clients().await;
        ids.iter().any(|id| !clients.contains(&format!("{id} ")))
    };
    until_async(is_closed).await;
    let _: String = world.server.command("CLIENT UNPAUSE").await;
    _ = p.reconnected_after(number).await;
    assert_eq!(p.sync("a1", HEAD).await, "ok 0 1");
}

/// All connections must lead to the same server, as long as they last.
#[tokio::test]
async fn session_ends_if_another_server_is_behind_any_of_its_connections() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    for connection in 0..2 {
        let proxy = Proxy::start([server.port(), other.port()]).await;
        let p = proxy.connect().await;
        let number = p.number();
        proxy.swap(connection);
        _ = p.reconnected_after(number).await;
        assert!(p.health.last_error().unwrap().to_string().contains("another server answers"));
    }
}

#[tokio::test]
async fn missing_scripts_are_loaded_again() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    let _: String = scene.world.server.command("SCRIPT FLUSH").await;
    assert_eq!(scene.p.append("a1", 1, 1).await, "appended 1");
    let replies = join(scene.p.sync("a1", HEAD), scene.p.look()).await;
    assert_eq!(replies, ("ok 1 2".into(), "live a1 of p".into()));
    let _: String = scene.world.server.command("SCRIPT FLUSH").await;
    assert_eq!(scene.p.stream("a1").await, ["head", "1 1"]);
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

/// A process whose mirrors are all of ended runs has nothing to check.
#[tokio::test]
async fn calls_without_commands_leave_the_connections_open() {
    let Some(scene) = redis().await else { return };
    assert!(scene.p.store.check(&[]).await.is_empty());
    assert!(scene.p.store.end_all(Some(1), &[]).await.is_empty());
    assert_eq!(scene.q.look().await, "free");
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

/// A proxy that keeps the connections to the server when clients close theirs, and can swap the
/// server behind a connection.
struct Proxy {
    port: u16,
    swapped: watch::Sender<Option<usize>>,
    _connections: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy of the first server. [`swap`](Self::swap) puts the second one in its place.
    async fn start([first, second]: [u16; 2]) -> Self {
        let (listener, address) = listen().await;
        let (swapped, mut connections) = (watch::Sender::new(None), JoinSet::new());
        let swaps = swapped.clone();
        connections.spawn(async move {
            let mut clients = JoinSet::new();
            for number in 0.. {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut swapped = swaps.subscribe();
                clients.spawn(async move {
                    tokio::select! {
                        () = pass(&mut client, first) => return,
                        _ = swapped.wait_for(|swapped| *swapped == Some(number)) => {}
                    }
                    pass(&mut client, second).await;
                });
            }
        });
        Self { port: address.port(), swapped, _connections: connections }
    }

    async fn connect(&self) -> Process {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        Process::connect(Servers::open(&url).unwrap().runs("app").lease(LEASE), "p").await
    }

    /// Swaps the server behind one of the connections, which are counted from 0.
    fn swap(&self, connection: usize) {
        self.swapped.send_replace(Some(connection));
    }
}

/// Passes bytes until the server closes the connection.
async fn pass(client: &mut TcpStream, server: u16) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    tokio::select! {
        Err(_) = copy(&mut from_client, &mut to_server) => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

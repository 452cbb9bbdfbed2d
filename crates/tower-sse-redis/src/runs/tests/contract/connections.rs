//! Connections that break, and servers that restart.

use tokio::net::{TcpListener, TcpStream};
use tokio::{io::copy, task::JoinSet};

use super::{process::*, *};
use crate::support::listen;

/// A short one, so that processes connect again soon.
const LEASE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some(scene) = redis_with(LEASE).await else { return };
    scene.begin("a1").await;
    let mut number = scene.p.number();
    for kind in ["pubsub", "normal"] {
        let kill = format!("CLIENT KILL TYPE {kind} SKIPME yes");
        _ = scene.world.server.command::<u32>(&kill).await;
        number = scene.p.reconnected_after(number).await;
        assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
        assert!(scene.world.health().is_ready());
    }
}

/// Runs go on without the keys that only starting needs.
#[tokio::test]
async fn connections_are_replaced_although_joining_fails() {
    let Some(scene) = redis_with(LEASE).await else { return };
    scene.begin("a1").await;
    let (server, number) = (&scene.world.server, scene.p.number());
    let _: String = server.command(&format!("SET {DATA} text")).await;
    _ = server.command::<u32>("CLIENT KILL TYPE normal SKIPME yes").await;
    _ = scene.p.reconnected_after(number).await;
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    _ = server.command::<u32>(&format!("DEL {DATA}")).await;
}

/// What was exported over an earlier connection may be lost, so nothing relies on it.
#[tokio::test]
async fn commands_for_an_earlier_connection_are_not_sent() {
    let Some(mut scene) = redis_with(LEASE).await else { return };
    scene.begin("a1").await;
    let number = scene.p.number();
    scene.world.restart().await;
    let later = scene.p.reconnected_after(number).await;
    assert!(later > number);
    let results = scene.p.store.execute(Some(number), vec![append(&run("a1"), 1, 1, "a")]).await;
    assert!(matches!(results[..], [Err(Failure::Unavailable)]), "{results:?}");
    let mut results = scene.p.store.execute(Some(later), vec![look(&run("a1"))]).await;
    assert_eq!(reply::text(results.remove(0)), "restoring");
}

#[tokio::test]
async fn subscriptions_survive_a_restart_of_the_server() {
    let Some(mut scene) = redis_with(LEASE).await else { return };
    scene.subscribe("q", "a1").await;
    let numbers = (scene.p.number(), scene.q.number());
    scene.world.restart().await;
    _ = scene.p.reconnected_after(numbers.0).await;
    _ = scene.q.reconnected_after(numbers.1).await;
    assert_eq!(scene.received("q").await, "lost pushes");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "ok 0 1");
    // Each process that returns may say that the server has lost its data.
    let next = async |process: &'static str| loop {
        match scene.process(process).receive().await {
            Incoming::HintToAll | Incoming::LostPushes => {}
            incoming => return incoming,
        }
    };
    assert!(matches!(next("q").await, Incoming::Push(_, Push::Head(_))));
    _ = scene.watch("a1", "q").await;
    assert!(matches!(next("p").await, Incoming::Hint(_)), "hints too");
}

/// Until its owner has restored the claim, a run that is running is not taken for missing.
#[tokio::test]
async fn owners_learn_of_a_flush() {
    let Some(scene) = redis().await else { return };
    scene.begin("a1").await;
    scene.world.lose_data().await;
    // It starts between the flush and the first request to the others.
    let late = Process::connect(scene.world.store(), "late").await;
    let reply = late.try_execute(look(&run("a1"))).await;
    assert_eq!(reply::text(reply), "restoring");
    assert_eq!(scene.received("p").await, "hint to all");
}

/// A proxy keeps the connection of a command that timed out, and Redis executes the command later.
#[tokio::test]
async fn connection_that_timed_out_is_closed_by_its_successor() {
    let Some(world) = Redis::start(LEASE).await else { return };
    let proxy = Proxy::start([world.server.port(); 2]).await;
    proxy.keep();
    let store = Servers::open(&proxy.url()).unwrap().runs("app").lease(LEASE);
    let p = Process::connect(store, "p").await;
    let name = run("a1");
    p.begin(&name).await;
    let number = p.number();
    let clients = async || world.server.command::<String>("CLIENT LIST").await;
    let list = clients().await;
    let named = list.lines().filter(|line| line.contains(" name=app:"));
    let ids: Vec<_> = named.filter_map(|line| line.split(' ').next()).collect();
    // Only writes wait, so that the next connection can be opened meanwhile.
    let _: String = world.server.command("CLIENT PAUSE 60000 WRITE").await;
    let results = p.store.execute(Some(number), vec![append(&name, 1, 1, "late")]).await;
    assert!(matches!(results[..], [Err(Failure::Lost)]), "{results:?}");
    let is_closed = async || {
        let clients = clients().await;
        ids.iter().any(|id| !clients.contains(&format!("{id} ")))
    };
    until_async(is_closed).await;
    let _: String = world.server.command("CLIENT UNPAUSE").await;
    _ = p.reconnected_after(number).await;
    assert_eq!(reply::text(p.try_execute(sync(&name)).await), "ok 0 1");
}

/// All connections must lead to the same server, as long as they last.
#[tokio::test]
async fn session_ends_if_another_server_is_behind_any_of_its_connections() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    for connection in 0..3 {
        let proxy = Proxy::start([server.port(), other.port()]).await;
        let store = Servers::open(&proxy.url()).unwrap().runs("app").lease(LEASE);
        let health = store.health();
        let p = Process::connect(store, "p").await;
        let number = p.number();
        proxy.swap(connection);
        _ = p.reconnected_after(number).await;
        assert!(health.last_error().unwrap().contains("another server answers"));
    }
}

#[tokio::test]
async fn missing_scripts_are_loaded_again() {
    let Some(scene) = redis().await else { return };
    scene.begin("a1").await;
    let (name, store) = (run("a1"), &scene.p.store);
    let _: String = scene.world.server.command("SCRIPT FLUSH").await;
    let commands = vec![append(&name, 1, 1, "event"), sync(&name), look(&name)];
    let results = store.execute(Some(1), commands).await;
    assert!(
        matches!(
            results[..],
            [
                Ok(Reply::Append(AppendReply::Appended { entries: 1 })),
                Ok(Reply::Sync(SyncReply::InStep { newest: 1, .. })),
                Ok(Reply::Look(_)),
            ]
        ),
        "{results:?}"
    );
    let _: String = scene.world.server.command("SCRIPT FLUSH").await;
    assert_eq!(store.load(&name, 0).await.unwrap().batches.len(), 1);
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

/// A process that has mirrors of ended runs only has nothing to check.
#[tokio::test]
async fn no_commands_leave_the_connections_open() {
    let Some(scene) = redis().await else { return };
    assert!(scene.p.store.execute(None, Vec::new()).await.is_empty());
    assert_eq!(scene.look().await, "free");
    assert_eq!(scene.p.number(), 1, "over the same connection");
}

#[tokio::test]
async fn dropped_store_closes_its_connections() {
    let Some(scene) = redis().await else { return };
    let mut connection = scene.p.store.connection();
    let Scene { world, p, q, r } = scene;
    drop((p, q, r));
    // The state is dropped with the store.
    while soon(connection.changed()).await.is_ok() {}
    let clients = async || world.server.command::<String>("CLIENT LIST").await.lines().count();
    until_async(async || clients().await <= 1).await;
}

/// A proxy that keeps connections which one side closes, and swaps the server behind a connection.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
    _connections: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// Whether connections to the server stay when clients close theirs.
    keeps: watch::Sender<bool>,
    swapped: watch::Sender<Option<usize>>,
}

impl Proxy {
    /// Starts a proxy of the first server. The second one takes its place.
    pub(crate) async fn start(servers: [u16; 2]) -> Self {
        let (listener, address) = listen().await;
        let state = Arc::new(State::default());
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, servers, Arc::clone(&state)));
        Self { port: address.port(), state, _connections: connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Keeps the connections to the server from now on.
    pub(crate) fn keep(&self) {
        self.state.keeps.send_replace(true);
    }

    /// Swaps the server behind one of the connections, which are counted from 0.
    pub(crate) fn swap(&self, connection: usize) {
        self.state.swapped.send_replace(Some(connection));
    }
}

async fn accept(listener: TcpListener, [first, second]: [u16; 2], state: Arc<State>) {
    let mut clients = JoinSet::new();
    for number in 0.. {
        let (mut client, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        clients.spawn(async move {
            let mut swapped = state.swapped.subscribe();
            tokio::select! {
                () = pass(&mut client, first, &state) => return,
                _ = swapped.wait_for(|swapped| *swapped == Some(number)) => {}
            }
            pass(&mut client, second, &state).await;
        });
    }
}

async fn pass(client: &mut TcpStream, server: u16, state: &State) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let up = async {
        _ = copy(&mut from_client, &mut to_server).await;
        _ = state.keeps.subscribe().wait_for(|keeps| !keeps).await;
    };
    tokio::select! {
        () = up => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

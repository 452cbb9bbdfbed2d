use std::sync::Arc;

use tokio::{
    io::copy,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::support::listen;

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

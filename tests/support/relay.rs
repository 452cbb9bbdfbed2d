//! A port in front of a server.

#![allow(dead_code, unreachable_pub)]

use std::mem::{swap, take};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::{spawn, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A port whose connections lead to a server, until a test breaks them or leads them elsewhere.
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    /// The ports to which connections lead in turn, first that of the next connection.
    servers: [u16; 2],
    /// Ends all connections.
    connections: CancellationToken,
}

impl Relay {
    /// Starts a relay that passes all bytes unchanged.
    pub async fn to(server: u16) -> Self {
        Self::start(server, async |mut client, mut server| {
            _ = copy_bidirectional(&mut client, &mut server).await;
        })
        .await
    }

    /// Starts a relay that calls `pass` with each client's socket and one to `server`.
    pub async fn start<F>(
        server: u16,
        pass: impl Fn(TcpStream, TcpStream) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = CancellationToken::new();
        let state = Arc::new(Mutex::new(State { servers: [server; 2], connections }));
        let accepting = spawn({
            let state = Arc::clone(&state);
            async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let (port, ended) = state.lock().unwrap().next();
                    let pass = pass.clone();
                    let passing = async move {
                        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                        let Ok(server) = server else { return };
                        client.set_nodelay(true).unwrap();
                        server.set_nodelay(true).unwrap();
                        pass(client, server).await;
                    };
                    spawn(async move { ended.run_until_cancelled(passing).await });
                }
            }
        });
        Self { address, state, accepting }
    }

    /// Breaks all open connections. Later ones pass.
    pub fn cut(&self) {
        take(&mut self.state.lock().unwrap().connections).cancel();
    }

    /// Leads the next connection to the first server and the one after it to the second, and so on.
    pub fn alternate(&self, servers: [u16; 2]) {
        self.state.lock().unwrap().servers = servers;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl State {
    fn next(&mut self) -> (u16, CancellationToken) {
        let [next, later] = &mut self.servers;
        swap(next, later);
        (*later, self.connections.clone())
    }
}

use std::mem::take;

use crate::*;

/// A port in front of a server, whose connections can break, freeze or be refused.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    connections: Arc<Connections>,
    is_listening: mpsc::UnboundedSender<bool>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Connections {
    /// Breaks all connections that are open now.
    cut: Mutex<CancellationToken>,
    frozen: Notify,
}

impl Wire {
    /// Starts a port that leads to `server`. If `splits`, the server's bytes come in pieces, so
    /// that a cut can come within an event.
    pub(crate) async fn to(server: SocketAddr, splits: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Connections>::default();
        let (is_listening, commands) = mpsc::unbounded_channel();
        let state = Arc::clone(&connections);
        let accepting = tokio::spawn(accept(listener, commands, state, server, splits));
        Self { address, connections, is_listening, accepting }
    }

    /// Breaks all open connections. Later ones pass.
    pub(crate) fn cut(&self) {
        take(&mut *self.connections.cut.lock().unwrap()).cancel();
    }

    /// Open connections stay open, and pass nothing more. Later ones pass.
    pub(crate) fn freeze(&self) {
        self.connections.frozen.notify_waiters();
    }

    /// Refuses connections from now on, or accepts them again.
    pub(crate) fn listen(&self, listens: bool) {
        self.is_listening.send(listens).unwrap();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    mut commands: mpsc::UnboundedReceiver<bool>,
    connections: Arc<Connections>,
    server: SocketAddr,
    splits: bool,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        let client = tokio::select! {
            client = next => client,
            listens = commands.recv() => {
                match listens {
                    None => return,
                    Some(false) => listener = None,
                    Some(true) if listener.is_some() => {}
                    Some(true) => listener = Some(TcpListener::bind(address).await.unwrap()),
                }
                continue;
            }
        };
        let cut = connections.cut.lock().unwrap().clone();
        let connections = Arc::clone(&connections);
        tokio::spawn(async move {
            let passing = async {
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                let mut client = client;
                tokio::select! {
                    // Both sockets stay open.
                    () = connections.frozen.notified() => std::future::pending().await,
                    () = pass(&mut client, &mut server, splits) => {}
                }
            };
            cut.run_until_cancelled(passing).await;
        });
    }
}

async fn pass(client: &mut TcpStream, server: &mut TcpStream, splits: bool) {
    for socket in [&*client, &*server] {
        socket.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            // Often before an event's last line feed, which a chunk's line end follows: an event whose
            // `id` line has come isn't whole yet.
            let last = read.saturating_sub(3);
            let at = if fastrand::u8(..) < 100 { last } else { fastrand::usize(..read) };
            let (first, rest) = buffer[..read].split_at(if splits { at } else { 0 });
            if to_client.write_all(first).await.is_err() {
                return;
            }
            if splits {
                sleep(Duration::from_millis(fastrand::u64(..40))).await;
            }
            if to_client.write_all(rest).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = back => {}
    }
}

use std::path::PathBuf;

use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use super::server::Server;
use crate::redis::Redis;

/// A proxy that swaps the server behind a connection, which its client keeps.
pub(super) struct Swap {
    path: PathBuf,
    swapped: watch::Sender<Option<usize>>,
    _connections: JoinSet<()>,
}

impl Swap {
    pub(super) fn start(from: &Server, to: &Server, name: &str) -> Self {
        let (path, from, to) = (from.socket(name), from.socket("socket"), to.socket("socket"));
        let listener = UnixListener::bind(&path).unwrap();
        let swapped = watch::Sender::new(None);
        let (mut connections, receiver) = (JoinSet::new(), swapped.subscribe());
        connections.spawn(async move {
            let mut clients = JoinSet::new();
            for number in 0.. {
                let (mut client, _) = listener.accept().await.unwrap();
                let (mut from, to) = (UnixStream::connect(&from).await.unwrap(), to.clone());
                let mut swapped = receiver.clone();
                clients.spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut from) => return,
                        _ = swapped.wait_for(|swapped| *swapped == Some(number)) => {}
                    }
                    let mut to = UnixStream::connect(to).await.unwrap();
                    _ = copy_bidirectional(&mut client, &mut to).await;
                });
            }
        });
        Self { path, swapped, _connections: connections }
    }

    /// Swaps the server behind one of the connections, which are counted from 0.
    pub(super) fn swap(&self, connection: usize) {
        self.swapped.send_replace(Some(connection));
    }

    pub(super) fn redis(&self) -> Redis {
        Redis::open(&format!("unix://{}", self.path.display())).unwrap()
    }
}

use std::path::PathBuf;

use tokio::{
    io::copy,
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::server::Server;
use crate::redis::Redis;

/// A proxy that keeps its connections to the server when clients close theirs.
pub(super) struct Relay {
    path: PathBuf,
    _connections: JoinSet<()>,
}

impl Relay {
    pub(super) fn start(server: &Server) -> Self {
        let (path, upstream) = (server.socket("relay"), server.socket("socket"));
        let listener = UnixListener::bind(&path).unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = UnixStream::connect(&upstream).await.unwrap();
                clients.spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let up = async {
                        _ = copy(&mut from_client, &mut to_server).await;
                        std::future::pending::<()>().await;
                    };
                    tokio::join!(up, copy(&mut from_server, &mut to_client)).1.ok();
                });
            }
        });
        Self { path, _connections: connections }
    }

    pub(super) fn redis(&self) -> Redis {
        Redis::open(&format!("unix://{}", self.path.display())).unwrap()
    }
}

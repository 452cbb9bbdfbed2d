//! Relays that change what a Redis server reports about itself, or other texts.

#![allow(dead_code)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{relay::Relay, server::Server};

/// Starts a relay through which a server reports itself as a Valkey replica does.
pub(crate) async fn as_replica_of_valkey(server: &Server) -> Relay {
    start(server, |reply| {
        // `role:slave` is one byte shorter than `role:master`, so another text must become one byte
        // longer.
        let is_valkey = reply.contains("server_mode:");
        let longer = [("redis_mode:", "server_mode:"), ("# Server", "# Servers")];
        let (from, to) = longer[usize::from(is_valkey)];
        reply.replace(from, to).replace("role:master", "role:slave")
    })
    .await
}

/// Starts a relay through which a node of a cluster doesn't report that it is one.
pub(crate) async fn as_one_server(server: &Server) -> Relay {
    replacing(server, &[("_mode:cluster", "_mode:unknown")]).await
}

pub(crate) async fn replacing(
    server: &Server,
    texts: &'static [(&'static str, &'static str)],
) -> Relay {
    start(server, |text| texts.iter().fold(text.to_owned(), |it, (from, to)| it.replace(from, to)))
        .await
}

/// Starts a relay that changes commands and replies. Redis sends the length before most texts, so
/// `change` must keep lengths, except in an error.
async fn start(
    server: &Server,
    change: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> Relay {
    Relay::start(server.port(), move |client: TcpStream, server: TcpStream| {
        let change = change.clone();
        async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, &change) => {}
                () = pass(from_server, to_client, &change) => {}
            }
        }
    })
    .await
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: impl Fn(&str) -> String) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let changed = match std::str::from_utf8(&chunk[..length]) {
            Ok(text) => change(text).into_bytes(),
            Err(_) => chunk[..length].to_vec(),
        };
        if to.write_all(&changed).await.is_err() {
            return;
        }
    }
}

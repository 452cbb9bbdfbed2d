//! Redis servers that report themselves as others.

#![allow(dead_code)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{relay::Relay, server::Server};

/// Starts a port at which a server reports itself as a replica in a cluster of Valkey does.
pub(crate) async fn as_replica_of_valkey(server: &Server) -> Relay {
    disguise(server, |reply| {
        // Valkey has its own name for the mode already.
        let is_valkey = reply.contains("server_mode:");
        let longer = [("redis_mode:", "server_mode:"), ("# Server", "# Servers")];
        let (from, to) = longer[usize::from(is_valkey)];
        reply.replace(from, to).replace("role:master", "role:slave")
    })
    .await
}

/// Starts a port at which a node of a cluster reports itself as a single server.
pub(crate) async fn as_one_server(server: &Server) -> Relay {
    disguise(server, |reply| reply.replace("_mode:cluster", "_mode:unknown")).await
}

/// Starts a port that replaces texts in commands and replies. The lengths of most of them precede
/// them, so the other text is as long, except in an error.
pub(crate) async fn replacing(
    server: &Server,
    texts: &'static [(&'static str, &'static str)],
) -> Relay {
    let change =
        |text: &str| texts.iter().fold(text.to_owned(), |it, (from, to)| it.replace(from, to));
    start(server, change, change).await
}

/// Starts a port that changes the replies of a server. Their lengths precede them, so `change` must
/// keep them.
async fn disguise(server: &Server, change: fn(&str) -> String) -> Relay {
    start(server, str::to_owned, change).await
}

async fn start(
    server: &Server,
    change_commands: impl Fn(&str) -> String + Clone + Send + 'static,
    change_replies: impl Fn(&str) -> String + Clone + Send + 'static,
) -> Relay {
    Relay::start(server.port(), move |client: TcpStream, server: TcpStream| {
        let changes = (change_commands.clone(), change_replies.clone());
        async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::select! {
                () = pass(from_client, to_server, changes.0) => {}
                () = pass(from_server, to_client, changes.1) => {}
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

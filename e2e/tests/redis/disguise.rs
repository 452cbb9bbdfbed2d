use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;

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

/// Starts a port that changes the replies of a server. Their lengths precede them, so `change` must
/// keep them.
async fn disguise(server: &Server, change: fn(&str) -> String) -> Relay {
    Relay::start(server.port(), move |client: TcpStream, server: TcpStream| async move {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let passing = async {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
                let changed = match std::str::from_utf8(&chunk[..length]) {
                    Ok(reply) => change(reply).into_bytes(),
                    Err(_) => chunk[..length].to_vec(),
                };
                if to_client.write_all(&changed).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            () = passing => {}
        }
    })
    .await
}

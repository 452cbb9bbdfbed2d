use std::{slice, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, RedisError};

use super::stream::{Clock, RedisStream};
use crate::Error;
use crate::server::servers::{Connections, Servers};

/// A factory of connections to the server that has the stream.
pub(super) struct Connector {
    servers: Servers,
    /// The time limit for a reply.
    reply_timeout: Duration,
    /// The server of the same cluster that a redirect named.
    redirected: Option<Client>,
    key: Arc<str>,
    clock: Arc<Clock>,
    name: String,
}

impl Connector {
    pub(super) fn new(
        servers: Servers,
        reply_timeout: Duration,
        key: Arc<str>,
        clock: Arc<Clock>,
    ) -> Self {
        let name = servers.connection_name(&key);
        Self { servers, reply_timeout, redirected: None, key, clock, name }
    }

    /// Opens two connections to one server: one for the reader, whose reads block, and one for
    /// publishers.
    pub(super) async fn connect(&mut self) -> Result<Connections<2, RedisStream>, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.servers.timeout))
            .set_response_timeout(Some(self.reply_timeout));
        let configs = [config.clone(), config];
        let clients = self.redirected.as_ref().map_or(&*self.servers.clients, slice::from_ref);
        let opened = self.servers.connect(clients, &configs, &self.name).await;
        // The next attempt asks the configured servers again: they can redirect it.
        let opened = opened.inspect_err(|_| self.redirected = None)?;
        let Connections { connections, info } = opened;
        let server: Arc<str> = Arc::from(&*info.run_id);
        let lineage = Arc::new(info.lineage.clone());
        let [mut reading, publishing] = connections.map(|connection| RedisStream {
            connection,
            key: Arc::clone(&self.key),
            clock: Arc::clone(&self.clock),
            server: Arc::clone(&server),
            lineage: Arc::clone(&lineage),
        });
        reading.set_clock().await?;
        Ok(Connections { connections: [reading, publishing], info })
    }

    /// Uses another server from now on if `error` is a cluster's redirect to the server that has
    /// the stream. Returns whether it is.
    pub(super) fn follow_redirect(&mut self, error: &Error) -> bool {
        let Some((address, _)) = error.client_error().and_then(RedisError::redirect_node) else {
            return false;
        };
        let from = self.redirected.as_ref().or(self.servers.clients.first());
        let redirected = from.and_then(|client| redirect(client, address));
        let is_redirected = redirected.is_some();
        self.redirected = redirected.or_else(|| self.redirected.take());
        is_redirected
    }
}

/// Returns a client for another address, with the same settings.
fn redirect(client: &Client, address: &str) -> Option<Client> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let info = client.get_connection_info().clone();
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(current, at)
        | ConnectionAddr::TcpTls { host: current, port: at, .. } => {
            // A server that does not know its own name leaves it out.
            if !host.is_empty() {
                host.clone_into(current);
            }
            *at = port;
        }
        other => *other = ConnectionAddr::Tcp(host.to_owned(), port),
    }
    Client::open(info.set_addr(address)).ok()
}

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError};

#[cfg(not(tower_sse_simulation))]
pub(super) use ::redis::aio::MultiplexedConnection;

#[cfg(tower_sse_simulation)]
pub(super) use super::simulation::MultiplexedConnection;
use super::{
    Error,
    stream::{BLOCK_TIMEOUT, Clock, RedisStream},
};

/// The time limit for connecting, including authentication and the choice of the database.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit for a reply, in addition to the time that Redis waits for an entry.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A factory of connections to the server that has the stream.
pub(super) struct Connector {
    configured: Client,
    /// The server of the same cluster that a redirect named.
    redirected: Mutex<Option<Client>>,
    key: Arc<str>,
    clock: Arc<Clock>,
}

/// The two connections of one session.
pub(super) struct Connections {
    pub(super) reading: RedisStream,
    pub(super) publishing: RedisStream,
}

impl Connector {
    pub(super) const fn new(client: Client, key: Arc<str>, clock: Arc<Clock>) -> Self {
        Self { configured: client, redirected: Mutex::new(None), key, clock }
    }

    /// Opens two connections to one server: one for the reader, whose reads block, and one for
    /// publishers.
    pub(super) async fn connect(&self) -> Result<Connections, Error> {
        let mut reading = self.open().await?;
        let publishing = self.open().await?;
        // The address can lead to another server meanwhile, as in a fail-over.
        if reading.server != publishing.server {
            let reason = "the address leads to different servers";
            return Err(Error::new("connect to Redis", reason));
        }
        reading.set_clock().await?;
        Ok(Connections { reading, publishing })
    }

    async fn open(&self) -> Result<RedisStream, Error> {
        let client = self.redirected().clone().unwrap_or_else(|| self.configured.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(BLOCK_TIMEOUT + REPLY_TIMEOUT));
        match connect(&client, &config).await {
            Ok(connection) => {
                let (key, clock) = (Arc::clone(&self.key), Arc::clone(&self.clock));
                let mut stream = RedisStream { connection, key, clock, server: Arc::from("") };
                stream.server = stream.identify().await?;
                Ok(stream)
            }
            Err(error) => {
                // The configured server can redirect again.
                *self.redirected() = None;
                Err(error)
            }
        }
    }

    /// Uses another server from now on if `error` is a cluster's redirect to the server that has
    /// the stream. Returns whether it is.
    pub(super) fn follow_redirect(&self, error: &Error) -> bool {
        let Some((address, _)) = error.client_error().and_then(RedisError::redirect_node) else {
            return false;
        };
        let mut current = self.redirected();
        let redirected = redirect(current.as_ref().unwrap_or(&self.configured), address);
        let is_redirected = redirected.is_some();
        *current = redirected.or_else(|| current.take());
        is_redirected
    }

    fn redirected(&self) -> MutexGuard<'_, Option<Client>> {
        self.redirected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection.
pub(super) async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Error> {
    #[cfg(feature = "redis-tls")]
    check_crypto_provider(client)?;
    #[cfg(not(tower_sse_simulation))]
    let connection = client.get_multiplexed_async_connection_with_config(config).await;
    #[cfg(tower_sse_simulation)]
    let connection = super::simulation::connect(client, config).await;
    connection.map_err(|error| Error::new("connect to Redis", error))
}

/// Returns an error if no crypto provider is installed, because rustls would panic then.
#[cfg(feature = "redis-tls")]
fn check_crypto_provider(client: &Client) -> Result<(), Error> {
    let is_tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    if is_tls && rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::new("connect to Redis", "no crypto provider is installed for rustls"));
    }
    Ok(())
}

/// Returns a client for another address, with the same settings.
fn redirect(client: &Client, address: &str) -> Option<Client> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let info = client.get_connection_info().clone();
    // A server that does not know its own name leaves it out.
    let host = match info.addr() {
        ConnectionAddr::Tcp(current, _) | ConnectionAddr::TcpTls { host: current, .. }
            if host.is_empty() =>
        {
            current.clone()
        }
        _ => host.to_owned(),
    };
    let address = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Client::open(info.set_addr(address).into_connection_info().ok()?).ok()
}

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError};

use super::{
    Error,
    clock::Clock,
    follower::Connections,
    stream::{BLOCK, Stream},
};

/// How long connecting may take, including the password and the choice of the database.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take, beyond the time that Redis waits for an entry.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Connects to the server that has the stream.
pub(super) struct Connector {
    client: Mutex<Client>,
    key: Arc<str>,
    clock: Arc<Clock>,
}

impl Connector {
    pub(super) const fn new(client: Client, key: Arc<str>, clock: Arc<Clock>) -> Self {
        Self { client: Mutex::new(client), key, clock }
    }

    /// Opens a connection for the reader, which waits, and one for publishers, which must not.
    pub(super) async fn connect(&self) -> Result<Connections, Error> {
        let mut reading = self.open().await?;
        let publishing = self.open().await?;
        self.clock.set(reading.time().await?);
        Ok(Connections { reading, publishing })
    }

    async fn open(&self) -> Result<Stream, Error> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(BLOCK + ANSWER_TIMEOUT));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| Error::new("connect to Redis", error))?;
        Ok(Stream { connection, key: Arc::clone(&self.key) })
    }

    /// Connects to another server from now on, if the error of a cluster names the one that has the
    /// stream. Returns whether it does.
    pub(super) fn follow_redirect(&self, error: &Error) -> bool {
        let Some((address, _)) = error.client_error().and_then(RedisError::redirect_node) else {
            return false;
        };
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let redirected = redirect(&client, address);
        let is_redirected = redirected.is_some();
        *client = redirected.unwrap_or_else(|| client.clone());
        is_redirected
    }
}

/// Returns a client for another address, with the same settings.
fn redirect(client: &Client, address: &str) -> Option<Client> {
    let (host, port) = address.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    let info = client.get_connection_info().clone();
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

use std::{env, fmt, fs, process, time::Duration};

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, Value};
use tokio::task::JoinSet;
use tower_sse_broker::__private::CredentialsProvider;

use super::MultiplexedConnection;
use super::server_info::{COUNTS, SECTIONS, ServerInfo};
use crate::server::error::failed;
use crate::{Credentials, Error, ErrorKind};

#[cfg(feature = "tls")]
use super::tls;

pub(super) const ACTION: &str = "connect to Redis";
const ASK: &str = "get the credentials for Redis";
const IDENTIFY: &str = "identify the Redis server";
/// Parts of the errors with which servers that aren't Redis refuse `INFO` with several sections.
const MOCKED: [&str; 2] = ["wrong number of arguments", "unknown command"];

/// The program's servers, and how to connect to them.
#[derive(Clone)]
pub(crate) struct Servers {
    /// One client for each URL, at least one.
    pub(crate) clients: Vec<Client>,
    /// The Sentinels to ask for the primary's address. If there are any, `clients` has one client,
    /// whose host is the primary's name.
    pub(crate) sentinels: Vec<Client>,
    pub(crate) provider: Option<CredentialsProvider>,
    /// The limit set with [`Redis::timeout`](crate::Redis::timeout): for connecting, for replies,
    /// and for the program's credentials closure.
    pub(crate) timeout: Duration,
}

/// Two connections to one server.
pub(crate) struct Connections {
    pub(crate) connections: [MultiplexedConnection; 2],
    pub(crate) info: ServerInfo,
}

/// A connection to a primary, or to a node of a cluster.
struct Opened {
    client: Client,
    connection: MultiplexedConnection,
    info: ServerInfo,
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Servers {
    pub(crate) const fn new(clients: Vec<Client>, timeout: Duration) -> Self {
        Self { clients, sentinels: Vec::new(), provider: None, timeout }
    }

    /// Returns the database's number, which is the same in all servers' URLs.
    pub(crate) fn database(&self) -> i64 {
        let client = self.clients.first();
        client.map_or(0, |client| client.get_connection_info().redis_settings().db())
    }

    /// Opens two connections to one server: the first of `clients` that responds and is a primary or
    /// a node of a cluster. `CLIENT LIST` shows the connections under `name`. Sets `reached` to the
    /// server's address, even if the second connection fails.
    ///
    /// If the two connections reach different nodes of a cluster, returns the redirect to the node
    /// that has `key`.
    ///
    /// If the server refuses the credentials, asks the program's closure for new ones once.
    pub(crate) async fn connect(
        &self,
        clients: &[Client],
        config: &AsyncConnectionConfig,
        name: &str,
        key: &str,
        reached: &mut Option<String>,
    ) -> Result<Connections, Error> {
        let Some(provider) = &self.provider else {
            return open_both(clients.to_vec(), config, name, key, reached).await;
        };
        let mut is_refused = false;
        loop {
            let credentials = provider.ask(self.timeout, ASK).await?;
            let clients = clients.iter().map(|client| with_credentials(client, &credentials));
            let clients = clients.collect::<Result<_, _>>()?;
            match open_both(clients, config, name, key, reached).await {
                Err(error) if error.kind() == ErrorKind::NotPermitted && !is_refused => {
                    is_refused = true;
                }
                result => return result,
            }
        }
    }
}

/// Returns the connections' name in `CLIENT LIST`: the key or prefix, the host and the process id.
pub(crate) fn connection_name(key: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.or_else(|_| env::var("HOSTNAME")).unwrap_or_default();
    let name = format!("{key}:{}:{}", host.trim(), process::id());
    // Redis refuses a name that has other characters.
    name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

fn with_credentials(client: &Client, credentials: &Credentials) -> Result<Client, Error> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone();
    let settings = settings.set_username(credentials.user()).set_password(credentials.password());
    let client = Client::open(info.set_redis_settings(settings));
    client.map_err(|error| failed(ASK, error))
}

pub(super) fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Returns a client for another address, with the same settings.
pub(super) fn redirect(client: &Client, address: &str) -> Option<Client> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let info = client.get_connection_info().clone();
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(current, at)
        | ConnectionAddr::TcpTls { host: current, port: at, .. } => {
            // An empty host means the host of the server that redirects.
            if !host.is_empty() {
                host.clone_into(current);
            }
            *at = port;
        }
        other => *other = ConnectionAddr::Tcp(host.to_owned(), port),
    }
    Client::open(info.set_addr(address)).ok()
}

async fn open_both(
    clients: Vec<Client>,
    config: &AsyncConnectionConfig,
    name: &str,
    key: &str,
    reached: &mut Option<String>,
) -> Result<Connections, Error> {
    let Opened { client, mut connection, info } = open_primary(clients, config, name).await?;
    *reached = Some(address(&client));
    let mut other = open(client, config.clone(), name.to_owned()).await?;
    if other.info.run_id == info.run_id {
        return Ok(Connections { connections: [connection, other.connection], info });
    }
    if info.is_cluster {
        // A name can lead to all nodes. At most one of these two has the key.
        for connection in [&mut connection, &mut other.connection] {
            let reply = connection.send_packed_command(redis::cmd("XLEN").arg(key)).await;
            reply.and_then(Value::extract_error).map_err(|error| failed(ACTION, error))?;
        }
    }
    // During a failover, a second connection to the same address can reach a different server.
    Err(failed(ACTION, "the address leads to different servers"))
}

/// Opens a connection to the first of these servers that responds and is a primary or a node of a
/// cluster. Tries all of them at once, because a server that is down may not respond at all.
async fn open_primary(
    mut clients: Vec<Client>,
    config: &AsyncConnectionConfig,
    name: &str,
) -> Result<Opened, Error> {
    if clients.len() == 1
        && let Some(client) = clients.pop()
    {
        return open(client, config.clone(), name.to_owned()).await;
    }
    let mut attempts = JoinSet::new();
    for client in clients {
        let address = address(&client);
        let opening = open(client, config.clone(), name.to_owned());
        attempts.spawn(async move { opening.await.map_err(|error| (address, error)) });
    }
    let mut failures = Failures::default();
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(failure)) => failures.0.push(failure),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }
    Err(failures.into_error("no address leads to a primary"))
}

/// The addresses where connecting failed, each with its error.
#[derive(Default)]
pub(super) struct Failures(pub(super) Vec<(String, Error)>);

impl Failures {
    /// Returns one error for all failures. The error's cause begins with `text`.
    pub(super) fn into_error(self, text: &str) -> Error {
        let kinds = || self.0.iter().map(|(_, error)| error.kind());
        let kind = kinds()
            .find(|kind| *kind == ErrorKind::NotPermitted)
            .or_else(|| kinds().find(|kind| *kind != ErrorKind::Unreachable))
            .unwrap_or(ErrorKind::Unreachable);
        let mut text = text.to_owned();
        for (address, error) in &self.0 {
            text.extend(["; ", address, ": ", &error.to_string()]);
        }
        Error::new(ACTION, kind, text)
    }
}

/// Opens a connection, names it and checks that the server is a primary or a node of a cluster.
async fn open(
    client: Client,
    config: AsyncConnectionConfig,
    name: String,
) -> Result<Opened, Error> {
    let mut connection = dial(&client, &config).await?;
    let mut pipeline = redis::pipe();
    // Ignore an error if the user may not set a name: nothing depends on the name.
    pipeline.cmd("CLIENT").arg("SETNAME").arg(name);
    pipeline.cmd("INFO").arg(&SECTIONS).arg(COUNTS);
    let replies = connection.send_packed_commands(&pipeline, 0, 2).await;
    let info = replies.and_then(|mut replies| replies.pop().unwrap_or(Value::Nil).extract_error());
    let info = info.map_err(|error| match error.detail() {
        // Redis 6 accepts only one section of `INFO` at a time.
        Some("syntax error") => failed(IDENTIFY, "Redis 7 or Valkey is needed"),
        // Mocks answer so. Without the last part, this would read like a missing permission.
        Some(text) if MOCKED.iter().any(|part| text.contains(part)) => {
            failed(IDENTIFY, format!("{text}; Redis 7 or Valkey is needed"))
        }
        _ => failed(IDENTIFY, error),
    })?;
    let info = ServerInfo::parse(info)?;
    info.require_primary()?;
    Ok(Opened { client, connection, info })
}

pub(super) async fn dial(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Error> {
    #[cfg(feature = "tls")]
    tls::check_crypto_provider(client)?;
    #[cfg(any(test, tower_sse_simulation))]
    if let Some(dialing) = super::simulation::dial(client) {
        let connection = super::simulation::connect(client, config, dialing).await;
        return connection.map_err(|error| failed(ACTION, error));
    }
    let connection = client.get_multiplexed_async_connection_with_config(config).await;
    #[cfg(any(test, tower_sse_simulation))]
    let connection = connection.map(MultiplexedConnection::from);
    connection.map_err(|error| failed(ACTION, error))
}

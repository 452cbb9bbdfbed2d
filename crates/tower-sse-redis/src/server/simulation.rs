//! Connections to a model of Redis, for the package `simulation` and the tests of runs.

use std::ops::{Deref, DerefMut};
use std::{cell::RefCell, io, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection as ClientConnection};
use redis::{ConnectionAddr, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::{task::JoinSet, time::timeout};

/// How long opening a simulated connection may take: the default limit of real connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A byte stream, such as a simulated connection.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

pub(crate) type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

type Dialer = Rc<dyn Fn(&str) -> Option<Dialing>>;

thread_local! {
    static DIALER: RefCell<Option<Dialer>> = const { RefCell::new(None) };
}

/// Makes this thread open TCP connections to Redis with `dial`, except over TLS. `dial` receives
/// the host. If it returns `None`, the Redis client opens the connection.
pub fn set_dialer<D, T>(dial: impl Fn(&str) -> Option<D> + 'static)
where
    D: Future<Output = io::Result<T>> + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    DIALER.set(Some(Rc::new(move |host| {
        let dialing = dial(host)?;
        Some(Box::pin(async {
            let transport: Box<dyn Transport> = Box::new(dialing.await?);
            Ok(transport)
        }))
    })));
}

/// Returns the future that opens a transport to the client's server, or `None` for a real server.
pub(crate) fn dial(client: &Client) -> Option<Dialing> {
    let ConnectionAddr::Tcp(host, _) = client.get_connection_info().addr() else { return None };
    DIALER.with_borrow(|dialer| dialer.as_ref().and_then(|dial| dial(host)))
}

/// A Redis client's connection. Over a simulated transport, its task ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct MultiplexedConnection {
    connection: ClientConnection,
    _driver: Option<Arc<JoinSet<()>>>,
}

impl From<ClientConnection> for MultiplexedConnection {
    fn from(connection: ClientConnection) -> Self {
        Self { connection, _driver: None }
    }
}

/// Connects over a simulated transport, as the Redis client does.
pub(crate) async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
    dialing: Dialing,
) -> RedisResult<MultiplexedConnection> {
    let settings = client.get_connection_info().redis_settings();
    let connecting = async {
        let transport = dialing.await?;
        ClientConnection::new_with_config(settings, transport, config.clone()).await
    };
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let (connection, driver) = timeout(CONNECT_TIMEOUT, connecting).await.map_err(timed_out)??;
    #[cfg(tower_sse_simulation)]
    let driver = tower_sse::simulation::adopt(driver);
    let mut task = JoinSet::new();
    task.spawn(driver);
    Ok(MultiplexedConnection { connection, _driver: Some(Arc::new(task)) })
}

impl Deref for MultiplexedConnection {
    type Target = ClientConnection;

    fn deref(&self) -> &ClientConnection {
        &self.connection
    }
}

impl DerefMut for MultiplexedConnection {
    fn deref_mut(&mut self) -> &mut ClientConnection {
        &mut self.connection
    }
}

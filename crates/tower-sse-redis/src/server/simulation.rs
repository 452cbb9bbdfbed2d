//! Connections of hubs to a simulated Redis, for the package `simulation`.

use std::ops::{Deref, DerefMut};
use std::{cell::RefCell, io, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection as ClientConnection};
use redis::{ConnectionAddr, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::{task::JoinSet, time::timeout};

/// The time limit of connections over TCP.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection of bytes.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// A future that opens a transport.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

type Dialer = Rc<dyn Fn(&str) -> Dialing>;

thread_local! {
    static DIALER: RefCell<Option<Dialer>> = const { RefCell::new(None) };
}

/// Opens all connections to Redis in this thread by `dial`, which receives the host of the URL.
pub fn set_dialer(dial: impl Fn(&str) -> Dialing + 'static) {
    DIALER.set(Some(Rc::new(dial)));
}

/// A Redis client's connection over a simulated transport. Its task ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct MultiplexedConnection {
    connection: ClientConnection,
    _driver: Arc<JoinSet<()>>,
}

/// Connects as the Redis client does.
pub(crate) async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let info = client.get_connection_info();
    let ConnectionAddr::Tcp(host, _) = info.addr() else {
        return Err(io::Error::from(io::ErrorKind::Unsupported).into());
    };
    let dialing = DIALER.with_borrow(|dialer| dialer.as_ref().map(|dial| dial(host)));
    let Some(dialing) = dialing else {
        return Err(io::Error::other("no dialer is set").into());
    };
    let connecting = async {
        let transport = dialing.await?;
        ClientConnection::new_with_config(info.redis_settings(), transport, config.clone()).await
    };
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let (connection, driver) = timeout(CONNECT_TIMEOUT, connecting).await.map_err(timed_out)??;
    let mut task = JoinSet::new();
    task.spawn(tower_sse::simulation::adopt(driver));
    Ok(MultiplexedConnection { connection, _driver: Arc::new(task) })
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

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use redis::{Client, Value, cmd};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_sse::{BoxError, hub::broker::support::caught};
use tower_sse_broker::with_sources;

use super::connection::MultiplexedConnection;
use crate::{Error, ErrorKind};

const ACTION: &str = "get the credentials for Redis";
/// The minimum time between two calls of the program's closure during a session.
const MIN_DELAY: Duration = Duration::from_secs(1);

/// A user and a password for Redis, as returned by the closure of
/// [`Redis::credentials`](crate::Redis::credentials).
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
    lifetime: Option<Duration>,
}

impl Credentials {
    /// Creates credentials that do not expire. A server with only a password has the user `default`.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into(), lifetime: None }
    }

    /// Sets the remaining time for which the credentials are valid. They are renewed over the open
    /// connections after three quarters of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Credentials;
    /// let credentials = Credentials::new("app", "token").expire_in(Duration::from_secs(900));
    /// # _ = credentials;
    /// ```
    #[must_use]
    pub fn expire_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Returns a client that connects with these credentials.
    pub(crate) fn apply(&self, client: &Client) -> Result<Client, Error> {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_username(&self.user).set_password(&self.password);
        let client = Client::open(info.set_redis_settings(settings));
        client.map_err(|error| Error::new(ACTION, error))
    }

    fn renew_after(&self) -> Option<Duration> {
        self.lifetime.map(|lifetime| (lifetime / 4 * 3).max(MIN_DELAY))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Credentials, BoxError>> + Send>>;

/// The program's closure, which returns credentials.
#[derive(Clone)]
pub(crate) struct Provider(pub(crate) Arc<dyn Fn() -> Asking + Send + Sync>);

impl Provider {
    /// Asks the program for credentials, for at most this time.
    pub(crate) async fn ask(&self, limit: Duration) -> Result<Credentials, Error> {
        // A panic would end the task that keeps the connection.
        let asked = caught(async { (self.0)().await });
        let reason = match timeout(limit, asked).await {
            Ok(Some(Ok(credentials))) => return Ok(credentials),
            Ok(Some(Err(error))) => with_sources(&*error),
            Ok(None) => "the closure that returns them panicked".to_owned(),
            Err(_) => "the closure that returns them took too long".to_owned(),
        };
        Err(Error::with_kind(ACTION, ErrorKind::NotPermitted, reason))
    }
}

/// A task that renews the credentials of connections before they expire. Dropping it ends the task.
pub(crate) type Renewal = JoinSet<()>;

/// Starts to renew the credentials of connections, unless these credentials do not expire.
pub(crate) fn keep_valid<const N: usize>(
    provider: &Provider,
    credentials: &Credentials,
    connections: [MultiplexedConnection; N],
    limit: Duration,
) -> Option<Renewal> {
    let delay = credentials.renew_after()?;
    let mut renewal = Renewal::new();
    renewal.spawn(renew_all(provider.clone(), connections, delay, limit));
    Some(renewal)
}

async fn renew_all<const N: usize>(
    provider: Provider,
    mut connections: [MultiplexedConnection; N],
    mut renew_after: Duration,
    limit: Duration,
) {
    let mut delay = renew_after;
    loop {
        sleep(delay).await;
        delay = match renew(&provider, &mut connections, limit).await {
            Ok(Some(next)) => {
                renew_after = next;
                next
            }
            Ok(None) => return,
            // A refused renewal leaves a connection as it is. The server closes the connection when
            // the old credentials expire.
            Err(_error) => {
                warn!(error = %with_sources(&_error), "failed to renew credentials for Redis");
                (renew_after / 12).max(MIN_DELAY)
            }
        };
    }
}

/// Renews the credentials of the connections. Returns when to do so again.
async fn renew(
    provider: &Provider,
    connections: &mut [MultiplexedConnection],
    limit: Duration,
) -> Result<Option<Duration>, Error> {
    let credentials = provider.ask(limit).await?;
    let mut command = cmd("AUTH");
    command.arg(&credentials.user).arg(&credentials.password);
    for connection in connections {
        let reply = connection.send_packed_command(&command).await.and_then(Value::extract_error);
        reply.map_err(|error| Error::new("renew the credentials for Redis", error))?;
    }
    Ok(credentials.renew_after())
}

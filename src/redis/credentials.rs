use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use ::redis::{Client, IntoConnectionInfo, Value, cmd};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{Error, ErrorKind, health::display_with_sources, servers::MultiplexedConnection};
use crate::{BoxError, callback::without_panic};

const ACTION: &str = "get the credentials for Redis";
/// The minimum time between two questions for credentials during a session.
const MIN_DELAY: Duration = Duration::from_secs(1);

/// A user and a password for Redis, as returned by the closure of
/// [`Redis::credentials`](super::Redis::credentials).
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
    /// # use tower_sse::redis::Credentials;
    /// let credentials = Credentials::new("app", "token").expire_in(Duration::from_secs(900));
    /// # _ = credentials;
    /// ```
    #[must_use]
    pub fn expire_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Returns a client that connects with these credentials.
    pub(super) fn apply(&self, client: &Client) -> Result<Client, Error> {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_username(&self.user).set_password(&self.password);
        let info = info.set_redis_settings(settings).into_connection_info();
        info.and_then(Client::open).map_err(|error| Error::new(ACTION, error))
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

type Asking = Pin<Box<dyn Future<Output = Result<Credentials, BoxError>> + Send>>;

/// The program's closure, which returns credentials.
#[derive(Clone)]
pub(super) struct Provider(Arc<dyn Fn() -> Asking + Send + Sync>);

impl Provider {
    pub(super) fn new<F, Fut, E>(closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move || {
            let asking = closure();
            Box::pin(async move { asking.await.map_err(Into::into) })
        }))
    }

    /// Asks the program for credentials, for at most this time.
    pub(super) async fn ask(&self, limit: Duration) -> Result<Credentials, Error> {
        let failed =
            |reason: &str| Error::with_kind(ACTION, ErrorKind::NotPermitted, reason.to_owned());
        let panicked = || failed("the closure that returns them panicked");
        let mut asking = without_panic(|| (self.0)()).ok_or_else(panicked)?;
        // A panic would end the task that keeps the connection.
        let asked = poll_fn(|context| match without_panic(|| asking.as_mut().poll(context)) {
            Some(poll) => poll.map(Some),
            None => None.into(),
        });
        match timeout(limit, asked).await {
            Ok(Some(Ok(credentials))) => Ok(credentials),
            Ok(Some(Err(error))) => Err(failed(&display_with_sources(&*error))),
            Ok(None) => Err(panicked()),
            Err(_) => Err(failed("the closure that returns them took too long")),
        }
    }
}

/// A task that renews the credentials of connections before they expire. Dropping it ends the task.
pub(super) struct Renewal(AbortHandle);

impl Renewal {
    /// Starts the task, unless these credentials do not expire.
    pub(super) fn start(
        provider: &Provider,
        credentials: &Credentials,
        connections: [MultiplexedConnection; 2],
        limit: Duration,
    ) -> Option<Self> {
        let delay = credentials.renew_after()?;
        let renewing = renew_all(provider.clone(), connections, delay, limit);
        Some(Self(tokio::spawn(renewing).abort_handle()))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn renew_all(
    provider: Provider,
    mut connections: [MultiplexedConnection; 2],
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
            // A refused renewal leaves a connection as it is. The server closes it when its time is
            // over.
            Err(_error) => {
                warn!(error = %display_with_sources(&_error), "failed to renew credentials for Redis");
                (renew_after / 12).max(MIN_DELAY)
            }
        };
    }
}

/// Renews the credentials of the connections. Returns when to do so again.
async fn renew(
    provider: &Provider,
    connections: &mut [MultiplexedConnection; 2],
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

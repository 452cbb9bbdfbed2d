use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use redis::Client;
use tokio::time::timeout;
use tower_sse::{BoxError, hub::broker::support::caught};
use tower_sse_broker::with_sources;

use crate::{Error, ErrorKind};

const ACTION: &str = "get the credentials for Redis";

/// A user and a password for Redis, as returned by the closure of
/// [`Redis::credentials`](crate::Redis::credentials).
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Creates credentials. If the server has only a password, pass `default` as the user.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Returns a client that connects with these credentials.
    pub(crate) fn apply(&self, client: &Client) -> Result<Client, Error> {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_username(&self.user).set_password(&self.password);
        let client = Client::open(info.set_redis_settings(settings));
        client.map_err(|error| Error::new(ACTION, error))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
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

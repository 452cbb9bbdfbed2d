use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::time::timeout;
use tower_sse::BoxError;

use crate::tasks::{caught, with_causes};
use crate::{Error, ErrorKind};

/// A user name and a password for a server, returned by a closure in your program.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Creates credentials. If a Redis server has only a password, pass `default` as the user.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

tower_sse::opaque_debug!(Credentials);

type Asking = Pin<Box<dyn Future<Output = Result<Credentials, BoxError>> + Send>>;

/// A closure that returns [`Credentials`], for credentials that change at run time.
#[derive(Clone)]
pub struct CredentialsProvider(Arc<dyn Fn() -> Asking + Send + Sync>);

impl CredentialsProvider {
    /// Creates a provider from a closure that returns a future.
    pub fn new<F, Fut, E>(closure: F) -> Self
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

    /// Calls the closure and waits at most `limit` for its result.
    ///
    /// # Errors
    ///
    /// Returns the closure's error, with `action` as the action that failed. If the closure
    /// panicked or took too long, the error says so.
    pub async fn ask(&self, limit: Duration, action: &str) -> Result<Credentials, Error> {
        let asking = async {
            match timeout(limit, (self.0)()).await {
                Ok(asked) => asked.map_err(|error| with_causes(&*error)),
                Err(_) => Err("the closure that returns them took too long".to_owned()),
            }
        };
        // A panic would end the task that keeps the connection. Formatting the error and dropping a
        // late future also run the program's code.
        let panicked = || Err("the closure that returns them panicked".to_owned());
        let asked = caught(asking).await.unwrap_or_else(panicked);
        asked.map_err(|reason| Error::new(action, ErrorKind::NotPermitted, reason))
    }
}

tower_sse::opaque_debug!(CredentialsProvider);

/// Certificates for TLS connections to Redis or PostgreSQL: for `Redis::tls` or `Postgres::tls`,
/// with feature `tls` of the store's crate. The store's crate re-exports this type.
#[derive(Clone, Default)]
#[must_use = "pass it to `Redis::tls` or `Postgres::tls`"]
pub struct Tls {
    #[doc(hidden)]
    pub authority: Option<Vec<u8>>,
    /// The program's own certificates, and their key.
    #[doc(hidden)]
    pub identity: Option<[Vec<u8>; 2]>,
}

impl Tls {
    /// Creates settings that trust the operating system's root certificates. If `SSL_CERT_FILE` or
    /// `SSL_CERT_DIR` is set, the certificates there are trusted instead.
    pub const fn new() -> Self {
        Self { authority: None, identity: None }
    }

    /// Trusts only servers whose certificate was issued by an authority in `certificates` (PEM).
    ///
    /// Even with this option, a connection to Redis reads the operating system's certificates. It
    /// doesn't trust them, but it fails if `SSL_CERT_FILE` or `SSL_CERT_DIR` names a file or
    /// directory that can't be read.
    pub fn authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(certificates.into());
        self
    }

    /// Sets the client's certificate and private key, in PEM format. `certificates` begins with the
    /// client's certificate, followed by those of its issuers. The default is none.
    ///
    /// If Redis rejects the certificate, the error may say only `broken pipe`.
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some([certificates.into(), key.into()]);
        self
    }
}

tower_sse::opaque_debug!(Tls);

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt, future::pending, time::Duration};

    use super::{Credentials, CredentialsProvider};

    #[derive(Debug)]
    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("the text of the error panics")
        }
    }

    impl Error for Broken {}

    struct Guard;

    impl Drop for Guard {
        fn drop(&mut self) {
            panic!("the drop of the future panics")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn error_or_late_future_that_panics_is_an_error() {
        let failing = CredentialsProvider::new(async || Err::<Credentials, _>(Broken));
        let late = CredentialsProvider::new(|| async {
            let _guard = Guard;
            pending::<Result<_, Broken>>().await
        });
        for provider in [failing, late] {
            let error = provider.ask(Duration::from_secs(1), "ask").await.unwrap_err();
            assert!(error.to_string().contains("panicked"), "{error}");
        }
    }
}

//! The options of [`Postgres`].

use std::time::Duration;

use tower_sse::BoxError;

use crate::{Error, Postgres, connection::schema_name};

/// The minimum of [`Postgres::max_rows`]. A process that is briefly behind must not lose events.
const MIN_MAX_ROWS: u64 = 10_000;

impl Postgres {
    /// Sets the name of the stream. All hubs of this stream on this server share their events and
    /// ids. The default is `tower_sse`, which is also the default of `tower_sse.publish`.
    ///
    /// Use different names for unrelated hubs, even on different servers: with the same name, an id
    /// of one hub is valid in the other, and a client that resumes there receives no gap.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.stream("orders");
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.settings.stream = name.into();
        self
    }

    /// Sets the name of the schema that has the tables, which [`schema_named`](crate::schema_named)
    /// creates. The default is `tower_sse`.
    ///
    /// A program that may publish to one stream of a schema may publish to all of them. Groups of
    /// programs that do not trust each other need a schema for each:
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.schema("billing_events")?;
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if [`schema_named`](crate::schema_named) does.
    pub fn schema(mut self, name: impl Into<String>) -> Result<Self, Error> {
        self.settings.schema = schema_name(name.into())?;
        Ok(self)
    }

    /// Sets an async closure that returns the password, for passwords that change at run time. By
    /// default it is that of the address.
    ///
    /// The closure is called for each attempt to connect, and once more if the server refuses its
    /// password. A connection that is open stays so. An error, or no result within 10 seconds, counts
    /// as a failed attempt.
    ///
    /// ```
    /// # use tower_sse::BoxError;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn fetch_token() -> Result<String, BoxError> { Ok(String::new()) }
    /// let postgres = Postgres::open("host=db.internal user=app")?.password(fetch_token);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn password<F, Fut, E>(mut self, closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.settings.provider = Some(Box::new(move || {
            let asking = closure();
            Box::pin(async move { asking.await.map_err(Into::into) })
        }));
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The
    /// default is 2 seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres =
    ///     Postgres::open("host=127.0.0.1 user=app")?.publish_deadline(Duration::from_millis(500));
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// Removes rows of the log that are older than `age`, by the server's clock. The default is one
    /// and a half times the age of the hub's
    /// [`retention`](tower_sse::hub::HubBuilder::retention).
    ///
    /// Every process that is connected does so every two seconds. The newest row always stays. A
    /// process that is disconnected for longer than `age` reports a gap if events followed meanwhile.
    /// All processes should set the same limits.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.max_age(Duration::from_secs(3600));
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than the age
    /// of the hub's retention: clients would receive gaps instead of the history.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Removes the oldest rows of the stream when there are more than about `rows`, counted over all
    /// topics. The default is 100,000. There can be a tenth more.
    ///
    /// Set the limit to the total rate of events, multiplied by the longest history or disconnection
    /// to cover.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// // 500 events a second, kept for 15 minutes.
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?.max_rows(500 * 900);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `rows` is less than 10,000: a process that is briefly behind would lose events.
    #[track_caller]
    pub fn max_rows(mut self, rows: u64) -> Self {
        assert!(rows >= MIN_MAX_ROWS, "a log must keep at least {MIN_MAX_ROWS} rows");
        self.max_rows = rows;
        self
    }

    /// Sets whether the hub listens for notifications, and sends them to the hubs of other processes.
    /// The default is `true`.
    ///
    /// Turn it off in all processes behind a pooler in transaction mode, which saves a second for
    /// each connection, or if other programs fill the server's queue of notifications. Hubs then find
    /// the events of other processes within about 100 ms.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=pgbouncer port=6432 user=app")?.listen(false);
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn listen(mut self, listens: bool) -> Self {
        self.settings.listens = listens;
        self
    }

    /// Requires TLS, with these certificates (feature `tls`).
    ///
    /// The server's certificate is checked, also its name, as with `sslmode=verify-full` of other
    /// clients. If the name of the server does not lead to it, set both in the address, as in
    /// `host=db.internal hostaddr=10.0.0.7`. If the server offers it, the password is bound to the connection (`SCRAM-SHA-256-PLUS`).
    /// The program must have installed a crypto provider of rustls before.
    ///
    /// ```no_run
    /// # use std::fs;
    /// use tower_sse_postgres::{Postgres, Tls};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new().authority(fs::read("ca.pem")?);
    /// let postgres = Postgres::open("host=db.internal user=app dbname=shop")?.tls(tls)?;
    /// # drop(postgres);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a certificate or the key is not in PEM format, or if no crypto provider is
    /// installed.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: crate::Tls) -> Result<Self, Error> {
        let connect =
            tls.connect().map_err(|error| Error::new("set up TLS for PostgreSQL", error))?;
        self.settings.encryption = crate::connection::Encryption::Tls(connect);
        self.settings.config.ssl_mode(tokio_postgres::config::SslMode::Require);
        Ok(self)
    }
}

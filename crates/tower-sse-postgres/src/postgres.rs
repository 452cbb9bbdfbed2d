use std::str::FromStr;
use std::sync::{Arc, Mutex, atomic::AtomicI64};

use tokio_postgres::{Config, config::SslMode};
use tower_sse::BoxError;
use tower_sse_broker::__private::CredentialsProvider;

use crate::settings::{Clock, Encryption, Settings, Wakes, quoted, schema_name};
use crate::{
    Credentials, Error, Health, PostgresBroker, connection::Opened, error::failed, schema_named,
};

/// A PostgreSQL server, or a primary and its standbys. All hubs of a program can share one
/// `Postgres`.
///
/// ```no_run
/// use tower_sse::hub::Hub;
/// use tower_sse_postgres::Postgres;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let postgres = Postgres::open("host=127.0.0.1 user=app dbname=shop")?;
/// let hub = Hub::connect(postgres.broker("orders")).await?;
/// hub.publish("orders:42", "paid").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it connects nothing by itself"]
pub struct Postgres {
    pub(crate) config: Config,
    pub(crate) encryption: Encryption,
    pub(crate) provider: Option<CredentialsProvider>,
    pub(crate) schema: String,
}

impl Postgres {
    /// Creates a `Postgres` from a connection string or URL in one of [libpq's forms][libpq].
    ///
    /// - `postgres://user:password@host:5432/database`
    /// - `host=db user=app dbname=shop`
    /// - `host=db-1,db-2 user=app dbname=shop`: several servers, one of which accepts writes
    /// - `host=/run/postgresql user=app`: over a Unix socket
    /// - `host=db user=app sslmode=require`: over TLS, checking the server's certificate (feature
    ///   `tls`)
    ///
    /// Connections are encrypted only with `sslmode=require` or `Postgres::tls`. Only the
    /// [parameters of
    /// tokio-postgres](https://docs.rs/tokio-postgres/latest/tokio_postgres/config/struct.Config.html)
    /// are accepted.
    ///
    /// [libpq]: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    ///
    /// # Errors
    ///
    /// Returns an error if `address` is invalid or has no host. With `sslmode=require`, it's also
    /// an error if the `tls` feature is disabled or no crypto provider is installed.
    pub fn open(address: &str) -> Result<Self, Error> {
        const ACTION: &str = "parse the address of PostgreSQL";
        let config = Config::from_str(address).map_err(|error| failed(ACTION, error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(failed(ACTION, "the address has no host"));
        }
        let requires_tls = config.get_ssl_mode() == SslMode::Require;
        if requires_tls && !cfg!(feature = "tls") {
            return Err(failed(ACTION, "`sslmode=require` needs feature `tls`"));
        }
        let (encryption, schema) = (Encryption::None, "tower_sse".to_owned());
        let postgres = Self { config, encryption, provider: None, schema };
        #[cfg(feature = "tls")]
        if requires_tls {
            return postgres.tls(crate::Tls::new());
        }
        Ok(postgres)
    }

    /// Requires TLS with these certificates (feature `tls`). Install a rustls crypto provider
    /// before you call this.
    ///
    /// The server's certificate and the host name in it are checked, as with `sslmode=verify-full`
    /// in other clients. If the host name doesn't resolve to the server, also set the IP address:
    /// `host=db.internal hostaddr=10.0.0.7`.
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
    /// Returns an error if a certificate or the key is invalid, or no crypto provider is installed.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: crate::Tls) -> Result<Self, Error> {
        let connect =
            crate::tls::connect(tls).map_err(|error| failed("set up TLS for PostgreSQL", error))?;
        self.encryption = Encryption::Tls(connect);
        self.config.ssl_mode(SslMode::Require);
        Ok(self)
    }

    /// Sets a closure that fetches the user and the password, for credentials that change at run
    /// time. By default, the credentials in the address are used.
    ///
    /// Each attempt to connect calls the closure. If the server refuses the credentials, the
    /// closure is called once more. The attempt fails if the closure returns an error, panics or
    /// takes longer than 10 seconds. Open connections stay open when the password changes.
    ///
    /// ```
    /// # use tower_sse::BoxError;
    /// # use tower_sse_postgres::{Credentials, Postgres};
    /// # async fn fetch_token() -> Result<String, BoxError> { Ok(String::new()) }
    /// let postgres = Postgres::open("host=db.internal dbname=shop")?.credentials(|| async {
    ///     let token = fetch_token().await?;
    ///     Ok::<_, BoxError>(Credentials::new("app", token))
    /// });
    /// # drop(postgres);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn credentials<F, Fut, E>(mut self, closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.provider = Some(CredentialsProvider::new(closure));
        self
    }

    /// Sets the name of the schema that has the tables, by default `tower_sse`.
    /// [`schema_named`](crate::schema_named) returns the statements that create a schema with
    /// another name.
    ///
    /// A program with the right to publish to one stream of a schema can publish to all streams in
    /// that schema. Programs that don't trust each other need separate schemas:
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
    /// Returns an error if `name` isn't an [identifier](crate::schema_named).
    pub fn schema(mut self, name: impl Into<String>) -> Result<Self, Error> {
        self.schema = schema_name(name.into())?;
        Ok(self)
    }

    /// Returns a broker for the stream with this name. All hubs with the same stream, schema and
    /// database share their events and ids.
    ///
    /// If the name has more than 1,024 bytes, [`Hub::connect`](tower_sse::hub::Hub::connect)
    /// returns an error.
    ///
    /// Ids stay valid when you move the data to another server, but clients then receive a gap.
    /// Give unrelated streams different names, even on different servers. Otherwise, a client that
    /// moves between their hubs can miss events without a gap.
    ///
    /// ```
    /// # use tower_sse_postgres::Postgres;
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// let broker = postgres.broker("orders").max_events(200_000);
    /// # drop(broker);
    /// # Ok::<_, tower_sse_postgres::Error>(())
    /// ```
    pub fn broker(&self, stream: impl Into<String>) -> PostgresBroker {
        PostgresBroker::new(self.settings(stream.into()))
    }

    /// Creates the [schema](crate::SCHEMA), under the name set with [`schema`](Self::schema), if
    /// the database doesn't have it yet. Processes that call this at the same time wait for each
    /// other. An existing schema stays as it is: [`Hub::connect`](tower_sse::hub::Hub::connect)
    /// checks its version.
    ///
    /// The role needs the right to create schemas in the database. It then owns the tables. For
    /// [separate roles](crate::operating#rights), create the schema in a migration instead.
    ///
    /// If this future is dropped, the schema is created whole or not at all.
    ///
    /// ```no_run
    /// # use tower_sse::hub::Hub;
    /// # use tower_sse_postgres::Postgres;
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let postgres = Postgres::open("host=127.0.0.1 user=app")?;
    /// postgres.install().await?;
    /// let hub = Hub::connect(postgres.broker("orders")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the server can't be reached, if the role may not create the schema, or if
    /// another schema has its name.
    pub async fn install(&self) -> Result<(), Error> {
        let settings = Arc::new(self.settings(String::new()).with_defaults());
        let schema = quoted(&self.schema);
        let install = format!(
            "do $install$ begin perform pg_advisory_xact_lock(hashtext('tower_sse.install'));
                if to_regprocedure('{schema}.version()') is null then
                    execute $schema${}$schema$;
                end if;
            end $install$",
            schema_named(&self.schema)?
        );
        Opened::open(&settings).await?.publishing.query(&install, &[]).await?;
        Ok(())
    }

    fn settings(&self, stream: String) -> Settings {
        let Self { config, encryption, provider, schema } = self.clone();
        Settings {
            config,
            encryption,
            provider,
            schema,
            stream,
            listens: true,
            wakes: Wakes::default(),
            health: Health::default(),
            clock: Clock::new(),
            covered: AtomicI64::new(0),
            added: Mutex::default(),
            quiet_until: Mutex::new(None),
        }
    }
}

// The address can contain a password.
tower_sse::opaque_debug!(Postgres);

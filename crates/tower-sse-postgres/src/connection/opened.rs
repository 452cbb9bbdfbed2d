use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;
use tokio_postgres::{Config, types::Type};

use super::{
    connection::{ACTION, Connection},
    settings::{Settings, Wakes, quoted},
};
use crate::{Error, ErrorKind, SCHEMA_VERSION};

/// The time limit for connecting, and for the closure that returns the password.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The time limit for the notification by which [`listen`] tests the connections.
const LISTEN_LIMIT: Duration = Duration::from_secs(1);

/// The connections of a session, to the same server.
pub(crate) struct Opened {
    pub(crate) reading: Connection,
    pub(crate) publishing: Arc<Connection>,
}

impl Opened {
    /// Opens the connections of a session. If the server refuses the password, asks the program for
    /// another one, once.
    pub(crate) async fn connect(settings: &Arc<Settings>) -> Result<Self, Error> {
        let mut config = settings.config.clone();
        let Some(provider) = &settings.provider else { return Self::open(settings, &config).await };
        config.password(settings.ask(provider, CONNECT_LIMIT).await?);
        match Self::open(settings, &config).await {
            Err(error) if error.kind() == ErrorKind::NotPermitted => {
                config.password(settings.ask(provider, CONNECT_LIMIT).await?);
                Self::open(settings, &config).await
            }
            result => result,
        }
    }

    async fn open(settings: &Arc<Settings>, config: &Config) -> Result<Self, Error> {
        let opening = async {
            let reading = Connection::open(settings, config, settings.wakes.clone()).await?;
            // The publishers' connection listens to nothing.
            Ok((reading, Connection::open(settings, config, Wakes::default()).await?))
        };
        let Ok(opened) = timeout(CONNECT_LIMIT, opening).await else {
            let late = format!("not within {CONNECT_LIMIT:?}");
            return Err(Error::with_kind(ACTION, ErrorKind::Unreachable, late));
        };
        let (reading, publishing) = opened?;
        let server = reading.identify().await?;
        // During a fail-over, the address can lead the second connection to another server than the
        // first one.
        if server != publishing.identify().await? {
            return Err(Error::new(ACTION, "the addresses lead to different servers"));
        }
        let listens = settings.listens && listen(&reading, &publishing).await;
        settings.health.set_listening(listens);
        Ok(Self { reading, publishing: Arc::new(publishing) })
    }
}

impl Connection {
    /// Checks the version of the schema, sets the clock, and returns what identifies the server.
    async fn identify(&self) -> Result<(String, SystemTime), Error> {
        let schema = quoted(&self.settings.schema);
        let function = format!(
            "version() v, {schema}.cluster() c, pg_postmaster_start_time() s, clock_timestamp() n"
        );
        let identified = self.call_one(&function, &[], |row| {
            Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?), row.try_get(3)?))
        });
        let (version, server, now): (i32, _, _) = identified.await?;
        self.settings.clock.set(now);
        if version != SCHEMA_VERSION {
            let reason = format!("the schema has version {version} instead of {SCHEMA_VERSION}");
            return Err(Error::with_kind(ACTION, ErrorKind::NotInstalled, reason));
        }
        Ok(server)
    }
}

/// Listens to the channel of the stream, and returns whether a notification from the publishers'
/// connection arrives. A notification from the same connection would prove nothing: even a pooler
/// would pass it on.
async fn listen(reading: &Connection, publishing: &Connection) -> bool {
    let Settings { schema, stream, wakes, health, .. } = &*reading.settings;
    // Discards an earlier wake-up.
    _ = timeout(Duration::ZERO, wakes.log.notified()).await;
    let test = async {
        let stream: [super::connection::Parameter<'_>; 1] = [(stream, Type::TEXT)];
        let channel: String =
            reading.call_one("channel($1)", &stream, |row| row.try_get(0)).await?;
        reading.query(&format!("listen {}", quoted(&channel)), &[]).await?;
        let notify = format!("select pg_notify({}.channel($1), 'log')", quoted(schema));
        publishing.query(&notify, &stream).await
    };
    let arrived = match test.await {
        Ok(_) => timeout(LISTEN_LIMIT, wakes.log.notified()).await.is_ok(),
        Err(error) => {
            health.common.set_error(error);
            false
        }
    };
    if !arrived {
        warn!("notifications of PostgreSQL do not arrive, as behind a pooler: the hub only polls");
    }
    arrived
}

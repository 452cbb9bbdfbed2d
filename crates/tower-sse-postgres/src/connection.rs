use std::sync::{Arc, Mutex, OnceLock, atomic::AtomicU64, atomic::Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use std::{collections::HashMap, future::poll_fn, task::Context};

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row, Socket, Statement, tls::TlsStream};
use tokio_util::sync::CancellationToken;
use tower_sse_broker::__private::Identity;
use tower_sse_broker::{tasks::lock, warn};

use crate::error::{failed, late, most_telling};
use crate::log_row::{LogRow, number, signed};
use crate::settings::{Encryption, Settings, Wakes, each_host, quoted};
use crate::{Error, ErrorKind, SCHEMA_VERSION};

/// The time limit for the server's response. Statements that take longer are cancelled.
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);
/// The time limit for the request to cancel a statement.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

pub(crate) const ACTION: &str = "connect to PostgreSQL";
const PREPARE: &str = "prepare a statement in PostgreSQL";
const ASK: &str = "get the credentials for PostgreSQL";

/// A parameter of a statement, with its type on the server.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection to the server. Dropping the connection ends its task.
pub(crate) struct Connection {
    client: Client,
    pub(crate) settings: Arc<Settings>,
    /// A token that's cancelled when the connection has ended.
    pub(crate) ended: CancellationToken,
    /// How often the connection's task was polled: once to send a small statement, then whenever
    /// bytes arrived that weren't a notification.
    polls: Arc<AtomicU64>,
    /// The prepared statements, by their text. Set only if no pooler shares the server's session.
    statements: OnceLock<Mutex<HashMap<String, Statement>>>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects. A task then passes notifications on to `wakes`, except those that the connection
    /// `wakes.own` has sent.
    pub(crate) async fn open(
        settings: &Arc<Settings>,
        config: &Config,
        wakes: Wakes,
    ) -> Result<Self, Error> {
        match &settings.encryption {
            Encryption::None => Self::drive(settings, config.connect(NoTls).await, wakes),
            #[cfg(feature = "tls")]
            Encryption::Tls(tls) => Self::drive(settings, config.connect(tls.clone()).await, wakes),
        }
    }

    fn drive<T: TlsStream + Unpin + Send + 'static>(
        settings: &Arc<Settings>,
        connected: Result<(Client, tokio_postgres::Connection<Socket, T>), tokio_postgres::Error>,
        wakes: Wakes,
    ) -> Result<Self, Error> {
        let (client, mut connection) = connected.map_err(|error| failed(ACTION, error))?;
        check(connection.parameter("server_version"), connection.parameter("server_encoding"))?;
        let (ended, mut driver) = (CancellationToken::new(), JoinSet::new());
        let (guard, polls) = (ended.clone().drop_guard(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&polls);
        driver.spawn(async move {
            let _guard = guard;
            let mut is_message = false;
            let mut poll = |cx: &mut Context<'_>| {
                // The loop polls again after each message, even if no more bytes have arrived.
                let count = u64::from(!is_message);
                // Count before the poll: it can complete a statement, and the next statement can
                // begin during the poll.
                counted.fetch_add(count, Relaxed);
                let polled = connection.poll_message(cx);
                is_message = polled.is_ready();
                counted.fetch_sub(count * u64::from(is_message), Relaxed);
                polled
            };
            while let Some(Ok(message)) = poll_fn(&mut poll).await {
                if let AsyncMessage::Notification(notification) = message
                    && notification.process_id() != wakes.own.load(Relaxed)
                {
                    wakes.of(notification.payload()).notify_one();
                }
            }
        });
        let (settings, statements) = (Arc::clone(settings), OnceLock::new());
        Ok(Self { client, settings, ended, polls, statements, _driver: driver })
    }

    /// Sends a statement. Prepares it only if notifications have shown that no pooler shares the
    /// server's session. Poolers let unprepared statements pass.
    pub(crate) async fn query(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let action = || format!("run `{}` in PostgreSQL", text.split('(').next().unwrap_or(text));
        let statement = self.prepared(text, parameters).await?;
        let polls = self.polls.load(Relaxed);
        let querying = async {
            let Some(statement) = &statement else {
                return self.client.query_typed(text, parameters).await;
            };
            let parameters: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
            self.client.query(statement, &parameters).await
        };
        match timeout(RESPONSE_LIMIT, querying).await {
            Ok(result) => result.map_err(|error| failed(&action(), error)),
            Err(_) => {
                // The first poll sent the statement. Polls for notifications are not counted.
                let has_begun = self.polls.load(Relaxed) > polls + 1;
                _ = timeout(CANCEL_LIMIT, self.cancel()).await;
                Err(late(&action(), RESPONSE_LIMIT, has_begun))
            }
        }
    }

    /// Returns the prepared statement with this text, or `None` if this connection prepares none.
    async fn prepared(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Statement>, Error> {
        let Some(statements) = self.statements.get() else { return Ok(None) };
        if let Some(statement) = lock(statements).get(text) {
            return Ok(Some(statement.clone()));
        }
        let types: Vec<_> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
        let prepared = timeout(RESPONSE_LIMIT, self.client.prepare_typed(text, &types)).await;
        let prepared = prepared.map_err(|_| late(PREPARE, RESPONSE_LIMIT, false))?;
        let statement = prepared.map_err(|error| failed(PREPARE, error))?;
        lock(statements).insert(text.to_owned(), statement.clone());
        Ok(Some(statement))
    }

    /// Calls a function of the schema and decodes the rows that it returns.
    pub(crate) async fn call<T>(
        &self,
        function: &str,
        parameters: &[Parameter<'_>],
        decode: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let text = format!("select * from {}.{function}", quoted(&self.settings.schema));
        let rows = self.query(&text, parameters).await?;
        let decoded = rows.iter().map(decode).collect::<Result<_, _>>();
        decoded.map_err(unreadable)
    }

    pub(crate) async fn call_one<T>(
        &self,
        function: &str,
        parameters: &[Parameter<'_>],
        decode: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let row = self.call(function, parameters, decode).await?.pop();
        row.ok_or_else(|| failed("read a response of PostgreSQL", "it has no row"))
    }

    /// Cancels the running statement after the session has ended. Returns an error that says so.
    pub(crate) async fn abandon(&self) -> Error {
        _ = timeout(CANCEL_LIMIT, self.cancel()).await;
        let reason = "the session has ended";
        Error::new("run a statement in PostgreSQL", ErrorKind::Unreachable, reason)
    }

    /// Cancels the running statement, which could outlast this connection while it waits for a
    /// lock.
    async fn cancel(&self) -> Result<(), tokio_postgres::Error> {
        let token = self.client.cancel_token();
        match &self.settings.encryption {
            Encryption::None => token.cancel_query(NoTls).await,
            #[cfg(feature = "tls")]
            Encryption::Tls(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}

/// Creates the error for a response that has other columns than expected.
fn unreadable(error: tokio_postgres::Error) -> Error {
    failed("read a response of PostgreSQL", error)
}

/// Checks a server's version and encoding, if the server reports them.
fn check(version: Option<&str>, encoding: Option<&str>) -> Result<(), Error> {
    let number = |version: &str| version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let reason = match (version, encoding) {
        (Some(version), _) if number(version).is_some_and(|major: u32| major < 14) => {
            format!("the server has version {version}, not 14 or later")
        }
        (_, Some(encoding)) if encoding != "UTF8" => {
            format!("the database has the encoding {encoding}, not UTF8")
        }
        _ => return Ok(()),
    };
    Err(failed(ACTION, reason))
}

/// The time limit for opening both connections, and for the closure that returns the credentials.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long [`listen`] waits for its test notification.
const LISTEN_LIMIT: Duration = Duration::from_secs(1);

/// A session's two connections, which lead to the same server.
pub(crate) struct Opened {
    pub(crate) reading: Connection,
    pub(crate) publishing: Arc<Connection>,
    /// What the schema's function `cluster` returned when the session began.
    pub(crate) cluster: String,
}

impl Opened {
    /// Opens the connections of a session. Checks that both lead to one server with the right
    /// schema, then listens if notifications are on.
    pub(crate) async fn connect(settings: &Arc<Settings>) -> Result<Self, Error> {
        let Self { reading, publishing, .. } = Self::open(settings).await?;
        let server = reading.identify().await?;
        // During a failover, the two connections can reach different servers.
        if server != publishing.identify().await? {
            return Err(failed(ACTION, "the addresses lead to different servers"));
        }
        let listens = settings.listens && listen(&reading, &publishing).await;
        settings.health.stats().update(|stats| stats.listens = listens);
        if listens {
            for connection in [&reading, &publishing] {
                _ = connection.statements.set(Mutex::default());
            }
        }
        Ok(Self { reading, publishing, cluster: server.0 })
    }

    /// Opens the connections. If the credentials are refused, asks the closure for new ones once.
    pub(crate) async fn open(settings: &Arc<Settings>) -> Result<Self, Error> {
        let mut config = settings.config.clone();
        let Some(provider) = &settings.provider else {
            return Self::open_as(settings, &config).await;
        };
        let mut is_refused = false;
        loop {
            let credentials = provider.ask(CONNECT_LIMIT, ASK).await?;
            config.user(credentials.user()).password(credentials.password());
            match Self::open_as(settings, &config).await {
                Err(error) if error.kind() == ErrorKind::NotPermitted && !is_refused => {
                    is_refused = true;
                }
                result => return result,
            }
        }
    }

    async fn open_as(settings: &Arc<Settings>, config: &Config) -> Result<Self, Error> {
        let hangs = |limit: Duration| {
            Err(Error::new(ACTION, ErrorKind::Unreachable, format!("not within {limit:?}")))
        };
        let (hosts, mut errors) = (each_host(config), Vec::new());
        let opening = async {
            // A server that hangs can still accept connections: leave time for the others.
            let limit = CONNECT_LIMIT / u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
            for host in hosts.iter().skip(1) {
                let opened = timeout(limit, Self::open_at(settings, host)).await;
                match opened.unwrap_or_else(|_| hangs(limit)) {
                    Ok(opened) => return Ok(opened),
                    Err(error) => errors.push(error),
                }
            }
            Self::open_at(settings, hosts.first().unwrap_or(config)).await
        };
        let opened = timeout(CONNECT_LIMIT, opening).await;
        opened.unwrap_or_else(|_| hangs(CONNECT_LIMIT)).map_err(|last| most_telling(last, errors))
    }

    async fn open_at(settings: &Arc<Settings>, config: &Config) -> Result<Self, Error> {
        let reading = Connection::open(settings, config, settings.wakes.clone()).await?;
        // The publishers' connection receives no notifications, so its wake-ups are unused.
        let publishing = Connection::open(settings, config, Wakes::default()).await?;
        Ok(Self { reading, publishing: Arc::new(publishing), cluster: String::new() })
    }
}

impl Connection {
    /// Checks the schema's version and row security, and sets the clock. Returns values that
    /// identify the server.
    async fn identify(&self) -> Result<(String, SystemTime), Error> {
        let schema = quoted(&self.settings.schema);
        let function = format!(
            "version() v, {schema}.cluster() c, pg_postmaster_start_time() s, clock_timestamp() n,
            (select pg_catalog.string_agg(t, ', ') from unnest(array['inbox', 'log', 'stream']) t
            where pg_catalog.row_security_active('{schema}.' || t)) t"
        );
        let identified = self.call_one(&function, &[], |row| {
            let server = (row.try_get(1)?, row.try_get(2)?);
            Ok((row.try_get(0)?, server, row.try_get(3)?, row.try_get(4)?))
        });
        let (version, server, now, secured): (i32, _, _, Option<String>) = identified.await?;
        self.settings.clock.set(now);
        if version != SCHEMA_VERSION {
            let reason = format!("the schema has version {version} instead of {SCHEMA_VERSION}");
            return Err(Error::new(ACTION, ErrorKind::WrongSchema, reason));
        }
        if let Some(secured) = secured {
            let reason = format!("row security hides rows of {}.{secured}", self.settings.schema);
            return Err(Error::new(ACTION, ErrorKind::NotPermitted, reason));
        }
        Ok(server)
    }
}

/// A function that makes the server drop notifications that every listener has received. Without a
/// call to it, a full queue stays full.
pub(crate) const EMPTY_QUEUE: &str = "pg_catalog.pg_notification_queue_usage()";

/// Listens to the stream's channel and returns whether a notification from the publishers'
/// connection arrives. A notification from the reading connection itself would prove nothing,
/// because a pooler would pass it on too. Returns `false` if a statement fails.
async fn listen(reading: &Connection, publishing: &Connection) -> bool {
    let Settings { schema, stream, wakes, health, .. } = &*reading.settings;
    wakes.own.store(0, Relaxed);
    // Discard an earlier wake-up.
    _ = timeout(Duration::ZERO, wakes.log.notified()).await;
    let test = async {
        let stream: [Parameter<'_>; 1] = [(stream, Type::TEXT)];
        let channel: String =
            reading.call_one("channel($1)", &stream, |row| row.try_get(0)).await?;
        reading.query(&format!("listen {}", quoted(&channel)), &[]).await?;
        let channel = format!("{}.channel($1)", quoted(schema));
        let notify = format!("select pg_notify({channel}, 'log') from {EMPTY_QUEUE}");
        publishing.query(&notify, &stream).await?;
        if timeout(LISTEN_LIMIT, wakes.log.notified()).await.is_err() {
            return Ok(false);
        }
        // While the publishers' connection holds this lock, other hubs that listen notify this hub
        // of the rows that they number. Earlier rows are read when the session begins.
        let lock = "select pg_catalog.pg_backend_pid() from pg_catalog.pg_advisory_lock_shared(
            pg_catalog.hashtextextended('tower_sse ' operator(pg_catalog.||) $1, 0))";
        let locked = publishing.query(lock, &stream).await?;
        let own = locked.first().map(|row| row.try_get(0)).transpose().map_err(unreadable)?;
        wakes.own.store(own.unwrap_or_default(), Relaxed);
        Ok(true)
    };
    match test.await {
        Ok(true) => return true,
        Ok(false) => {
            warn!("no notification of PostgreSQL arrives, as behind a pooler: the hub polls");
        }
        Err(error) => {
            warn!(error = %error, "no notification of PostgreSQL can be tried: the hub polls");
            health.set_error(error);
        }
    }
    false
}

/// The maximum number of waiting inbox rows that a survey counts.
const COUNTED: i32 = 100_000;
/// The maximum number of rows that are removed at a time.
const REMOVED: i32 = 10_000;

pub(crate) struct Polled {
    /// Whether rows are waiting in the inbox.
    pub(crate) waits: bool,
    pub(crate) newest: Option<Identity>,
}

pub(crate) struct Trimmed {
    /// The lowest number that can be left in the log.
    pub(crate) first: i64,
    pub(crate) oldest: Option<SystemTime>,
    /// Whether there may be more rows to remove right away.
    pub(crate) has_more: bool,
}

pub(crate) struct Surveyed {
    pub(crate) waiting: u64,
    pub(crate) since: Option<SystemTime>,
    pub(crate) bytes: u64,
}

impl Connection {
    /// Returns the stream's name, the first parameter of most functions.
    pub(crate) fn stream(&self) -> Parameter<'_> {
        (&self.settings.stream, Type::TEXT)
    }

    /// Returns at most `rows` rows of the log whose number is at least `from`. If the first row has
    /// the number `from`, it comes without its data. The row with which the
    /// data reaches `bytes` bytes is the last one.
    pub(crate) async fn read(
        &self,
        from: u64,
        rows: usize,
        bytes: usize,
    ) -> Result<Vec<LogRow>, Error> {
        let (rows, bytes) = (i32::try_from(rows).unwrap_or(i32::MAX), signed(bytes as u64));
        let parameters: [Parameter<'_>; 4] =
            [self.stream(), (&signed(from), Type::INT8), (&rows, Type::INT4), (&bytes, Type::INT8)];
        self.call("read($1, $2, $3, $4)", &parameters, |row| LogRow::decode(row, 0)).await
    }

    /// Returns the identity and time of the log's first row whose number is at least `number`.
    pub(crate) async fn first_from(
        &self,
        number: u64,
    ) -> Result<Option<(Identity, SystemTime)>, Error> {
        let text = format!(
            "select seq, nonce, at from {}.log where stream = $1 and seq >= $2 order by stream, seq limit 1",
            quoted(&self.settings.schema)
        );
        let rows = self.query(&text, &[self.stream(), (&signed(number), Type::INT8)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let first = || Ok(identity(row.try_get(0)?, row.try_get(1)?).zip(row.try_get(2)?));
        first().map_err(unreadable)
    }

    /// Returns whether rows are waiting and which row is the newest. Sets the clock.
    pub(crate) async fn poll(&self, covered: i64) -> Result<Polled, Error> {
        let parameters: [Parameter<'_>; 2] = [self.stream(), (&covered, Type::INT8)];
        let polled = self.call_one("poll($1, $2)", &parameters, |row| {
            self.settings.clock.set(row.try_get(3)?);
            let newest = identity(row.try_get(1)?, row.try_get(2)?);
            Ok(Polled { waits: row.try_get(0)?, newest })
        });
        polled.await
    }

    /// Returns the newest row older than `age`. Rows of kind [`Leap`](crate::log_row::Kind::Leap),
    /// which only mark that the numbers skip ahead, don't count.
    pub(crate) async fn before(&self, age: Duration) -> Result<Option<Identity>, Error> {
        let parameters: [Parameter<'_>; 2] = [self.stream(), (&age.as_secs_f64(), Type::FLOAT8)];
        let before = self.call_one("before($1, $2)", &parameters, |row| {
            Ok(identity(row.try_get(0)?, row.try_get(1)?))
        });
        before.await
    }

    /// Removes old rows. `first` must not exceed the lowest number in the log.
    pub(crate) async fn trim(
        &self,
        first: i64,
        age: Option<Duration>,
        rows: Option<i64>,
    ) -> Result<Trimmed, Error> {
        let parameters: [Parameter<'_>; 5] = [
            self.stream(),
            (&first, Type::INT8),
            (&age.map(|age| age.as_secs_f64()), Type::FLOAT8),
            (&rows, Type::INT8),
            (&REMOVED, Type::INT4),
        ];
        let trimmed = self.call_one("trim($1, $2, $3, $4, $5)", &parameters, |row| {
            let has_more = row.try_get::<_, Option<bool>>(2)?.unwrap_or_default();
            Ok(Trimmed { first: row.try_get(0)?, oldest: row.try_get(1)?, has_more })
        });
        trimmed.await
    }

    pub(crate) async fn cluster(&self) -> Result<String, Error> {
        self.call_one("cluster()", &[], |row| row.try_get(0)).await
    }

    /// Returns how many rows wait in the inbox, counted up to [`COUNTED`], how long the oldest has
    /// waited, and the size of the log.
    pub(crate) async fn survey(&self) -> Result<Surveyed, Error> {
        let parameters: [Parameter<'_>; 1] = [(&COUNTED, Type::INT4)];
        let surveyed = self.call_one("survey($1)", &parameters, |row| {
            let (waiting, bytes) = (number(row.try_get(0)?), number(row.try_get(2)?));
            Ok(Surveyed { waiting, since: row.try_get(1)?, bytes })
        });
        surveyed.await
    }
}

pub(crate) fn identity(seq: Option<i64>, nonce: Option<i64>) -> Option<Identity> {
    Some(Identity { number: number(seq?), fingerprint: number(nonce?) })
}

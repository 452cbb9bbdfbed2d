use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls, Row, Socket,
    tls::TlsStream,
    types::{ToSql, Type},
};
use tokio_util::sync::CancellationToken;

use super::settings::{Encryption, Settings, Wakes, quoted};
use crate::{Error, ErrorKind};

/// The time limit for a response of the server. Statements that take longer are cancelled.
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);
/// The time limit for the request to cancel a statement.
const CANCEL_LIMIT: Duration = Duration::from_secs(1);

pub(super) const ACTION: &str = "connect to PostgreSQL";

/// A parameter of a statement, with its type on the server.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection to the server. Dropping it ends the task that drives it.
pub(crate) struct Connection {
    client: Client,
    pub(crate) settings: Arc<Settings>,
    /// Cancelled when the connection has ended.
    pub(crate) ended: CancellationToken,
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects, and passes on each notification from the server.
    pub(super) async fn open(
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
        let (client, mut connection) = connected.map_err(|error| Error::new(ACTION, error))?;
        check(connection.parameter("server_version"), connection.parameter("server_encoding"))?;
        let (ended, mut driver) = (CancellationToken::new(), JoinSet::new());
        let guard = ended.clone().drop_guard();
        driver.spawn(async move {
            let _guard = guard;
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    wakes.of(notification.payload()).notify_one();
                }
            }
        });
        Ok(Self { client, settings: Arc::clone(settings), ended, _driver: driver })
    }

    /// Sends a statement, which is not prepared, so that it passes through every pooler.
    pub(super) async fn query(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let action = || format!("run `{}` in PostgreSQL", text.split('(').next().unwrap_or(text));
        match timeout(RESPONSE_LIMIT, self.client.query_typed(text, parameters)).await {
            Ok(result) => result.map_err(|error| Error::new(&action(), error)),
            Err(_) => {
                _ = timeout(CANCEL_LIMIT, self.cancel()).await;
                let reason = format!("no response within {RESPONSE_LIMIT:?}");
                Err(Error::with_kind(&action(), ErrorKind::Unreachable, reason))
            }
        }
    }

    /// Calls a function of the schema, and decodes the rows that it returns.
    pub(super) async fn call<T>(
        &self,
        function: &str,
        parameters: &[Parameter<'_>],
        decode: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let text = format!("select * from {}.{function}", quoted(&self.settings.schema));
        let rows = self.query(&text, parameters).await?;
        let decoded = rows.iter().map(decode).collect::<Result<_, _>>();
        decoded.map_err(|error| Error::new("read a response of PostgreSQL", error))
    }

    /// Calls a function that returns one row.
    pub(crate) async fn call_one<T>(
        &self,
        function: &str,
        parameters: &[Parameter<'_>],
        decode: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let row = self.call(function, parameters, decode).await?.pop();
        row.ok_or_else(|| Error::new("read a response of PostgreSQL", "it has no row"))
    }

    /// Cancels the statement that runs, because the session has ended. Returns the statement's error.
    pub(crate) async fn abandon(&self) -> Error {
        _ = timeout(CANCEL_LIMIT, self.cancel()).await;
        let reason = "the session has ended";
        Error::with_kind("run a statement in PostgreSQL", ErrorKind::Unreachable, reason)
    }

    /// Cancels the statement that runs. It may be waiting for a lock, and would continue to wait after
    /// this connection has ended.
    async fn cancel(&self) -> Result<(), tokio_postgres::Error> {
        let token = self.client.cancel_token();
        match &self.settings.encryption {
            Encryption::None => token.cancel_query(NoTls).await,
            #[cfg(feature = "tls")]
            Encryption::Tls(tls) => token.cancel_query(tls.clone()).await,
        }
    }
}

/// Checks the version and the encoding of a server, as far as the server reports them.
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
    Err(Error::new(ACTION, reason))
}

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, Value, cmd, from_redis_value,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Error,
        credentials::Renewal,
        server_info::{SECTIONS, ServerInfo},
        servers::{MultiplexedConnection, Pair, Servers, connection_name},
    },
    encode,
    keys::Keys,
    script::{Hashes, TEXTS},
    subscriptions::Subscriptions,
};

/// The time limit for connecting, including authentication and the choice of the database.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The time limit for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of channels in one command.
const CHANNELS: usize = 512;

/// Two connections to one server: one for commands, and one for pushes.
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) opened: Instant,
    pub(super) hashes: Hashes,
    pub(super) info: ServerInfo,
    /// The number that the server gave to the connection for commands.
    client: i64,
    commands: MultiplexedConnection,
    pushes: MultiplexedConnection,
    /// Keeps the credentials of both connections valid.
    _renewal: Option<Renewal>,
    /// Cancelled when either connection breaks.
    pub(super) ended: CancellationToken,
}

/// A factory of sessions.
pub(super) struct Dialer {
    servers: Servers,
    name: String,
    keys: Keys,
    lease: Duration,
    subscriptions: Arc<Subscriptions>,
}

impl Dialer {
    /// Creates a factory of sessions with the primary of these servers.
    pub(super) fn new(
        mut servers: Servers,
        prefix: &str,
        keys: Keys,
        lease: Duration,
        subscriptions: Arc<Subscriptions>,
    ) -> Result<Self, Error> {
        for client in &mut servers.clients {
            let info = client.get_connection_info().clone();
            // Pushes need the newer protocol.
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            let info = info.set_redis_settings(settings).into_connection_info();
            let resp3 = info.and_then(::redis::Client::open);
            *client = resp3.map_err(|error| Error::new("parse the Redis URL", error))?;
        }
        Ok(Self { servers, name: connection_name(prefix), keys, lease, subscriptions })
    }

    /// Opens a session that does not receive pushes yet.
    pub(super) async fn open(
        &self,
        number: u64,
        previous: Option<&Session>,
    ) -> Result<Session, Error> {
        let opened = Instant::now();
        let ended = CancellationToken::new();
        let configs = [self.config(&ended), self.config(&ended)];
        let Pair { connections: [mut commands, pushes], info, renewal } =
            self.servers.connect(&self.servers.clients, &configs, &self.name).await?;
        info.require_runs()?;
        if let Some(previous) = previous.filter(|previous| previous.info.run_id == info.run_id) {
            // What was sent over the earlier connection is not executed later than this.
            let mut kill = cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(previous.client);
            _ = send::<Value>(&mut commands, &kill, "close an earlier connection to Redis").await;
        }
        let id = "identify the connection to Redis";
        let client = send(&mut commands, cmd("CLIENT").arg("ID"), id).await?;
        let hashes = load_scripts(&mut commands).await?;
        let earlier = previous.map(|previous| &*previous.info.run_id);
        if earlier != Some(&info.run_id) {
            let join = encode::join(&self.keys, &hashes, self.lease, &info.run_id, earlier);
            _ = send::<Value>(&mut commands, &join, "join the processes that share runs").await?;
        }
        let _renewal = renewal;
        Ok(Session { number, opened, hashes, info, client, commands, pushes, _renewal, ended })
    }

    fn config(&self, ended: &CancellationToken) -> AsyncConnectionConfig {
        let (subscriptions, ended) = (Arc::clone(&self.subscriptions), ended.clone());
        let receive = move |push: PushInfo| {
            if !ended.is_cancelled() && !subscriptions.receive(push) {
                ended.cancel();
            }
            Ok::<_, std::convert::Infallible>(())
        };
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT))
            .set_push_sender(receive)
    }
}

impl Session {
    /// Sends commands in one pipeline, and returns their replies. They can be errors.
    pub(super) async fn send_all(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, RedisError> {
        let count = commands.len();
        let mut pipeline = ::redis::Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        let replies = self.commands.clone().send_packed_commands(&pipeline, 0, count).await;
        if replies.is_err() {
            // A late reply would be taken for that to a later command.
            self.ended.cancel();
        }
        replies
    }

    /// Loads the scripts again, after the server has lost them.
    pub(super) async fn load_scripts(&self) -> Result<(), Error> {
        load_scripts(&mut self.commands.clone()).await.map(drop)
    }

    pub(super) async fn subscribe(&self, channels: &[String]) -> Result<(), RedisError> {
        for channels in channels.chunks(CHANNELS) {
            if let Err(error) = self.pushes.clone().subscribe(channels).await {
                self.ended.cancel();
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) async fn unsubscribe(&self, channel: &str) {
        if self.pushes.clone().unsubscribe(channel).await.is_err() {
            self.ended.cancel();
        }
    }

    /// Checks that both connections work, and that the same server is at their end.
    pub(super) async fn check(&self) -> Result<ServerInfo, Error> {
        _ = send::<Value>(&mut self.pushes.clone(), &cmd("PING"), "ping Redis").await?;
        let (mut commands, identify) = (self.commands.clone(), "identify the Redis server");
        let reply = send(&mut commands, cmd("INFO").arg(&SECTIONS), identify).await?;
        let info = ServerInfo::parse(reply)?;
        info.require_runs()?;
        if info.run_id != self.info.run_id {
            return Err(Error::new("ping Redis", "another server answers"));
        }
        Ok(info)
    }
}

async fn load_scripts(connection: &mut MultiplexedConnection) -> Result<Hashes, Error> {
    let mut hashes = Hashes::default();
    for (text, hash) in TEXTS.into_iter().zip(&mut hashes.0) {
        let load = "load the scripts of runs into Redis";
        *hash = send(connection, cmd("SCRIPT").arg("LOAD").arg(text), load).await?;
    }
    Ok(hashes)
}

/// Sends a command, and reads its reply. `action` names it in errors.
async fn send<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    action: &'static str,
) -> Result<T, Error> {
    let reply = connection.send_packed_command(command).await.and_then(Value::extract_error);
    let reply = reply.map_err(|error| Error::new(action, error))?;
    from_redis_value(reply).map_err(|error| Error::new(action, error))
}

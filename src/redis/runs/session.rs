use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisError, Value, cmd, from_redis_value,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Error,
        credentials::Renewal,
        server_info::{SECTIONS, ServerInfo},
        servers::{MultiplexedConnection, Pair},
    },
    encode::Encoder,
    link::Link,
    script::{Hashes, TEXTS},
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

impl Session {
    /// Opens a session that does not receive pushes yet.
    pub(super) async fn open(
        link: &Link,
        number: u64,
        previous: Option<&Self>,
    ) -> Result<Self, Error> {
        let opened = Instant::now();
        let ended = CancellationToken::new();
        let configs = [config(link, &ended), config(link, &ended)];
        let Pair { connections: [mut commands, pushes], info, renewal } =
            link.servers.connect(&link.servers.clients, &configs, &link.name).await?;
        info.require_runs()?;
        let earlier = previous.map(|previous| &*previous.info.run_id);
        if let Some(previous) = previous.filter(|_| earlier == Some(&info.run_id)) {
            // What was sent over the earlier connection is not executed later than this.
            let mut kill = cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(previous.client);
            _ = send::<Value>(&mut commands, &kill, "close an earlier connection to Redis").await;
        }
        let id = "identify the connection to Redis";
        let client = send(&mut commands, cmd("CLIENT").arg("ID"), id).await?;
        let hashes = load_scripts(&mut commands).await?;
        if earlier != Some(&info.run_id) {
            let encoder = Encoder { link, hashes: &hashes, is_new: true };
            let join = encoder.join(&info.run_id, earlier);
            _ = send::<Value>(&mut commands, &join, "join the processes that share runs").await?;
        }
        Ok(Self {
            number,
            opened,
            hashes,
            info,
            client,
            commands,
            pushes,
            _renewal: renewal,
            ended,
        })
    }

    /// Sends commands, and returns their replies. They can be errors.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let mut connection = self.commands.clone();
        let replies = connection.send_packed_commands(commands, 0, commands.len()).await;
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

/// Returns a client that receives pushes, which need the newer protocol.
pub(super) fn with_pushes(client: &Client) -> Result<Client, Error> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings).into_connection_info();
    info.and_then(Client::open).map_err(|error| Error::new("parse the Redis URL", error))
}

/// Returns the settings of a connection, whose pushes are received until `ended` is cancelled.
fn config(link: &Link, ended: &CancellationToken) -> AsyncConnectionConfig {
    let (subscriptions, ended) = (Arc::clone(&link.subscriptions), ended.clone());
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

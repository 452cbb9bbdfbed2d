use std::sync::{Arc, Mutex, atomic::AtomicI64, atomic::Ordering::Relaxed};
use std::{collections::BTreeMap, io, str, time::Duration};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, cmd, from_redis_value};
use redis::{IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError};
use redis::{RedisResult, Value};
use tokio_util::sync::CancellationToken;
use tower_sse::runs::__private::Epoch;

use super::batcher::Batcher;
use super::beats::{HeardBeat, Heartbeat};
use super::commands::{Encoder, Hashes, Keys, Scope, TEXTS, publish_name, run_of_stream, text_for};
use super::replies::{check, failure_of, parse_push};
use crate::runs::seam::{Failure, Incoming, ProcessId, Receive, RunId};
use crate::server::server_info::{SECTIONS, ServerInfo, lacks_tag};
use crate::server::{MultiplexedConnection, failed, route::Route, servers::Connections};
use crate::{Error, ErrorKind};
use tower_sse_broker::tasks::lock;

/// The minimum time limit for connecting, including authentication and the choice of the database.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The minimum time limit for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// How many times longer a reply may take over the connection for pushes and loads. It can wait
/// behind all pages that are under way, about a megabyte.
const PAGES_TIMEOUT: u32 = 5;

const JOIN: &str = "join the processes that share runs";
const PROBE: &str = "try the commands that runs need";
const KILL: &str =
    "close earlier connections by CLIENT KILL, without which their commands can run late";

/// Commands that are sent later, or only in scripts, and their arguments after a key. If the key is
/// missing, they change nothing. Their errors name what Redis refuses; the errors of scripts need
/// not.
const PROBES: &str = "DEL; EXISTS; HDEL a; HGET a; HGETALL; HKEYS; HMGET a; PEXPIRE 1; XLEN; \
    XADD NOMKSTREAM 1-0 a b; XRANGE - +; XREVRANGE + -; XTRIM MINID 1-0";

/// The server, and its error if it refuses all writes.
type Checked = (ServerInfo, Option<Error>);

/// Two connections to one server: for commands, and for pushes and loads.
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) hashes: Hashes,
    pub(super) info: ServerInfo,
    /// The number that the server gave to the connection for commands.
    client: i64,
    commands: MultiplexedConnection,
    /// Sends the calls that must use this session, over the connection for commands.
    pub(super) batcher: Batcher,
    /// The connection for pushes and loads.
    pushes: MultiplexedConnection,
    /// Sends the changes of subscriptions, over the connection for pushes and loads.
    changes: Batcher,
    /// The number of commands that have loaded pages.
    loads: AtomicI64,
    /// Cancelled when the session ends, for example because a connection breaks.
    pub(super) ended: CancellationToken,
}

impl Session {
    /// Opens a session that does not receive pushes yet.
    pub(super) async fn open(
        endpoint: &Endpoint,
        number: u64,
        previous: Option<&Self>,
    ) -> Result<Self, Error> {
        let ended = CancellationToken::new();
        let config = config(endpoint, &ended);
        let connected = endpoint.route.connect(&config, &endpoint.name).await?;
        let Connections { connections: [mut commands, mut pushes], info } = connected;
        pushes.set_response_timeout(reply_timeout(endpoint) * PAGES_TIMEOUT);
        info.require_runs(endpoint.scope.keys.has_tag())?;
        let earlier = previous.map(|previous| &*previous.info.run_id);
        // After this command, the server executes nothing more that was sent over the earlier
        // connection. Without one, the command shows whether the user may send it.
        let killed = previous.filter(|_| earlier == Some(&info.run_id));
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(killed.map_or(i64::MAX, |previous| previous.client));
        send::<Value>(&mut commands, &kill, KILL).await?;
        let id = "identify the connection to Redis, which CLIENT KILL closes later";
        let client = send(&mut commands, cmd("CLIENT").arg("ID"), id).await?;
        let is_cluster = info.is_cluster;
        if previous.is_none() {
            let Scope { keys, process, .. } = &endpoint.scope;
            probe(&mut commands, &keys.control(process), is_cluster).await?;
        }
        let hashes = load_scripts(&mut commands, is_cluster).await?;
        let encoder = Encoder { scope: &endpoint.scope, hashes: &hashes, is_cluster };
        lock(&endpoint.heartbeat).begin();
        // A server that no longer has the keys, or is no primary, refuses this command.
        let beat = endpoint.beat(&encoder, &info, earlier);
        let joined = send::<Vec<String>>(&mut commands, &beat, JOIN).await;
        if let Err(error) = joined.and_then(|reply| endpoint.apply_beat(reply)) {
            let code = error.cause::<RedisError>().and_then(RedisError::code);
            // A proxy in front of a cluster can report itself as a single server.
            if code == Some("CROSSSLOT") {
                return Err(lacks_tag());
            }
            // At the same server, runs can go on without the beat, which the next check repeats.
            let is_usable = code.is_some_and(|code| failure_of(code) != Failure::WrongServer);
            if !is_usable || earlier != Some(&info.run_id) {
                return Err(error);
            }
        }
        Ok(Self {
            number,
            hashes,
            info,
            client,
            batcher: Batcher::start(commands.clone(), ended.clone()),
            commands,
            changes: Batcher::start(pushes.clone(), ended.clone()),
            pushes,
            loads: AtomicI64::new(0),
            ended,
        })
    }

    /// Returns the encoder of commands for this session's server.
    pub(super) fn encoder<'a>(&'a self, endpoint: &'a Endpoint) -> Encoder<'a> {
        let (scope, is_cluster) = (&endpoint.scope, self.info.is_cluster);
        Encoder { scope, hashes: &self.hashes, is_cluster }
    }

    /// Sends commands at once, and returns their replies. Each reply can be an error.
    pub(super) async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, Failure> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        commands.into_iter().for_each(|command| _ = pipeline.add_command(command));
        let mut connection = self.commands.clone();
        let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
        // As in `Batcher`, the next session closes this connection.
        replies.inspect_err(|_| self.ended.cancel()).map_err(|_| Failure::Lost)
    }

    /// Sends a command that loads a page. Its reply does not delay those of other commands.
    ///
    /// If a node of a cluster ends a subscription, the Redis client takes that message for a reply,
    /// and each later reply for that to the next command. The number in a page's reply shows that
    /// the page isn't another run's. An error without the number says nothing about the stream.
    pub(super) async fn load(&self, mut command: Cmd) -> Result<Value, Failure> {
        let number = self.loads.fetch_add(1, Relaxed);
        command.arg(number);
        let mut connection = self.pushes.clone();
        let loading = connection.send_packed_command(&command);
        match self.ended.run_until_cancelled(loading).await {
            Some(Ok(error @ Value::ServerError(_))) => check(error),
            Some(Ok(Value::Array(mut reply))) if reply.first() == Some(&Value::Int(number)) => {
                check(reply.pop().unwrap_or(Value::Nil))
            }
            _ => {
                self.ended.cancel();
                Err(Failure::Lost)
            }
        }
    }

    /// Loads the scripts again, after the server has lost them.
    pub(super) async fn load_scripts(&self) -> Result<(), Error> {
        load_scripts(&mut self.commands.clone(), self.info.is_cluster).await.map(drop)
    }

    /// Subscribes to channels. Changes of subscriptions that are made close to each other share a
    /// round trip. The server makes them in the order of the calls, not of the futures.
    pub(super) fn subscribe<'s>(
        &'s self,
        channels: &[String],
    ) -> impl Future<Output = Result<(), RedisError>> + use<'s> {
        let subscribed = self.change("SUBSCRIBE", channels);
        async { subscribed.await.inspect_err(|_| self.ended.cancel()) }
    }

    /// Ends a subscription, in the order of [`subscribe`](Self::subscribe).
    pub(super) fn unsubscribe(&self, channel: String) -> impl Future<Output = ()> {
        let unsubscribed = self.change("UNSUBSCRIBE", &[channel]);
        async {
            // A server that refuses this only keeps sending messages, which are ignored.
            if unsubscribed.await.is_err_and(|error| error.code() == Some("MOVED")) {
                self.ended.cancel();
            }
        }
    }

    fn change(
        &self,
        name: &str,
        channels: &[String],
    ) -> impl Future<Output = Result<(), RedisError>> + use<> {
        let name = if self.info.is_cluster { format!("S{name}") } else { name.to_owned() };
        // The client of Redis expects one reply to each of these commands.
        let command = |channel| cmd(&name).arg(channel).clone();
        let replies = self.changes.call(channels.iter().map(command).collect());
        async {
            let replies =
                replies.await.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
            replies.into_iter().try_for_each(|reply| reply.extract_error().map(drop))
        }
    }

    /// Checks that the connection for commands works, and leads to the same server. Also sends a
    /// beat, which shows that this process lives, keeps the key `data`, notices the loss of that
    /// key, and finds which processes have died and what others have asked of this one.
    pub(super) async fn check(&self, endpoint: &Endpoint) -> Result<Checked, Error> {
        let mut commands = self.commands.clone();
        let info = self.identify(commands.send_packed_command(&identify(&SECTIONS)).await)?;
        info.require_runs(endpoint.scope.keys.has_tag())?;
        let beat = endpoint.beat(&self.encoder(endpoint), &info, Some(&info.run_id));
        let joined = commands.send_packed_command(&beat).await;
        let refused = joined.clone().and_then(Value::extract_error).err();
        let refused = refused.map(|error| failed(JOIN, error));
        // If the server does not accept this command now, the next check sends it again.
        match joined.map(check) {
            Ok(Err(Failure::NoScript)) => self.load_scripts().await?,
            // Without other commands, this is how a process notices that another node has the keys.
            Ok(Err(Failure::WrongServer)) => {
                return Err(failed(JOIN, "the server no longer has the keys"));
            }
            Ok(Ok(reply)) => endpoint.apply_beat(from_redis_value(reply).unwrap_or_default())?,
            Ok(Err(_)) => {}
            // The lost reply may have had what others have asked for. The next session synchronizes
            // all runs.
            Err(error) => return Err(failed(JOIN, error)),
        }
        Ok((info, refused.filter(|error| error.kind() == ErrorKind::ReadOnly)))
    }

    /// Checks the connection for pushes and loads.
    pub(super) async fn check_pushes(&self) -> Result<(), Error> {
        let mut pushes = self.pushes.clone();
        self.identify(pushes.send_packed_command(&identify(&[SERVER])).await).map(drop)
    }

    /// Parses the reply of the server to which a connection leads. It must be the session's server.
    fn identify(&self, reply: RedisResult<Value>) -> Result<ServerInfo, Error> {
        let info = reply.and_then(Value::extract_error);
        let info = info.map_err(|error| failed("identify the Redis server", error))?;
        let info = ServerInfo::parse(info)?;
        if info.run_id != self.info.run_id {
            return Err(failed("identify the Redis server", "another server answers"));
        }
        Ok(info)
    }
}

/// Returns a client that receives pushes, which need the protocol RESP3.
pub(super) fn with_pushes(client: &Client) -> Result<Client, Error> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings).into_connection_info();
    info.and_then(Client::open).map_err(|error| failed("parse the Redis URL", error))
}

/// The section of `INFO` that identifies the server. The others take three times as long.
const SERVER: &str = SECTIONS[0];

/// Returns the command whose reply identifies the server.
fn identify(sections: &[&str]) -> Cmd {
    cmd("INFO").arg(sections).clone()
}

fn reply_timeout(endpoint: &Endpoint) -> Duration {
    endpoint.route.servers.timeout.min(REPLY_TIMEOUT.max(endpoint.scope.lease / 4))
}

/// Returns the settings of a connection. Pushes are received until the connection breaks, which
/// cancels the token.
fn config(endpoint: &Endpoint, ended: &CancellationToken) -> AsyncConnectionConfig {
    let (limit, lease) = (endpoint.route.servers.timeout, endpoint.scope.lease);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit.min(CONNECT_TIMEOUT.max(lease / 8))))
        .set_response_timeout(Some(reply_timeout(endpoint)));
    let (ended, subscriptions) = (ended.clone(), Arc::clone(&endpoint.subscriptions));
    config.set_push_sender(move |push: PushInfo| {
        if !ended.is_cancelled() && !subscriptions.receive(push) {
            ended.cancel();
        }
        Ok::<_, std::convert::Infallible>(())
    })
}

/// Sends the [`PROBES`] for a missing key, whose name is also that of a channel.
async fn probe(
    connection: &mut MultiplexedConnection,
    key: &str,
    is_cluster: bool,
) -> Result<(), Error> {
    let mut pipeline = redis::pipe();
    for probe in PROBES.split("; ") {
        let (name, arguments) = probe.split_once(' ').unwrap_or((probe, ""));
        pipeline.cmd(name).arg(key);
        arguments.split_ascii_whitespace().for_each(|argument| _ = pipeline.arg(argument));
    }
    pipeline.cmd(publish_name(is_cluster)).arg(key).arg("a");
    pipeline.cmd("TIME");
    let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
    let mut errors = match replies {
        Ok(replies) => replies.into_iter().filter_map(|reply| reply.extract_error().err()),
        Err(error) => return Err(failed(PROBE, error)),
    };
    // A process can start while Redis is out of memory.
    let refused = errors.find(|error| error.code() != Some("OOM"));
    refused.map_or(Ok(()), |error| Err(failed(PROBE, error)))
}

async fn load_scripts(
    connection: &mut MultiplexedConnection,
    is_cluster: bool,
) -> Result<Hashes, Error> {
    let mut hashes = Hashes::default();
    for (text, hash) in TEXTS.into_iter().zip(&mut hashes.0) {
        let load = "load the scripts of runs into Redis";
        *hash = send(connection, cmd("SCRIPT").arg("LOAD").arg(text_for(text, is_cluster)), load)
            .await?;
    }
    Ok(hashes)
}

/// Sends a command and reads its reply. `action` names it in errors.
async fn send<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    action: &'static str,
) -> Result<T, Error> {
    let reply = connection.send_packed_command(command).await.and_then(Value::extract_error);
    let reply = reply.map_err(|error| failed(action, error))?;
    from_redis_value(reply).map_err(|error| failed(action, error))
}

/// The servers to which the sessions of a process connect, and the data that the sessions need.
pub(super) struct Endpoint {
    pub(super) route: Route,
    /// The name of the connections in `CLIENT LIST`.
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) heartbeat: Mutex<Heartbeat>,
}

impl Endpoint {
    fn beat(&self, encoder: &Encoder<'_>, info: &ServerInfo, earlier: Option<&str>) -> Cmd {
        let next = lock(&self.heartbeat).next();
        encoder.beat(&info.run_id, earlier, next)
    }

    /// Passes on what a beat has found.
    fn apply_beat(&self, reply: Vec<String>) -> Result<(), Error> {
        if let [status, version] = &reply[..]
            && status == "version"
        {
            let reason = "processes with another version of tower-sse-redis use this prefix: stop \
                 them, or set another prefix";
            return Err(failed(JOIN, format!("{reason} (protocol {version})")));
        }
        let heard = lock(&self.heartbeat).apply(&self.scope.process, reply);
        let HeardBeat { dead, is_gone, asked } = heard;
        let receive = &self.subscriptions.receive;
        if is_gone {
            receive(Incoming::HintToAll);
        }
        asked.into_iter().for_each(|epoch| receive(Incoming::Asked(epoch)));
        dead.into_iter().for_each(|dead| receive(Incoming::Dead(dead)));
        Ok(())
    }
}

/// The channels to which this process is subscribed, and the receiver of their messages.
pub(super) struct Subscriptions {
    /// The channel of hints to this process.
    control: String,
    /// The channel of hints to all processes.
    everyone: String,
    pub(super) receive: Receive,
    /// The run of each channel.
    pub(super) runs: Mutex<BTreeMap<String, RunId>>,
    /// Held while a session begins and while a change is queued, so that the server's subscriptions
    /// follow the changes of `runs` in order.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Subscriptions {
    pub(super) fn new(keys: &Keys, process: &ProcessId, receive: Receive) -> Self {
        Self {
            control: keys.control(process),
            everyone: keys.everyone(),
            receive,
            runs: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.control.clone(), self.everyone.clone()];
        channels.extend(lock(&self.runs).keys().cloned());
        channels
    }

    /// Passes on a message of the server. Returns `false` if the session must end.
    ///
    /// The task that reads from the connection calls this, so nothing is queued here. A stalled
    /// process does not read, and Redis breaks the connection once its output buffer is full.
    pub(super) fn receive(&self, PushInfo { kind, data }: PushInfo) -> bool {
        let mut data = data.into_iter();
        let Some(Value::BulkString(channel)) = data.next() else {
            return kind != PushKind::Disconnection;
        };
        if matches!(kind, PushKind::Message | PushKind::SMessage)
            && let Some(Value::BulkString(message)) = data.next()
            && let Some(incoming) = self.parse(&channel, message)
        {
            (self.receive)(incoming);
        }
        // A node that gives its keys away ends the subscriptions. This process never ends that of
        // the control channel.
        kind != PushKind::SUnsubscribe || channel != self.control.as_bytes()
    }

    fn parse(&self, channel: &[u8], message: Vec<u8>) -> Option<Incoming> {
        if channel == self.control.as_bytes() {
            let text = str::from_utf8(&message).ok()?;
            return match text.split_at_checked(1)? {
                ("-", replaced) => Epoch::parse(replaced).map(Incoming::Replaced),
                ("+", watched) => run_of_stream(watched).map(Incoming::Watched),
                _ => Epoch::parse(text).map(Incoming::Hint),
            };
        }
        if channel == self.everyone.as_bytes() {
            return Some(Incoming::HintToAll);
        }
        let run = lock(&self.runs).get(str::from_utf8(channel).ok()?)?.clone();
        Some(Incoming::Push(run, parse_push(message)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use redis::{PushInfo, PushKind, Value};
    use tower_sse::runs::__private::Epoch;

    use super::{Keys, Subscriptions};
    use crate::runs::seam::{Incoming, ProcessId};

    #[test]
    fn subscriptions_end_with_those_of_the_node_or_the_connection() {
        let hints = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&hints);
        let (keys, process) = (Keys::new("{app}", 0), ProcessId::from_claim("p1"));
        let receive = Arc::new(move |incoming| match incoming {
            Incoming::Hint(epoch) => received.lock().unwrap().push(epoch),
            other => panic!("{other:?}"),
        });
        let subscriptions = Subscriptions::new(&keys, &process, receive);
        let control = keys.control(&process);
        for (kind, channel, text, goes_on) in [
            (PushKind::SSubscribe, &*control, "1", true),
            (PushKind::SMessage, &control, "k1", true),
            (PushKind::Message, &control, "k2", true),
            (PushKind::SUnsubscribe, "{app}:run:{a:b}:k1@0", "1", true),
            (PushKind::SUnsubscribe, &control, "0", false),
        ] {
            let data = [channel, text].map(|part| Value::BulkString(part.into())).into();
            let push = PushInfo { kind: kind.clone(), data };
            assert_eq!(subscriptions.receive(push), goes_on, "{kind} of {channel}");
        }
        let broken = PushInfo { kind: PushKind::Disconnection, data: Vec::new() };
        assert!(!subscriptions.receive(broken));
        let expected = ["k1", "k2"].map(|epoch| Epoch::parse(epoch).unwrap());
        assert_eq!(*hints.lock().unwrap(), expected);
    }
}

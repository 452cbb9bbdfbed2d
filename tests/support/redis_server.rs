//! A Redis server.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, time::Duration};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, RedisResult, aio::MultiplexedConnection,
};
use tokio::time::{Instant, sleep};
use tower_sse_redis::{Redis, RedisBroker};

use crate::support::{Directory, PATIENCE, find, free_port, until_async};

/// A Redis server in a directory and on a port of its own. Dropping a `Server` kills the process.
pub(crate) struct Server {
    process: Option<Child>,
    port: u16,
    directory: Directory,
    options: Vec<String>,
}

/// The data that a server has when it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    All,
    None,
    Snapshot,
}

/// Where Redis keeps its append-only file.
const APPEND_ONLY: &str = "appendonlydir";
const SNAPSHOT: &str = "snapshot";
/// If a server's directory has this file, the server starts with it.
pub(crate) const CONFIGURATION: &str = "redis.conf";

impl Server {
    /// Starts a server that keeps nothing when it is killed. Returns `None`, and prints the reason,
    /// if `redis-server` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&["--appendonly", "no"]).await
    }

    /// Starts a server that keeps each acknowledged write when it is killed.
    pub(crate) async fn start_durable() -> Option<Self> {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    pub(crate) async fn start_with(options: &[&str]) -> Option<Self> {
        let mut server = Self::prepare(options)?;
        server.restart().await;
        Some(server)
    }

    /// Returns a server that is not running yet.
    pub(crate) fn prepare(options: &[&str]) -> Option<Self> {
        program()?;
        let options = options.iter().map(ToString::to_string).collect();
        Some(Self { process: None, port: free_port(), directory: Directory::new("redis"), options })
    }

    /// Starts the process, for the first time or again, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        self.spawn();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let exited = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(exited.is_none(), "redis-server on port {}: {exited:?}", self.port);
            if let Ok(mut connection) = self.try_connect().await
                && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
            {
                return;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts the process, without waiting for it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none());
        let mut command = Command::new(program().unwrap());
        let file = self.directory().join(CONFIGURATION);
        if file.is_file() {
            command.arg(file);
        }
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            // A replica gets its data at once.
            .args(["--repl-diskless-sync-delay", "0", "--dir"])
            .arg(self.directory())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// Copies the append-only file, for a later restart with this state.
    pub(crate) fn take_snapshot(&self) {
        let snapshot = self.directory().join(SNAPSHOT);
        _ = fs::remove_dir_all(&snapshot);
        copy_files(&self.directory().join(APPEND_ONLY), &snapshot);
    }

    /// Starts the process again with these data in its append-only file.
    pub(crate) async fn restart_with(&mut self, data: Data) {
        let current = self.directory().join(APPEND_ONLY);
        if data != Data::All {
            fs::remove_dir_all(&current).unwrap();
        }
        if data == Data::Snapshot {
            copy_files(&self.directory().join(SNAPSHOT), &current);
        }
        self.restart().await;
    }

    pub(crate) fn add_options(&mut self, options: &[&str]) {
        self.options.extend(options.iter().map(ToString::to_string));
    }

    /// Kills the process as a crash does.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops the process and waits until it has stopped. Until it is [continued](Self::resume), it
    /// answers nothing.
    pub(crate) fn stop(&self) {
        kill(self.id(), Signal::SIGSTOP).unwrap();
        waitpid(self.id(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill(self.id(), Signal::SIGCONT).unwrap();
    }

    fn id(&self) -> Pid {
        Pid::from_raw(self.process.as_ref().unwrap().id().try_into().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn redis(&self) -> Redis {
        Redis::open(&self.url()).unwrap().timeout(PATIENCE)
    }

    pub(crate) fn broker(&self) -> RedisBroker {
        patient(self.redis())
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &str) -> T {
        let mut connection = self.try_connect().await.unwrap();
        let mut parts = command.split_ascii_whitespace();
        let mut command = redis::cmd(parts.next().unwrap());
        parts.for_each(|part| _ = command.arg(part));
        command.query_async(&mut connection).await.unwrap()
    }

    pub(crate) async fn newest(&self) -> String {
        let entries: Vec<(String, redis::Value)> =
            self.command("XREVRANGE tower-sse + - COUNT 1").await;
        entries.into_iter().next().unwrap().0
    }

    pub(crate) async fn length(&self) -> usize {
        self.command("XLEN tower-sse").await
    }

    pub(crate) async fn now(&self) -> u64 {
        let (seconds, microseconds): (u64, u64) = self.command("TIME").await;
        seconds * 1000 + microseconds / 1000
    }

    /// Waits until a reader waits for entries. If this server becomes a replica, Redis ends that
    /// wait.
    pub(crate) async fn has_waiting_reader(&self) {
        until_async(async || {
            let list: String = self.command("CLIENT LIST").await;
            list.lines().any(|line| line.contains(" flags=b ") && line.contains(" cmd=xread "))
        })
        .await;
    }

    /// Makes this server a replica of another one, and waits for the link between them.
    pub(crate) async fn replicate(&self, primary: &Self) {
        let _: String = self.command(&format!("REPLICAOF 127.0.0.1 {}", primary.port)).await;
        self.is_linked().await;
    }

    pub(crate) async fn is_linked(&self) {
        until_async(async || {
            self.command::<String>("INFO replication").await.contains("master_link_status:up")
        })
        .await;
    }

    pub(crate) async fn reach_next_millisecond(&self) {
        let now = self.now().await;
        while self.now().await == now {}
    }

    pub(crate) async fn try_connect(&self) -> RedisResult<MultiplexedConnection> {
        connect(&Client::open(self.url())?).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            _ = process.kill();
            _ = process.wait();
        }
    }
}

/// The key of the stream, unless a test needs another.
pub(crate) const KEY: &str = "tower-sse";

/// Returns a broker that waits for Redis as long as tests wait. A test of a time limit sets its
/// own.
pub(crate) fn patient(redis: Redis) -> RedisBroker {
    redis.timeout(PATIENCE).broker(KEY).publish_deadline(PATIENCE)
}

/// Opens a connection that waits for as long as tests wait. The default for a reply is half a
/// second, which a busy machine can exceed.
pub(crate) async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&patient).await
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Returns the path of `redis-server`, or of the program that `TOWER_SSE_REDIS_SERVER` names, which
/// may be another version or Valkey.
pub(crate) fn program() -> Option<PathBuf> {
    let Some(path) = env::var_os("TOWER_SSE_REDIS_SERVER").map(PathBuf::from) else {
        return find(&["redis-server"]);
    };
    assert!(path.is_file(), "no Redis server at {}", path.display());
    Some(path)
}

use std::{
    env, fs,
    io::{Write, stderr},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, cmd};

use super::process::{PATIENCE, until};
use crate::redis::Redis;

/// A Redis server on a socket in a directory of its own, which keeps nothing. Dropping it kills it.
pub(super) struct Server {
    process: Option<Child>,
    directory: PathBuf,
}

impl Server {
    /// Starts a server. Returns `None`, and prints the reason, if it is not installed.
    #[allow(clippy::explicit_write)] // The test harness captures what macros print.
    pub(super) async fn start() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("tower-sse-runs-{}-{number}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut server = Self { process: None, directory };
        if !server.spawn() {
            assert!(env::var_os("TOWER_SSE_REQUIRE_TOOLS").is_none(), "no redis-server");
            writeln!(stderr(), "skipped: no redis-server here").unwrap();
            return None;
        }
        server.wait().await;
        Some(server)
    }

    /// Kills the server, and starts an empty one.
    pub(super) async fn restart(&mut self) {
        self.kill();
        assert!(self.spawn());
        self.wait().await;
    }

    fn spawn(&mut self) -> bool {
        let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let spawned = Command::new("redis-server")
            .env("PATH", path)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(self.socket("socket"))
            .arg("--dir")
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.process = spawned.ok();
        self.process.is_some()
    }

    async fn wait(&self) {
        let answers = async || self.try_command::<String>("PING").await.is_ok();
        until("an answer of redis-server", answers).await;
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            _ = process.kill();
            _ = process.wait();
        }
    }

    /// Returns the path of a socket in the server's directory.
    pub(super) fn socket(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket("socket").display())
    }

    pub(super) fn redis(&self) -> Redis {
        Redis::open(&self.url()).unwrap()
    }

    pub(super) fn redis_as(&self, user: &str, password: &str) -> Redis {
        Redis::open(&format!("{}?user={user}&pass={password}", self.url())).unwrap()
    }

    /// Sends a command, as an operator does.
    pub(super) async fn command<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_command(command).await.unwrap()
    }

    async fn try_command<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        // The default is half a second for a reply, which a busy machine can exceed.
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut parts = command.split_ascii_whitespace();
        let mut command = cmd(parts.next().unwrap());
        parts.for_each(|part| _ = command.arg(part));
        command.query_async(&mut connection).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        _ = fs::remove_dir_all(&self.directory);
    }
}

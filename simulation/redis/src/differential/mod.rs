//! Compares the model with a real Redis: both must give the same replies to the same commands.

mod hubs;
mod runs;

use std::io::{Write, stderr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, iter::repeat_with, net::TcpListener, thread::sleep};

use ::redis::{Cmd, Connection, ConnectionLike, FromRedisValue, RedisResult, Value};

use super::resp::Reply;
use super::server::{Outcome, Server};

/// A server on its own port. Dropping this value kills the server.
struct RealServer {
    process: Child,
    url: String,
}

impl RealServer {
    fn start() -> Option<Self> {
        // These ports are below those of outgoing connections, which other tests open all the time.
        let port = repeat_with(|| fastrand::u16(10_000..32_768))
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())?;
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { process, url: format!("redis://127.0.0.1:{port}/") })
    }

    fn connect(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(20);
        let client = ::redis::Client::open(self.url.as_str()).unwrap();
        loop {
            match client.get_connection() {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            // Nothing reads the server's output, in which it reports that it listens.
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

struct Pair {
    _process: RealServer,
    real: Connection,
    model: Server,
    seed: u64,
    sequence: Vec<String>,
}

impl Pair {
    /// Starts a server, if `redis-server` is installed.
    fn start() -> Option<Self> {
        let Some(process) = RealServer::start() else {
            assert!(env::var_os("TOWER_SSE_REQUIRE_TOOLS").is_none(), "no redis-server here");
            // This doesn't use `eprintln!`, because the test harness captures what passing tests
            // print with that.
            #[allow(clippy::explicit_write)]
            writeln!(stderr(), "skipped: no redis-server here").unwrap();
            return None;
        };
        let real = process.connect();
        let (model, sequence) = (Server::default(), Vec::new());
        Some(Self { _process: process, real, model, seed: 0, sequence })
    }

    fn begin(&mut self, seed: u64) {
        let () = self.ask("FLUSHALL");
        (self.model, self.seed, self.sequence) = (Server::default(), seed, Vec::new());
    }

    fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        packed(&split(command)).query(&mut self.real).unwrap()
    }

    /// Executes a command on both servers and returns the reply. `now` derives the model's time in
    /// milliseconds from the reply of the real server.
    fn compare(&mut self, command: &[String], now: impl FnOnce(&str) -> u64) -> String {
        let shown = if command[0] == "EVAL" { 2 } else { 0 };
        self.sequence.push(command[shown..].join(" "));
        let expected = self.real.req_command(&packed(command));
        let expected = text(expected.and_then(Value::extract_error));
        let command = command.iter().map(|part| part.clone().into_bytes()).collect();
        let reply = match self.model.execute(now(&expected), &command) {
            Outcome::Reply(reply) => reply,
            Outcome::Blocked { .. } => Reply::NilArray,
        };
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        let modelled = text(::redis::parse_redis_value(&bytes).and_then(Value::extract_error));
        let (seed, sequence) = (self.seed, self.sequence.join("\n"));
        assert_eq!(modelled, expected, "seed {seed}:\n{sequence}");
        expected
    }
}

fn packed(command: &[String]) -> Cmd {
    let mut packed = ::redis::cmd(&command[0]);
    packed.arg(&command[1..]);
    packed
}

fn text(reply: RedisResult<Value>) -> String {
    match reply {
        Ok(Value::BulkString(bytes)) => String::from_utf8(bytes).unwrap(),
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let detail = error.detail().unwrap_or_default();
            // In a script, an error's text goes on with the script's name and line.
            let (detail, _) = detail.split_once(" script: ").unwrap_or((detail, ""));
            format!("{} {detail}", error.code().unwrap_or_default())
        }
    }
}

fn split(command: &str) -> Vec<String> {
    command.split(' ').map(str::to_owned).collect()
}

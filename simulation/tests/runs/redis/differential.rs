//! The model against a real Redis: both execute the scripts of the crate and other commands, at
//! random, and must reply the same.

use std::{
    env,
    io::{Write, stderr},
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use fastrand::Rng;
use redis::{Connection, ConnectionLike, RedisResult, Value};

use super::server::Server;

const SEQUENCES: u64 = 250;
const COMMANDS: usize = 100;

/// Returns the text of a script. It reads the time from a key, so that both servers have the same.
macro_rules! script {
    ($file:literal) => {
        concat!(
            "#!lua flags=allow-oom\n",
            include_str!("../../../../src/redis/runs/lua/version.lua"),
            include_str!("../../../../src/redis/runs/lua/common.lua"),
            include_str!(concat!("../../../../src/redis/runs/lua/", $file))
        )
        .replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'u')")
    };
}

/// A server on a port of its own. Dropping it kills it.
struct RealServer {
    process: Child,
    url: String,
}

impl RealServer {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
        let client = redis::Client::open(self.url.as_str()).unwrap();
        loop {
            match client.get_connection() {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            // The server gives no sign that it listens.
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

#[test]
fn model_replies_as_redis_does() {
    let Some(server) = RealServer::start() else {
        assert!(env::var_os("TOWER_SSE_REQUIRE_TOOLS").is_none(), "no redis-server here");
        // Not by a macro: the test harness captures what passing tests print with those.
        #[allow(clippy::explicit_write)]
        writeln!(stderr(), "skipped: no redis-server here").unwrap();
        return;
    };
    let mut real = server.connect();
    let mut statuses = std::collections::BTreeSet::new();
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        let () = redis::cmd("FLUSHALL").query(&mut real).unwrap();
        let mut model = Server::default();
        let mut sequence = Vec::new();
        let mut clock = 1_800_000_000_000_u64;
        for _ in 0..COMMANDS {
            clock = clock.saturating_add_signed([0, 3, 700, 1_900, 5_000, -40_000][rng.usize(..6)]);
            for command in [set_clock(clock), random_command(&mut rng)] {
                sequence.push(command[if command[0] == "EVAL" { 2 } else { 0 }..].join(" "));
                let mut packed = redis::cmd(&command[0]);
                command[1..].iter().for_each(|part| _ = packed.arg(part));
                let expected = text(real.req_command(&packed).and_then(Value::extract_error));
                let command: Vec<_> = command.into_iter().map(String::into_bytes).collect();
                let mut bytes = Vec::new();
                model.execute(0, &command).encode(&mut bytes);
                let modelled = redis::parse_redis_value(&bytes).and_then(Value::extract_error);
                assert_eq!(text(modelled), expected, "seed {seed}:\n{}", sequence.join("\n"));
                statuses.insert(expected.chars().take(28).collect::<String>());
            }
        }
    }
    // Every state of a claim was met.
    for status in [
        "new", "free", "restori", "live", "late", "dead", "ended", "ok", "behind", "gone", "over",
        "int(-1)", "joined",
    ] {
        let is_met = statuses.iter().any(|reply| reply.contains(status));
        assert!(is_met, "no reply is {status}: {statuses:?}");
    }
}

fn text(reply: RedisResult<Value>) -> String {
    match reply {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let detail = error.detail().unwrap_or_default();
            // An error in a script names its line.
            let (detail, _) = detail.split_once(" script: ").unwrap_or((detail, ""));
            format!("{} {detail}", error.code().unwrap_or_default())
        }
    }
}

fn set_clock(clock: u64) -> Vec<String> {
    let (seconds, microseconds) = (clock / 1000, clock % 1000 * 1000);
    let command = format!("HSET clock s {seconds} u {microseconds}");
    command.split(' ').map(str::to_owned).collect()
}

fn random_command(rng: &mut Rng) -> Vec<String> {
    let epochs = ["ka", "kb", "kc"];
    let [epoch, other] = [epochs[rng.usize(..3)], epochs[rng.usize(..3)]];
    let process = ["p1", "p2"][rng.usize(..2)];
    let (is_new, flag) = (rng.u8(..4) / 3, rng.u8(..2));
    let newest = rng.u8(..4);
    let entries = if rng.bool() { String::new() } else { rng.u8(..5).to_string() };
    let stream = format!("k:{epoch}");
    let (script, keys, arguments) = match rng.u8(..18) {
        0..3 => {
            let epoch = if rng.u8(..3) == 0 { "" } else { epoch };
            let arguments = format!("{epoch}|{process}|8000|60000|{is_new}|all");
            (script!("claim.lua"), vec!["k", "data"], arguments)
        }
        3..7 => {
            let head = if rng.u8(..3) == 0 { "" } else { "-" };
            let restores = u8::from(rng.u8(..4) == 0);
            let arguments =
                format!("{epoch}|{process}|8000|60000|{entries}|{restores}|{head}|ch|{flag}");
            (script!("sync.lua"), vec!["k", &stream], arguments)
        }
        7..10 => {
            let modes = ["own", "lost", "void", "orphan", "cancel", "bury", "bury", "forget"];
            let mode = modes[rng.usize(..8)];
            let outcome = if mode == "own" { "completed" } else { "interrupted" };
            let arguments = format!(
                "{epoch}|{mode}|{outcome}|why|{newest}|{entries}|{process}|60000|{is_new}|ch|ctl:"
            );
            (script!("end.lua"), vec!["k", &stream], arguments)
        }
        10..12 => {
            let watch = if flag == 1 { 6000 } else { 0 };
            let arguments = format!("{epoch}|{watch}|{is_new}|{flag}|60000|ch|ctl:");
            (script!("check.lua"), vec!["k", &stream], arguments)
        }
        12 => {
            let arguments = format!("{epoch}|{other}|{process}|8000|60000|ch|ctl:");
            (script!("replace.lua"), vec!["k", &stream], arguments)
        }
        13 => (script!("renew.lua"), vec!["k", &stream], format!("{process}|8000|{epoch}|{other}")),
        14 => {
            let earlier = ["", "s1", "s2"][rng.usize(..3)];
            (script!("join.lua"), vec!["data"], format!("s{is_new}|{earlier}|8000|all"))
        }
        _ => {
            let command = match rng.u8(..9) {
                0..4 => format!("XADD {stream} NOMKSTREAM {newest}-0 f 1 d x"),
                4 => format!("XRANGE {stream} - + COUNT 3"),
                5 => format!("XTRIM {stream} MINID {newest}-0"),
                6 => "HMGET data u d r".to_owned(),
                7 => "HMGET k v e p s l d w x y b t h".to_owned(),
                _ => format!("DEL {}", ["k", "data", &stream][rng.usize(..3)]),
            };
            return command.split(' ').map(str::to_owned).collect();
        }
    };
    let mut command = vec!["EVAL".to_owned(), script, keys.len().to_string()];
    command.extend(keys.into_iter().map(str::to_owned));
    command.extend(arguments.split('|').map(str::to_owned));
    command
}

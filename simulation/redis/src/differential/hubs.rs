use fastrand::Rng;
use redis::Value;

use super::super::refusal::{ANSWERED_WHILE_LOADING, DENIED_WITHOUT_MEMORY, Refusal, WRITES};
use super::{Pair, split};

const SEQUENCES: u64 = 100;
const COMMANDS: usize = 300;
/// The lowest milliseconds of an id that is far ahead of the clock.
const AHEAD: u64 = 9_000_000_000_000;

const MARK: &str = include_str!("../../../../crates/tower-sse-redis/src/broker/lua/mark.lua");
const FIRST_ID: &str =
    include_str!("../../../../crates/tower-sse-redis/src/broker/lua/first_id.lua");
const SURVEY: &str = include_str!("../../../../crates/tower-sse-redis/src/broker/lua/survey.lua");

/// A script that returns a key's time to live in days, rounded up. The real server's clock runs, so
/// its milliseconds would differ from the model's.
const TIME_TO_LIVE: &str = "local left = redis.call('PTTL', KEYS[1]) return left < 0 and left or math.ceil(left / 86400000)";

impl Pair {
    /// Brings both servers into the state in which they refuse commands for this reason. Without a
    /// reason, they accept commands again.
    fn refuse(&mut self, refusal: Option<Refusal>) {
        let memory = u8::from(refusal == Some(Refusal::OutOfMemory));
        let replicas = u8::from(refusal == Some(Refusal::NoReplicas));
        let primary = if refusal == Some(Refusal::ReadOnly) { "127.0.0.1 1" } else { "NO ONE" };
        let () = self.ask(&format!("CONFIG SET maxmemory {memory}"));
        let () = self.ask(&format!("CONFIG SET min-replicas-to-write {replicas}"));
        let () = self.ask(&format!("REPLICAOF {primary}"));
        self.model.refusal = refusal;
        self.sequence.push(format!("refuses by {refusal:?}"));
    }
}

#[test]
fn commands_are_refused_by_the_flags_that_redis_lists() {
    let Some(mut pair) = Pair::start() else { return };
    let others = ["XLEN", "XRANGE", "XREVRANGE", "XREAD", "HGET", "HMGET", "HGETALL", "HKEYS"];
    let others = others.into_iter().chain(["HDEL", "EXISTS", "EVAL", "PING"]);
    // Redis lists the flags of `CLIENT` with its subcommands.
    let answered = ANSWERED_WHILE_LOADING.into_iter().filter(|command| *command != "CLIENT");
    let answered = answered.chain(["SUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "SUNSUBSCRIBE"]);
    for command in WRITES.into_iter().chain(others).chain(answered) {
        let reply: Vec<Vec<Value>> = pair.ask(&format!("COMMAND INFO {command}"));
        let flags: Vec<String> = redis::from_redis_value(reply[0][2].clone()).unwrap();
        let has = |flag: &str| flags.iter().any(|other| other == flag);
        let modelled = [
            WRITES.contains(&command),
            DENIED_WITHOUT_MEMORY.contains(&command),
            Refusal::Loading.of(command.as_bytes()).is_none(),
        ];
        assert_eq!(modelled, ["write", "denyoom", "loading"].map(has), "{command}: {flags:?}");
    }
}

/// Returns the lines of `INFO` that count commands which can replace a key's value.
fn counts(info: &str) -> Vec<String> {
    let counted = ["copy", "move", "rename", "renamenx", "restore", "swapdb"];
    let is_counted = |line: &&str| {
        let name = line.strip_prefix("cmdstat_").and_then(|line| line.split(':').next());
        name.is_some_and(|name| counted.contains(&name))
    };
    info.lines().filter(is_counted).map(str::to_owned).collect()
}

#[test]
fn commands_that_replace_keys_are_counted_as_in_redis() {
    let Some(mut pair) = Pair::start() else { return };
    let counts = |pair: &mut Pair| {
        let real: String = pair.ask("INFO commandstats");
        [counts(&real), counts(&pair.model.info())]
    };
    pair.compare(&split("XADD a 1-0 x y"), |_| 0);
    for (command, is_counted) in [
        ("XADD a 1-1 x y", false),
        ("COPY a b", true),
        ("RENAME a c", true),
        ("XTRIM b MAXLEN = 0", false),
        ("PEXPIRE b 0", false),
        ("DEL c", false),
        ("FLUSHALL", false),
    ] {
        let before = counts(&mut pair);
        pair.compare(&split(command), |_| 1_800_000_000_000);
        let after = counts(&mut pair);
        let changed = [0, 1].map(|server| before[server] != after[server]);
        assert_eq!(changed, [is_counted; 2], "{command}");
    }
}

#[test]
fn model_replies_as_redis_does() {
    let Some(mut pair) = Pair::start() else { return };
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        pair.refuse(None);
        pair.begin(seed);
        let (seconds, _): (u64, u64) = pair.ask("TIME");
        for _ in 0..COMMANDS {
            if rng.u8(..20) == 0 {
                let refusals = [Refusal::OutOfMemory, Refusal::ReadOnly, Refusal::NoReplicas];
                let refusal = rng.bool().then(|| refusals[rng.usize(..3)]);
                pair.refuse(refusal);
            }
            let command = random_command(&mut rng);
            pair.compare(&command, |reply| clock(&command, reply).unwrap_or(seconds * 1000));
        }
    }
}

/// Returns the time of the server's clock in milliseconds, if the reply is an id that contains this
/// time.
fn clock(command: &[String], reply: &str) -> Option<u64> {
    let (milliseconds, counter) = reply.split_once('-')?;
    let milliseconds = milliseconds.parse().ok().filter(|id| (1_000_000..AHEAD).contains(id))?;
    if counter != "0" {
        return None;
    }
    // The script `MARK` adds a marker whose id is one millisecond after the server's time.
    Some(if command[0] == "EVAL" { milliseconds - 1 } else { milliseconds })
}

fn random_command(rng: &mut Rng) -> Vec<String> {
    let key = if rng.u8(..5) > 0 { "a" } else { "b" };
    let other = if rng.bool() { "a" } else { "b" };
    let count = rng.usize(1..6);
    let (id, end) = (random_id(rng), random_id(rng));
    let [id, end] = [id, end].map(|id| if rng.u8(..5) == 0 { format!("({id}") } else { id });
    let field = rng.u16(..);
    let text = match rng.u8(..32) {
        0..5 => format!("XADD {key} NOMKSTREAM MAXLEN ~ 100000 * topic a data {field}"),
        5 => format!("XADD {key} * data {field}"),
        6..10 => format!("XADD {key} {} data {field}", random_id(rng)),
        10..13 => {
            let conditions = ["empty".to_owned(), random_id(rng)];
            let condition = &conditions[rng.usize(..2)];
            let newest = if rng.bool() { AHEAD + rng.u64(..5) } else { rng.u64(..20) };
            let (newest, nonce) = (newest.to_string(), field.to_string());
            // The marker's id must not depend on microseconds, which the model's clock lacks. If
            // the id is ahead of the clock, it must not depend on the time, which the reply then
            // does not show.
            let text = MARK.replace("time[2] % 1000 * 512", "0");
            let text = text.replace("math.floor(microseconds % 1048576 / 2)", "0");
            let text = text.replace("math.floor(microseconds / 1048576)", "2");
            return script(&text, &[key, condition, &newest, "0", "4", &nonce]);
        }
        13..16 => format!("XRANGE {key} {id} {end} COUNT {count}"),
        16 => format!("XRANGE {key} - + COUNT {count}"),
        17 => format!("XRANGE {key} {id} +"),
        18 => format!("XREVRANGE {key} {id} - COUNT {count}"),
        19 => format!("XREVRANGE {key} + {end} COUNT {count}"),
        // This command is rare, because a server takes up to 100 ms to end a wait.
        20 if rng.u8(..4) == 0 => {
            format!("XREAD COUNT {count} BLOCK 1 STREAMS {key} {}", random_id(rng))
        }
        20..24 => format!("XLEN {key}"),
        24 => format!("XTRIM {key} MAXLEN = {}", rng.u8(..20)),
        25 => format!("{} {key}", ["DEL", "EXISTS"][rng.usize(..2)]),
        26 => format!("RENAME {key} {other}"),
        27 => {
            let copied = if key == "a" { "b" } else { "a" };
            format!("COPY {key} {copied} REPLACE")
        }
        28 => format!("PEXPIRE {key} {}", [0, 1_000_000_000][rng.usize(..2)]),
        // The time eleven days ago is above the small ids and below the ids that contain the
        // clock's time.
        29 => {
            let max_age = ["0", "1000000000"][rng.usize(..2)];
            return script(SURVEY, &[key, max_age, "0"]);
        }
        30 if rng.bool() => return script(FIRST_ID, &[key, "XRANGE", &id, "+"]),
        30 => return script(TIME_TO_LIVE, &[key]),
        _ => "PING".to_owned(),
    };
    split(&text)
}

fn script(text: &str, arguments: &[&str]) -> Vec<String> {
    ["EVAL", text, "1"].iter().chain(arguments).map(|&part| part.to_owned()).collect()
}

/// Returns an id, or text that is not an id.
fn random_id(rng: &mut Rng) -> String {
    let milliseconds = if rng.bool() { AHEAD + rng.u64(..5) } else { rng.u64(..20) };
    match rng.u8(..20) {
        0 => "x".to_owned(),
        1 => "5-".to_owned(),
        2 => u64::MAX.to_string(),
        3 => format!("{0}-{0}", u64::MAX),
        4 => "0-0".to_owned(),
        5..9 => milliseconds.to_string(),
        _ => format!("{milliseconds}-{}", rng.u64(..4)),
    }
}

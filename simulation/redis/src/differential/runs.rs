use std::collections::BTreeSet;

use fastrand::Rng;

use super::{Pair, split};

const SEQUENCES: u64 = 250;
const COMMANDS: usize = 100;

/// Returns the text of a script that reads the time from a key, so that both servers have the same
/// time.
macro_rules! script {
    ($file:literal) => {
        concat!(
            "#!lua flags=allow-oom\n",
            include_str!("../../../../crates/tower-sse-redis/src/runs/store/lua/version.lua"),
            include_str!("../../../../crates/tower-sse-redis/src/runs/store/lua/common.lua"),
            include_str!(concat!("../../../../crates/tower-sse-redis/src/runs/store/lua/", $file))
        )
        .replace("redis.call('TIME')", "redis.call('HMGET', 'clock', 's', 'u')")
    };
}

#[test]
fn model_replies_as_redis_does() {
    let Some(mut pair) = Pair::start() else { return };
    let mut statuses = BTreeSet::new();
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        pair.begin(seed);
        let mut clock = 1_800_000_000_000_u64;
        for _ in 0..COMMANDS {
            clock = clock.saturating_add_signed(
                [0, 3, 700, 1_900, 1_900, 1_900, 5_000, -40_000][rng.usize(..8)],
            );
            let (seconds, microseconds) = (clock / 1000, clock % 1000 * 1000);
            let set_clock = split(&format!("HSET clock s {seconds} u {microseconds}"));
            for command in [set_clock, random_command(&mut rng)] {
                let reply = pair.compare(&command, |_| 0);
                statuses.insert(reply.chars().take(28).collect::<String>());
            }
        }
    }
    // If one of these replies is missing, the sequences are too short.
    for status in [
        "new", "free", "restori", "live", "ended", "ok", "behind", "gone", "over", "joined",
        "buried",
    ] {
        let is_met = statuses.iter().any(|reply| reply.contains(status));
        assert!(is_met, "no reply is {status}: {statuses:?}");
    }
}

fn random_command(rng: &mut Rng) -> Vec<String> {
    let epochs = ["ka", "kb", "kc"];
    let [epoch, other] = [epochs[rng.usize(..3)], epochs[rng.usize(..3)]];
    let process = ["p1", "p2"][rng.usize(..2)];
    let flag = rng.u8(..2);
    let newest = rng.u8(..4);
    let entries = if rng.bool() { String::new() } else { rng.u8(..5).to_string() };
    let (stream, live) = (format!("k:{epoch}"), format!("ctl:{process}"));
    let (script, keys, arguments) = match rng.u8(..20) {
        0..3 => {
            let epoch = if rng.u8(..3) == 0 { "" } else { epoch };
            let arguments = format!("{epoch}|{process}|8000|60000|all|ctl:");
            (script!("claim.lua"), vec!["k", "data", &live], arguments)
        }
        3..7 => {
            let head = if rng.u8(..3) == 0 { "" } else { "-" };
            let restores = u8::from(rng.u8(..4) == 0);
            let arguments =
                format!("{epoch}|{process}|60000|{entries}|{restores}|{head}|ch|{flag}");
            (script!("sync.lua"), vec!["k", &stream, &live], arguments)
        }
        7..10 => {
            let modes = ["own", "release", "cancel", "bury", "forget", "discard"];
            let mode = modes[rng.usize(..modes.len())];
            let outcome = if mode == "own" { "completed" } else { "interrupted" };
            let last = if mode == "bury" { "p1" } else { "data: x\n" };
            let arguments = format!(
                "{epoch}|{mode}|{outcome}|why|{newest}|{entries}|{process}|60000|16000|ch|ctl:\
                 |{last}"
            );
            (script!("end.lua"), vec!["k", &stream, &live, "processes"], arguments)
        }
        10..12 => {
            let arguments = format!("60000|ctl:|{epoch}|{flag}|ch|{other}|0|ch");
            (script!("check.lua"), vec!["k", &stream, "k", &stream], arguments)
        }
        12 => {
            let arguments = format!("{epoch}|{other}|{process}|60000|ch|ctl:");
            (script!("replace.lua"), vec!["k", &stream, &live, "processes"], arguments)
        }
        13 => {
            return split(&format!("EXISTS k {stream} {live} nothing"));
        }
        14 => {
            let earlier = ["", "s1", "s2"][rng.usize(..3)];
            let server = ["s0", "s1"][rng.usize(..2)];
            let arguments = format!("{server}|{earlier}|8000|all|{process}|{newest}|60000|");
            // The model sorts the fields of a hash, and Redis does not.
            let sorted = "local epochs = {}
                for epoch in string.gmatch(reply[4], '%S+') do epochs[#epochs + 1] = epoch end
                table.sort(epochs)
                reply[4] = table.concat(epochs, ' ')
                table.sort(reply)
                return { 'joined', unpack(reply) }";
            let script = script!("beat.lua").replace("return reply", sorted);
            return evaluate(script, &["data", "processes", &live], &arguments);
        }
        15 => {
            let script = script!("inherit.lua");
            let script = script.replace("return streams", "table.sort(streams)\nreturn streams");
            let seen = ["1", "2", "p1", "p2"][rng.usize(..4)];
            return evaluate(script, &[&live, "processes"], &format!("{process}|p2|{seen}"));
        }
        16 => {
            let from = if newest == 0 { "-".to_owned() } else { format!("{newest}-0") };
            let (bytes, most) = (rng.u8(..8), rng.u8(1..4));
            (script!("load.lua"), vec![&*stream], format!("{from}|{bytes}|{most}|{newest}|1"))
        }
        17 => (script!("mark.lua"), vec![&*stream], format!("{newest}-1|{entries}")),
        _ => {
            let command = match rng.u8(..9) {
                0..4 => format!("XADD {stream} NOMKSTREAM {newest}-0 f 1 d x"),
                4 => format!("XRANGE {stream} - + COUNT 3"),
                5 => format!("XTRIM {stream} MINID {newest}-0"),
                6 => "HMGET data v u r".to_owned(),
                7 => "HMGET k v e p s b c h".to_owned(),
                _ => format!("DEL {}", ["k", "data", "ctl:p1", &stream][rng.usize(..4)]),
            };
            return split(&command);
        }
    };
    evaluate(script, &keys, &arguments)
}

fn evaluate(script: String, keys: &[&str], arguments: &str) -> Vec<String> {
    let mut command = vec!["EVAL".to_owned(), script, keys.len().to_string()];
    command.extend(keys.iter().map(|&key| key.to_owned()));
    command.extend(arguments.split('|').map(str::to_owned));
    command
}

//! What an attacker with write access to Redis can do to a run by its keys and channels.
//!
//! Clients get the whole answer or learn that it is incomplete: their body fails or ends without
//! the terminator, or their next request gets an error status, such as `404`. Only [`FORGERIES`]
//! deceive some clients.

use redis::Cmd;

use crate::*;

const EVENTS: u64 = 100;
const GAP: u64 = 40;
/// The time after which a refused client gives up: more than two leases.
const REFUSALS: Duration = Duration::from_secs(8);

/// A run and its keys.
struct Target {
    claim: String,
    stream: String,
    channel: String,
    epoch: String,
    process: String,
    /// The number of the newest event.
    newest: u64,
}

/// What the clients of one run received.
#[derive(Debug)]
struct Seen {
    name: &'static str,
    /// The clients at the owner's process, at a second process, and at a third after the attack.
    clients: [Sight; 3],
    calls: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// The client received every event once, in order, and the terminator.
    Whole,
    /// The client received this number of events, in order, then learned that the rest is missing.
    Told(u64, Closed),
    /// Events came out of order, or were missing although the answer looked complete.
    Wrong,
    /// The client received no end over this number of connections.
    Hanging(usize),
}

/// Returns the words of an attack's commands. `C` is the claim's key, `S` the stream's, `@S` the
/// stream's channel, `E` or `<E>` the epoch, `P` or `<P>` the process, `<N>` the newest event's
/// number, and `<N+1>` the next. Within a word, `_` is a space, `~` a line feed, and `<1M>` is 1
/// MiB of text.
fn commands(target: &Target, text: &str) -> Vec<Vec<String>> {
    let word = |word: &str| match word {
        "C" => target.claim.clone(),
        "S" => target.stream.clone(),
        "@S" => target.channel.clone(),
        "E" => target.epoch.clone(),
        "P" => target.process.clone(),
        word => word
            .replace("<N+1>", &(target.newest + 1).to_string())
            .replace("<N>", &target.newest.to_string())
            .replace("<E>", &target.epoch)
            .replace("<P>", &target.process)
            .replace('_', " ")
            .replace('~', "\n")
            .replace("<1M>", &"x".repeat(1 << 20)),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect();
    text.split(';').map(line).collect()
}

const ATTACKS: &[(&str, &str)] = &[
    ("claim deleted", "DEL C"),
    ("stream deleted", "DEL S"),
    ("both deleted", "DEL C S"),
    ("claim renamed", "RENAME C C2"),
    ("stream renamed", "RENAME S S2"),
    ("claim expires", "PEXPIRE C 1"),
    ("stream expires", "PEXPIRE S 1"),
    ("stream emptied", "XTRIM S MAXLEN 0"),
    ("stream trimmed", "XTRIM S MAXLEN 1"),
    ("head deleted", "XDEL S 0-1"),
    ("newest deleted", "XDEL S <N>-0"),
    ("claim a string", "SET C text"),
    ("stream a string", "SET S text"),
    ("stream a list", "DEL S;RPUSH S a"),
    ("claim completed", "HSET C s completed"),
    ("claim void", "HSET C s void"),
    ("claim starting", "HSET C s starting"),
    ("claim of unknown state", "HSET C s strange"),
    ("claim of a later epoch", "HSET C e zzzzzzzzzzzzz"),
    ("claim of an earlier epoch", "HSET C e 1"),
    ("claim of a malformed epoch", "HSET C e !"),
    ("claim of another process", "HSET C p other"),
    ("claim of another version", "HSET C v 99"),
    ("claim without version", "HDEL C v"),
    ("claim without epoch", "HDEL C e"),
    ("claim to be stopped", "HSET C c data:_666~"),
    ("claim of a process without a name", "HDEL C p"),
    ("another head", "HSET C h xx"),
    ("entry ahead", "XADD S 1000-0 f 1000 d x"),
    ("entry of the clock", "XADD S * a b"),
    ("entry with garbage", "XADD S <N+1>-0 f <N+1> d x"),
    ("entry with a forged event", "XADD S <N+1>-0 f <N+1> d data:_666~id:_<E>-<N+1>~~"),
    ("last entry but one", "XADD S 18446744073709551614-0 f 1 d x"),
    ("end with garbage", "XADD S 18446744073709551615-0 a b"),
    ("end far ahead", "XADD S 18446744073709551615-0 o completed m _ n 1000"),
    ("end at the highest", "XADD S 18446744073709551615-0 o completed m _ n 18446744073709551615"),
    ("end before", "XADD S 18446744073709551615-0 o completed m _ n 1"),
    ("end at the newest", "XADD S 18446744073709551615-0 o completed m _ n <N>"),
    ("push of an end", "PUBLISH @S e<N>_completed_"),
    ("push of a forged event", "PUBLISH @S d<N+1>_<N+1>_data:_666~id:_<E>-<N+1>~~"),
    ("push of nothing", "PUBLISH @S _"),
    ("push of garbage", "PUBLISH @S d1_x"),
    ("push of garbage as an event", "PUBLISH @S d<N+1>_<N+1>_x"),
    ("push of the highest", "PUBLISH @S d1_18446744073709551615_x~~"),
    ("push of an end before", "PUBLISH @S e0_completed_"),
    ("push of the highest end", "PUBLISH @S e18446744073709551615_completed_"),
    ("push of the highest number", "PUBLISH @S n18446744073709551615"),
    ("push of a void", "PUBLISH @S v"),
    ("push of a head", "PUBLISH @S hx"),
    ("push of megabytes", "PUBLISH @S d<N+1>_<N+1>_<1M>"),
    ("hints", "PUBLISH app:run:ctl@0:<P> <E>;PUBLISH app:run:ctl@0:<P> x;PUBLISH app:run:ctl@0 x"),
];

/// Nothing distinguishes these commands from the owner's. Only clients at other processes are
/// deceived by them.
const FORGERIES: [&str; 4] =
    ["entry with a forged event", "end at the newest", "push of an end", "push of a forged event"];

/// Reads a run until its end, first at process `at`. Reconnects at the next process each time.
async fn read(cluster: &Cluster, name: &str, at: usize) -> Sight {
    let (mut client, started) = (Client::of_turn(name, EVENTS, GAP), Instant::now());
    let reading = async {
        let mut to = at;
        loop {
            let closed = client.post(cluster.address(to), usize::MAX).await;
            let count = client.numbers.len() as u64;
            let is_in_order = client.numbers.iter().copied().eq(1..=count);
            match closed {
                _ if !is_in_order => return Sight::Wrong,
                Closed::Complete | Closed::Status(http::StatusCode::NO_CONTENT) => {
                    return if count == EVENTS { Sight::Whole } else { Sight::Wrong };
                }
                Closed::Status(http::StatusCode::SERVICE_UNAVAILABLE)
                    if started.elapsed() < REFUSALS =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                Closed::Failed if client.connections < 8 => {}
                closed => return Sight::Told(count, closed),
            }
            to = (to + 1) % 3;
        }
    };
    let sight = timeout(2 * PATIENCE, reading).await;
    sight.unwrap_or(Sight::Hanging(client.connections))
}

/// Looks up a run, once another process watches it and it has a fifth of its events.
async fn target(connection: &mut MultiplexedConnection, name: &str) -> Option<Target> {
    let name = name.replace('-', "%2D");
    let claim = format!("app:run:{{ann:%2Fturn%2F{name}}}");
    for _ in 0..250 {
        let fields = cmd("HMGET").arg(&claim).arg("e").arg("p").arg("w").to_owned();
        let fields: [Option<String>; 3] = fields.query_async(connection).await.unwrap();
        if let [Some(epoch), Some(process), Some(watched)] = fields
            && watched != "0"
        {
            let stream = format!("{claim}:{epoch}");
            let newest =
                cmd("XREVRANGE").arg(&stream).arg("+").arg("-").arg("COUNT").arg(1).to_owned();
            let newest: Vec<(String, Value)> = newest.query_async(connection).await.unwrap();
            let newest = newest.first().and_then(|(id, _)| id.split_once('-'));
            let newest = newest.map_or(0, |(newest, _)| newest.parse().unwrap());
            if newest >= EVENTS / 5 {
                let channel = format!("{stream}@0");
                return Some(Target { claim, stream, channel, epoch, process, newest });
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Executes an attack's commands up to the first error. Returns whether all were executed.
async fn execute(connection: &mut MultiplexedConnection, run: &str, attack: &str) -> bool {
    let Some(target) = target(connection, run).await else { return false };
    for words in commands(&target, attack) {
        let mut command = Cmd::new();
        words.iter().for_each(|word| _ = command.arg(word));
        let reply: redis::RedisResult<Value> = command.query_async(connection).await;
        if reply.is_err() {
            return false;
        }
    }
    true
}

async fn attack(cluster: &Cluster, number: usize) -> Seen {
    let (name, attack) = ATTACKS[number];
    // The attacks begin 20 ms apart, to spread the load.
    sleep(Duration::from_millis(20) * number as u32).await;
    let run = format!("attack-{number}");
    let owner = read(cluster, &run, 0);
    let elsewhere = async {
        sleep(Duration::from_millis(300)).await;
        read(cluster, &run, 1).await
    };
    let late = async {
        let mut connection = cluster.redis.try_connect().await.unwrap();
        // Try again, because Redis refuses a forged entry after the owner has added its next entry.
        let mut attempts = 0;
        while attempts < 10 && !execute(&mut connection, &run, attack).await {
            attempts += 1;
        }
        read(cluster, &run, 2).await
    };
    let (owner, elsewhere, late) = tokio::join!(owner, elsewhere, late);
    Seen { name, clients: [owner, elsewhere, late], calls: cluster.calls(&run) }
}

#[tokio::test]
async fn keys_and_channels_of_a_run() {
    let Some(cluster) = Cluster::start().await else { return };
    let all = join_all((0..ATTACKS.len()).map(|number| attack(&cluster, number))).await;
    for Seen { name, clients: [owner, elsewhere, late], calls } in all {
        println!(
            "{name}: {owner:?} at its owner, {elsewhere:?} elsewhere, {late:?} later; {calls} calls"
        );
        assert!(calls <= 2, "{name}");
        for sight in [owner, elsewhere, late] {
            assert!(!matches!(sight, Sight::Hanging(_)), "{name}");
        }
        assert_ne!(owner, Sight::Wrong, "{name}");
        if !FORGERIES.contains(&name) {
            assert!(elsewhere != Sight::Wrong && late != Sight::Wrong, "{name}");
        }
    }
}

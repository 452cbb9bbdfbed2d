//! What runs cost Redis in processor time, and how late events are.
//!
//! The bounds are for an optimized build: other builds can't serve 200 runs with 50 events a second
//! each, and their clients, on two processors.

use crate::*;

/// How long to measure.
const SPAN: Duration = Duration::from_secs(12);
const EVENTS_PER_SECOND: u64 = 50;
/// Numbers of runs, and the most that an event may cost Redis, as a multiple of what one `XADD`
/// costs: of a run that no other process watches, and of a run that another process watches.
const LOADS: [(usize, [f64; 2]); 2] = [(40, [0.3, 2.0]), (200, [0.1, 0.9])];

async fn default_cluster() -> Option<Cluster> {
    if cfg!(debug_assertions) {
        panic!("the bounds are those of a build with --release");
    }
    Cluster::start_on(Server::start().await?, DEFAULT_LEASE).await
}

/// What Redis used during a span.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// The sum of the commands' durations. A duration includes the time in which other processes
    /// had the processor.
    commands: Duration,
    /// The processor time of the Redis process, which includes reading and writing its sockets.
    process: Duration,
    /// The number of events, lower than intended if the machine is busy.
    events: u64,
    /// How often Redis has read from a socket: about once for each pipeline.
    reads: u64,
}

impl Used {
    fn per_event(self, used: Duration) -> f64 {
        used.as_secs_f64() * 1e6 / self.events as f64
    }

    fn print_per_event(self, what: &str) {
        let (commands, process) = (self.per_event(self.commands), self.per_event(self.process));
        let events = self.events / SPAN.as_secs();
        println!(
            "{what}, {events} events/s: {commands:.2} us of Redis in commands, {process:.2} us in \
             total, {:.2} events per read",
            self.events as f64 / self.reads as f64
        );
    }
}

async fn used(redis: &Server, span: Duration) -> Used {
    let events_before = events(redis).await;
    let _: String = redis.command("CONFIG RESETSTAT").await;
    let before = processor_time(redis).await;
    sleep(span).await;
    let process = Duration::from_secs_f64(processor_time(redis).await - before);
    let stats = redis.command::<String>("INFO commandstats").await;
    let time = |line: &str| {
        let time = line.split_once("usec=")?.1.split(',').next()?;
        // Redis counts a command that a script calls for the command and for the script.
        let is_counted = ["evalsha", "xadd", "publish", "xtrim", "xrange", "exists"];
        let name = line.strip_prefix("cmdstat_")?.split(':').next()?;
        is_counted.contains(&name).then(|| time.parse::<u64>().ok()).flatten()
    };
    let commands = Duration::from_micros(stats.lines().filter_map(time).sum());
    let reads =
        field(&redis.command::<String>("INFO stats").await, "total_reads_processed:") as u64;
    let events = events(redis).await - events_before;
    Used { commands, process, events, reads }
}

/// Returns the number of events in Redis. If no other process watches a run, Redis gets the run's
/// events only about once a second.
async fn events(redis: &Server) -> u64 {
    let mut connection = redis.try_connect().await.unwrap();
    let streams: Vec<String> =
        redis::cmd("KEYS").arg("app:run:{*}:*").query_async(&mut connection).await.unwrap();
    // For the Redis client, an empty pipeline is an error.
    if streams.is_empty() {
        return 0;
    }
    let mut newest = redis::pipe();
    for stream in streams {
        newest.cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    }
    let newest: Vec<Vec<(String, redis::Value)>> =
        newest.query_async(&mut connection).await.unwrap();
    let sequence = |id: &str| id.split_once('-').unwrap().0.parse::<u64>().unwrap();
    newest.iter().flatten().map(|(id, _)| sequence(id)).sum()
}

async fn processor_time(redis: &Server) -> f64 {
    let info = redis.command::<String>("INFO cpu").await;
    field(&info, "used_cpu_sys:") + field(&info, "used_cpu_user:")
}

fn field(info: &str, name: &str) -> f64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

/// Starts runs at the first process. Each client leaves after the first bytes of an event or of a
/// heartbeat.
async fn start_runs(cluster: &Cluster, count: usize, gap: u64) {
    let first = cluster.address(0);
    for runs in (0..count).collect::<Vec<_>>().chunks(200) {
        let started = runs.iter().map(async |run| {
            let mut client = Client::of_turn(&format!("cost-{run}"), 1_000_000, gap);
            assert_eq!(client.post(first, 1).await, Closed::Cut);
        });
        _ = join_all(started).await;
    }
}

/// Returns the microseconds of Redis for an `XADD` over one connection that waits for each reply.
async fn time_of_an_add(redis: &Server) -> f64 {
    const ADDS: u32 = 20_000;
    let mut connection = redis.try_connect().await.unwrap();
    let before = processor_time(redis).await;
    for _ in 0..ADDS {
        let mut add = redis::cmd("XADD");
        add.arg(&["control", "MAXLEN", "~", "1000", "*", "event"]).arg("x".repeat(64));
        let _: String = add.query_async(&mut connection).await.unwrap();
    }
    let used = processor_time(redis).await - before;
    let _: u32 = redis.command("DEL control").await;
    used * 1e6 / f64::from(ADDS)
}

#[tokio::test]
async fn redis_time_of_an_event() {
    for (runs, limits) in LOADS {
        let Some(cluster) = default_cluster().await else { return };
        let add = time_of_an_add(&cluster.redis).await;
        println!("an XADD: {add:.2} us of Redis");
        start_runs(&cluster, runs, 1_000 / EVENTS_PER_SECOND).await;
        let unwatched = used(&cluster.redis, SPAN).await;
        unwatched.print_per_event("not watched elsewhere");
        for run in 0..runs {
            let to = cluster.address(1);
            tokio::spawn(async move {
                let mut client = Client::of_turn(&format!("cost-{run}"), 1_000_000, 20);
                _ = client.post(to, usize::MAX).await;
            });
        }
        sleep(Duration::from_secs(1)).await;
        let watched = used(&cluster.redis, SPAN).await;
        watched.print_per_event("watched in one other process");
        assert!(unwatched.per_event(unwatched.process) <= limits[0] * add);
        assert!(watched.per_event(watched.process) <= limits[1] * add);
    }
}

#[tokio::test]
async fn redis_time_of_quiet_runs() {
    const QUIET: usize = 10_000;
    /// The owner looks for the keys of its runs eight times in this time.
    const LOOKS: Duration = Duration::from_secs(60);
    let Some(cluster) = default_cluster().await else { return };
    let idle = used(&cluster.redis, LOOKS).await;
    start_runs(&cluster, QUIET, 600_000).await;
    sleep(DEFAULT_LEASE).await;
    let used = used(&cluster.redis, LOOKS).await;
    let [idle, commands, process] = [idle.process, used.commands, used.process]
        .map(|time| time.as_secs_f64() / LOOKS.as_secs_f64() * 100.0);
    println!(
        "{QUIET} quiet runs: {commands:.2} % of a core in commands, {process:.2} % in total, of \
         which three idle processes take {idle:.2} %"
    );
    assert!(process <= 0.8, "{used:?}");
}

/// Each run is started at one process, and stopped at another one.
#[tokio::test]
async fn redis_time_of_a_start_and_a_stop() {
    const STOPS: usize = 2_000;
    const TOGETHER: usize = 10;
    /// The milliseconds until the first event, which the time of each start includes.
    const GAP: u64 = 10;
    let Some(cluster) = default_cluster().await else { return };
    let [owner, other] = [0, 1].map(|at| cluster.address(at));
    let before = processor_time(&cluster.redis).await;
    let mut times = [Vec::new(), Vec::new()];
    for runs in (0..STOPS).collect::<Vec<_>>().chunks(TOGETHER) {
        let measured = runs.iter().map(async |run| {
            let mut client = Client::of_turn(&format!("stop-{run}"), 1_000_000, GAP);
            let began = Instant::now();
            assert_eq!(client.post(owner, 1).await, Closed::Cut);
            let started = Instant::now();
            assert!(client.stop(other).await);
            [started - began, started.elapsed()]
        });
        for pair in join_all(measured).await {
            times.iter_mut().zip(pair).for_each(|(times, time)| times.push(time));
        }
    }
    let used = (processor_time(&cluster.redis).await - before) * 1e6 / STOPS as f64;
    let [start, stop] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("a start {start:?}, a stop elsewhere {stop:?} median; {used:.0} us of Redis for both");
    assert!(used <= 1_000.0, "{used} us");
}

/// Measures how much later a client at another process gets an event than a client at the owner.
#[tokio::test]
async fn latency_of_events_at_another_process() {
    const EVENTS: u64 = 250;
    let Some(cluster) = default_cluster().await else { return };
    for runs in [1, 20] {
        let readers = (0..runs).map(async |run| {
            let read = async |at: usize| {
                let mut client = Client::of_turn(&format!("cost-{runs}-{run}"), EVENTS, 20);
                // The other client waits, so that the owner's client starts the run.
                sleep(Duration::from_millis(200) * at as u32).await;
                client.post(cluster.address(at), usize::MAX).await;
                client.assert_whole(EVENTS);
                client.times
            };
            let (local, remote) = tokio::join!(read(0), read(1));
            // Leave out the first events: the other client connected after them.
            let pairs = local.into_iter().zip(remote).skip(50);
            pairs.map(|(local, remote)| remote.saturating_duration_since(local)).collect::<Vec<_>>()
        });
        let mut delays: Vec<_> = join_all(readers).await.into_iter().flatten().collect();
        delays.sort();
        let (median, late) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
        println!("an event at another process, {runs} runs: {median:?} median, {late:?} 99 %");
        assert!(median <= Duration::from_millis(1), "{runs} runs: {median:?}");
    }
}

//! Clients that load answers of other processes over a slow link to Redis.

use std::env;

use tower_sse::runs::Attachment;

use crate::*;

/// The size of an event, which is close to the size of a batch. So each event has its own batch.
const EVENT: usize = 64_000;
/// The time in which half of the runs that start during a load must have started. A start takes two
/// round trips, and each would wait for the pages under way if it shared their connection.
const START: Duration = Duration::from_millis(200);

/// Two `Runs` that share a store, as those of two processes do. Each reaches Redis over its own
/// wire.
struct Pair {
    redis: Server,
    owners_wire: Wire,
    wire: Wire,
    owner: Runs,
    reader: Runs,
}

impl Pair {
    async fn start() -> Option<Self> {
        let redis = Server::start().await?;
        let (owners_wire, wire) =
            (Wire::start(redis.port()).await, Wire::start(redis.port()).await);
        let connect = async |url: &str| {
            let limits = Runs::builder()
                .max_running(20_000)
                .max_running_per_owner(20_000)
                .max_memory(1 << 40)
                .retain_bytes(8 << 20);
            limits.connect(Redis::open(url).unwrap().runs("app").lease(LEASE)).await.unwrap()
        };
        let (owner, reader) = (connect(&owners_wire.url()).await, connect(&wire.url()).await);
        Some(Self { redis, owners_wire, wire, owner, reader })
    }

    async fn store(&self, name: &str, events: usize) {
        self.store_of(name, events, EVENT).await;
    }

    async fn store_of(&self, name: &str, events: usize, size: usize) {
        let text = "x".repeat(size);
        let events = stream::iter(0..events).map(move |_| Event::from(&*text));
        _ = self.owner.start(&key(name), None, || events).await.unwrap();
        let state = format!("HGET app:run:{{ann:{name}}} s");
        until_async(async || self.redis.command::<String>(&state).await == "completed").await;
    }

    /// Reads an answer at `reader`, again after each refusal or failure. Returns the number of
    /// bytes of the whole answer, and the number of refusals and failures.
    async fn read(&self, name: &str) -> (usize, usize) {
        let mut refusals = 0;
        loop {
            let answer = self.reader.answer(&key(name), &request()).await.unwrap();
            if answer.status() == StatusCode::OK
                && let Ok(body) = answer.into_body().collect().await
            {
                return (body.to_bytes().len(), refusals);
            }
            refusals += 1;
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Starts runs at `reader` until this future is dropped. Adds the time of each start to
    /// `times`.
    async fn keep_starting(&self, times: &mut Vec<Duration>) {
        keep_starting(&self.reader, times).await;
    }
}

/// Starts runs until this future is dropped. Adds the time of each start to `times`.
async fn keep_starting(runs: &Runs, times: &mut Vec<Duration>) {
    loop {
        let (began, name) = (Instant::now(), format!("started{}", times.len()));
        let started = runs.start(&key(&name), None, stream::pending::<Event>).await;
        times.push(began.elapsed());
        assert!(started.is_ok(), "{:?}: {times:?}", started.err());
        sleep(Duration::from_millis(100)).await;
    }
}

fn key(name: &str) -> RunKey {
    RunKey::new("ann", name).unwrap()
}

fn request() -> Parts {
    Request::get("/").body(()).unwrap().into_parts().0
}

/// Reads `runs` answers of `events` events each at the same time, over a link of `rate` bytes per
/// second. Returns how long this took, as a multiple of the time that the link needs for the bytes.
async fn all_arrive(runs: usize, events: usize, rate: u64) -> Option<f64> {
    let pair = Pair::start().await?;
    let names: Vec<_> = (0..runs).map(|run| format!("stored{run}")).collect();
    for name in &names {
        pair.store(name, events).await;
    }
    let bytes = runs * events * EVENT;
    let link = Duration::from_secs_f64(bytes as f64 / rate as f64);
    pair.wire.limit(rate);
    let (passed, connections, began) =
        (pair.wire.passed(), pair.wire.connections(), Instant::now());
    let mut starts = Vec::new();
    let reading = join_all(names.iter().map(|name| pair.read(name)));
    let answers = tokio::select! {
        answers = timeout(3 * PATIENCE, reading) => answers.expect("all answers in time"),
        () = pair.keep_starting(&mut starts) => unreachable!(),
    };
    let took = began.elapsed();
    starts.sort_unstable();
    let usual = starts[starts.len() / 2];
    let passed = pair.wire.passed() - passed;
    let refusals: usize = answers.iter().map(|(_, refusals)| refusals).sum();
    println!(
        "{bytes} bytes, {link:?} of the link: {took:?}, {passed} bytes, {refusals} refusals, \
         {} connections, half of {} starts within {usual:?}",
        pair.wire.connections() - connections,
        starts.len(),
    );
    assert!(answers.iter().all(|(read, _)| *read >= events * EVENT));
    assert_eq!(pair.wire.connections(), connections, "no connection broke");
    assert_eq!(refusals, 0);
    assert!(passed < bytes as u64 * 5 / 4, "{passed} bytes");
    assert!(usual < START, "{starts:?}");
    Some(took.as_secs_f64() / link.as_secs_f64())
}

/// All answers together take longer over the link than a reply to a start may take.
#[tokio::test]
async fn answers_of_other_processes_arrive_over_a_slow_link() {
    _ = all_arrive(12, 16, 4_000_000).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn thirty_answers_of_4_megabytes_arrive_over_a_slow_link() {
    let Some(times) = all_arrive(30, 64, 20_000_000).await else { return };
    assert!(times < 2.0, "{times}");
}

/// A page of a load has about 64 KiB, and the first page also has the run's head.
#[tokio::test]
async fn event_that_is_larger_than_a_page_is_read_elsewhere() {
    let Some(pair) = Pair::start().await else { return };
    for size in [65_300, 65_500, 65_536, 70_000, 1 << 20] {
        let name = format!("of{size}");
        pair.store_of(&name, 2, size).await;
        let reading = timeout(PATIENCE, pair.read(&name)).await;
        let (read, refusals) = reading.expect("it is loaded");
        assert!(read > 2 * size);
        assert_eq!(refusals, 0);
    }
}

/// What is loaded for a client that has left delays the loads for all other clients.
#[tokio::test]
async fn client_that_leaves_at_once_loads_no_more_than_a_page() {
    const CLIENTS: u64 = 8;
    const EVENTS: u64 = 64;
    let Some(pair) = Pair::start().await else { return };
    pair.store("stored", EVENTS as usize).await;
    _ = pair.read("stored").await;
    pair.wire.limit(20_000_000);
    let before = pair.wire.passed();
    for _ in 0..CLIENTS {
        until_async(async || pair.reader.stats().mirrors == 0).await;
        let passed = pair.wire.passed();
        let (key, request) = (key("stored"), request());
        tokio::select! {
            _ = pair.reader.answer(&key, &request) => {}
            // The first page is under way.
            () = until(|| pair.wire.passed() - passed > EVENT as u64 / 2) => {}
        }
    }
    // The pages for the clients that left arrive before this answer.
    _ = pair.read("stored").await;
    let passed = pair.wire.passed() - before;
    let event = EVENT as u64;
    println!("{CLIENTS} clients that left: {} bytes each", (passed - EVENTS * event) / CLIENTS);
    assert!(passed < (EVENTS + 3 * CLIENTS) * event, "{passed} bytes");
}

/// If the key `app:run:data` expires, no new run starts for at least a lease. With the owner's wire
/// cut, only `reader` renews the key.
#[tokio::test]
async fn loads_of_large_events_do_not_delay_the_renewal_of_data() {
    let Some(pair) = Pair::start().await else { return };
    let names: Vec<_> = (0..16).map(|run| format!("stored{run}")).collect();
    for name in &names {
        pair.store_of(name, 1, 1 << 20).await;
    }
    pair.owners_wire.cut();
    pair.wire.limit(120_000);
    let connections = pair.wire.connections();
    let reading = join_all(names.iter().map(|name| pair.read(name)));
    let beats = async || pair.redis.command::<Vec<String>>("HVALS app:run:processes").await;
    let renewing = async {
        let passed = pair.wire.passed();
        until(|| pair.wire.passed() - passed > 500_000).await;
        for _ in 0..5 {
            let (last, since) = (beats().await, Instant::now());
            until_async(async || beats().await != last).await;
            assert!(since.elapsed() < LEASE, "{:?}", since.elapsed());
        }
    };
    tokio::select! {
        _ = reading => panic!("the loads are under way"),
        () = renewing => {}
    }
    assert_eq!(pair.wire.connections(), connections, "no connection broke");
}

async fn arrives_while_runs_start(pair: &Pair, name: &str, rate: u64) -> usize {
    pair.wire.limit(rate);
    let (connections, mut starts) = (pair.wire.connections(), Vec::new());
    let (read, refusals) = tokio::select! {
        answer = timeout(2 * PATIENCE, pair.read(name)) => answer.expect("it arrives in time"),
        () = pair.keep_starting(&mut starts) => unreachable!(),
    };
    assert_eq!((pair.wire.connections(), refusals), (connections, 0), "no connection broke");
    read
}

/// The event takes 12 seconds over this link, which is longer than the 10 seconds that one reply
/// with events may take.
#[tokio::test]
async fn one_large_event_breaks_no_connection() {
    let Some(pair) = Pair::start().await else { return };
    pair.store_of("stored", 1, 4 << 20).await;
    assert!(arrives_while_runs_start(&pair, "stored", 350_000).await > 4 << 20);
}

/// While an event arrives over the slow link, the connection for pushes is checked over the same
/// link.
#[tokio::test]
async fn large_event_of_a_live_answer_breaks_no_connection() {
    let Some(pair) = Pair::start().await else { return };
    live(&pair, 1_100_000, 2, Duration::from_secs(5)).await;
    assert!(arrives_while_runs_start(&pair, "live", 300_000).await > 2_200_000);
}

/// Starts `runs` answers of `events` events each, whose way to Redis has a `rate` in bytes per
/// second, and reads them elsewhere. Meanwhile, other runs start at the same process.
async fn are_sent(runs: usize, events: usize, size: usize, rate: u64) {
    let Some(pair) = Pair::start().await else { return };
    pair.owners_wire.limit_to_redis(rate);
    let (connections, mut starts) = (pair.owners_wire.connections(), Vec::new());
    let names: Vec<_> = (0..runs).map(|run| format!("sent{run}")).collect();
    let sending = join_all(names.iter().map(|name| pair.store_of(name, events, size)));
    tokio::select! {
        sent = timeout(2 * PATIENCE, sending) => drop(sent.expect("all answers are sent in time")),
        () = keep_starting(&pair.owner, &mut starts) => unreachable!(),
    }
    assert_eq!(pair.owners_wire.connections(), connections, "no connection broke: {starts:?}");
    for name in &names {
        let (read, refusals) = pair.read(name).await;
        assert!(read > events * size);
        assert_eq!(refusals, 0);
    }
}

/// The event takes five seconds over this link. A reply may take two seconds.
#[tokio::test]
async fn large_event_on_its_way_to_redis_breaks_no_connection() {
    are_sent(1, 1, 2 << 20, 400_000).await;
}

#[tokio::test]
async fn batches_of_many_runs_on_their_way_to_redis_break_no_connection() {
    are_sent(16, 2, EVENT, 300_000).await;
}

/// The event takes 20 seconds over this link.
#[tokio::test]
async fn run_is_cancelled_elsewhere_while_its_large_event_is_sent() {
    let Some(pair) = Pair::start().await else { return };
    pair.owners_wire.limit_to_redis(100_000);
    let text = "x".repeat(2 << 20);
    let events = stream::iter([Event::from(text)]).chain(stream::pending());
    let run = pair.owner.start(&key("sent"), None, || events).await.unwrap();
    let parts = async || pair.redis.command::<Vec<String>>("KEYS *:parts").await.len();
    until_async(async || parts().await > 0).await;
    let key = key("sent");
    let (is_cancelled, outcome) =
        tokio::join!(pair.reader.cancel(&key, None), timeout(PATIENCE, run.ended()));
    assert_eq!((is_cancelled, outcome.unwrap()), (true, Some(Outcome::Cancelled)));
    assert_eq!(parts().await, 1, "the event is still on its way");
}

async fn live(pair: &Pair, size: usize, events: usize, pause: Duration) {
    let text = "x".repeat(size);
    let pauses = stream::iter(0..events).then(move |_| sleep(pause));
    let events = pauses.map(move |()| Event::from(&*text));
    _ = pair.owner.start(&key("live"), None, || events).await.unwrap();
}

/// Attaches a client to a run at `reader`, again after each refusal. Returns the client, and how
/// long it waited for an event.
async fn first_event(pair: &Pair, name: &str) -> (Attachment, Duration) {
    let began = Instant::now();
    loop {
        if let Some(run) = pair.reader.get(&key(name)).await
            && let Some(mut client) = run.attach(None).await
            && let Some(Ok(_)) = client.next().await
        {
            return (client, began.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Clients of runs of another process wait for the link to Redis, and not for each other.
#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn clients_that_come_or_leave_at_once_share_round_trips() {
    const ROUND_TRIP: Duration = Duration::from_millis(4);
    let clients = env::var("TOWER_SSE_CLIENTS").map_or(1_000, |count| count.parse().unwrap());
    let Some(pair) = Pair::start().await else { return };
    let begin = async |name: &str| {
        let events = stream::iter([Event::from("x")]).chain(stream::pending());
        _ = pair.owner.start(&key(name), None, || events).await.unwrap();
    };
    let names: Vec<_> = (0..clients).map(|run| format!("run{run}")).collect();
    for name in names.iter().map(|name| &**name).chain(["late"]) {
        begin(name).await;
    }
    let all = async |delay| {
        until_async(async || pair.reader.stats().mirrors == 0).await;
        pair.wire.delay(delay);
        let (left, mut times): (Vec<_>, Vec<_>) =
            join_all(names.iter().map(|name| first_event(&pair, name))).await.into_iter().unzip();
        times.sort_unstable();
        drop(left);
        // Once the process has forgotten the runs, it ends their subscriptions.
        until_async(async || pair.reader.stats().mirrors == 0).await;
        let (_, late) = first_event(&pair, "late").await;
        println!("{delay:?}: {:?}, {:?}, late {late:?}", times[clients / 2], times[clients - 1]);
        (times[clients - 1], late)
    };
    _ = all(Duration::ZERO).await;
    let (last, late) = all(Duration::ZERO).await;
    let (delayed_last, delayed_late) = all(ROUND_TRIP).await;
    assert!(delayed_last < 2 * last + 250 * ROUND_TRIP, "{delayed_last:?} and {last:?}");
    assert!(delayed_late < 2 * late + 50 * ROUND_TRIP, "{delayed_late:?} and {late:?}");
}

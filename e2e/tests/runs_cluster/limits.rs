//! Limits of runs in Redis: durations too long to add to Redis' clock, and `max_memory`.

use crate::*;

const MEBIBYTE: usize = 1 << 20;

async fn connect(server: &Server, options: RunsBuilder) -> Runs {
    options.connect(server.redis().runs("app")).await.unwrap()
}

async fn start_all(runs: &Runs, keys: impl IntoIterator<Item = RunKey>) {
    for key in keys {
        let run = runs.start(&key, None, || stream::iter([Event::from("x")])).await.unwrap();
        run.ended().await.unwrap();
    }
}

async fn memory(server: &Server) -> BTreeMap<String, usize> {
    let keys: Vec<String> = server.command("KEYS app:run:{*").await;
    let mut connection = server.try_connect().await.unwrap();
    let mut pipeline = redis::pipe();
    keys.iter().for_each(|key| _ = pipeline.cmd("MEMORY").arg("USAGE").arg(key));
    let sizes: Vec<Option<usize>> = pipeline.query_async(&mut connection).await.unwrap();
    keys.into_iter().zip(sizes.into_iter().flatten()).collect()
}

async fn takes_about(server: &Server, limit: usize) {
    let total = async || memory(server).await.values().sum::<usize>();
    until_async(async || total().await <= limit * 3 / 2).await;
    let total = total().await;
    assert!(total > limit / 2, "{total} of {limit}: it evicts what the limit allows");
}

/// Returns a name padded with `/`, which takes three bytes in the name of a Redis key.
fn long_name(number: usize) -> String {
    format!("{number:/>512}")
}

/// Redis could not add `Duration::MAX` to its clock. So a lease is at most ten years, and an ended
/// run is kept for at most a hundred years.
#[tokio::test]
async fn runs_start_whatever_the_times_are() {
    let Some(server) = Server::start().await else { return };
    let retained = connect(&server, Runs::builder().retain_for(Duration::MAX)).await;
    start_all(&retained, [RunKey::shared("retained").unwrap()]).await;
    let redis = server.redis().runs("app").lease(Duration::MAX);
    let leased = Runs::builder().retain_for(Duration::MAX).connect(redis).await.unwrap();
    start_all(&leased, [RunKey::shared("leased").unwrap()]).await;
}

/// Redis stores more than the events of a run, and the names of keys count too.
#[tokio::test]
async fn all_runs_keep_as_much_in_redis_as_a_process_may_use() {
    for name in [|n| format!("run {n}"), long_name] {
        let Some(server) = Server::start().await else { return };
        // Small, so that `max_memory` has room for a new run while earlier runs end in Redis.
        let options = Runs::builder().max_memory(MEBIBYTE).retain_bytes(16 << 10);
        let runs = connect(&server, options).await;
        start_all(&runs, (0..600).map(|n| RunKey::shared(name(n)).unwrap())).await;
        takes_about(&server, MEBIBYTE).await;
    }
}

/// During a rolling deployment with a smaller limit, answers are longer than the new processes keep.
#[tokio::test]
async fn answers_are_whole_at_a_process_whose_limit_is_smaller() {
    const EVENT: usize = 4_000;
    const COUNT: usize = 40;
    let Some(server) = Server::start().await else { return };
    let owner = connect(&server, Runs::builder()).await;
    for kept in [64 << 10, 2 << 10] {
        let reader = connect(&server, Runs::builder().retain_bytes(kept)).await;
        let key_of = |turn: usize| RunKey::new("ann", format!("{kept}/{turn}")).unwrap();
        let read_whole = async |key: &RunKey| {
            let run = reader.start(key, None, stream::pending::<Event>).await.unwrap();
            let mut items = run.attach(None).await.unwrap();
            let mut read = Vec::new();
            while let Some(item) = items.next().await {
                let block = Bytes::from(item.unwrap_or_else(|error| panic!("{kept}: {error}")));
                let events = block.split(|byte| *byte == b'\n').filter(|line| line.len() > EVENT);
                read.extend(events.map(|line| line.len() - "data: ".len() - EVENT));
            }
            assert!(read.iter().copied().eq(0..COUNT), "{kept}: {read:?}");
        };
        join_all((0..10).map(async |turn| {
            let events = stream::iter(0..COUNT).then(async |number| {
                sleep(Duration::from_millis(10)).await;
                Event::from("x".repeat(EVENT + number))
            });
            let key = key_of(turn);
            let run = owner.start(&key, None, move || events).await.unwrap();
            let live = timeout(PATIENCE, read_whole(&key));
            let (ended, live) = tokio::join!(run.ended(), live);
            assert_eq!((ended, live), (Some(Outcome::Completed), Ok(())), "{kept}, {turn}: live");
            timeout(PATIENCE, read_whole(&key)).await.expect("later");
        }))
        .await;
    }
}

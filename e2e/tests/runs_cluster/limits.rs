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
    let retained =
        connect(&server, Runs::builder().retention(Retention::new().age(Duration::MAX))).await;
    start_all(&retained, [RunKey::shared("retained").unwrap()]).await;
    let redis = server.redis().runs("app").lease(Duration::MAX);
    let leased = Runs::builder()
        .retention(Retention::new().age(Duration::MAX))
        .connect(redis)
        .await
        .unwrap();
    start_all(&leased, [RunKey::shared("leased").unwrap()]).await;
}

/// Redis stores more than the events of a run, and the names of keys count too.
#[tokio::test]
async fn all_runs_keep_as_much_in_redis_as_a_process_may_use() {
    for name in [|n| format!("run {n}"), long_name] {
        let Some(server) = Server::start().await else { return };
        // Small, so that `max_memory` has room for a new run while earlier runs end in Redis.
        let retention = Retention::new().bytes(16 << 10);
        let options = Runs::builder().max_memory(MEBIBYTE).retention(retention);
        let runs = connect(&server, options).await;
        start_all(&runs, (0..600).map(|n| RunKey::shared(name(n)).unwrap())).await;
        takes_about(&server, MEBIBYTE).await;
    }
}

//! What another process learns about a run.

use super::reply::check_text;
use super::*;

scenes!(
    state_and_newest_event_are_reported,
    each_watcher_is_announced_to_the_owner,
    run_whose_stream_has_an_end_has_ended_whatever_its_key_has,
);

async fn state_and_newest_event_are_reported(scene: Scene) {
    assert_eq!(scene.q.check("a1").await, "gone");
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.q.check("a1").await, "starting");
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
    scene.p.append("a1", 1, 7).await;
    assert_eq!(scene.q.check("a1").await, "running 7 head");
    assert_eq!(scene.p.complete("a1", 7).await, "ended");
    assert_eq!(scene.q.check("a1").await, "ended 7 head");
}

async fn each_watcher_is_announced_to_the_owner(scene: Scene) {
    scene.p.begin("a1").await;
    scene.q.check("a1").await;
    scene.q.watch("a1").await;
    scene.r.watch("a1").await;
    for _ in 0..2 {
        assert_eq!(scene.p.received().await, "watched a1");
    }
    scene.p.has_received_all().await;
}

/// The clock of the process with the later run is behind, so its epoch is lower.
async fn run_whose_stream_has_an_end_has_ended_whatever_its_key_has(scene: Scene) {
    scene.p.begin("a2").await;
    scene.p.append("a2", 1, 3).await;
    assert_eq!(scene.q.replace("a2", "a1").await, "claimed");
    assert_eq!(scene.q.check("a2").await, "other 3 head");
    assert_eq!(scene.q.end("a1", Release).await, "freed");
    assert_eq!(scene.q.check("a2").await, "other 3 head");
    scene.world.lose(CLAIM).await;
    assert_eq!(scene.q.check("a2").await, "other 3 head");
}

// Commands that share a script.

/// Makes a call, which takes this number of commands.
async fn counted<T>(scene: &Scene, call: impl Future<Output = T>, commands: &str) -> T {
    let _: String = scene.world.server.command("CONFIG RESETSTAT").await;
    let reply = call.await;
    let stats: String = scene.world.server.command("INFO commandstats").await;
    assert!(stats.contains(commands), "{stats}");
    reply
}

/// A run that has ended or cannot be read does not concern the others, and each run gets its own
/// reply.
#[tokio::test]
async fn runs_are_looked_for_and_checked_together() {
    let Some(scene) = redis().await else { return };
    let runs: Vec<_> = (0..140).map(|number| run_of(&format!("n{number}"))).collect();
    for run in &runs {
        scene.p.begin_run(run).await;
    }
    scene.p.send(append(0, &runs[5], 1, 9, "events")).await;
    scene.q.send(end(&runs[20], CANCEL)).await;
    let _: String = scene.world.server.command("SET app:run:{owner:n40} text").await;
    let _: u32 = scene.world.server.command("HSET app:run:{owner:n50} v 3").await;
    let looked = async || {
        let keys: Vec<_> = runs.iter().map(keys).collect();
        let found = scene.p.store.have_keys(1, &keys);
        counted(&scene, found, "cmdstat_exists:calls=1,").await.unwrap()
    };
    assert!(looked().await);
    let checks: Vec<_> = runs.iter().map(|run| check(run, true)).collect();
    let checked = counted(&scene, scene.p.store.check(&checks), "cmdstat_evalsha:calls=1,").await;
    let checked = checked.into_iter().map(|reply| text(reply, check_text));
    for (number, reply) in checked.enumerate() {
        let expected = match number {
            5 => "running 9 head",
            40 => "run",
            50 => "version",
            _ => "running 0 head",
        };
        assert_eq!(reply, expected, "{number}");
    }
    scene.world.lose("app:run:{owner:n139}:a1").await;
    assert!(!looked().await);
}

// The time that Redis spends in scripts.

/// The number of calls over which the time is averaged.
const CALLS: usize = 200;
/// The maximum time of a call behind a large batch, as a multiple of a small one's.
///
/// Redis copies 8 MiB in about a millisecond, which is 50 times as long as a call.
const MAX_RATIO: f64 = 5.0;

/// Each script looks at the last entry. Behind a large batch, it finds an empty one.
#[tokio::test]
async fn sync_costs_the_same_behind_a_batch_of_any_size() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    let (mut times, mut entries) = (Vec::new(), 1);
    for (event, size) in (1..).zip([100, 4 << 10, 64 << 10, 1 << 20, 8 << 20]) {
        let batch = append(entries, &run("a1"), event, event, "x".repeat(size));
        let added = if size > 4 << 10 { 2 } else { 1 };
        assert_eq!(scene.p.send(batch).await, format!("appended {added}"));
        entries += added;
        // Another process can take the processor in the middle of a call, so the best counts.
        let mut best = f64::MAX;
        for _ in 0..5 {
            best = best.min(microseconds_of_a_sync(&scene, event).await);
        }
        times.push(best);
    }
    assert!(times.iter().all(|time| *time <= times[0] * MAX_RATIO), "{times:?} microseconds");
}

/// Sends the calls in one pipeline, as those of exports that are due together.
async fn microseconds_of_a_sync(scene: &Scene, newest: u64) -> f64 {
    let _: String = scene.world.server.command("CONFIG RESETSTAT").await;
    for reply in scene.p.send_all(scene.p.number(), vec![sync(&run("a1"), HEAD); CALLS]).await {
        assert!(reply.starts_with(&format!("ok {newest} ")), "{reply}");
    }
    let stats: String = scene.world.server.command("INFO commandstats").await;
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    let total = line.split_once("usec=").unwrap().1.split(',').next().unwrap();
    total.parse::<f64>().unwrap() / CALLS as f64
}

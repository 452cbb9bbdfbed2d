//! What another process learns about a run.

use super::reply::check_text;
use super::*;

scenes!(
    each_watcher_is_announced_to_the_owner,
    run_whose_stream_has_an_end_has_ended_whatever_its_key_has,
);

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

/// The later run has the lower epoch, because the clock of its process is behind.
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

/// Makes a call, and asserts that the statistics of its commands contain the text `commands`.
async fn counted<T>(scene: &Scene, call: impl Future<Output = T>, commands: &str) -> T {
    let _: String = scene.world.server.command("CONFIG RESETSTAT").await;
    let reply = call.await;
    let stats: String = scene.world.server.command("INFO commandstats").await;
    assert!(stats.contains(commands), "{stats}");
    reply
}

/// Each run gets its own reply, even if another one is to stop or cannot be read.
#[tokio::test]
async fn runs_are_looked_for_and_checked_together() {
    let Some(scene) = redis().await else { return };
    let runs: Vec<_> = (0..140).map(|number| run_of(&format!("n{number}"))).collect();
    for run in &runs {
        scene.p.begin_run(run).await;
    }
    scene.p.append_to(&runs[5], 0, 1, 9, "events").await;
    _ = scene.q.store.end(None, End { run: runs[20].clone(), mode: CANCEL }).await;
    let _: String = scene.world.server.command("SET app:run:{owner:n40} text").await;
    let _: u32 = scene.world.server.command("HSET app:run:{owner:n50} v 3").await;
    let looked = async || {
        let keys: Vec<_> = runs.iter().map(|run| (run.clone(), true)).collect();
        let found = scene.p.store.have_keys(1, &keys);
        counted(&scene, found, "cmdstat_exists:calls=1,").await.unwrap()
    };
    assert!(looked().await);
    let checks: Vec<_> =
        runs.iter().map(|run| Check { run: run.clone(), is_watched: true }).collect();
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

//! What another process learns of a run.

use super::{process::*, *};

scenes!(
    state_and_newest_event_are_reported,
    key_of_another_run_is_reported,
    first_watcher_is_announced_to_the_owner,
    run_whose_key_has_an_earlier_one_is_gone,
    run_whose_stream_has_an_end_has_ended_whatever_its_key_has,
);

async fn state_and_newest_event_are_reported(scene: Scene) {
    assert_eq!(scene.check("a1").await, "gone");
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    assert_eq!(scene.check("a1").await, "starting live");
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 0 1");
    scene.append("a1", 1, 7).await;
    assert_eq!(scene.check("a1").await, "running live 7 head");
    assert_eq!(scene.complete("a1", 7).await, "ended completed 7");
    assert_eq!(scene.check("a1").await, "completed 7 head");
}

async fn key_of_another_run_is_reported(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.watch("a1", "q").await, "other 0 head");
    assert_eq!(scene.end("a2", "q", EndMode::Void).await, "freed");
    assert_eq!(scene.watch("a2", "q").await, "void");
}

/// The owner learns it at once if no process watched the run before.
async fn first_watcher_is_announced_to_the_owner(scene: Scene) {
    scene.begin("a1").await;
    scene.check("a1").await;
    assert_eq!(scene.renew("a1", "p", None).await, "renewed", "it is only looked at");
    scene.watch("a1", "q").await;
    scene.watch("a1", "r").await;
    assert_eq!(scene.received("p").await, "hint a1");
    scene.has_received_all("p").await;
}

/// As after a loss, from which its owner restores it.
async fn run_whose_key_has_an_earlier_one_is_gone(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.check("a2").await, "gone");
    assert_eq!(scene.end("a1", "p", EndMode::Lost).await, "ended interrupted 0");
    assert_eq!(scene.check("a2").await, "gone");
    assert_eq!(scene.check("10").await, "other 0");
}

/// The clock of the process with the later run is behind, so its epoch is lower.
async fn run_whose_stream_has_an_end_has_ended_whatever_its_key_has(scene: Scene) {
    scene.begin("a2").await;
    scene.append("a2", 1, 3).await;
    assert_eq!(scene.replace("a2", "a1", "q").await, "claimed");
    assert_eq!(scene.check("a2").await, "other 3 head");
    assert_eq!(scene.end("a1", "q", EndMode::Lost).await, "ended interrupted 0");
    assert_eq!(scene.check("a2").await, "other 3 head");
    scene.world.lose(CLAIM).await;
    assert_eq!(scene.check("a2").await, "other 3 head");
}

// Commands that share a script.

/// Begins runs `n0`, `n1`, and so on.
async fn begun(scene: &Scene, count: usize) -> Vec<RunId> {
    let epoch = Epoch::parse("a1").unwrap();
    let key = |number| RunKey::new("owner", format!("n{number}")).unwrap();
    let runs: Vec<_> = (0..count).map(|number| RunId::new(key(number), epoch)).collect();
    for run in &runs {
        scene.p.begin(run).await;
    }
    runs
}

/// Sends the commands with another one between them, in this number of script calls.
async fn execute(scene: &Scene, mut commands: Vec<Command>, calls: u32) -> Vec<String> {
    let middle = commands.len() / 2;
    commands.insert(middle, look(&run("a1")));
    let _: String = scene.world.server.command("CONFIG RESETSTAT").await;
    let replies = scene.p.store.execute(None, commands).await.into_iter();
    let stats: String = scene.world.server.command("INFO commandstats").await;
    assert!(stats.contains(&format!("cmdstat_evalsha:calls={calls},")), "{stats}");
    assert!(
        !replies.as_slice().iter().any(|it| matches!(it, Err(Failure::Lost | Failure::Stopped)))
    );
    let mut replies: Vec<_> = replies.map(text).collect();
    assert_eq!(replies.remove(middle), "free");
    replies
}

/// A claim that cannot be renewed does not concern the others, and each run gets its own reply.
#[tokio::test]
async fn leases_are_renewed_together() {
    let Some(scene) = redis().await else { return };
    let runs = begun(&scene, 140).await;
    _ = scene.q.execute(check(&runs[3])).await;
    _ = scene.p.execute(end(&runs[60], CANCEL)).await;
    let _: String = scene.world.server.command("SET app:run:{owner:n80} text").await;
    // 64 and 6 renewals, the look, and 64 and 6 renewals.
    let replies = execute(&scene, runs.iter().map(renew).collect(), 5).await;
    for (number, reply) in replies.into_iter().enumerate() {
        let expected = match number {
            60 | 80 => "unsure",
            3 => "renewed watched",
            _ => "renewed",
        };
        assert_eq!(reply, expected, "{number}");
    }
}

/// A run that cannot be checked does not concern the others, and each run gets its own reply.
#[tokio::test]
async fn runs_are_checked_together() {
    let Some(scene) = redis().await else { return };
    let runs = begun(&scene, 70).await;
    _ = scene.p.execute(append(&runs[3], 1, 9, "events")).await;
    _ = scene.p.execute(end(&runs[20], CANCEL)).await;
    let _: String = scene.world.server.command("SET app:run:{owner:n40} text").await;
    let _: u32 = scene.world.server.command("HSET app:run:{owner:n50} v 2").await;
    // 32 and 3 checks, the look, 32 and 3 checks.
    let replies = execute(&scene, runs.iter().map(check).collect(), 5).await;
    for (number, reply) in replies.into_iter().enumerate() {
        let expected = match number {
            3 => "running live 9 head",
            20 => "cancelled 0 head",
            40 => "run",
            50 => "version",
            _ => "running live 0 head",
        };
        assert_eq!(reply, expected, "{number}");
    }
    assert_eq!(text(scene.p.try_execute(renew(&runs[69])).await), "renewed watched");
}

// The time that Redis spends in scripts.

/// The number of renewals over which the time is averaged.
const CALLS: usize = 200;
/// The maximum time of a renewal behind a large batch, as a multiple of a small one's.
///
/// Redis copies 8 MiB in about a millisecond, which is 50 times as long as a renewal.
const MAX_RATIO: f64 = 5.0;

/// Each script looks at the last entry. Behind a large batch, it finds an empty one.
#[tokio::test]
async fn renewal_costs_the_same_behind_a_batch_of_any_size() {
    let Some(scene) = redis().await else { return };
    scene.begin("a1").await;
    let (mut behind_small, mut entries) = (None, 1);
    for (event, size) in (1..).zip([100, 4 << 10, 64 << 10, 1 << 20, 8 << 20]) {
        let batch = append_to(entries, &run("a1"), event, event, "x".repeat(size));
        entries += scene.p.appended(batch).await;
        // Another process can take the processor in the middle of a call, so the best counts.
        let mut best = f64::MAX;
        for _ in 0..5 {
            best = best.min(microseconds_of_a_renewal(&scene, event).await);
        }
        println!("renewal behind {size} bytes: {best:.1} us");
        let behind_small = *behind_small.get_or_insert(best);
        assert!(
            best <= behind_small * MAX_RATIO,
            "{best:.1} us, {behind_small:.1} us behind 100 bytes"
        );
    }
}

/// Sends the renewals in one pipeline, as the exporter does.
async fn microseconds_of_a_renewal(scene: &Scene, newest: u64) -> f64 {
    let _: String = scene.world.server.command("CONFIG RESETSTAT").await;
    for reply in scene.p.store.execute(None, vec![sync(&run("a1")); CALLS]).await {
        let reply = text(reply);
        assert!(reply.starts_with(&format!("ok {newest} ")), "{reply}");
    }
    let stats: String = scene.world.server.command("INFO commandstats").await;
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
    let total = line.split_once("usec=").unwrap().1.split(',').next().unwrap();
    total.parse::<f64>().unwrap() / CALLS as f64
}

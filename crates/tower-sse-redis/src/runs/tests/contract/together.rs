//! Commands that share a script.

use tower_sse::runs::{RunKey, support::Epoch};

use super::{commands::*, reply::text, *};
use crate::runs::seam::{Command, Failure, RunId};

/// Begins runs `n0`, `n1`, and so on.
async fn begun(scene: &Scene<Redis>, count: usize) -> Vec<RunId> {
    let epoch = Epoch::parse("a1").unwrap();
    let key = |number| RunKey::new("owner", format!("n{number}")).unwrap();
    let runs: Vec<_> = (0..count).map(|number| RunId::new(key(number), epoch)).collect();
    for run in &runs {
        scene.p.begin(run).await;
    }
    runs
}

/// Sends the commands with another one between them, in this number of calls of scripts. Returns the
/// replies.
async fn execute(scene: &Scene<Redis>, mut commands: Vec<Command>, calls: u32) -> Vec<String> {
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
    _ = scene.q.end(&runs[60], CANCEL).await;
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
    _ = scene.p.end(&runs[20], CANCEL).await;
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

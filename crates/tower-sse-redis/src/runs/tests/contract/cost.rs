//! The time that Redis spends in scripts.

use super::{commands::*, reply::text, *};

/// The number of renewals over which the time is averaged.
const CALLS: usize = 200;
/// The maximum of a renewal's time behind a large batch, as a multiple of the time behind a small one.
///
/// Redis copies 8 MiB in about a millisecond, which is 50 times as long as a renewal.
const MAX_RATIO: f64 = 5.0;

/// Each script looks at the last entry. Behind a large batch, it finds an empty one.
#[tokio::test]
async fn renewal_costs_the_same_behind_a_batch_of_any_size() {
    let Some(scene) = redis().await else { return };
    scene.begin("a1").await;
    let mut behind_small = None;
    for (event, size) in (1..).zip([100, 4 << 10, 64 << 10, 1 << 20, 8 << 20]) {
        let batch = append(&run("a1"), event, event, "x".repeat(size));
        assert!(text(scene.p.try_execute(batch).await).starts_with("appended"));
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
async fn microseconds_of_a_renewal(scene: &Scene<Redis>, newest: u64) -> f64 {
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

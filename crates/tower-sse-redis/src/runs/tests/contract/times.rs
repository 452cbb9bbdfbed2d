//! How long Redis keeps keys.

use super::*;

/// Less than the time for which keys are kept, in milliseconds.
const LONG: u64 = 290_000;

/// No key stays for ever, whatever follows the claim. The stream has only the end.
#[tokio::test]
async fn claim_and_end_of_a_replaced_run_are_kept_for_their_time() {
    let Some(scene) = redis().await else { return };
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert!(scene.world.ttl_of(CLAIM).await > LONG);
    assert_eq!(scene.q.replace("a1", "a2").await, "claimed");
    assert_eq!(scene.world.ids("a1").await, [END_ID]);
    for key in [CLAIM, &stream("a1")] {
        assert!(scene.world.ttl_of(key).await > LONG, "{key}");
    }
}

/// Returns a scene in which the process `p` keeps runs for this time, up to the maximum.
async fn retained(retain_for: Duration) -> Option<Scene> {
    let mut scene = redis().await?;
    let store = scene.world.store();
    scene.p = Process::try_connect(store, "p", retain_for).await.unwrap();
    Some(scene)
}

/// A script that failed after it has written would leave a key for ever.
#[tokio::test]
async fn no_time_is_too_long_for_a_script() {
    let Some(scene) = retained(Duration::MAX).await else { return };
    scene.p.begin("a1").await;
    assert_eq!(scene.p.complete("a1", 0).await, "ended");
    scene.world.lose(&stream("a1")).await;
    assert_eq!(scene.p.check("a1").await, "ended 0 head");
    assert_eq!(scene.p.replace("a1", "a2").await, "claimed");
    assert_eq!(scene.p.replace("a2", "a3").await, "claimed");
    assert_eq!(scene.p.end("a3", Release).await, "freed");
}

/// If a call returns no event stream, Redis keeps its claim until late commands have arrived.
#[tokio::test]
async fn void_claim_is_kept_for_two_leases() {
    let lease = LEASE.as_millis() as u64;
    let Some(scene) = redis().await else { return };
    assert_eq!(scene.p.claim("a1").await, "claimed");
    assert_eq!(scene.p.end("a1", Release).await, "freed");
    let kept = scene.world.ttl_of(CLAIM).await;
    assert!((lease..=2 * lease).contains(&kept), "{kept}");
    assert!(scene.world.ids("a1").await.is_empty());
}

/// The time begins with the end, which can be all that the stream has.
#[tokio::test]
async fn keys_are_kept_from_the_end_on() {
    let modes = [CANCEL, bury()].map(|mode| [(mode.clone(), true), (mode, false)]);
    let begun = [(completed(0, None), true), (Release, true)];
    for (mode, has_begun) in begun.into_iter().chain(modes.into_iter().flatten()) {
        let Some(scene) = redis().await else { return };
        let keys = [CLAIM.to_owned(), stream("a1")];
        assert_eq!(scene.p.claim("a1").await, "claimed");
        if has_begun {
            assert_eq!(scene.p.sync("a1", HEAD).await, "ok 0 1");
        }
        for key in &keys {
            _ = scene.world.server.command::<u32>(&format!("PEXPIRE {key} 100000")).await;
        }
        scene.end("a1", mode.clone()).await;
        for key in &keys {
            let kept = scene.world.ttl_of(key).await;
            assert!(kept > LONG, "{key} after {mode:?}, begun: {has_begun}: {kept}");
        }
    }
}

/// A run can be quiet for longer than it is kept after its end. The next process may start a day
/// later, and reports the runs of the processes that died.
#[tokio::test]
async fn live_runs_are_kept_for_an_hour_and_listed_for_a_day() {
    let Some(scene) = redis().await else { return };
    scene.p.begin("a1").await;
    let keys = [CLAIM.to_owned(), stream("a1")];
    for key in &keys {
        _ = scene.world.server.command::<u32>(&format!("PEXPIRE {key} 100000")).await;
    }
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 0 1");
    for key in &keys {
        assert!(scene.world.ttl_of(key).await > LONG + 3_600_000, "{key}");
    }
    for list in ["app:run:ctl@0:p", "app:run:processes"] {
        assert!(scene.world.ttl_of(list).await > 86_000_000, "{list}");
    }
}

//! Leases while the server's clock jumps, or the server comes and goes.

use crate::*;

/// Two looks that are far apart do not bury: the owner may have had no chance between them.
#[tokio::test]
async fn looks_count_only_in_a_row() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(60_000).await;
    assert_eq!(store.look().await, "late a1 p running 1500");
    store.seen_late(50_000, GRACE + 1_000).await;
    assert_eq!(store.look().await, "late a1 p running 1500", "it starts over");
    store.seen_late(50_000, GRACE - 1_000).await;
    assert_eq!(store.look().await, "dead a1 p running 0");
}

#[tokio::test]
async fn process_with_a_new_connection_waits_for_a_whole_lease() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(60_000).await;
    store.is_new_connection = true;
    store.seen_late(GRACE + 1_000, 100).await;
    let reply = store.end("a1", "q", "bury").await;
    assert!(reply.starts_with("late running "), "{reply}");
    store.seen_late(LEASE + 100, 100).await;
    assert_eq!(store.end("a1", "q", "bury").await, "ended interrupted");
}

/// The owner that comes back is not late any more.
#[tokio::test]
async fn renewed_lease_forgets_earlier_looks() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(1_000).await;
    store.seen_late(900, 100).await;
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "ok 0 1 0");
    let now = store.server.now().await;
    store.set("x", now - 60_000).await;
    store.expire_lease(1).await;
    assert_eq!(store.look().await, "late a1 p running 1500");
}

/// The grace period follows from the owner's lease, which can differ from the looker's.
#[tokio::test]
async fn grace_period_is_that_of_the_owner() {
    let Some(mut store) = Store::begun().await else { return };
    store.set("d", 40_000).await;
    store.expire_lease(60_000).await;
    store.seen_late(14_000, 5_000).await;
    let reply = store.look().await;
    assert!(reply.starts_with("late a1 p running "), "{reply}");
    store.seen_late(15_000, 5_000).await;
    assert_eq!(store.look().await, "dead a1 p running 0");
    store.set("d", 2_000).await;
    store.seen_late(1_500, 500).await;
    assert_eq!(store.look().await, "dead a1 p running 0", "1.5 seconds at least");
}

#[tokio::test]
async fn lease_from_before_a_backward_jump_is_cut() {
    let Some(mut store) = Store::begun().await else { return };
    let now = store.server.now().await;
    store.set("l", now + 3_600_000).await;
    assert_eq!(store.look().await, "live a1 p running 0");
    let deadline: u64 = store.get("l").await.parse().unwrap();
    assert!(deadline <= store.server.now().await + LEASE, "{deadline} at {now}");
}

#[tokio::test]
async fn watch_from_before_a_backward_jump_is_cut() {
    let Some(mut store) = Store::begun().await else { return };
    let now = store.server.now().await;
    store.set("w", now + 3_600_000).await;
    let reply = store.sync("a1", "p", Sync::default()).await;
    let watched: u64 = reply.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(watched <= LEASE * 3 / 4, "{reply}");
    let until: u64 = store.get("w").await.parse().unwrap();
    assert!(until <= store.server.now().await + LEASE, "{until} at {now}");
}

#[tokio::test]
async fn looks_from_before_a_backward_jump_do_not_count() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(60_000).await;
    let now = store.server.now().await;
    for (first, last) in [(now + 60_000, now + 60_000), (now - 10_000, now + 60_000)] {
        store.set("x", first).await;
        store.set("y", last).await;
        assert_eq!(store.look().await, "late a1 p running 1500");
    }
}

/// If a jump expires a claim, it expires the key that is missing only after a loss too.
#[tokio::test]
async fn claims_that_expire_are_lost() {
    let Some(mut store) = Store::start().await else { return };
    store.ttl = 1;
    store.begin("a1", "p").await;
    // The time that passes until the owner keeps its claim again: an eighth, and the renewals between
    // two looks.
    let longest = 60_000 / 8 + LEASE * 2;
    for earlier in ["s1", ""] {
        assert_eq!(store.join("s1", earlier).await, "joined");
        let kept = store.ttl_of(DATA).await;
        assert!((LEASE..store.ttl().await - longest).contains(&kept), "{kept}");
    }
    store.expire(DATA).await;
    assert_eq!(store.look().await, "live a1 p running 0");
    store.lose_claim().await;
    assert_eq!(store.look().await, "restoring");
    assert!(store.ttl_of(DATA).await >= LEASE);
}

/// A claim that is kept after the clock was set back expires before `data`, which was kept before.
#[tokio::test]
async fn claim_may_be_lost_unseen_once_the_clock_was_set_back() {
    let Some(mut store) = Store::start().await else { return };
    for finds_out in ["claim", "join"] {
        assert_eq!(store.join("s1", "s1").await, "joined");
        store.set_restored(-1).await;
        let mut hints = store.subscribe(EVERYONE).await;
        let now = store.server.now().await;
        _ = store.command(&["HSET", DATA, "t", &(now + 19_000).to_string()]).await;
        assert_eq!(store.look().await, "free", "clocks are adjusted");
        _ = store.command(&["HSET", DATA, "t", &(now + 25_000).to_string()]).await;
        if finds_out == "join" {
            assert_eq!(store.join("s1", "s1").await, "joined");
            assert_eq!(hints.next().await, "");
        }
        assert_eq!(store.claim("a1", "p").await, "restoring");
        if finds_out == "claim" {
            assert_eq!(hints.next().await, "");
        }
        hints.is_empty(&mut store).await;
        store.set_restored(-1).await;
        assert_eq!(store.look().await, "free");
    }
}

/// The process that finds out reports it to all owners, which restore their claims.
#[tokio::test]
async fn process_that_keeps_the_data_finds_out_that_they_are_lost() {
    let Some(mut store) = Store::begun().await else { return };
    let mut hints = store.subscribe(EVERYONE).await;
    store.expire(DATA).await;
    assert_eq!(store.join("s1", "s1").await, "joined");
    assert_eq!(hints.next().await, "");
    let until: u64 = store.command(&["HGET", DATA, "u"]).await.parse().unwrap();
    assert!(until > store.server.now().await);
    assert_eq!(store.join("s1", "s1").await, "joined");
    assert_eq!(store.command(&["HGET", DATA, "u"]).await, until.to_string(), "it begins once");
    hints.is_empty(&mut store).await;
}

#[tokio::test]
async fn keys_of_a_live_run_outlive_a_forward_jump_of_a_minute() {
    let Some(mut store) = Store::start().await else { return };
    store.ttl = 1;
    store.begin("a1", "p").await;
    assert!(store.ttl().await > 55_000);
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "ok 0 1 0");
    assert!(store.ttl().await > 55_000);
}

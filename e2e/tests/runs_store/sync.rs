//! Renewing a lease, beginning a stream, and what Redis has of a run.

use crate::{store::KEY, *};

#[tokio::test]
async fn lease_and_keys_are_renewed() {
    let Some(mut store) = Store::begun().await else { return };
    store.expire_lease(1_000).await;
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "ok 0 1 0");
    let deadline: u64 = store.get("l").await.parse().unwrap();
    let now = store.server.now().await;
    assert!(deadline > now + LEASE - 5_000, "{deadline} at {now}");
    let now = store.server.now().await;
    for (kept_since, is_renewed) in
        [(now - 20_000, false), (now - 40_000, true), (now + 9_000, true)]
    {
        store.set("t", kept_since).await;
        _ = store.command(&["PEXPIRE", "app:run:{owner:name}", "100000"]).await;
        assert_eq!(store.sync("a1", "p", Sync::default()).await, "ok 0 1 0");
        assert_eq!(store.ttl().await > 290_000, is_renewed, "{kept_since} at {now}");
    }
    assert_eq!(store.look().await, "live a1 p running 0");
}

#[tokio::test]
async fn stream_begins_once() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    assert_eq!(store.sync("a1", "p", Sync::default()).await, "ok 0 0 0", "no answer yet");
    assert_eq!(store.look().await, "live a1 p starting 0");
    let mut pushes = store.subscribe(&channel("a1")).await;
    assert_eq!(store.sync("a1", "p", HEAD).await, "ok 0 1 0");
    assert_eq!(store.sync("a1", "p", HEAD).await, "ok 0 1 0");
    _ = store.append("a1", 1, 2).await.unwrap();
    assert_eq!(store.sync("a1", "p", HEAD).await, "ok 2 2 0");
    assert_eq!(store.ids("a1").await, ["0-1", "2-0"]);
    assert_eq!(store.complete("a1", "p", 2).await, "ended completed");
    assert_eq!([pushes.next().await, pushes.next().await], ["hhead", "e2 completed "]);
}

#[tokio::test]
async fn number_of_entries_tells_a_lost_one() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 1).await.unwrap();
    _ = store.append("a1", 2, 2).await.unwrap();
    let expect = |entries| Sync { entries: Some(entries), ..HEAD };
    assert_eq!(store.sync("a1", "p", expect(3)).await, "ok 2 3 0");
    assert_eq!(store.sync("a1", "p", expect(4)).await, "behind 2 3 0");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "ok 0 1 0");
    assert_eq!(store.ids("a1").await, ["0-1"]);
}

#[tokio::test]
async fn lost_claim_is_created_again_only_on_demand() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    store.lose_claim().await;
    assert_eq!(store.sync("a1", "p", HEAD).await, "gone");
    assert_eq!(store.look().await, "free");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "ok 0 1 0");
    assert_eq!(store.look().await, "live a1 p running 0");
    _ = store.append("a1", 1, 2).await.unwrap();
    assert_eq!(store.complete("a1", "p", 2).await, "ended completed");
}

/// The stream alone was deleted, as by an eviction.
#[tokio::test]
async fn lost_stream_is_behind_and_can_be_restored() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 2).await.unwrap();
    store.lose_stream("a1").await;
    assert_eq!(store.append("a1", 3, 3).await.unwrap(), redis::Value::Nil, "it creates no stream");
    assert_eq!(store.sync("a1", "p", Sync { entries: Some(2), ..HEAD }).await, "behind 0 0 0");
    assert_eq!(store.sync("a1", "p", RESTORE).await, "ok 0 1 0");
    assert_eq!(store.ids("a1").await, ["0-1"]);
    assert_eq!(store.get("h").await, "head");
}

#[tokio::test]
async fn run_that_lost_its_key_is_over() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.replace("a1", "a2", "q").await, "new");
    assert_eq!(store.sync("a1", "p", HEAD).await, "over cancelled");
    store.lose_stream("a1").await;
    assert_eq!(store.sync("a1", "p", RESTORE).await, "other");
    assert_eq!(store.look().await, "live a2 q starting 0");
}

#[tokio::test]
async fn watching_process_is_reported() {
    let Some(mut store) = Store::begun().await else { return };
    assert_eq!(store.check("a1", 3_000, false).await, "running 0 live 0 ");
    let reply = store.sync("a1", "p", HEAD).await;
    let watched: u64 = reply.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((1_000..=3_000).contains(&watched), "{reply}");
}

/// The owner does not push what nobody watches, so a client that begins to watch
/// needs the number of the newest event.
#[tokio::test]
async fn owner_that_did_not_push_sends_the_number_of_the_newest_event() {
    let Some(mut store) = Store::begun().await else { return };
    let mut pushes = store.subscribe(&crate::store::channel("a1")).await;
    _ = store.append("a1", 1, 3).await.unwrap();
    store.pushes = false;
    _ = store.sync("a1", "p", HEAD).await;
    assert_eq!(store.check("a1", 3_000, false).await, "running 3 live 0 ");
    _ = store.sync("a1", "p", HEAD).await;
    assert_eq!(pushes.next().await, "n3");
    store.pushes = true;
    _ = store.sync("a1", "p", HEAD).await;
    pushes.is_empty(&mut store).await;
}

#[tokio::test]
async fn lease_is_renewed_without_a_look_at_the_stream() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.renew("a1", "p").await, "-1", "nobody has the key");
    store.begin("a1", "p").await;
    store.expire_lease(1_000).await;
    assert_eq!(store.look().await, "late a1 p running 1500");
    assert_eq!(store.renew("a1", "p").await, "0");
    assert_eq!(store.look().await, "live a1 p running 0");
    assert_eq!(store.check("a1", 3_000, false).await, "running 0 live 0 ");
    let reply = store.renew("a1", "p").await;
    let watched: u64 = reply.parse().unwrap();
    assert!((2_000..=3_000).contains(&watched), "{reply}");
    for (epoch, process) in [("a2", "p"), ("a1", "q")] {
        assert_eq!(store.renew(epoch, process).await, "-1", "{epoch} of {process}");
    }
    store.set("v", 2).await;
    assert_eq!(store.renew("a1", "p").await, "-1");
    store.set("v", 1).await;
    assert_eq!(store.end("a1", "q", "cancel").await, "ended cancelled");
    assert_eq!(store.renew("a1", "p").await, "-1");
    assert_eq!(store.get("s").await, "cancelled");
}

/// A renewal that looks at the stream leaves the lease as it is if Redis has lost a part of the
/// stream, or has more.
#[tokio::test]
async fn lease_of_a_run_with_another_stream_is_not_renewed() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 3).await.unwrap();
    store.expire_lease(1_000).await;
    for entries in [0, 1, 3] {
        assert_eq!(store.look_and_renew("a1", entries).await, "-1", "{entries}");
    }
    assert_eq!(store.look().await, "late a1 p running 1500");
    assert_eq!(store.look_and_renew("a1", 2).await, "0");
    store.expire_lease(1_000).await;
    store.lose_stream("a1").await;
    assert_eq!(store.look_and_renew("a1", 2).await, "-1");
    _ = store.command(&["SET", &crate::store::stream("a1"), "text"]).await;
    assert_eq!(store.look_and_renew("a1", 2).await, "-1");
    assert_eq!(store.look().await, "late a1 p running 1500");
}

/// A run that has not begun has no stream.
#[tokio::test]
async fn lease_of_a_starting_run_is_renewed() {
    let Some(mut store) = Store::start().await else { return };
    assert_eq!(store.claim("a1", "p").await, "new");
    store.expire_lease(1_000).await;
    assert_eq!(store.look_and_renew("a1", 1).await, "-1", "it has begun according to its owner");
    assert_eq!(store.look_and_renew("a1", 0).await, "0");
    assert_eq!(store.look().await, "live a1 p starting 0");
}

/// Renewals keep the keys of a quiet run, as a `sync` does.
#[tokio::test]
async fn keys_are_kept_by_renewals() {
    let Some(mut store) = Store::begun().await else { return };
    let stream = crate::store::stream("a1");
    let now = store.server.now().await;
    for (kept_since, is_renewed) in
        [(now - 20_000, false), (now - 40_000, true), (now + 9_000, true)]
    {
        store.set("t", kept_since).await;
        for key in [KEY, &stream] {
            _ = store.command(&["PEXPIRE", key, "100000"]).await;
        }
        assert_eq!(store.look_and_renew("a1", 1).await, "0");
        for key in [KEY, &stream] {
            let ttl: u64 = store.command(&["PTTL", key]).await.parse().unwrap();
            assert_eq!(ttl > 290_000, is_renewed, "{key}: {kept_since} at {now}");
        }
        let changed = store.get("t").await != kept_since.to_string();
        assert_eq!(changed, is_renewed, "{kept_since} at {now}");
    }
}

/// A claim that cannot be renewed does not concern the others.
#[tokio::test]
async fn leases_are_renewed_together() {
    let Some(mut store) = Store::start().await else { return };
    store.begin("a1", "p").await;
    store.expire_lease(1_000).await;
    let _: String = store.server.command("SET app:run:{string} text").await;
    let runs = [
        ("app:run:{string}", "a1", None),
        ("app:run:{none}", "a1", Some(1)),
        (KEY, "a2", None),
        (KEY, "a1", Some(2)),
    ];
    assert_eq!(store.renew_all(&runs, "p").await, "-1 -1 -1 -1");
    assert_eq!(store.look().await, "late a1 p running 1500");
    let runs = [&runs[..], &[(KEY, "a1", Some(1)), (KEY, "a1", None)]].concat();
    assert_eq!(store.renew_all(&runs, "p").await, "-1 -1 -1 -1 0 0");
    assert_eq!(store.look().await, "live a1 p running 0");
}

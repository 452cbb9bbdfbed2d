//! What other processes receive.

use super::*;

#[tokio::test]
async fn pushes_of_a_run_arrive_in_order() {
    let Some((_server, p, q)) = two().await else { return };
    let (name, other) = (run("name", "k1"), run("other", "k1"));
    _ = p.execute(claim(&name)).await;
    q.store.subscribe(&name).await.unwrap();
    p.begin(&other).await;
    _ = p.execute(append(&other, 1, 1, "of a run with the same epoch")).await;
    _ = p.execute(sync(&name)).await;
    for last in 1..=100 {
        let bytes = if last == 50 { "x".repeat(1 << 20) } else { format!("event {last}") };
        _ = p.execute(append(&name, last, last, bytes)).await;
    }
    _ = p.end(&name, completed(100)).await;
    let head = q.receive().await;
    assert!(matches!(&head, Incoming::Push(_, Push::Head(head)) if **head == *b"head"), "{head:?}");
    for last in 1..=100 {
        let Incoming::Push(from, Push::Batch(batch)) = q.receive().await else { panic!("{last}") };
        assert_eq!((from, batch.first, batch.last), (name.clone(), last, last));
    }
    let Incoming::Push(_, Push::End(end)) = q.receive().await else { panic!("no end") };
    assert_eq!((end.newest, end.outcome), (100, Outcome::Completed));
}

#[tokio::test]
async fn owner_gets_a_hint_when_its_run_is_watched_stopped_or_replaced() {
    let Some((_server, p, q)) = two().await else { return };
    let (first, second, third) = (run("name", "k1"), run("name", "k2"), run("name", "k3"));
    p.begin(&first).await;
    _ = q.execute(check(&first)).await;
    assert!(matches!(p.receive().await, Incoming::Hint(epoch) if epoch == first.epoch));
    _ = q.end(&first, EndMode::Cancel { lines: None }).await;
    assert!(matches!(p.receive().await, Incoming::Hint(epoch) if epoch == first.epoch));
    p.begin(&second).await;
    _ = q.execute(replace(&third, &second)).await;
    assert!(matches!(p.receive().await, Incoming::Hint(epoch) if epoch == second.epoch));
}

#[tokio::test]
async fn owner_and_pages_find_the_last_event_of_another_process() {
    let Some((_server, p, q)) = two().await else { return };
    let name = run("name", "k1");
    p.begin(&name).await;
    p.execute(append(&name, 1, 2, "data: a\n\n")).await;
    let lines = Some("data: 12\n".into());
    let newest = 1_000_000_003;
    let ended = q.end(&name, EndMode::Cancel { lines }).await;
    assert_eq!(ended, EndReply::Ended { outcome: Outcome::Cancelled, newest });
    let Reply::Sync(SyncReply::Over { event: Some(event), .. }) = p.execute(sync(&name)).await
    else {
        panic!("no event")
    };
    let bytes = format!("data: 12\nid: {}-{newest}\n\n", name.epoch);
    assert_eq!((event.first, event.last, &event.bytes[..]), (3, newest, bytes.as_bytes()));
    for seen in [2, 4, newest - 1] {
        let page = q.store.load(&name, seen).await.unwrap();
        assert_eq!((page.batches, page.end.unwrap().newest), (vec![event.clone()], newest));
    }
}

#[tokio::test]
async fn subscriptions_survive_a_restart_of_the_server() {
    let Some((mut server, p, q)) = two().await else { return };
    let name = run("name", "k1");
    q.store.subscribe(&name).await.unwrap();
    let (before_p, before_q) = (p.number(), q.number());
    server.restart().await;
    _ = p.reconnected_after(before_p).await;
    _ = q.reconnected_after(before_q).await;
    assert!(matches!(q.receive().await, Incoming::LostPushes));
    _ = p.execute(restore(&name)).await;
    assert!(matches!(q.receive().await, Incoming::Push(_, Push::Head(_))));
    _ = q.execute(check(&name)).await;
    assert!(matches!(p.receive().await, Incoming::LostPushes));
    assert!(matches!(p.receive().await, Incoming::Hint(_)), "hints too");
}

#[tokio::test]
async fn run_that_is_unsubscribed_passes_no_pushes() {
    let Some((server, p, q)) = two().await else { return };
    let (name, other) = (run("name", "k1"), run("other", "k2"));
    p.begin(&name).await;
    p.begin(&other).await;
    q.store.subscribe(&name).await.unwrap();
    q.store.unsubscribe(&name);
    q.store.subscribe(&other).await.unwrap();
    _ = p.execute(append(&name, 1, 1, "event")).await;
    _ = p.execute(append(&other, 1, 1, "event")).await;
    assert!(matches!(q.receive().await, Incoming::Push(run, _) if run == other));
    until_subscribed(&server, 1 + 1 + 1 + 1).await;
}

/// A new client arrives while the last one leaves.
#[tokio::test]
async fn run_that_is_subscribed_again_at_once_stays_subscribed() {
    let Some((_server, p, q)) = two().await else { return };
    let (name, other) = (run("name", "k1"), run("other", "k2"));
    p.begin(&name).await;
    q.store.subscribe(&name).await.unwrap();
    for last in 1..=50 {
        q.store.unsubscribe(&name);
        q.store.subscribe(&name).await.unwrap();
        tokio::task::yield_now().await;
        q.store.subscribe(&other).await.unwrap();
        _ = p.execute(append(&name, last, last, "event")).await;
        assert!(matches!(q.receive().await, Incoming::Push(run, _) if run == name));
    }
}

/// Waits until the server has this number of channels. Each process has one for hints,
/// and all have another.
async fn until_subscribed(server: &Server, channels: usize) {
    let subscribed = async || server.command::<Vec<String>>("PUBSUB CHANNELS").await;
    until("the channels in time", async || subscribed().await.len() == channels).await;
}

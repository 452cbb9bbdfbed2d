//! Loading streams, and what other processes receive of them.

use super::{process::*, *};

scenes!(
    completed_run_is_loaded_page_by_page,
    old_batches_are_trimmed_and_counted,
    pushes_of_a_run_arrive_in_order,
    commands_of_a_large_call_keep_their_order,
    run_that_is_unsubscribed_passes_no_pushes,
    run_that_is_subscribed_again_at_once_stays_subscribed,
);

fn other() -> RunId {
    RunId::new(RunKey::new("owner", "other").unwrap(), Epoch::parse("a1").unwrap())
}

async fn completed_run_is_loaded_page_by_page(scene: Scene) {
    scene.begin("a1").await;
    let name = run("a1");
    let mut entries = 1;
    for last in 1..=300 {
        // Every tenth batch is followed by an empty entry.
        let bytes = if last % 10 == 0 { "x".repeat(5_000) } else { format!("event {last}") };
        entries += scene.p.appended(append_to(entries, &name, last, last, bytes)).await;
    }
    assert_eq!(scene.sync("a1", "p", HEAD).await, format!("ok 300 {entries}"));
    assert_eq!(scene.complete("a1", 300).await, "ended completed 300");
    let (mut events, mut pages) = (0, 0);
    let end = loop {
        let page = scene.q.store.load(&name, events).await.unwrap();
        pages += 1;
        assert_eq!(page.head.is_some(), events == 0);
        for batch in page.batches {
            assert_eq!((batch.first, batch.last), (events + 1, events + 1));
            events = batch.last;
        }
        if let Some(end) = page.end {
            assert!(page.is_last);
            break end;
        }
    };
    assert_eq!((events, end.newest), (300, 300));
    assert!(pages >= 3, "{pages}");
    let page = scene.q.store.load(&name, 300).await.unwrap();
    assert!(page.batches.is_empty() && page.end.is_some());
}

async fn old_batches_are_trimmed_and_counted(scene: Scene) {
    scene.begin("a1").await;
    let mut entries: Vec<u64> = Vec::new();
    for last in [10, 20, 30] {
        let before = 1 + entries.iter().sum::<u64>();
        let batch = append_to(before, &run("a1"), last - 9, last, "x".repeat(5_000));
        entries.push(scene.p.appended(batch).await);
    }
    assert_eq!(scene.trim("a1", 20).await, format!("trimmed {}", 1 + entries[0]), "the head too");
    let left = entries[1] + entries[2];
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, format!("ok 30 {left}"));
    assert_eq!(scene.stream("a1").await, ["11 20", "21 30"]);
}

async fn pushes_of_a_run_arrive_in_order(scene: Scene) {
    assert_eq!(scene.claim("a1", "p").await, "claimed");
    scene.subscribe("q", "a1").await;
    // A run with the same epoch.
    scene.r.begin(&other()).await;
    scene.r.execute(append(&other(), 1, 1, "other")).await;
    scene.sync("a1", "p", HEAD).await;
    let bytes = |last| if last == 50 { "x".repeat(1 << 20) } else { format!("event {last}") };
    for last in 1..=100 {
        scene.p.execute(append(&run("a1"), last, last, bytes(last))).await;
    }
    scene.complete("a1", 100).await;
    assert_eq!(scene.received("q").await, "head");
    for last in 1..=100 {
        let pushed = match scene.q.receive().await {
            Incoming::Push(from, Push::Batch(pushed)) if from == run("a1") => batch(&pushed),
            // A large event is not pushed.
            Incoming::Push(from, Push::Newest(50)) if from == run("a1") => continue,
            other => panic!("{last}: {other:?}"),
        };
        assert_eq!(pushed, format!("{last} {last} event {last}"));
    }
    assert_eq!(scene.received("q").await, "end completed 100");
}

/// One call can have any number of commands. They are executed in their order.
async fn commands_of_a_large_call_keep_their_order(scene: Scene) {
    scene.begin("a1").await;
    let batch = |last| append(&run("a1"), last, last, "x".repeat(3_000));
    let commands: Vec<Command> = (1..=1_200).map(batch).collect();
    for result in scene.p.store.execute(Some(1), commands).await {
        assert_eq!(text(result), "appended 1");
    }
    assert_eq!(scene.sync("a1", "p", HEAD).await, "ok 1200 1201");
}

async fn run_that_is_unsubscribed_passes_no_pushes(scene: Scene) {
    scene.begin("a1").await;
    scene.p.begin(&other()).await;
    scene.subscribe("q", "a1").await;
    scene.q.store.unsubscribe(&run("a1"));
    scene.q.store.subscribe(&other()).await.unwrap();
    scene.append("a1", 1, 1).await;
    scene.p.execute(append(&other(), 1, 1, "event")).await;
    assert!(matches!(scene.q.receive().await, Incoming::Push(run, _) if run == other()));
}

/// A new client arrives while the last one leaves.
async fn run_that_is_subscribed_again_at_once_stays_subscribed(scene: Scene) {
    scene.begin("a1").await;
    for last in 1..=50 {
        scene.q.store.unsubscribe(&run("a1"));
        scene.subscribe("q", "a1").await;
        tokio::task::yield_now().await;
        scene.q.store.subscribe(&other()).await.unwrap();
        scene.append("a1", last, last).await;
        let incoming = scene.q.receive().await;
        assert_eq!(received(&incoming), format!("{last} {last} data: a\n\n"));
    }
}

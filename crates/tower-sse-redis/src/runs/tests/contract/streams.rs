//! Trimming streams, pushes of their events, and simultaneous calls.

use super::*;

scenes!(
    old_batches_are_trimmed_and_counted,
    large_event_is_appended_once_all_its_parts_have_arrived,
    pushes_of_a_run_arrive_in_order,
    simultaneous_calls_share_a_pipeline_and_keep_their_order,
    pages_have_all_batches_of_any_number_and_size,
    run_that_is_unsubscribed_passes_no_pushes,
    run_that_is_subscribed_again_at_once_stays_subscribed,
);

async fn old_batches_are_trimmed_and_counted(scene: Scene) {
    scene.p.begin("a1").await;
    for (entries, last) in [(1, 10), (3, 20), (5, 30)] {
        let appended =
            scene.p.append_to(&run("a1"), entries, last - 9, last, "x".repeat(5_000)).await;
        assert_eq!(appended, "appended 2", "an empty entry follows");
    }
    assert_eq!(scene.p.trim("a1", 20).await, "trimmed 3", "the head too");
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 30 4");
    assert_eq!(scene.q.stream("a1").await, ["11 20", "21 30"]);
}

async fn large_event_is_appended_once_all_its_parts_have_arrived(scene: Scene) {
    scene.p.begin("a1").await;
    let (run, over) = (run("a1"), scene.p.number());
    let parts_key = format!("{}:parts", stream("a1"));
    let parts_left =
        async || scene.world.server.command::<u32>(&format!("EXISTS {parts_key}")).await;
    let bytes: Bytes = (0..400_000_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    let batch = Batch { first: 1, last: 1, bytes: bytes.clone() };
    let parts: Vec<_> = batch.parts().collect();
    assert!(parts.len() > 2 && parts.iter().all(|(_, part)| part.len() < bytes.len() / 2));
    let add = async |part| scene.p.store.add_part(over, &run, part).await;
    // Without the first part, and once Redis has lost the parts, nothing is kept.
    assert_eq!(add(parts[1]).await, Ok(false));
    for part in &parts[..2] {
        assert_eq!(add(*part).await, Ok(true));
    }
    assert_eq!(scene.p.append_batch(&run, 1, &batch).await, "refused", "a part is missing");
    scene.world.lose(&parts_key).await;
    assert_eq!(add(parts[2]).await, Ok(false));
    assert_eq!(scene.p.append_batch(&run, 1, &batch).await, "refused");
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 0 1");
    // The first part of another attempt replaces what is left.
    for part in parts[..2].iter().chain(&parts) {
        assert_eq!(add(*part).await, Ok(true));
    }
    // Nobody removes the parts of a run that is replaced meanwhile.
    let two_leases = 2 * scene.p.store.lease().as_millis() as u64;
    assert!((1..=two_leases).contains(&scene.world.ttl_of(&parts_key).await));
    assert_eq!(scene.p.append_batch(&run, 1, &batch).await, "appended 2");
    assert_eq!(parts_left().await, 0);
    let page = scene.q.store.load(&run, 0).await.unwrap();
    assert_eq!(page.batches, std::slice::from_ref(&batch));
    // An earlier event is refused.
    assert_eq!(scene.p.append_to(&run, 3, 1, 1, bytes).await, "refused");
    assert_eq!(scene.p.sync("a1", Sync::default()).await, "ok 1 3");
}

async fn pushes_of_a_run_arrive_in_order(scene: Scene) {
    assert_eq!(scene.p.claim("a1").await, "claimed");
    scene.q.subscribe("a1").await;
    // This run has the same epoch, but another key.
    scene.r.begin_run(&run_of("other")).await;
    scene.r.append_to(&run_of("other"), 0, 1, 1, "other").await;
    scene.p.sync("a1", HEAD).await;
    let bytes = |last| if last == 50 { "x".repeat(1 << 20) } else { format!("event {last}") };
    for last in 1..=100 {
        scene.p.append_to(&run("a1"), 0, last, last, bytes(last)).await;
    }
    scene.p.complete("a1", 100).await;
    assert_eq!(scene.q.received().await, "changed");
    for last in 1..=100 {
        // A large event is not pushed.
        let push = if last == 50 { "newest 50" } else { &format!("{last} {last} event {last}") };
        assert_eq!(scene.q.received().await, push);
    }
    assert_eq!(scene.q.received().await, "end completed 100");
}

async fn simultaneous_calls_share_a_pipeline_and_keep_their_order(scene: Scene) {
    scene.p.begin("a1").await;
    let server = &scene.world.server;
    let before = reads(server).await;
    let synced = join_all((0..100).map(|_| scene.p.sync("a1", HEAD))).await;
    assert_eq!(synced, ["ok 0 1"; 100]);
    let reads = reads(server).await - before;
    // Redis reads 16 KiB at a time.
    assert!(reads < 20, "{reads}");
    let run = run("a1");
    // Small calls fill a pipeline by their number, large ones by their bytes.
    let size = |last| if last <= 600 { 10 } else { 3_000 };
    let append = |last| scene.p.append_to(&run, 0, last, last, "x".repeat(size(last)));
    assert_eq!(join_all((1..=1_200).map(append)).await, ["appended 1"; 1_200]);
    assert_eq!(scene.p.sync("a1", HEAD).await, "ok 1200 1201");
}

async fn pages_have_all_batches_of_any_number_and_size(scene: Scene) {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let run = run_of(&format!("a{seed}"));
        scene.p.begin_run(&run).await;
        let longest = [10, 100, 1_000][random.usize(..3)];
        let batches: Vec<_> =
            (1..=random.u64(..800)).map(|at| (at, "x".repeat(random.usize(1..longest)))).collect();
        let append = async |(at, bytes): &(u64, String)| {
            scene.p.append_to(&run, 0, *at, *at, bytes.clone()).await
        };
        join_all(batches.iter().map(append)).await;
        let (mut loaded, mut pages) = (Vec::new(), 0);
        loop {
            pages += 1;
            let page = scene.q.store.load(&run, loaded.len() as u64).await.unwrap();
            loaded.extend(page.batches.iter().map(|batch| (batch.first, utf8(&batch.bytes))));
            if page.is_last {
                break;
            }
        }
        assert_eq!(loaded, batches, "{seed}");
        // A page has at most 256 entries, of which the head is one.
        assert!(pages >= (batches.len() + 1).div_ceil(256), "{pages}");
    }
}

/// Returns how often Redis has read from its connections.
async fn reads(server: &Server) -> u64 {
    let stats: String = server.command("INFO stats").await;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.unwrap().parse().unwrap()
}

async fn run_that_is_unsubscribed_passes_no_pushes(scene: Scene) {
    scene.p.begin("a1").await;
    scene.p.begin_run(&run_of("other")).await;
    scene.q.subscribe("a1").await;
    scene.q.store.unsubscribe(&run("a1"));
    scene.q.store.subscribe(&run_of("other")).await.unwrap();
    scene.p.append("a1", 1, 1).await;
    scene.p.append_to(&run_of("other"), 0, 1, 1, "event").await;
    assert!(matches!(scene.q.receive().await, Incoming::Push(run, _) if run == run_of("other")));
}

/// A new client arrives while the last one leaves.
async fn run_that_is_subscribed_again_at_once_stays_subscribed(scene: Scene) {
    scene.p.begin("a1").await;
    for last in 1..=50 {
        scene.q.store.unsubscribe(&run("a1"));
        scene.q.subscribe("a1").await;
        tokio::task::yield_now().await;
        scene.q.store.subscribe(&run_of("other")).await.unwrap();
        scene.p.append("a1", last, last).await;
        assert_eq!(scene.q.received().await, format!("{last} {last} data: a\n\n"));
    }
}

/// Many clients return at once, and later leave at once. In a cluster, the channels are sharded.
#[tokio::test]
async fn simultaneous_subscriptions_share_round_trips() {
    for prefix in ["app", "{app}"] {
        let Some(server) = start_for(prefix).await else { return };
        let process = |name| Process::connect(server.redis().runs(prefix).lease(LEASE), name);
        let (p, q) = (process("p").await, process("q").await);
        let runs: Vec<_> = (0..200).map(|number| run_of(&format!("name{number}"))).collect();
        for run in &runs {
            p.begin_run(run).await;
        }
        let before = reads(&server).await;
        let subscribed = join_all(runs.iter().map(|run| q.store.subscribe(run))).await;
        assert_eq!(subscribed, [Ok(()); 200]);
        let subscribing = reads(&server).await - before;
        assert!(subscribing < 20, "{subscribing} reads by Redis to subscribe");
        for run in &runs {
            p.append_to(run, 0, 1, 1, "event").await;
            let received = q.receive().await;
            assert!(matches!(&received, Incoming::Push(its, _) if its == run), "{received:?}");
        }
        let before = reads(&server).await;
        runs.iter().for_each(|run| q.store.unsubscribe(run));
        // This subscription comes after those that leave.
        let last = run_of("last");
        q.store.subscribe(&last).await.unwrap();
        let unsubscribing = reads(&server).await - before;
        assert!(unsubscribing < 20, "{unsubscribing} reads by Redis to unsubscribe");
        p.begin_run(&last).await;
        p.append_to(&runs[0], 0, 2, 2, "event").await;
        p.append_to(&last, 0, 1, 1, "event").await;
        let received = [q.receive().await, q.receive().await];
        let are_last = |it: &Incoming| matches!(it, Incoming::Push(run, _) if *run == last);
        assert!(received.iter().all(are_last), "{received:?}");
    }
}

/// Starts a server, which is a cluster by itself if the prefix has a hash tag.
async fn start_for(prefix: &str) -> Option<Server> {
    if !prefix.starts_with('{') {
        return Server::start().await;
    }
    let bus = free_port().to_string();
    let server = Server::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await?;
    let _: String = server.command("CLUSTER ADDSLOTSRANGE 0 16383").await;
    let is_ready =
        async || server.command::<String>("CLUSTER INFO").await.contains("cluster_state:ok");
    until_async(is_ready).await;
    Some(server)
}

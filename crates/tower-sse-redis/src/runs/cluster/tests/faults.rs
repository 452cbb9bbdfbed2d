use super::*;

/// Every command for the run fails, while other runs go on. Unless the run is ended, the key of its
/// stream never expires.
#[tokio::test(start_paused = true)]
async fn run_whose_own_stream_has_another_type_is_ended_by_its_owner() {
    let (one, other, source) = started(&["a"]).await;
    let healthy = one.start_as(&key_of(1)).await;
    let (run, client) = (one.run(), one.attach().await);
    one.store.stream("DEL", &run, &[]);
    one.store.stream("HSET", &run, &["a", "b"]);
    assert_fails(client, &["a"], Some(Outcome::Interrupted)).await;
    assert!(source.is_closed());
    assert_eq!(one.outcomes(), [Outcome::Interrupted]);
    sleep(Duration::from_secs(1)).await;
    assert_ne!(one.store.stream("PTTL", &run, &[]), ":-1", "it never expires");
    assert!(other.start().await.is_some(), "its key is free");
    finish(healthy, &["b"]);
    assert_whole(other.attach_as(&key_of(1)).await, &["b"]).await;
}

/// The Redis client takes what a server sends unasked for the reply to the oldest command, and each
/// later reply for that to the next command.
#[tokio::test(start_paused = true)]
async fn page_of_another_run_is_never_taken() {
    for (unasked, first) in
        [(">3\r\n+sunsubscribe\r\n+a\r\n:0\r\n", Failure::Lost), ("-ERR\r\n", Failure::Stopped)]
    {
        let (one, other, _source) = started(&["a"]).await;
        finish(one.start_as(&key_of(1)).await, &["b"]);
        sleep(Duration::from_secs(2)).await;
        let [a, b] = [KEY.clone(), key_of(1)].map(|key| RunId::of(&one.record(&key)));
        let store = Arc::clone(&other.store.cluster().store);
        other.store.send_unasked(unasked);
        let (a, b) = join(store.load(&a, 0), store.load(&b, 0)).await;
        assert_eq!(a.map(|page| page.batches), Err(first));
        assert_eq!(b.map(|page| page.batches), Err(Failure::Lost));
        sleep(LEASE).await;
        assert_whole(other.attach_as(&key_of(1)).await, &["b"]).await;
    }
}

/// The run belongs to a process with a version of the protocol that this process does not know.
#[tokio::test(start_paused = true)]
async fn run_of_another_version_is_neither_started_again_nor_declared_dead() {
    let (one, other, _source) = started(&["a"]).await;
    let live = other.attach().await;
    one.store.claim("HSET", &KEY, &["v", "3"]);
    one.store.go_away();
    let (_, error) = read_all(live).await;
    assert_eq!(error.unwrap().outcome(), None, "the contact is lost");
    assert_eq!(other.outcomes(), []);
}

#[tokio::test(start_paused = true)]
async fn dropped_runs_end_their_tasks_and_their_store() {
    let process = alone(|builder| builder).await;
    finish(process.start().await.unwrap(), &["a"]);
    soon(process.get().await.unwrap().ended()).await;
    let other = Process::at(process.store.beside(1), |builder| builder).await;
    let _theirs = other.start_as(&key_of(1)).await;
    let live = process.attach_as(&key_of(1)).await;
    let cluster = Arc::downgrade(&process.store.cluster());
    let connection = process.store.cluster().store.connection();
    let health = process.store.health.get().unwrap().clone();
    assert!(health.is_ready());
    drop(process);
    assert_fails(live, &[], None).await;
    sleep(Duration::from_secs(3600)).await;
    assert!(cluster.upgrade().is_none(), "its tasks have ended");
    assert!(connection.has_changed().is_err(), "the store has been dropped");
    assert!(!health.is_ready());
}

/// The server loses the first event, and then executes the second one's command without a reply.
/// What the server has of the run then looks complete, so the owner must look before it writes, and
/// doubt what it finds.
#[tokio::test(start_paused = true)]
async fn events_are_sent_again_if_a_lost_reply_leaves_doubts() {
    let (one, other, source) = started(&[]).await;
    sleep(Duration::from_millis(10)).await;
    one.store.network.take_snapshot();
    send(&source, &["a"]);
    sleep(Duration::from_secs(2)).await;
    one.store.put_back();
    one.store.counts().calls.clear();
    one.store.faults().lost_replies = 1;
    send(&source, &["b"]);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(one.store.faults().lost_replies, 0);
    send(&source, &["c"]);
    sleep(Duration::from_secs(2)).await;
    let mut calls: Vec<_> = one.store.counts().calls.iter().map(|(_, kind)| *kind).collect();
    calls.retain(|kind| *kind != "have_keys");
    assert_eq!(calls[..4], ["append", "sync", "sync", "append"]);
    drop(source);
    assert_whole(other.attach().await, &["a", "b", "c"]).await;
}

/// The store returns to a state before the end of the run while the connection stays open, so the
/// owner does not notice it.
#[tokio::test(start_paused = true)]
async fn end_that_the_store_has_lost_is_told_again_at_a_request() {
    for fails in [false, true] {
        let (one, other, source) = started(&["a"]).await;
        sleep(Duration::from_secs(1)).await;
        one.store.network.take_snapshot();
        if fails {
            source.send(Err("failed")).unwrap();
        }
        drop(source);
        sleep(Duration::from_secs(1)).await;
        one.store.put_back();
        // Waits until the time in which owners restore missing claims is over.
        sleep(LEASE * 2).await;
        one.store.faults().delay = Duration::from_millis(1);
        let new = soon(one.start()).await;
        assert_eq!(new.is_some(), fails, "only a complete run is kept");
        assert_eq!(one.outcomes().len(), 1);
        if !fails {
            assert_whole(other.attach().await, &["a"]).await;
        }
    }
}

/// The store returns to a state in which an earlier run was live, while the connection stays open.
#[tokio::test(start_paused = true)]
async fn run_completes_although_the_key_has_an_earlier_one() {
    for is_asked_for in [false, true] {
        let (one, other, earlier) = started(&["old"]).await;
        sleep(Duration::from_secs(1)).await;
        one.store.network.take_snapshot();
        let source = one.replace().await;
        drop(earlier);
        send(&source, &["a"]);
        let live = if is_asked_for { Some(other.attach().await) } else { None };
        sleep(LEASE).await;
        one.store.put_back();
        if let Some(live) = live {
            for process in [&one, &other] {
                assert_ne!(process.status(Some(&one.id(1))).await, 404);
            }
            finish(source, &["b"]);
            assert_whole(live, &["a", "b"]).await;
            assert_whole(other.attach_after(1).await, &["b"]).await;
        } else {
            drop(source);
            sleep(Duration::from_secs(1)).await;
            assert_whole(other.attach().await, &["a"]).await;
        }
        assert_eq!(one.outcomes(), [Outcome::Cancelled, Outcome::Completed]);
    }
}

/// Another process takes the key after the first run's claim is deleted. No process has cancelled
/// the first run, so it ends as interrupted.
#[tokio::test(start_paused = true)]
async fn next_run_of_a_deleted_claim_interrupts_the_one_at_its_owner() {
    let (one, other, _first) = started(&["a"]).await;
    let mut client = one.attach().await;
    read(&mut client, 1).await;
    // By then, the owner has exported the run's events, and does not look for its keys yet.
    sleep(Duration::from_millis(1500)).await;
    one.store.lose_claims();
    // The next run must have a later epoch, and epochs follow the real time.
    std::thread::sleep(Duration::from_millis(2));
    let second = other.start().await.expect("the key is free");
    second.send(Err("broken")).unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(other.outcomes(), [Outcome::Failed]);
    let third = one.start().await.expect("a run that failed frees its key");
    assert_fails(client, &[], Some(Outcome::Interrupted)).await;
    assert_eq!(one.outcomes(), [Outcome::Interrupted]);
    drop(third);
}

/// `other`, the owner of the run with the id, can still restore its claim. `one` has not received
/// the message that this run has replaced the run of `one`.
#[tokio::test(start_paused = true)]
async fn id_of_another_run_is_refused_while_claims_are_restored() {
    let (one, other, _source) = started(&["old"]).await;
    one.store.faults().loses_pushes = true;
    let second = other.replace().await;
    send(&second, &["a"]);
    read(&mut other.attach().await, 1).await;
    other.store.go_away();
    one.store.lose_data();
    assert_eq!(one.status(Some(&other.id(1))).await, 503);
    assert_eq!(one.status(Some(&one.id(1))).await, 200);
}

#[tokio::test(start_paused = true)]
async fn statistics_count_mirrors_and_exports_that_wait() {
    let (one, other, source, live) = watched(&["a"]).await;
    assert_eq!((one.runs.stats().mirrors, other.runs.stats().mirrors), (0, 1));
    one.store.faults().reply_delay = Duration::from_millis(100);
    for _ in 0..2 {
        // The second event waits for the reply to the first.
        send(&source, &["b"]);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(one.runs.stats().waiting_exports, 0);
    }
    one.store.faults().reply_delay = Duration::from_millis(20);
    sleep(Duration::from_secs(1)).await;
    one.store.forbid("XADD", Duration::from_secs(1));
    let attempts = one.store.count("append and push");
    for _ in 0..80 {
        send(&source, &["c"]);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(one.runs.stats().waiting_exports, 1, "the store refuses the events");
    // Each attempt pushes all events that the store lacks, so new events cause none.
    let attempts = one.store.count("append and push") - attempts;
    assert!(attempts <= 10, "{attempts}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(one.runs.stats().waiting_exports, 0);
    one.store.go_away();
    drop(source);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(one.runs.stats().waiting_exports, 1);
    one.store.come_back().await;
    assert_whole(live, &[&["b"; 2][..], &["c"; 80]].concat()).await;
    assert_eq!((one.outcomes(), other.outcomes()), (vec![Outcome::Completed], vec![]));
    sleep(LEASE).await;
    assert_eq!(other.runs.stats().mirrors, 0, "nothing uses it");
    assert_eq!(one.runs.stats().waiting_exports, 0);
}

/// The run's own process has the whole answer.
#[tokio::test(start_paused = true)]
async fn completed_run_is_joined_while_the_store_takes_no_events() {
    let (one, _other, source) = started(&["a"]).await;
    sleep(Duration::from_secs(1)).await;
    one.store.forbid("XADD", 2 * LEASE);
    finish(source, &["b"]);
    sleep(Duration::from_secs(1)).await;
    let joined = within(LEASE / 2 - Duration::from_millis(1), one.start()).await;
    assert!(joined.is_none(), "the completed run");
}

/// While the store takes no events, the run's process evicts events that it has not exported.
#[tokio::test(start_paused = true)]
async fn trimmed_run_is_kept_while_the_store_takes_no_events() {
    let (one, other) = two_with(|builder| builder.retain_bytes(100_000)).await;
    let source = one.start().await.unwrap();
    let text = "x".repeat(10_000);
    for second in 0..40 {
        if second == 20 {
            one.store.forbid("XADD", 4 * LEASE);
        }
        send(&source, &[&text]);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(other.status(Some(&one.id(18))).await, 200);
}

/// One of three processes dies, at a hundred different times after the others' beats.
#[tokio::test(start_paused = true)]
async fn clients_learn_of_a_death_within_a_lease_and_a_quarter() {
    for offset in (0..4_000).step_by(40) {
        let (one, other, _source, live) = watched(&["a"]).await;
        sleep(Duration::from_millis(offset / 2)).await;
        let third = Process::at(one.store.beside(2), |builder| builder).await;
        sleep(Duration::from_millis(offset / 2)).await;
        one.store.go_away();
        within(LEASE * 5 / 4, read_all(live)).await;
        sleep(LEASE).await;
        let told = [other.outcomes(), third.outcomes()].concat();
        assert_eq!(told, [Outcome::Interrupted], "reported once");
        let dead = [&other, &third].map(|process| process.runs.stats().declared_dead);
        assert_eq!(dead.iter().sum::<u64>(), 1);
    }
}

//! Runs that are exported at intervals until a client of another process watches them.

use super::*;
use crate::runs::cluster::owner::export;

/// The owner does not push the batch that it exports just as the client begins to watch.
#[tokio::test(start_paused = true)]
async fn client_that_begins_to_watch_gets_what_was_not_pushed() {
    for delay in (0..=200).step_by(10) {
        let (one, other) = two().await;
        one.store.faults().delay = Duration::from_millis(100);
        let source = soon(one.start()).await.unwrap();
        send(&source, &["a", "b"]);
        sleep(Duration::from_millis(1_000 + delay)).await;
        let mut live = other.attach().await;
        // Three commands of the owner at most: the one under way, a `Sync`, and a batch.
        let received = within(Duration::from_millis(349), read(&mut live, 2)).await;
        assert_eq!(received, ["a", "b"], "{delay}");
        finish(source, &["c"]);
        assert_whole(live, &["c"]).await;
    }
}

/// If the load preceded the subscription, the client would miss an event until the next check.
#[tokio::test(start_paused = true)]
async fn event_of_the_moment_at_which_a_client_attaches_is_not_late() {
    const DELAY: Duration = Duration::from_millis(100);
    for moment in (0..=600).step_by(20).map(Duration::from_millis) {
        let (_one, other, source) = started(&[]).await;
        other.store.faults().delay = DELAY;
        let attached = Instant::now();
        let sent = after(moment, || send(&source, &["a"]));
        let received = async {
            let mut live = other.attach().await;
            assert_eq!(read(&mut live, 1).await, ["a"]);
            attached.elapsed()
        };
        let ((), received) = join(sent, received).await;
        // A look, a subscription, a check and a load, each with the delay.
        let expected = moment.max(4 * DELAY) + Duration::from_millis(20);
        assert!(received <= expected, "{moment:?}: received after {received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_pushed_while_a_client_watches() {
    let (one, other, source) = started(&[]).await;
    for _ in 0..50 {
        send(&source, &["x"]);
        sleep(Duration::from_millis(100)).await;
    }
    {
        let counts = one.store.counts();
        assert!((4..=6).contains(&counts.of["append"]), "one a second: {counts:?}");
        assert!(counts.of["sync"] <= 5 && !counts.of.contains_key("append and push"), "{counts:?}");
    }
    let mut live = other.attach().await;
    read(&mut live, 50).await;
    let before = one.store.count("append and push");
    for _ in 0..200 {
        send(&source, &["y"]);
        within(Duration::from_millis(10), read(&mut live, 1)).await;
        sleep(Duration::from_millis(100)).await;
    }
    drop(live);
    sleep(LEASE).await;
    let pushed = one.store.count("append and push");
    finish(source, &["z"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(one.store.count("append and push"), pushed);
    assert_eq!(pushed - before, 200);
    assert!(other.get().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn runs_without_watchers_share_their_pipelines() {
    let one = alone(|builder| builder.max_running_per_owner(100)).await;
    let mut sources = Vec::new();
    for turn in 0..60 {
        sources.push(one.start_as(&key_of(turn)).await);
        sleep(Duration::from_millis(7)).await;
    }
    one.store.counts().calls.clear();
    for _ in 0..500 {
        for source in &sources {
            send(source, &["x"]);
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut moments: Vec<_> = one.store.counts().calls.iter().map(|(at, _)| *at).collect();
    moments.dedup();
    // There are four exports a second, and a look for all keys once in a lease.
    assert!(moments.len() <= 40 + 4, "{}", moments.len());
}

/// The store could lose the stream of a quiet run too.
#[tokio::test(start_paused = true)]
async fn quiet_run_looks_for_its_keys_once_in_a_lease() {
    let (one, other, source) = started(&["a"]).await;
    sleep(10 * LEASE).await;
    {
        let counts = one.store.counts();
        assert!((1..=3).contains(&counts.of["sync"]), "{counts:?}");
        assert!((9..=14).contains(&counts.of["run looked for"]), "{counts:?}");
    }
    one.store.lose_streams();
    sleep(2 * LEASE).await;
    let live = other.attach().await;
    drop(source);
    assert_whole(live, &["a"]).await;
}

/// The exporter takes an event before the run's task marks the record for that event.
#[tokio::test(start_paused = true)]
async fn event_marked_during_its_export_does_not_delay_the_next_one() {
    let one = alone(|builder| builder).await;
    let cluster = one.store.cluster();
    let (record, events) = cluster.process.mirror(KEY.clone(), Epoch::parse("1").unwrap(), 0);
    let claimed = cluster.store.claim(&RunId::of(&record), None).await;
    assert_eq!(claimed, Ok(LookReply::Claimed));
    export::begin(&record, &cluster.exports, &cluster.process, &cluster.store);
    events.begin(b"-");
    cluster.exports.mark(record.epoch);
    cluster.exports.watched(RunId::of(&record));
    let set_mark = || {
        if record.set_mark() {
            cluster.exports.mark(record.epoch);
        }
    };
    let append = |sequence| {
        let event = format!("data: x\nid: {}-{sequence}\n\n", record.epoch);
        events.append_batch(sequence, sequence, &event.into());
    };
    let short = Duration::from_millis(20);
    sleep(short).await;
    one.store.faults().reply_delay = short / 2;
    append(1);
    set_mark();
    append(2);
    sleep(short / 4).await;
    set_mark();
    sleep(short).await;
    append(3);
    set_mark();
    sleep(short).await;
    assert_eq!(one.store.stream("XLEN", &RunId::of(&record), &[]), ":3");
}

/// Running runs continue after the last clone of their `Runs` is dropped.
#[tokio::test(start_paused = true)]
async fn client_elsewhere_gets_events_at_once_after_the_owner_dropped_its_runs() {
    let (one, other, source) = started(&["a"]).await;
    drop(one.runs);
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    send(&source, &["b"]);
    within(Duration::from_millis(99), read(&mut live, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn hole_in_the_pushes_is_filled_at_once_or_by_a_check() {
    let (_one, other, source, mut live) = watched(&["a"]).await;
    for (next, time) in
        [(Some("d"), Duration::from_millis(20)), (None, LEASE / 4 + Duration::from_secs(1))]
    {
        other.store.faults().loses_pushes = true;
        send(&source, &["b", "c"]);
        sleep(Duration::from_millis(100)).await;
        other.store.faults().loses_pushes = next.is_none();
        send(&source, next.as_slice());
        let received = within(time, read(&mut live, 2 + next.iter().len())).await;
        assert_eq!(received[..2], ["b", "c"]);
    }
    drop(source);
    assert_whole(live, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn id_that_no_process_has_assigned_is_refused_after_a_short_wait() {
    let (one, other, _source) = started(&[]).await;
    let _run = other.get().await.unwrap();
    let limit = LEASE / 4 + Duration::from_secs(2);
    assert_eq!(within(limit, other.status(Some(&one.id(7)))).await, 503);
    // Malformed ids, ids of other runs and numbers above 2^53 are refused without a wait.
    let started = Instant::now();
    for id in ["x", "1-1", &format!("{}-9007199254740993", one.epoch())] {
        assert_eq!(other.status(Some(&LastEventId::try_from(id).unwrap())).await, 404, "{id}");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn run_is_abandoned_once_it_has_no_client_anywhere() {
    let (_one, other, source, mut live) = watched(&["a"]).await;
    // Longer than `abandon_after`: a client at another process counts as attached.
    sleep(Duration::from_secs(700)).await;
    send(&source, &["b"]);
    assert_eq!(read(&mut live, 1).await, ["b"]);
    drop(live);
    sleep(Duration::from_secs(601) + LEASE).await;
    assert!(source.is_closed());
    assert_fails(other.attach().await, &["a", "b"], Some(Outcome::Abandoned)).await;
}

use super::*;
use crate::runs::{
    cluster::owner::{export::Export, plan::Target},
    seam::{AppendReply, Failure, Overhead, Reply, SyncReply},
};

/// A key of another type in the store, for example, makes every command for its run fail.
#[tokio::test(start_paused = true)]
async fn run_that_the_store_refuses_ends_and_other_runs_go_on() {
    let (one, other) = two().await;
    let refused = one.start().await.unwrap();
    let healthy = one.start_as(&key_of(1)).await;
    let run = one.get().await.unwrap();
    one.store.faults().refused = Some((one.run(), Failure::Run));
    send(&refused, &["a"]);
    assert_eq!(soon(run.ended()).await, Some(Outcome::Interrupted));
    assert!(refused.is_closed());
    send(&healthy, &["b"]);
    drop(healthy);
    assert_whole(other.attach_as(&key_of(1)).await, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn fast_runs_do_not_delay_the_leases_of_quiet_ones() {
    let (one, other) = two_with(|builder| builder.max_running_per_owner(1000)).await;
    let mut quiet = Vec::new();
    for turn in 0..200 {
        quiet.push(one.start_as(&key_of(turn)).await);
    }
    let large = "x".repeat(60_000);
    let mut fast = Vec::new();
    for turn in 200..216 {
        fast.push(one.start_as(&key_of(turn)).await);
    }
    one.store.faults().delay = Duration::from_millis(100);
    for _ in 0..30 {
        for source in &fast {
            send(source, &[large.as_str(); 4]);
        }
        sleep(Duration::from_secs(1)).await;
    }
    for turn in 0..200 {
        let live = other.get_as(&key_of(turn)).await.expect("a run");
        assert_eq!(live.outcome(), None);
    }
    assert!(quiet.iter().all(|source| !source.is_closed()));
    assert_eq!(other.outcomes(), []);
}

/// The run belongs to a process with a version of the protocol that this process does not know.
#[tokio::test(start_paused = true)]
async fn run_of_another_version_is_neither_started_again_nor_declared_dead() {
    let (one, other, _source) = started(&["a"]).await;
    let run = one.run();
    let live = other.attach().await;
    other.store.faults().refused = Some((run, Failure::Version));
    one.store.go_away();
    let (_, error) = read_all(live).await;
    assert_eq!(error.unwrap().outcome(), None, "the contact is lost");
    assert_eq!(other.outcomes(), []);
}

#[tokio::test(start_paused = true)]
async fn dropped_runs_end_their_tasks_and_their_store() {
    let process = alone(|builder| builder).await;
    let store = process.store.clone();
    let source = process.start().await.unwrap();
    send(&source, &["a"]);
    drop(source);
    soon(process.get().await.unwrap().ended()).await;
    let cluster = Arc::downgrade(&process.cluster());
    drop(process);
    sleep(Duration::from_secs(3600)).await;
    assert!(cluster.upgrade().is_none(), "its tasks have ended");
    assert!(!store.is_used(), "the store has been dropped");
}

#[tokio::test(start_paused = true)]
async fn events_that_were_not_acknowledged_are_sent_again_over_a_new_connection() {
    let (one, _) = two().await;
    let reserved = one.cluster().process.reserve(&key(), None).unwrap();
    let (record, epoch) = (Arc::clone(&reserved.record), reserved.record.epoch);
    let beat = LEASE / 3;
    let mut export = Export::new(record, Overhead::default(), beat, Instant::now());
    let in_step = |newest, entries| SyncReply::InStep { newest, entries, watched: Duration::ZERO };
    export.synced(&in_step(0, 1), 1, beat);
    let appended = Reply::Append(AppendReply::Appended { entries: 1 });
    export.apply(&Target::Batch(epoch, 1, 10), Ok(appended), 1, beat);

    // The store has the acknowledged events, or an earlier state of them.
    export.apply(&Target::Run(epoch), Err(Failure::Lost), 1, beat);
    export.has_failed = false;
    export.synced(&in_step(1, 2), 2, beat);
    assert!(!export.sync.restores());

    // The server lost the first event, and then executed the command with the second event, whose
    // reply is missing.
    export.apply(&Target::Run(epoch), Err(Failure::Lost), 1, beat);
    export.has_failed = false;
    export.synced(&in_step(2, 2), 3, beat);
    assert!(export.sync.restores());
}

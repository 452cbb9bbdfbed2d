use super::*;
use crate::runs::seam::{Batch, Push};

#[tokio::test(start_paused = true)]
async fn run_that_ends_and_is_due_at_once_still_reaches_other_processes() {
    let (_one, _other, source, live) =
        watched_with(&["a"], |builder| builder.retain_for(Duration::ZERO)).await;
    send(&source, &["b", "c"]);
    drop(source);
    assert_whole(live, &["b", "c"]).await;
}

#[tokio::test(start_paused = true)]
async fn run_that_ends_while_the_store_is_slow_reaches_other_processes() {
    let (one, _other, source, live) =
        watched_with(&["a"], |builder| builder.retain_for(Duration::from_secs(1))).await;
    one.store.faults().delay = Duration::from_secs(2);
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn run_that_is_forgotten_before_its_export_is_never_completed_elsewhere() {
    let (one, _other, source, live) = watched(&["a"]).await;
    one.store.go_away();
    send(&source, &["b"]);
    drop(source);
    sleep(Duration::from_millis(10)).await;
    assert!(one.get().await.is_none(), "it has ended, and the store cannot be reached");
    // The next run with the key, which never starts.
    let process = Arc::clone(&one.cluster().process);
    process.enter(&process.reserve(&key(), None).unwrap(), None);
    one.store.come_back();
    assert_fails(live, &[], Some(Outcome::Interrupted)).await;
}

#[tokio::test(start_paused = true)]
async fn runs_of_two_keys_with_one_epoch_are_not_mixed() {
    let (one, other, source, live) = watched(&["a"]).await;
    let epoch = one.epoch();
    let stranger = RunId::new(RunKey::new("other", "turn").unwrap(), epoch);
    let bytes = format!("data: stolen\nid: {epoch}-2\n\n").into();
    let push = Push::Batch(Batch { first: 2, last: 2, bytes });
    other.cluster().mirrors.push(&stranger, &push);
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_the_runs_events_fail_the_client() {
    let (one, other, _source, live) = watched(&["a"]).await;
    let run = one.run();
    let push = Push::Batch(Batch { first: 2, last: 2, bytes: "data: forged\n\n".into() });
    other.cluster().mirrors.push(&run, &push);
    let (data, error) = read_all(live).await;
    assert!(data.is_empty() && error.is_some(), "{data:?}");
}

#[tokio::test(start_paused = true)]
async fn batch_that_lacks_an_event_fails_the_client() {
    let (one, other, _source, live) = watched(&["a"]).await;
    let epoch = one.epoch();
    let bytes = format!("data: b\nid: {epoch}-2\n\ndata: d\nid: {epoch}-4\n\n").into();
    let push = Push::Batch(Batch { first: 2, last: 4, bytes });
    other.cluster().mirrors.push(&RunId::new(key(), epoch), &push);
    let (data, error) = read_all(live).await;
    assert_eq!(data, ["b"]);
    assert!(error.is_some());
}

use futures_util::future::join_all;

use super::*;

#[tokio::test(start_paused = true)]
async fn clients_elsewhere_learn_of_a_dead_owner_and_one_request_starts_again() {
    let (one, other, _source, live) = watched(&["a"]).await;
    one.store.go_away();
    let died = Instant::now();
    assert_fails(live, &[], Some(Outcome::Interrupted)).await;
    assert!(died.elapsed() <= Duration::from_secs(15), "{:?}", died.elapsed());
    assert_eq!(other.outcomes(), [Outcome::Interrupted], "reported once");
    assert_eq!(other.ends.lock().unwrap()[0].events(), 1);
    let started = soon(join_all((0..20).map(|_| other.start()))).await;
    assert_eq!(started.iter().flatten().count(), 1);
}

/// Whatever the time between the last renewal, the checks and the death is.
#[tokio::test(start_paused = true)]
async fn clients_are_told_within_one_and_five_eighths_of_a_lease() {
    for offset in (0..4_000).step_by(250) {
        let (one, _other, _source, live) = watched(&["a"]).await;
        sleep(Duration::from_millis(offset)).await;
        one.store.go_away();
        let died = Instant::now();
        read_all(live).await;
        let bound = LEASE * 13 / 8 + Duration::from_millis(100);
        assert!(died.elapsed() <= bound, "{offset}: {:?}", died.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn request_finds_a_dead_owner_without_a_mirror() {
    let (one, other, _source) = started(&["a"]).await;
    sleep(Duration::from_secs(3)).await;
    one.store.go_away();
    let died = Instant::now();
    sleep(LEASE).await;
    let started = soon(join_all((0..20).map(|_| other.start()))).await;
    assert_eq!(started.iter().flatten().count(), 1);
    assert!(died.elapsed() <= Duration::from_secs(15), "{:?}", died.elapsed());
}

#[tokio::test(start_paused = true)]
async fn owner_that_was_declared_dead_is_fenced_and_does_not_report() {
    let (one, other, source) = started(&["first 1"]).await;
    let own = one.attach().await;
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    one.store.go_away();
    send(&source, &["first 2"]);
    read_all(live).await;
    let second = soon(other.start()).await.expect("a second call");
    send(&second, &["second 1"]);
    let mut at_second = other.attach().await;
    assert_eq!(read(&mut at_second, 1).await, ["second 1"]);
    assert!(!source.is_closed(), "it does not know yet");
    one.store.come_back();
    let healed = Instant::now();
    assert_fails(own, &["first 1", "first 2"], Some(Outcome::Interrupted)).await;
    assert!(healed.elapsed() <= Duration::from_millis(100), "{:?}", healed.elapsed());
    assert_eq!(one.outcomes(), [], "the other process has reported it");
    assert_eq!(other.outcomes(), [Outcome::Interrupted]);
    for (process, counts) in [(&one, (1, 0)), (&other, (0, 1))] {
        let stats = process.runs.stats();
        assert_eq!((stats.fenced(), stats.declared_dead()), counts);
    }
    send(&second, &["second 2"]);
    drop(second);
    assert_whole(at_second, &["second 2"]).await;
    assert_whole(one.attach().await, &["second 1", "second 2"]).await;
}

#[tokio::test(start_paused = true)]
async fn owner_that_is_cut_off_within_its_lease_keeps_its_run() {
    let (one, other, source, live) = watched(&["a"]).await;
    one.store.go_away();
    send(&source, &["b"]);
    sleep(LEASE - Duration::from_secs(3)).await;
    one.store.come_back();
    drop(source);
    assert_whole(live, &["b"]).await;
    assert_eq!(one.outcomes(), [Outcome::Completed]);
    assert_eq!(other.outcomes(), []);
}

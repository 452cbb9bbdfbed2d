use super::*;

/// This holds for any time between the last renewal, the checks and the death of the owner.
#[tokio::test(start_paused = true)]
async fn clients_are_told_within_one_and_five_eighths_of_a_lease() {
    for offset in (0..4_000).step_by(250) {
        let (one, other, _source, live) = watched(&["a"]).await;
        sleep(Duration::from_millis(offset)).await;
        one.store.go_away();
        let died = Instant::now();
        read_all(live).await;
        let bound = LEASE * 13 / 8 + Duration::from_millis(100);
        assert!(died.elapsed() <= bound, "{offset}: {:?}", died.elapsed());
        assert_eq!(other.outcomes(), [Outcome::Interrupted], "reported once");
        assert_eq!(other.ends.lock().unwrap()[0].events, 1);
    }
}

//! The running runs of an owner.

use std::time::Duration;

use futures_util::stream;
use tokio::time::sleep;
use tower_sse::{
    Event,
    runs::{RunKey, Runs},
};

#[tokio::test(start_paused = true)]
async fn running_runs_of_an_owner_are_listed_with_their_ages() {
    let runs = Runs::new();
    let start = async |owner: &str, name: &str| {
        let key = RunKey::new(owner, name).unwrap();
        let run = runs.start(&key, None, stream::pending::<Event>).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        run
    };
    let first = start("user", "a").await;
    start("user", "b").await;
    start("other", "c").await;
    let shared = RunKey::shared("d").unwrap();
    runs.start(&shared, None, stream::pending::<Event>).await.unwrap();

    let running = runs.running_of("user");
    let names: Vec<_> = running.iter().map(|run| (run.key().name(), run.age().as_secs())).collect();
    assert_eq!(names, [("a", 3), ("b", 2)]);
    first.cancel().await;
    assert_eq!(runs.running_of("user").len(), 1);
    assert!(runs.running_of("nobody").is_empty());
}

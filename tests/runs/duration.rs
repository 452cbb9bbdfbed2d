//! The maximum duration of a run.

use tokio::time::Instant;

use crate::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn run_ends_at_its_maximum_duration_although_a_client_is_attached() {
    let runs = Runs::builder().max_duration(HOUR).build();
    let started = Instant::now();
    let source = || stream::once(async { Event::from("a") }).chain(stream::pending());
    let run = runs.start(&turn(), None, source).await.unwrap();
    let mut client = run.attach(None).await.unwrap();
    assert!(client.next().await.unwrap().is_ok());
    let error = client.next().await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), Some(Outcome::Failed));
    assert_eq!(error.to_string(), "the run ended: failed: the run took longer than 3600s");
    assert!(started.elapsed() >= HOUR && started.elapsed() < HOUR + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn run_that_is_abandoned_earlier_is_abandoned() {
    let runs = Runs::builder().max_duration(HOUR).build();
    let run = runs.start(&turn(), None, stream::pending::<Event>).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Abandoned));
}

#[test]
#[should_panic = "the maximum duration of a run must not be zero"]
fn maximum_duration_must_not_be_zero() {
    _ = Runs::builder().max_duration(Duration::ZERO);
}

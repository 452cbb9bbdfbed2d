//! The kit finds what is wrong with a broker.

use tower_sse::testing::broker::{check, outcomes};

use super::local::{Flaw, LocalWorld};

/// Returns the names of the scenes that fail for a broker with this flaw.
async fn failed(flaw: Option<Flaw>) -> Vec<&'static str> {
    let outcomes = outcomes(async || LocalWorld::new(flaw)).await;
    let failed = outcomes.into_iter().filter_map(|(scene, outcome)| match outcome {
        Err(problem) if !problem.is_skipped() => Some(scene),
        _ => None,
    });
    failed.collect()
}

/// Asserts that this scene fails for a broker with this flaw.
async fn assert_finds(scene: &str, flaw: Flaw) {
    let failed = failed(Some(flaw)).await;
    assert!(failed.contains(&scene), "{flaw:?} is found by {failed:?}");
}

#[tokio::test(start_paused = true)]
async fn broker_without_a_flaw_passes_the_kit() {
    assert_eq!(failed(None).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn dropped_names_are_found() {
    assert_finds("every_field_arrives", Flaw::DropsNames).await;
}

#[tokio::test(start_paused = true)]
async fn orders_of_single_processes_are_found() {
    assert_finds("all_processes_see_one_order", Flaw::OwnOrder).await;
}

#[tokio::test(start_paused = true)]
async fn missing_history_is_found() {
    assert_finds("a_late_process_loads_the_history", Flaw::NoHistory).await;
}

#[tokio::test(start_paused = true)]
async fn silent_losses_are_found() {
    assert_finds("a_lost_log_is_told_to_all", Flaw::SilentLoss).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_with_other_numbers_are_found() {
    assert_finds("receipts_are_ids", Flaw::OtherNumbers).await;
}

#[tokio::test(start_paused = true)]
async fn forgotten_ends_are_found() {
    assert_finds("ends_are_the_same_everywhere", Flaw::ForgottenEnds).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "ends_are_the_same_everywhere: ")]
async fn failing_scenes_are_in_the_panic() {
    check(async || LocalWorld::new(Some(Flaw::ForgottenEnds))).await;
}

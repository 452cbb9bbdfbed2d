use std::{pin::Pin, time::Duration};

use tokio::time::timeout;

use super::{Problem, World, scenes};
use crate::tasks::caught;

/// How long a scene may take.
const SCENE_LIMIT: Duration = Duration::from_secs(60);

/// A scene's name, and whether it passed.
type Outcome = (&'static str, Result<(), Problem>);

/// A running scene. Boxed, because the compiler can't prove that a future is `Send` if it awaits
/// futures that hold many references.
type Playing<'a> = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>>;

/// Runs all [scenes](super#the-scenes), each with one or two new [`World`]s, and prints a line for
/// each scene that passed or was skipped.
///
/// Needs a tokio runtime of any flavor, with its timer enabled. Scenes run one at a time.
///
/// # Panics
///
/// Panics after the last scene if any scene failed. The message lists the name and the problem of
/// each failed scene. A skipped scene does not count as failed.
pub async fn check<W, F, Fut>(world: F)
where
    W: World,
    F: Fn() -> Fut + Send,
    Fut: Future<Output = W> + Send,
{
    let outcomes = run(world, |_| true).await;
    let (played, mut failed) = (outcomes.len(), Vec::new());
    for (scene, outcome) in outcomes {
        match outcome {
            Ok(()) => println!("ok      {scene}"),
            Err(problem) if problem.is_skipped() => println!("skipped {scene}: {problem}"),
            Err(problem) => failed.push(format!("{scene}: {problem}")),
        }
    }
    let (count, failed) = (failed.len(), failed.join("\n"));
    assert!(count == 0, "{count} of {played} scenes failed:\n{failed}");
}

/// Runs the [scene](super#the-scenes) with this name, with one or two new [`World`]s. Use it to look
/// into one scene that [`check`] reports.
///
/// Needs a tokio runtime of any flavor, with its timer enabled.
///
/// # Errors
///
/// Returns the problem if the scene failed, also if the broker or the world panicked. If the scene
/// was skipped, the error's [`is_skipped`](Problem::is_skipped) returns `true`.
///
/// # Panics
///
/// Panics if no scene has this name.
pub async fn play<W, F, Fut>(scene: &str, world: F) -> Result<(), Problem>
where
    W: World,
    F: Fn() -> Fut + Send,
    Fut: Future<Output = W> + Send,
{
    let outcomes = run(world, |name| name == scene).await;
    let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
    outcome.unwrap_or_else(|| panic!("the kit has no scene {scene:?}"))
}

/// Runs the scenes whose names are wanted.
async fn run<W, F, Fut>(world: F, is_wanted: impl Fn(&str) -> bool + Send) -> Vec<Outcome>
where
    W: World,
    F: Fn() -> Fut + Send,
    Fut: Future<Output = W> + Send,
{
    let mut outcomes = Vec::new();
    macro_rules! play {
        ($($room:ident: $($scene:ident)+;)+) => {
            $($(if is_wanted(stringify!($scene)) {
                let play: fn(&W) -> Playing<'_> = |world| Box::pin(scenes::$room::$scene(world));
                let world = world();
                let outcome = bounded(async { play(&world.await).await }).await;
                outcomes.push((stringify!($scene), outcome));
            })+)+
        };
    }
    play! {
        content: every_field_arrives names_and_data_cannot_inject extremes_are_kept_or_refused
            large_events_arrive events_at_once_stay_apart;
        order: all_processes_see_one_order receipts_are_ids clients_ahead_wait forged_ids_are_told;
        history: a_late_process_loads_the_history history_is_as_old_as_asked
            a_longer_history_follows_a_shorter_one history_of_any_age_is_loaded
            trimmed_events_are_told_to_a_new_process;
        ends: ends_are_the_same_everywhere ended_names_become_free an_end_is_read_after_a_break;
        losses: a_loss_is_told_although_nobody_publishes a_loss_during_a_break_is_told numbers_are_not_used_again_after_a_loss a_loss_while_a_hub_loads_is_told
            a_rolled_back_log_is_told_to_all an_overtaken_log_is_told_to_all;
        breaks: a_burst_loses_nothing a_long_break_loses_nothing a_break_while_a_hub_loads_loses_nothing
            a_publish_during_a_break_ends an_outage_ends_each_publish any_order_of_steps_loses_nothing;
        closing: closing_one_hub_leaves_the_others a_hub_is_dropped_while_it_is_fed
            a_dropped_connect_leaves_nothing a_dropped_publish_leaves_the_others;
    }
    let name = "worlds_do_not_see_each_other";
    if is_wanted(name) {
        let play: for<'w> fn(&'w W, &'w W) -> Playing<'w> =
            |world, other| Box::pin(scenes::order::worlds_do_not_see_each_other(world, other));
        let (world, other) = (world(), world());
        let scene = async { play(&world.await, &other.await).await };
        outcomes.push((name, bounded(scene).await));
    }
    outcomes
}

/// Plays a scene within its time limit. Returns a panic as a problem too.
async fn bounded(scene: impl Future<Output = Result<(), Problem>>) -> Result<(), Problem> {
    let panicked = || Err(Problem::new("the broker or the world panicked"));
    match timeout(SCENE_LIMIT, caught(scene)).await {
        Ok(played) => played.unwrap_or_else(panicked),
        Err(_) => Err(Problem::new(format_args!("the scene took longer than {SCENE_LIMIT:?}"))),
    }
}

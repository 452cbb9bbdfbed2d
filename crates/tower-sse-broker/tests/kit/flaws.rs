//! Tests that the kit finds each [`Flaw`], and that a broker without a flaw passes.

use crate::local::{Flaw, LocalWorld};
use crate::*;

async fn assert_finds(scene: &str, flaw: Flaw) {
    let outcome = play(scene, async || LocalWorld::new(Some(flaw))).await;
    assert!(outcome.is_err_and(|problem| !problem.is_skipped()), "{scene} misses {flaw:?}");
}

#[tokio::test(start_paused = true)]
async fn broker_without_a_flaw_passes_the_kit() {
    for flaw in [None, Some(Flaw::Batches)] {
        println!("{flaw:?}");
        check(async || LocalWorld::new(flaw)).await;
    }
}

macro_rules! finds {
    ($($test:ident: $flaw:ident in $scene:ident;)+) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            assert_finds(stringify!($scene), Flaw::$flaw).await;
        })+
    };
}

finds! {
    orders_of_single_processes_are_found: OwnOrder in all_processes_see_one_order;
    missing_history_is_found: NoHistory in a_late_process_loads_the_history;
    silent_losses_are_found: SilentLoss in a_loss_is_told_although_nobody_publishes;
    acknowledgements_with_other_numbers_are_found: OtherNumbers in receipts_are_ids;
    forgotten_ends_are_found: ForgottenEnds in ends_are_the_same_everywhere;
    breaks_longer_than_page_are_found: ResumeReadsOnePage in a_long_break_loses_nothing;
    silently_cut_histories_are_found: HistoryOf1000 in a_burst_loses_nothing;
    silently_skipping_readers_are_found: LaggedIsIgnored in a_burst_loses_nothing;
    losses_that_are_reported_too_low_are_found: TrimLossOneTooLow
        in trimmed_events_are_told_to_a_new_process;
    cut_topics_are_found: TopicCutAt63 in extremes_are_kept_or_refused;
    cut_names_are_found: NameCutAt255 in extremes_are_kept_or_refused;
    normalized_topics_are_found: TopicNormalized in names_and_data_cannot_inject;
    narrow_retries_are_found: RetryIn32Bits in extremes_are_kept_or_refused;
    history_that_looks_new_is_found: AgeIsZero in history_is_as_old_as_asked;
    overflowing_ages_are_found: MaxAgeOverflows in history_of_any_age_is_loaded;
    readers_that_look_for_no_losses_are_found: OnlyPublishersLook
        in a_loss_is_told_although_nobody_publishes;
    hubs_that_end_all_reading_are_found: OneClosedEndsAll in a_hub_is_dropped_while_it_is_fed;
    positions_that_become_the_newest_are_found: OffsetResetLatest in a_loss_during_a_break_is_told;
    losses_that_absent_processes_miss_are_found: LossMissedByTheAbsent
        in a_loss_during_a_break_is_told;
    loading_that_ends_at_breaks_is_found: BreakEndsLoad in a_break_while_a_hub_loads_loses_nothing;
    unreported_old_histories_are_found: NoLossIfHistoryEmpty in history_is_as_old_as_asked;
    overflowing_batches_are_found: BatchOverflows in a_burst_loses_nothing;
    breaks_with_more_bytes_than_page_are_found: ResumeBytes64K in a_long_break_loses_nothing;
    ends_with_data_alone_are_found: EndHasDataOnly in every_field_arrives;
    dropped_empty_ends_are_found: EmptyEndIsDropped in every_field_arrives;
    lower_case_names_are_found: NameLowerCase in every_field_arrives;
    trimmed_names_are_found: NameTrimmed in every_field_arrives;
    ascii_names_are_found: NameAscii in every_field_arrives;
    cut_comments_are_found: CommentCutAt255 in extremes_are_kept_or_refused;
    ascii_comments_are_found: CommentAscii in every_field_arrives;
    ages_in_seconds_are_found: MaxAgeInSeconds in history_is_as_old_as_asked;
    overflowing_buffers_are_found: BufferOverflows in a_burst_loses_nothing;
    large_events_that_are_stored_late_are_found: LargeIsLate in large_events_arrive;
    stored_events_that_are_refused_are_found: RefusedAtBreak in an_end_is_read_after_a_break;
    rarely_reported_losses_are_found: OneLossPerSecond in a_loss_is_told_although_nobody_publishes;
    old_histories_that_are_reported_too_low_are_found: HistoryLossOneTooLow
        in history_is_as_old_as_asked;
    publishers_that_close_after_breaks_are_found: ClosedAfterThreeBreaks
        in a_publish_during_a_break_ends;
    shared_connections_are_found: SharedConnection in closing_one_hub_leaves_the_others;
    names_that_shift_in_batches_are_found: NamesShiftInBatch in events_at_once_stay_apart;
    comments_that_stick_in_batches_are_found: StickyCommentInBatch in events_at_once_stay_apart;
    retries_of_whole_batches_are_found: RetryOfBatch in events_at_once_stay_apart;
    ends_of_whole_batches_are_found: EndFlagOfBatch in events_at_once_stay_apart;
    batches_that_depend_on_one_publisher_are_found: LeaderDropped
        in a_dropped_publish_leaves_the_others;
    split_characters_are_found: ChunksSplitCharacters in large_events_arrive;
    publishes_that_wait_for_the_server_are_found: WaitsWhileDown in an_outage_ends_each_publish;
    ignored_second_ends_are_found: SecondEndIgnored in ended_names_become_free;
    lost_ends_of_large_events_are_found: EndOfLargeLost in large_events_arrive;
    histories_as_short_as_the_first_are_found: FirstAgeForAll
        in a_longer_history_follows_a_shorter_one;
    clients_that_are_never_ahead_are_found: NoneAhead in clients_ahead_wait;
    brokers_that_accept_every_number_are_found: AnyNumberIsPossible in forged_ids_are_told;
    logs_with_one_name_are_found: OneName in worlds_do_not_see_each_other;
    events_without_times_are_found: NoTimes in ended_names_become_free;
    numbers_that_begin_again_are_found: NumbersRestart in numbers_are_not_used_again_after_a_loss;
    losses_of_single_processes_are_found: LossInOneProcess in a_rolled_back_log_is_told_to_all;
    overtaken_rollbacks_are_found: OvertakenUnnoticed in an_overtaken_log_is_told_to_all;
    losses_that_loading_skips_are_found: LossWhileLoading in a_loss_while_a_hub_loads_is_told;
    tasks_that_dropped_connects_leave_are_found: ConnectLeavesTasks
        in a_dropped_connect_leaves_nothing;
    hubs_that_end_others_in_any_order_are_found: OneClosedEndsAll
        in any_order_of_steps_loses_nothing;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "ends_are_the_same_everywhere: ")]
async fn failing_scenes_are_in_the_panic() {
    check(async || LocalWorld::new(Some(Flaw::ForgottenEnds))).await;
}

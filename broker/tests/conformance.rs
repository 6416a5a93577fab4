//! The list of scenarios, and the logs that each runs against.

use crate::fixture::{Fixture, Kind};

/// One test for each log and scenario.
macro_rules! conformance {
    ($($module:ident: $($scenario:ident),+ $(,)?;)+) => {
        mod embedded { conformance!(@tests Embedded, $($module: $($scenario),+;)+); }
        mod simulated { conformance!(@tests Simulated, $($module: $($scenario),+;)+); }
        mod kafka { conformance!(@tests Kafka, $($module: $($scenario),+;)+); }
    };
    (@tests $kind:ident, $($module:ident: $($scenario:ident),+;)+) => {
        $($(
            #[test]
            fn $scenario() {
                crate::$module::$scenario(&super::Fixture::new(super::Kind::$kind));
            }
        )+)+
    };
}

conformance! {
    append:
        appended_records_stand_in_their_order_at_the_positions_that_were_answered,
        all_bytes_of_a_record_come_back,
        a_record_with_a_key_goes_to_the_partition_of_the_key,
        records_without_a_key_reach_every_partition,
        a_topic_that_does_not_exist_is_named_as_the_cause,
        a_record_that_is_too_large_is_refused_and_its_neighbours_are_not,
        a_compacted_topic_takes_no_record_without_a_key,
        appends_made_at_once_keep_each_callers_order;
    topics:
        a_topic_can_be_written_and_read_once_it_is_ensured,
        ensuring_again_changes_nothing,
        a_topic_grows_and_keeps_its_records,
        the_largest_record_of_a_topic_fits_with_headers_beside_it_into_one_for_larger_records,
        a_topic_that_exists_takes_larger_records_once_that_is_asked_for,
        a_member_gets_the_partitions_that_its_topic_gains,
        a_member_gets_a_topic_that_is_made_after_it_subscribed;
    follow:
        a_follower_from_the_beginning_reads_everything,
        a_follower_from_the_end_reads_only_what_comes,
        reading_to_the_end_returns_all_that_was_committed_and_nothing_twice,
        reading_to_the_end_of_nothing_returns_at_once,
        reading_some_goes_on_where_it_stopped_also_by_another_follower,
        a_follower_from_the_middle_reads_only_its_partitions,
        a_follower_that_waits_is_woken_by_a_record,
        a_follower_that_waits_in_vain_returns_in_time;
    consume:
        a_member_reads_every_record_once_in_the_order_of_each_partition,
        a_member_begins_where_the_group_committed,
        a_new_group_begins_at_the_beginning,
        a_batch_has_at_most_the_records_asked_for,
        a_batch_ends_with_the_record_that_meets_its_bytes,
        a_member_that_waits_is_woken_by_a_record,
        a_member_without_records_returns_in_time,
        a_paused_partition_is_held_back_and_loses_nothing,
        a_rewound_member_reads_again,
        rewinding_a_partition_of_another_is_passed_over,
        what_is_given_back_comes_again_before_what_follows_it,
        a_subscription_that_changes_gives_back_what_it_no_longer_names;
    lag:
        lag_is_what_a_group_has_not_committed,
        the_members_of_a_group_are_known_with_what_they_have,
        lag_of_a_topic_that_does_not_exist_is_an_error,
        lag_of_many_topics_at_once_has_each_of_their_partitions;
    share:
        two_members_share_the_partitions,
        who_stays_takes_over_from_who_leaves_without_loss_or_repetition,
        who_stays_takes_over_from_who_panics,
        groups_do_not_disturb_each_other;
    transact:
        a_commit_shows_outputs_and_offsets_together,
        an_abort_shows_neither,
        what_is_not_committed_is_not_seen,
        a_transaction_spans_topics_and_partitions,
        a_transaction_may_have_offsets_alone_or_records_alone,
        transactions_follow_each_other,
        a_record_for_a_topic_that_does_not_exist_fails_its_transaction_alone,
        a_record_that_is_too_large_fails_its_transaction_alone,
        a_successor_reads_on_where_its_predecessor_committed;
    zombies:
        a_holder_whose_transactional_id_was_taken_commits_nothing_and_is_told,
        a_takeover_ends_the_open_transaction_at_once,
        a_member_whose_partition_moved_commits_nothing_for_it,
        a_transactor_whose_partition_moved_commits_nothing_for_it;
    hand_over:
        a_partition_that_is_handed_over_stands_in_the_other_group_where_it_stood_in_this_one,
        a_partition_may_come_back,
        nobody_hands_over_what_another_has,
        nothing_is_handed_over_by_a_holder_whose_transactional_id_was_taken,
        a_partition_that_is_lost_and_had_again_is_assigned_anew;
    writer:
        what_a_writer_wrote_is_read_as_a_whole,
        a_writer_that_acquired_nothing_writes_nothing,
        a_writer_is_fenced_by_the_next_and_may_acquire_again,
        a_refused_write_leaves_nothing;
}

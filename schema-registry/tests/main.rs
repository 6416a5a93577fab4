//! Registries as clients see them, over HTTP: each scenario is one function and runs on the embedded log and on Kafka; and
//! what only one log can show.
//!
//! The Kafka ones need a broker: `make test` starts one, or `JOBICO_TEST_KAFKA=host:port` names one. Topics and
//! transactional ids have a prefix of their own in each run (`prefixed`), so that runs do not meet.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test reports what it measured, and fails by panicking")]

mod fixture;
mod prefixed;

mod artifacts;
mod confluent;
mod deploy;
mod faults;
mod limits;
mod replicas;
mod takeover;
mod upload;

/// One test for each log and scenario.
macro_rules! scenarios {
    ($($module:ident: $($scenario:ident),+ $(,)?;)+) => {
        mod embedded { scenarios!(@tests Embedded, $($module: $($scenario),+;)+); }
        mod kafka { scenarios!(@tests Kafka, $($module: $($scenario),+;)+); }
    };
    (@tests $kind:ident, $($module:ident: $($scenario:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                let world = crate::fixture::World::new(crate::fixture::Kind::$kind);
                crate::$module::$scenario(&world).await;
                world.stop().await;
            }
        )+)+
    };
}

scenarios! {
    upload:
        what_is_uploaded_first_makes_the_tenant,
        the_same_text_again_is_the_same_version_and_an_older_one_becomes_the_newest,
        a_schema_that_does_not_compile_is_refused_with_all_faults,
        a_module_that_breaks_the_contract_is_refused_with_all_faults,
        the_same_module_again_is_the_same_version,
        settings_of_a_tenant_are_changed_one_by_one_and_unset;
    deploy:
        a_deployment_reaches_another_process,
        deploying_again_needs_update_and_the_same_again_changes_nothing,
        all_faults_of_a_job_file_come_at_once_with_their_places,
        a_dry_run_says_what_would_be_and_changes_nothing,
        each_rollback_goes_one_version_back,
        a_rollback_does_not_take_an_event_from_another_job,
        partitions_grow_where_a_file_asks_and_never_shrink,
        results_have_as_many_partitions_as_the_largest_queue_of_their_first_job;
    confluent:
        a_schema_is_registered_looked_up_and_read,
        the_same_schema_under_another_subject_has_the_same_id,
        what_is_not_there_has_confluents_codes,
        what_cannot_be_registered_says_why,
        a_queue_with_one_event_has_an_alias_for_its_schema;
    takeover:
        the_topic_of_another_registry_is_taken_over,
        records_are_written_byte_for_byte_as_confluent_writes_them;
    replicas:
        two_registries_that_write_at_once_lose_nothing,
        one_registry_reads_what_another_wrote_before,
        a_registry_that_is_restarted_knows_everything;
    artifacts:
        a_module_is_given_whole_in_part_or_not_at_all,
        a_module_that_is_broken_on_disk_is_not_given;
    limits:
        bodies_over_their_limit_are_refused_with_413,
        names_that_are_none_are_refused_and_write_nothing_elsewhere,
        paths_and_methods_that_do_not_exist_are_answered_as_problems;
}

"""What may befall workers from around them, and where it is shown that there is one order per request and one answer per
event all the same. A test is named by its node id below tests/; one in C by its file and function."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fault:
    number: int
    name: str
    tests: tuple

    def files(self):
        """Where its tests are, each once."""
        return list(dict.fromkeys(test.split("::")[0] for test in self.tests))


KILLED_OR_PAUSED = (
    Fault(1, "killed at each crash point", (
        "crash/test_adopt.py::test_dies_beside_another",
        "crash/test_restart.py::test_dies_and_is_started_again",
        "crash/test_restart.py::test_dies_again_while_it_adopts",
        "crash/test_restart.py::test_dies_when_a_request_leaves_its_partition",
        "crash/test_restart.py::test_dies_while_it_parks",
        "crash/test_live.py::test_answer_of_the_broker_is_lost",
        "crash/test_live.py::test_adopter_dies_as_well",
        "crash/test_live.py::test_dies_with_a_dead_letter",
    )),
    Fault(2, "stopped past its session at each place, then woken", (
        "crash/test_zombies.py::test_stops_and_wakes_when_all_is_done",
        "crash/test_zombies.py::test_commits_its_intent_though_its_session_is_over",
        "crash/test_zombies.py::test_answer_of_a_deposed_worker_comes_by_the_mailbox",
        "crash/test_zombies.py::test_late_order_within_the_quiet_period_is_found",
        "crash/test_zombies.py::test_late_order_on_a_connection_that_the_ca_closed_is_none",
        "crash/test_zombies.py::test_late_order_beyond_the_quiet_period_is_a_surplus",
    )),
    Fault(3, "stopped for less than its session", (
        "faults/test_pauses.py::test_stopped_for_less_than_its_session",
    )),
    Fault(4, "the machine paused; the clock stepped an hour either way", (
        "clocks/test_standstill.py::test_machine_is_paused",
        "clocks/test_steps.py::test_step_with_orders_in_the_air",
        "clocks/test_steps.py::test_quiet_period_is_not_the_wall_clocks",
        "clocks/test_steps.py::test_worker_dies_after_a_step_of_the_other",
        "clocks/test_steps.py::test_drains_through_a_step",
    )),
    Fault(5, "5 % of a processor", (
        "clocks/test_standstill.py::test_starved_of_the_processor",
    )),
)

KAFKA = (
    Fault(6, "each of three brokers killed or ended, the coordinator first", (
        "faults/test_cluster.py::test_brokers_go_one_after_the_other",
        "faults/test_cluster.py::test_a_partition_that_takes_no_record",
        "crash/test_live.py::test_broker_fails_within_a_transaction",
        "e2e/test_broker_away.py::test_workers_stay_alive",
    )),
    Fault(7, "a transaction that outlives its time in the middle of a batch", (
        "faults/test_transactions.py::test_answers_in_a_transaction_beyond_its_time",
        "faults/test_transactions.py::test_intent_in_a_transaction_beyond_its_time",
        "component/kafka/test_bounds.c::test_transaction_timeout",
    )),
    Fault(8, "another process with the same transactional id", (
        "faults/test_transactions.py::test_another_process_with_our_transactional_id",
        "faults/test_transactions.py::test_twice_in_a_minute_ends_the_process",
        "component/kafka/test_fence.c::test_fenced_and_recreated",
        "component/kafka/test_fence.c::test_fenced_twice_is_fatal",
    )),
    Fault(9, "a storm of rebalances, for a minute (`EPKI_STORM_S`: for longer)", (
        "faults/test_storm.py::test_storm_of_rebalances",
        "component/kafka/test_members.c::test_storm_of_rebalances",
    )),
    Fault(10, "deposed but alive, with answers in its hands", (
        "crash/test_live.py::test_abort_for_one_stale_partition_loses_no_answer_of_another",
        "component/kafka/test_commit.c::test_stale_and_order",
        "component/kafka/test_flush.c::test_refused_batch_is_built_anew",
        "component/kafka/test_flush.c::test_lost_is_not_flushed",
    )),
    Fault(11, "every commit refused for its generation, for 8 s (`EW_REFUSED_MS`: for longer)", (
        "component/kafka/test_generation.c::test_every_commit_is_refused_for_a_while",
        "component/kafka/test_generation.c::test_adoption_is_refused_for_a_while",
    )),
    Fault(12, "offset metadata longer than the broker takes", (
        "faults/test_broker_settings.py::test_maps_that_the_broker_does_not_take",
        "unit/flow/test_publish.c::test_refused_for_its_map_stays_whole",
    )),
    Fault(13, "the group's offsets reset, replaced or deleted", (
        "faults/test_offsets.py::test_tools_are_refused_while_workers_run",
        "faults/test_offsets.py::test_commit_is_replaced_under_running_workers",
        "faults/test_offsets.py::test_offsets_are_reset_to_the_beginning",
        "faults/test_offsets.py::test_group_is_deleted",
        "component/kafka/test_adopt.c::test_foreign_and_missing",
        "component/kafka/test_adopt.c::test_base_outside_the_log",
    )),
    Fault(14, "input with aborted transactions and gaps of compaction", (
        "faults/test_broker_settings.py::test_aborted_transactions_of_publishers",
        "faults/test_broker_settings.py::test_gaps_of_compaction",
        "component/kafka/test_commit.c::test_base_passes_markers",
    )),
    Fault(15, "one request id again: beside it, far from it, on another partition", (
        "e2e/test_enrollment.py::test_duplicates_get_the_first_answer",
        "e2e/test_enrollment.py::test_duplicates_far_behind_on_the_same_partition",
        "e2e/test_crash.py::test_killed_while_a_duplicate_waits_on_another_partition",
        "crash/test_restart.py::test_dies_and_is_started_again",
    )),
    Fault(16, "a topic deleted, or deleted and made again; partitions added", (
        "faults/test_topics.py::test_request_topic_is_deleted_and_made_again",
        "faults/test_topics.py::test_partitions_are_added",
        "component/kafka/test_intake.c::test_a_topic_that_vanished_is_left_alone",
        "component/kafka/test_intake.c::test_a_log_that_ends_before_our_place_is_left_alone",
        "component/kafka/test_intake.c::test_a_topic_that_comes_back_is_read_on",
        "component/kafka/test_intake.c::test_a_topic_made_again_is_not_read_on",
        "component/kafka/test_closed.c::test_deleted_topic",
    )),
    Fault(17, "read_uncommitted in the settings", (
        "faults/test_broker_settings.py::test_read_uncommitted_does_not_start",
        "component/kafka/test_check.c::test_start_refuses",
        "unit/config/test_config.c::test_each_problem_by_its_path",
    )),
)

REDIS = (
    Fault(18, "killed, with and without a replica", (
        "faults/test_redis_faults.py::test_killed_and_started_again",
        "faults/test_redis_faults.py::test_killed_and_its_replica_promoted",
        "e2e/test_redis.py::test_restarted_counts_as_a_wipe",
        "unit/store/test_conn.c::test_restart_and_debt",
    )),
    Fault(19, "a replica promoted that lags", (
        "faults/test_redis_faults.py::test_replica_that_lags_is_promoted",
        "unit/store/test_forbidden.c::test_foreign_canary",
        "unit/store/test_conn.c::test_becomes_replica",
    )),
    Fault(20, "FLUSHALL in the middle of work", (
        "faults/test_redis_faults.py::test_wiped_in_mid_run",
        "faults/test_redis_faults.py::test_wiped_again_while_it_is_rebuilt",
        "faults/test_redis_faults.py::test_wiped_and_killed",
        "faults/test_redis_faults.py::test_no_free_burst_after_a_rebuild",
        "e2e/test_redis.py::test_wiped_duplicates_are_still_known",
        "e2e/test_redis.py::test_wiped_with_orders_in_the_air",
        "e2e/test_redis.py::test_wiped_and_killed_with_an_unknown_outcome",
        "e2e/test_rebuild.py::test_rebuilt_with_much_in_the_topics",
        "e2e/test_rebuild.py::test_rebuild_that_outlasts_the_tombstones_starts_over",
    )),
    Fault(21, "takes connections and never answers", (
        "faults/test_redis_faults.py::test_black_hole",
        "e2e/test_redis.py::test_away_no_new_orders_but_revocations_go_on",
        "e2e/test_redis.py::test_away_between_revocation_and_answer",
        "e2e/test_redis_late.py::test_worker_made_key_is_not_lost_because_redis_is_away_at_adoption",
        "unit/store/test_conn.c::test_black_hole",
    )),
    Fault(22, "its cache of scripts flushed", (
        "faults/test_redis_faults.py::test_script_cache_is_flushed_again_and_again",
        "unit/store/test_conn.c::test_script_flush",
    )),
    Fault(23, "200 ms slow", (
        "faults/test_redis_faults.py::test_every_reply_is_200_ms_late",
    )),
    Fault(24, "its memory full", (
        "faults/test_redis_faults.py::test_memory_full",
        "unit/store/test_conn.c::test_refusing_server",
    )),
    Fault(25, "the key of the rate limit lost", (
        "faults/test_redis_faults.py::test_key_of_the_rate_limit_is_lost_again_and_again",
        "unit/store/test_limiter.c::test_against_model",
    )),
)

CA = (
    Fault(26, "closes after a whole request on a kept connection", (
        "unit/http/test_send.c::test_a_dead_kept_connection_sends_once",
        "unit/http/test_send.c::test_a_fresh_connection_sends_once",
        "e2e/test_crash.py::test_revocation_whose_reply_is_lost_on_a_kept_connection",
        "e2e/test_unknown.py::test_lost_reply_is_found",
    )),
    Fault(27, "resets the connection", (
        "unit/http/test_reply.c::test_incomplete_replies",
        "e2e/test_unknown.py::test_lost_reply_is_found",
        "e2e/test_unknown.py::test_order_that_was_not_recorded_is_placed_again_after_the_quiet_period",
    )),
    Fault(28, "sends a status line only", (
        "unit/http/test_reply.c::test_incomplete_replies",
        "e2e/test_unknown.py::test_lost_reply_is_found",
    )),
    Fault(29, "half a document, or a whole one with another id", (
        "e2e/test_unknown.py::test_lost_reply_is_found",
        "e2e/test_unknown.py::test_certificate_of_another_key_or_name_is_cancelled_and_not_delivered",
        "e2e/test_unknown.py::test_order_of_another_request_is_left_alone",
        "e2e/test_surplus.py::test_order_whose_certificate_was_delivered_is_no_surplus",
        "unit/flow/test_anothers.c::test_without_a_certificate",
        "unit/flow/test_anothers.c::test_with_anothers_key",
        "unit/store/test_takeover.c::test_outcome_with_anothers_order",
        "unit/globalsign/test_read.c::test_queries_in_full",
        "unit/globalsign/test_read.c::test_every_truncation_is_unknown",
    )),
    Fault(30, "a redirect, 401 with a challenge, 417", (
        "unit/http/test_reply.c::test_redirects_and_challenges_are_answers",
        "e2e/test_unknown.py::test_order_that_was_not_recorded_is_placed_again_after_the_quiet_period",
    )),
    Fault(31, "answers after the client gave up", (
        "faults/test_ca.py::test_answer_after_the_client_gave_up_is_found",
        "unit/http/test_reply.c::test_a_reply_that_never_comes",
    )),
    Fault(32, "queries that show an order 60 s late", (
        "faults/test_late_lists.py::test_order_that_shows_late_is_found",
        "faults/test_late_lists.py::test_order_that_was_never_placed_is_after_the_quiet_period",
        "e2e/test_unknown.py::test_found_late_when_queries_lag",
        "e2e/test_hard.py::test_query_that_lags_is_no_proof_that_an_order_is_unknown",
        "e2e/test_hard.py::test_misfit_is_cancelled_though_its_query_lags",
    )),
    Fault(33, "429 with Retry-After, to one of several workers", (
        "faults/test_ca.py::test_429_to_one_holds_both_back",
        "e2e/test_unknown.py::test_throttling_is_shared_and_obeyed",
    )),
    Fault(34, "a name that comes and goes, a certificate that expires", (
        "faults/test_ca.py::test_name_that_nobody_knows_for_a_while",
        "faults/test_ca.py::test_name_that_leads_to_somebody_else",
        "faults/test_ca.py::test_certificate_that_has_expired",
        "unit/http/test_peer.c::test_only_the_right_peer_is_trusted",
    )),
    Fault(35, "6 s more for one order in ten, with 400 in the air (`EPKI_FAULTS_FULL=1`: 30 s, 2,000)", (
        "faults/test_ca.py::test_slow_tenth_holds_nobody_up",
    )),
)

OPERATIONS = (
    Fault(36, "a rolling restart under load", (
        "faults/test_ops.py::test_rolling_restart",
        "e2e/test_crash.py::test_rebalance_with_work_in_flight",
    )),
    Fault(37, "from two workers to twelve and back", (
        "faults/test_ops.py::test_two_workers_become_twelve_and_two_again",
    )),
    Fault(38, "a node drained with a disruption budget", (
        "faults/test_ops.py::test_node_after_node_is_drained",
        "k8s/test_manifests.py::test_rollout_and_disruption",
        "k8s/test_manifests.py::test_grace_outlasts_the_drain",
        "e2e/test_crash.py::test_drain_answers_what_it_can_and_leaves_the_rest_to_the_adopter",
    )),
    Fault(39, "a flood of revocations in a crowd of orders", (
        "faults/test_ops.py::test_flood_of_revocations_in_a_crowd_of_orders",
        "e2e/test_change.py::test_revocations_pass_a_crowd_of_orders",
        "unit/store/test_limiter.c::test_shares",
    )),
    Fault(40, "releases with either librdkafka read each other's maps", (
        "faults/test_ops.py::test_maps_are_read_by_another_librdkafka",
        "faults/test_ops.py::test_both_librdkafkas_in_one_group",
        "unit/kafka/test_offset_map.c::test_golden",
    )),
    Fault(41, "Redis and the group's offsets both lost", (
        "faults/test_total_loss.py::test_nothing_is_ordered_twice",
        "component/kafka/test_check.c::test_bootstrap_after_a_loss",
        "e2e/test_redis.py::test_start_without_bootstrap_is_refused",
    )),
)

TABLE = (*KILLED_OR_PAUSED, *KAFKA, *REDIS, *CA, *OPERATIONS)


def markdown():
    """The table as the README has it."""
    rows = [f"| {f.number} | {f.name} | {', '.join(f'`{file}`' for file in f.files())} |" for f in TABLE]
    return "\n".join(["| | fault | shown by |", "|---|---|---|", *rows]) + "\n"

/*
 * Several members on a real broker: partitions that come and go, or are taken over from the dead
 * and the paused. The binary is also the process that is killed: test_members member NAME POLICY
 * DELAY_MS SESSION_MS
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adopt_private.h"
#include "clients.h"
#include "harness.h"
#include "member.h"
#include "witness.h"

/* --- a member in another process --- */

struct child {
    pid_t pid;
    FILE *out;
    int committed, lost_items, adopted, intents;
};

static _Noreturn void
child_main(char **argv)
{
    struct site site;
    struct member *member;

    site_name(&site, argv[0]);
    site.options.session_ms = atoi(argv[3]);
    site.options.commit_ms = 1;
    site.options.partition_items = 50;
    member = member_start(&site, (enum policy)atoi(argv[1]), atoi(argv[2]));
    for (;;) {
        printf("%d %d %d %d\n", member_read(member, &member->committed),
               member_read(member, &member->lost_items), member_read(member, &member->adopted),
               member_read(member, &member->intents));
        fflush(stdout);
        sleep_ms(20);
    }
}

static void
child_start(struct child *child, struct site *site, enum policy policy, int delay_ms)
{
    char name[64];
    char numbers[3][16];
    int fds[2];

    snprintf(name, sizeof(name), "%.*s", (int)(strlen(site->group) - 6), site->group);
    snprintf(numbers[0], sizeof(numbers[0]), "%d", (int)policy);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", delay_ms);
    snprintf(numbers[2], sizeof(numbers[2]), "%d", site->options.session_ms);
    memset(child, 0, sizeof(*child));
    assert_int_equal(pipe(fds), 0);
    child->pid = fork();
    if (child->pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        execl("/proc/self/exe", "test_members", "member", name, numbers[0], numbers[1], numbers[2],
              (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    child->out = fdopen(fds[0], "r");
}

/* Reads what the child says until a number has been reached. */
static void
child_wait(struct child *child, const int *number, int value)
{
    char line[128];
    int64_t until = now_ms() + PATIENCE_MS;

    while (*number < value) {
        assert_true(now_ms() < until);
        assert_non_null(fgets(line, sizeof(line), child->out));
        (void)sscanf(line, "%d %d %d %d", &child->committed, &child->lost_items, &child->adopted,
                     &child->intents);
    }
}

static void
child_kill(struct child *child)
{
    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    fclose(child->out);
}

/* --- rebalances --- */

/* A second member comes while answers flow: nothing is answered twice, nothing is left out. */
static void
test_rebalance_in_full_flight(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;

    (void)state;
    site_start(&site, "revoke", 4);
    site.options.commit_ms = 50;
    site.options.session_ms = 1500;
    site.options.partition_items =
        30; /* some 1,000 answers a second: the rebalance falls into it */
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 4, 0, 6000);
    a = member_start(&site, ANSWER, 20);
    member_wait(a, &a->committed, 500);
    b = member_start(&site, ANSWER, 20);
    member_wait(b, &b->adopted, 2);
    AWAIT(member_read(a, &a->committed) + member_read(b, &b->committed) >= 6000);
    assert_each_once(&site, 6000);
    assert_true(member_read(a, &a->lost) >= 4);
    member_stop(a);
    member_stop(b);
}

/* A partition that was ours before, and whose oldest records were deleted meanwhile: librdkafka
 * remembers where it began, and finds nothing there any more. */
static void
test_what_comes_back_shorter_is_read_on(void **state)
{
    struct site site;
    struct member *a, *b;
    int moved = 0;

    (void)state;
    site_start(&site, "returns", 4);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 4, 0, 80);
    a = member_start(&site, ANSWER, 0);
    member_wait(a, &a->committed, 80);
    b = member_start(&site, ANSWER, 0);
    member_wait(b, &b->adopted, 4);
    for (int i = 0; i < 4; i++) {
        moved += member_owns(b, i);
        site_delete_records(site.in[EW_LANE_ENROLLMENT], i, 5);
    }
    assert_true(moved > 0);
    member_stop(b);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 4, 80, 80);
    await_each_once(&site, 160);
    member_stop(a);
}

/* Whoever joins gets its share although another partition cannot be adopted yet. */
static void
test_joiner_is_not_held_up(void **state)
{
    struct site site;
    struct member *a;
    struct member *b;
    rd_kafka_t *zombie;

    (void)state;
    site_start(&site, "joiner", 2);
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 2, 0, 10);
    zombie = open_commit(&site, 0, 5);
    a = member_start(&site, HOLD, 0);
    member_wait(a, &a->adopted, 6);
    assert_false(member_reaches(a, &a->adopted, 7, 1500));
    assert_false(member_owns(a, 0));
    member_wait(a, &a->record_count, 5); /* of partition 1 */
    b = member_start(&site, HOLD, 0);
    member_wait(b, &b->adopted, 2);
    assert_false(member_owns(a, 0) || member_owns(b, 0));
    /* Not for want of time: it is open still. */
    assert_null(rd_kafka_abort_transaction(zombie, PATIENCE_MS));
    AWAIT(member_owns(a, 0) || member_owns(b, 0));
    member_stop(a);
    member_stop(b);
    rd_kafka_destroy(zombie);
}

/* Members come and go faster than the group settles, some of them before their first assignment:
 * everything is answered once. */
static void
test_storm_of_rebalances(void **state)
{
    enum { ROUNDS = 14, EACH = 500 };
    struct site site;
    struct member *members[3] = {NULL};

    (void)state;
    site_start(&site, "storm", 8);
    site.options.session_ms = 1500;
    site.options.transaction_ms = 2000;
    site.options.partition_items = 40;
    members[0] = member_start(&site, ANSWER, 10);
    for (int i = 0; i < ROUNDS; i++) {
        struct member **turn = &members[1 + i % 2];

        send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 8, i * EACH, EACH);
        if (*turn != NULL)
            member_stop(*turn);
        *turn = member_start(&site, ANSWER, 10);
        sleep_ms(600);
    }
    await_each_once(&site, ROUNDS * EACH);
    for (int i = 0; i < 3; i++)
        member_stop(members[i]);
}

/* The consumer may be given a partition when the thread that adopts has ended. */
static void
test_what_is_assigned_at_the_end_is_let_go(void **state)
{
    struct ew_intake_events events = {.arg = NULL};
    struct site site;
    struct ew_kafka *kafka;
    struct ew_loop *loop;
    struct ew_part *part;
    struct ew_err err;

    (void)state;
    site_start(&site, "ending", 1);
    assert_int_equal(ew_loop_new(&ew_clock_system, 1, &loop, &err), EW_OK);
    assert_int_equal(ew_kafka_new(&site.options, &ew_clock_system, loop, &events, &kafka, &err),
                     EW_OK);
    part = ew_part_new(EW_LANE_BULK, site.in[EW_LANE_BULK], 0, kafka->wake, &kafka->options);
    ew_adopt_request(kafka, part);
    ew_part_unref(part);
    assert_true(ew_kafka_free(kafka)); /* a sanitizer would say what is left */
    ew_loop_free(loop);
}

/* --- the dead and the paused --- */

/* Killed in full flight, and once with all its intents committed and no answer: the next process
 * finds the intents started and answers everything once. */
static void
test_kill(void **state)
{
    struct site site;
    struct child child;
    struct member *member;

    (void)state;
    site_start(&site, "kill", 3);
    site.options.session_ms = 1500;
    send_numbers(site.in[EW_LANE_ENROLLMENT], -1, 3, 0, 6000);
    for (int round = 0; round < 3; round++) {
        bool last = round == 2;

        child_start(&child, &site, ANSWER, last ? 60000 : 30);
        child_wait(&child, last ? &child.intents : &child.committed, last ? 1 : 200);
        child_kill(&child);
    }
    member = member_start(&site, ANSWER, 1);
    member_wait(member, &member->adopted, 9);
    await_each_once(&site, 6000);
    assert_true(member_read(member, &member->started_seen) > 0);
    member_stop(member);
}

/* Paused beyond its session with answers in memory: on waking it commits nothing, whatever its
 * metadata says by then, and the new owner's map stands. */
static void
test_zombie(void **state)
{
    struct site site;
    struct child child;
    struct member *member;
    uint32_t epoch;
    struct seen seen;

    (void)state;
    site_start(&site, "zombie", 1);
    site.options.session_ms = 1500;
    send_numbers(site.in[EW_LANE_ENROLLMENT], 0, 1, 0, 50);
    child_start(&child, &site, ANSWER, 4000);
    child_wait(&child, &child.adopted, 5);
    child_wait(&child, &child.intents, 50); /* answers are not ready */
    kill(child.pid, SIGSTOP);
    member = member_start(&site, ANSWER, 0);
    member_wait(member, &member->adopted, 5);
    epoch = member_epoch(member, 0);
    member_wait(member, &member->committed, 50);
    assert_int_equal(member_read(member, &member->started_seen), 50);
    kill(child.pid, SIGCONT);
    child_wait(&child, &child.lost_items, 50);
    assert_int_equal(child.committed, 0);
    assert_each_once(&site, 50);
    child_kill(&child);
    sleep_ms(2500);
    member_stop(member);
    see_commit(&site, EW_LANE_ENROLLMENT, 0, &seen);
    assert_int_equal(seen.base, 50);
    assert_true(ew_offset_map_epoch(seen.map) >= epoch);
    ew_offset_map_free(seen.map);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rebalance_in_full_flight),
        cmocka_unit_test(test_what_comes_back_shorter_is_read_on),
        cmocka_unit_test(test_joiner_is_not_held_up),
        cmocka_unit_test(test_storm_of_rebalances),
        cmocka_unit_test(test_what_is_assigned_at_the_end_is_let_go),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_zombie),
    };

    if (!harness_ready(argc, argv))
        return EXIT_SKIPPED;
    if (argc == 6 && strcmp(argv[1], "member") == 0)
        child_main(argv + 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

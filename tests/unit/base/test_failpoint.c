/*
 * Plans of a test build: what is read, what is refused and why, and when each strikes. The shipped
 * worker has none of it: this program compiles it for itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/failpoint.h"

static struct ew_err err;

static enum ew_fault
armed(const char *plans)
{
    if (plans == NULL)
        assert_int_equal(unsetenv("EPKI_FAILPOINTS"), 0);
    else
        assert_int_equal(setenv("EPKI_FAILPOINTS", plans, 1), 0);
    return ew_failpoints_arm(&err);
}

static void
test_plans_are_read(void **state)
{
    static const char *const good[] = {
        "gate-passed=die",          "gate-passed=die:600000@1000000/r-17",
        "reply-begun=stop@2",       "adoption-sent=fail:5",
        "parking=delay:1/a:b@c/d",  "intent-sent=fail/r,answer-sent=fail@3,leaving=die",
        "request-claimed=fail/r-1",
    };

    (void)state;
    assert_int_equal(armed(NULL), EW_OK);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(armed(good[i]), EW_OK);
}

static void
test_other_plans_are_refused_and_it_is_said_why(void **state)
{
    static const struct {
        const char *plan, *why;
    } bad[] = {
        {"", "no NAME="},
        {"gate-passed", "no NAME="},
        {"gate-passe=die", "no such place"},
        {"gate-passed2=die", "no such place"},
        {"=die", "no such place"},
        {"gate-passed=", "no such action"},
        {"gate-passed=kill", "no such action"},
        {"gate-passed=dies", "no such action"},
        {"gate-passed=die:", "MS is 1 to 600000"},
        {"gate-passed=die:0", "MS is 1 to 600000"},
        {"gate-passed=die:+5", "MS is 1 to 600000"},
        {"gate-passed=die:600001", "MS is 1 to 600000"},
        {"gate-passed=die@0", "NTH is 1 to 1000000"},
        {"gate-passed=die@-1", "NTH is 1 to 1000000"},
        {"gate-passed=die@99999999999999999999", "NTH is 1 to 1000000"},
        {"gate-passed=die/", "after the action comes"},
        {"gate-passed=die\n", "no such action"},
        {"gate-passed=die@2\n", "after the action comes"},
        {"gate-passed=die@2:5", "after the action comes"},
        {"gate-passed=die,gate-passed=stop", "a second plan for its place"},
        {"gate-passed=delay", "a delay needs :MS"},
        {"gate-passed=fail", "nothing can fail there"},
        {"leaving=fail/r-17", "nothing can fail there"},
        {"reply-begun=die/r-17", "no request is known there"},
        {"adoption-sent=fail/r-17", "no request is known there"},
        {"parking=die,", "no NAME="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(armed(bad[i].plan), EW_REJECT);
        assert_string_equal(err.field, "EPKI_FAILPOINTS");
        if (strstr(err.detail, bad[i].why) == NULL)
            fail_msg("%s: %s", bad[i].plan, err.detail);
    }
}

static void
test_what_is_too_long_is_refused(void **state)
{
    char plan[5000] = "gate-passed=die/", *request = plan + strlen(plan);

    (void)state;
    memset(request, 'r', 128);
    assert_int_equal(armed(plan), EW_OK);
    memset(request, 'r', 129);
    assert_int_equal(armed(plan), EW_REJECT);
    assert_non_null(strstr(err.detail, "after the action comes"));
    memset(request, 'r', 4900);
    assert_int_equal(armed(plan), EW_REJECT);
    assert_non_null(strstr(err.detail, "4095"));
}

static void
test_it_strikes_once_at_its_nth_passing(void **state)
{
    (void)state;
    assert_int_equal(armed("intent-sent=fail@3,answer-sent=fail"), EW_OK);
    for (int passing = 1; passing <= 10; passing++) {
        assert_int_equal(EW_FAILPOINT(INTENT_SENT, "r"), passing == 3);
        assert_int_equal(EW_FAILPOINT(ANSWER_SENT, NULL), passing == 1);
        assert_false(EW_FAILPOINT(ANSWER_BEGUN, "r"));
    }
}

static void
test_only_passings_of_the_chosen_request_count(void **state)
{
    char request[EW_FAILPOINT_REQUEST];

    (void)state;
    assert_int_equal(armed("intent-sent=fail@2/r-17"), EW_OK);
    ew_failpoint_request(EW_FP_INTENT_SENT, request);
    assert_string_equal(request, "r-17");
    ew_failpoint_request(EW_FP_INTENT_BEGUN, request);
    assert_string_equal(request, "");
    assert_false(EW_FAILPOINT(INTENT_SENT, "r-17"));
    assert_false(EW_FAILPOINT(INTENT_SENT, "r-1"));
    assert_false(EW_FAILPOINT(INTENT_SENT, "r-177"));
    assert_false(EW_FAILPOINT(INTENT_SENT, NULL));
    assert_true(EW_FAILPOINT(INTENT_SENT, "r-17"));
    assert_false(EW_FAILPOINT(INTENT_SENT, "r-17"));
}

static void
test_a_delay_is_no_failure(void **state)
{
    int64_t began = ew_boot_ms(&ew_clock_system);

    (void)state;
    assert_int_equal(armed("gate-passed=delay:120"), EW_OK);
    assert_false(EW_FAILPOINT(GATE_PASSED, "r"));
    assert_true(ew_boot_ms(&ew_clock_system) - began >= 120);
}

/* --- what ends or stops a process strikes one of its own --- */

static pid_t
passing(enum ew_failpoint point, int times)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        while (times-- > 0)
            (void)ew_failpoint(point, "r");
        _exit(0);
    }
    return child;
}

static int
code_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
test_it_dies_as_if_it_were_killed(void **state)
{
    (void)state;
    assert_int_equal(armed("gate-passed=die@2,reply-read=die:80"), EW_OK);
    assert_int_equal(code_of(passing(EW_FP_GATE_PASSED, 1)), 0);
    assert_int_equal(code_of(passing(EW_FP_GATE_PASSED, 2)), 137);
    assert_int_equal(code_of(passing(EW_FP_REPLY_READ, 1)), 137);
}

static void
test_it_stops_until_it_is_told_to_go_on(void **state)
{
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(armed("gate-passed=stop"), EW_OK);
    child = passing(EW_FP_GATE_PASSED, 3);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(WSTOPSIG(status), SIGSTOP);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(code_of(child), 0);
}

/* --- a directory of plans --- */

static char directory[] = "/tmp/failpoints-XXXXXX", file[64];

static int
begin_directory(void **state)
{
    char plans[64];

    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(file, sizeof(file), "%s/intent-sent", directory);
    (void)snprintf(plans, sizeof(plans), "@%s", directory);
    return armed(plans) == EW_OK ? 0 : -1;
}

static int
end_directory(void **state)
{
    (void)state;
    (void)unlink(file);
    (void)rmdir(directory);
    memcpy(strchr(directory, '-') + 1, "XXXXXX", 6);
    return 0;
}

static void
tell(const char *plan)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, plan, strlen(plan)), (ssize_t)strlen(plan));
    assert_int_equal(close(fd), 0);
}

static void
test_a_file_is_for_who_takes_it_away(void **state)
{
    char request[EW_FAILPOINT_REQUEST];

    (void)state;
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
    tell("fail@2/r");
    ew_failpoint_request(EW_FP_INTENT_SENT, request);
    assert_string_equal(request, "r");
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
    assert_int_equal(access(file, F_OK), 0);
    assert_true(EW_FAILPOINT(INTENT_SENT, "r"));
    assert_int_not_equal(access(file, F_OK), 0);
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
}

static void
test_passings_of_one_plan_do_not_count_for_the_next(void **state)
{
    (void)state;
    tell("fail@3");
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
    tell("fail@2"); /* another process had taken the first away */
    assert_false(EW_FAILPOINT(INTENT_SENT, "r"));
    assert_true(EW_FAILPOINT(INTENT_SENT, "r"));
}

static void
test_a_file_that_cannot_be_followed_ends_the_process(void **state)
{
    char plan[600];

    (void)state;
    tell("delay");
    assert_int_equal(code_of(passing(EW_FP_INTENT_SENT, 1)), 2);
    (void)snprintf(plan, sizeof(plan), "die/%0500d", 0);
    tell(plan);
    assert_int_equal(code_of(passing(EW_FP_INTENT_SENT, 1)), 2);
    assert_int_equal(access(file, F_OK), 0);
    tell("die");
    assert_int_equal(code_of(passing(EW_FP_INTENT_BEGUN, 1)), 0);
    assert_int_equal(code_of(passing(EW_FP_INTENT_SENT, 1)), 137);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_are_read),
        cmocka_unit_test(test_other_plans_are_refused_and_it_is_said_why),
        cmocka_unit_test(test_what_is_too_long_is_refused),
        cmocka_unit_test(test_it_strikes_once_at_its_nth_passing),
        cmocka_unit_test(test_only_passings_of_the_chosen_request_count),
        cmocka_unit_test(test_a_delay_is_no_failure),
        cmocka_unit_test(test_it_dies_as_if_it_were_killed),
        cmocka_unit_test(test_it_stops_until_it_is_told_to_go_on),
        cmocka_unit_test_setup_teardown(test_a_file_is_for_who_takes_it_away, begin_directory,
                                        end_directory),
        cmocka_unit_test_setup_teardown(test_passings_of_one_plan_do_not_count_for_the_next,
                                        begin_directory, end_directory),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_followed_ends_the_process,
                                        begin_directory, end_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

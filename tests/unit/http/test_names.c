/*
 * Proof that a name server that does not answer stops nobody: getaddrinfo, which libcurl calls on a
 * thread of its own, sleeps here, and the loop goes on when a call that waits for it times out or
 * is given up.
 */
#include <netdb.h>

#include "bench.h"

enum {
    NAME_SERVER_S = 3,
    TICK_MS = 50,
    STILL_MS = 1500 /* far from both: this machine may be busy */
};

static _Atomic int asked, answered;

/* Found before libc's, by libcurl too. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **out)
{
    (void)name, (void)service, (void)hints, (void)out;
    asked++;
    sleep(NAME_SERVER_S);
    answered++;
    return EAI_AGAIN;
}

/* A timer that fires all the time, and how long it once did not. */
struct pulse {
    struct ew_loop *loop;
    struct ew_timer timer;
    struct ew_http_call *cancel; /* once its name is asked for */
    int64_t last, longest;
    int left; /* beats until the loop is stopped; < 0 = never */
};

static void
on_beat(void *arg)
{
    struct pulse *pulse = arg;
    int64_t now = ew_boot_ms(&ew_clock_system);

    if (now - pulse->last > pulse->longest)
        pulse->longest = now - pulse->last;
    pulse->last = now;
    if (pulse->left == 0) {
        ew_loop_stop(pulse->loop);
        return;
    }
    if (pulse->cancel != NULL && asked > 0) {
        ew_http_cancel(pulse->cancel);
        pulse->cancel = NULL;
        pulse->left = 5;
    }
    pulse->left -= pulse->left > 0;
    ew_timer_start(&pulse->timer, TICK_MS);
}

static void
pulse_start(struct pulse *pulse, struct bench *bench)
{
    asked = answered = 0;
    pulse->loop = bench->loop;
    pulse->last = ew_boot_ms(&ew_clock_system);
    ew_timer_init(&pulse->timer, bench->loop, on_beat, pulse);
    ew_timer_start(&pulse->timer, TICK_MS);
}

/* The thread is nobody's by now: it ends, and frees what it had, when the name server lets it. */
static void
wait_for_the_thread(void)
{
    while (answered < asked)
        usleep(10000);
    usleep(100000);
}

static void
test_a_call_that_waits_for_a_name_times_out(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = {.answer = true};
    struct pulse pulse = {.left = -1};

    (void)state;
    pulse_start(&pulse, &bench);
    post(&call, &bench, "https://ca.example/", true, 300);
    ew_loop_run(bench.loop);
    assert_int_equal(call.done_calls, 1);
    assert_false(call.result.gate_passed);
    assert_int_equal(asked, 1);
    assert_int_equal(answered, 0);
    pulse.left = 2;
    ew_loop_run(bench.loop);
    assert_in_range(pulse.longest, 1, STILL_MS);
    bench_close(&bench);
    assert_int_equal(answered, 0);
    wait_for_the_thread();
}

static void
test_a_call_that_waits_for_a_name_is_given_up(void **state)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};
    struct bench bench = bench_open("IP:127.0.0.1", script, 1, NULL);
    struct call call = {.answer = true};
    struct pulse pulse = {.left = -1};

    (void)state;
    pulse_start(&pulse, &bench);
    pulse.cancel = post(&call, &bench, "https://ca.example/", true, 20000);
    ew_loop_run(bench.loop);
    assert_int_equal(call.done_calls, 0);
    assert_int_equal(answered, 0);
    assert_in_range(pulse.longest, 1, STILL_MS);
    bench_close(&bench);
    wait_for_the_thread();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_that_waits_for_a_name_times_out),
        cmocka_unit_test(test_a_call_that_waits_for_a_name_is_given_up),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

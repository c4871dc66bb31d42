/*
 * Proof that a name server that does not answer stops nobody: getaddrinfo, which libcurl calls on a
 * thread of its own, comes back here when the test lets it, and the loop goes on when a call that
 * waits for it times out or is given up.
 */
#include <netdb.h>

#include "bench.h"

enum { BEAT_MS = 50, LONG_MS = 20 * 1000 };

static atomic_bool silent;
static _Atomic int asked, answered;

/* Found before libc's, by libcurl too. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **out)
{
    (void)name, (void)service, (void)hints, (void)out;
    asked++;
    for (int waited = 0; silent && waited < LONG_MS; waited += 10)
        usleep(10000);
    answered++;
    return EAI_AGAIN;
}

/* A timer that fires all the time. */
struct pulse {
    struct ew_loop *loop;
    struct ew_timer timer;
    struct ew_http_call *cancel; /* when its name is asked for */
    int beats;                   /* until the loop is stopped */
};

static void
on_beat(void *arg)
{
    struct pulse *pulse = arg;

    if (pulse->cancel != NULL && asked > 0) {
        ew_http_cancel(pulse->cancel);
        pulse->cancel = NULL;
    }
    if (pulse->cancel == NULL && --pulse->beats == 0)
        ew_loop_stop(pulse->loop);
    else
        ew_timer_start(&pulse->timer, BEAT_MS);
}

static struct bench
begin(void)
{
    const struct tls_reply script[] = {{OK_REPLY, TLS_KEEP, 0}};

    silent = true;
    asked = answered = 0;
    return bench_open("IP:127.0.0.1", script, 1, NULL);
}

/* The loop goes on, and so does whoever frees all; the thread, nobody's by now, ends by itself. */
static void
goes_on_without_an_answer(struct bench *bench, struct pulse *pulse)
{
    pulse->loop = bench->loop;
    ew_timer_init(&pulse->timer, bench->loop, on_beat, pulse);
    ew_timer_start(&pulse->timer, BEAT_MS);
    ew_loop_run(bench->loop);
    bench_close(bench);
    assert_int_equal(answered, 0);
    silent = false;
    for (int waited = 0; answered == 0 && waited < LONG_MS; waited += 10)
        usleep(10000);
    usleep(100000); /* for it to free what it had, which a sanitizer looks at */
}

static void
test_a_call_that_waits_for_a_name_times_out(void **state)
{
    struct bench bench = begin();
    struct call call = {.answer = true};
    struct pulse pulse = {.beats = 5};

    (void)state;
    post(&call, &bench, "https://ca.example/", true, 1000);
    ew_loop_run(bench.loop);
    assert_int_equal(call.done_calls, 1);
    assert_false(call.result.gate_passed);
    assert_int_equal(answered, 0);
    goes_on_without_an_answer(&bench, &pulse);
}

static void
test_a_call_that_waits_for_a_name_is_given_up(void **state)
{
    struct bench bench = begin();
    struct call call = {.answer = true};
    struct pulse pulse = {.beats = 5};

    (void)state;
    pulse.cancel = post(&call, &bench, "https://ca.example/", true, LONG_MS);
    goes_on_without_an_answer(&bench, &pulse);
    assert_int_equal(call.done_calls, 0);
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

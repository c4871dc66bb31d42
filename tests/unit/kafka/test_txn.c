/*
 * What a transaction that failed says: librdkafka's calls are played.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "committer_private.h"
#include "producer_private.h"

static struct {
    bool begun;
    const char *refused;        /* to this topic no record can be produced */
    rd_kafka_resp_err_t failed; /* the transaction, meanwhile */
} played;

rd_kafka_error_t *__wrap_rd_kafka_begin_transaction(rd_kafka_t *rk);
rd_kafka_error_t *__wrap_rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms);
rd_kafka_resp_err_t __wrap_rd_kafka_producev(rd_kafka_t *rk, ...);
rd_kafka_resp_err_t __wrap_rd_kafka_fatal_error(rd_kafka_t *rk, char *text, size_t size);
int __wrap_rd_kafka_poll(rd_kafka_t *rk, int timeout_ms);

rd_kafka_error_t *
__wrap_rd_kafka_begin_transaction(rd_kafka_t *rk)
{
    bool again = played.begun;

    (void)rk;
    played.begun = true;
    return again ? rd_kafka_error_new(played.failed, "as the test says") : NULL;
}

rd_kafka_error_t *
__wrap_rd_kafka_abort_transaction(rd_kafka_t *rk, int timeout_ms)
{
    (void)rk, (void)timeout_ms;
    return NULL;
}

/* The topic comes first. */
rd_kafka_resp_err_t
__wrap_rd_kafka_producev(rd_kafka_t *rk, ...)
{
    const char *topic;
    va_list list;

    va_start(list, rk);
    assert_int_equal(va_arg(list, int), RD_KAFKA_VTYPE_TOPIC);
    topic = va_arg(list, const char *);
    va_end(list);
    return played.refused != NULL && strcmp(topic, played.refused) == 0
               ? RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
               : RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
__wrap_rd_kafka_fatal_error(rd_kafka_t *rk, char *text, size_t size)
{
    (void)rk, (void)text, (void)size;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int
__wrap_rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
    (void)rk, (void)timeout_ms;
    return 0;
}

/* One item with an event and a dead letter; what is said of it. */
static struct ew_err
fails(void)
{
    struct ew_kafka *kafka = ew_calloc(1, sizeof(*kafka));
    struct ew_producer producer = {.kafka = kafka, .rk = (rd_kafka_t *)kafka};
    struct ew_item item = {.outs = {{.topic = EW_TOPIC_EVENTS}, {.topic = EW_TOPIC_DEAD_LETTERS}},
                           .out_count = 2};
    struct ew_item *items[] = {&item};
    struct ew_txn txn = {.items = items, .count = 1};
    struct ew_err err = {.problem = ""};

    kafka->clock = &ew_clock_system;
    kafka->options.transaction_ms = 10000;
    kafka->options.out[EW_TOPIC_EVENTS] = "epki.events";
    kafka->options.out[EW_TOPIC_STATE] = "epki.state";
    kafka->options.out[EW_TOPIC_DEAD_LETTERS] = "epki.dead";
    pthread_mutex_init(&kafka->committer.lock, NULL);
    assert_int_equal(ew_producer_run(&producer, &txn, &err), EW_TXN_ABORTED);
    pthread_mutex_destroy(&kafka->committer.lock);
    free(kafka);
    assert_string_equal(err.problem, "topic-closed");
    return err;
}

static int
begin(void **state)
{
    (void)state;
    memset(&played, 0, sizeof(played));
    return 0;
}

static void
test_names_the_topic(void **state)
{
    struct ew_err err;

    (void)state;
    played.refused = "epki.dead";
    err = fails();
    assert_non_null(strstr(err.detail, "epki.dead"));
    assert_null(strstr(err.detail, "epki.events"));
}

/* Which one it was, the transaction does not say. */
static void
test_names_all_that_it_may_be(void **state)
{
    struct ew_err err;

    (void)state;
    played.failed = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    err = fails();
    assert_non_null(strstr(err.detail, "epki.events or epki.dead"));
    assert_null(strstr(err.detail, "epki.state"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_names_the_topic, begin),
        cmocka_unit_test_setup(test_names_all_that_it_may_be, begin),
    };

    return cmocka_run_group_tests_name("kafka: transaction", tests, NULL, NULL);
}

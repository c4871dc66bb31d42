/*
 * Clients that are no worker; see clients.h. Failures end the running test.
 */
#include "clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

rd_kafka_t *
plain_client(rd_kafka_type_t type, const char *const *settings)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];
    rd_kafka_t *rk;

    rd_kafka_conf_set(conf, "bootstrap.servers", getenv("KAFKA_BOOTSTRAP"), NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    for (; *settings != NULL; settings += 2)
        REQUIRE(rd_kafka_conf_set(conf, settings[0], settings[1], text, sizeof(text)) ==
                    RD_KAFKA_CONF_OK,
                "%s", text);
    rk = rd_kafka_new(type, conf, text, sizeof(text));
    REQUIRE(rk != NULL, "%s", text);
    return rk;
}

rd_kafka_t *
plain_producer(const char *transactional_id)
{
    const char *with[] = {"transactional.id",       transactional_id, "linger.ms", "1",
                          "transaction.timeout.ms", "20000",          NULL};
    const char *without[] = {"linger.ms", "1", "message.max.bytes", "3000000", NULL};

    return plain_client(RD_KAFKA_PRODUCER, transactional_id != NULL ? with : without);
}

rd_kafka_t *
plain_consumer(const char *group)
{
    const char *settings[] = {"group.id",
                              group,
                              "enable.auto.commit",
                              "false",
                              "auto.offset.reset",
                              "earliest",
                              "enable.partition.eof",
                              "true",
                              "fetch.wait.max.ms",
                              "50",
                              NULL};
    rd_kafka_t *rk = plain_client(RD_KAFKA_CONSUMER, settings);

    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void
send_one(rd_kafka_t *rk, const char *topic, int partition, const char *key, const void *value,
         size_t len)
{
    rd_kafka_resp_err_t code;

    while ((code = rd_kafka_producev(rk, RD_KAFKA_VTYPE_TOPIC, topic, RD_KAFKA_VTYPE_PARTITION,
                                     partition, RD_KAFKA_VTYPE_KEY, key, strlen(key),
                                     RD_KAFKA_VTYPE_VALUE, value, len, RD_KAFKA_VTYPE_MSGFLAGS,
                                     RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 10);
    REQUIRE(code == RD_KAFKA_RESP_ERR_NO_ERROR, "produce: %s", rd_kafka_err2str(code));
}

void
send_numbers(const char *topic, int partition, int partitions, int first, int count)
{
    rd_kafka_t *rk = plain_producer(NULL);

    for (int i = first; i < first + count; i++) {
        char key[32];
        char value[32];

        snprintf(key, sizeof(key), "key-%d", i);
        snprintf(value, sizeof(value), "value-%d", i);
        send_one(rk, topic, partition >= 0 ? partition : i % partitions, key, value, strlen(value));
    }
    REQUIRE(rd_kafka_flush(rk, 30000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush");
    rd_kafka_destroy(rk);
}

void
send_sized(const char *topic, int partition, const char *key, size_t len)
{
    rd_kafka_t *rk = plain_producer(NULL);
    char *value = calloc(1, len + 1);

    send_one(rk, topic, partition, key, value, len);
    REQUIRE(rd_kafka_flush(rk, 30000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush");
    rd_kafka_destroy(rk);
    free(value);
}

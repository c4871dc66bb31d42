/*
 * Whether a server is fit to be our index, by what it says in INFO. A record that it evicts, or
 * loses with its primary, lets a request be ordered twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

enum { REDIS_MIN = 7 };

struct judge {
    void (*problem)(void *arg, const struct ew_err *err);
    void *arg;
    int count;
};

static void
find(struct judge *judge, enum ew_fault fault, const char *problem, const char *advice,
     const char *detail)
{
    struct ew_err err;

    (void)ew_fail_field(&err, fault, problem, "redis", advice, "%s", detail);
    judge->count++;
    if (judge->problem != NULL)
        judge->problem(judge->arg, &err);
}

/* The value of "name:" in INFO's text; "" when it is not there. */
static void
info_field(const char *info, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *at = info;

    out[0] = '\0';
    while (at != NULL && *at != '\0') {
        if (strncmp(at, name, len) == 0 && at[len] == ':') {
            size_t value = strcspn(at + len + 1, "\r\n");

            (void)snprintf(out, size, "%.*s", (int)value, at + len + 1);
            return;
        }
        at = strchr(at, '\n');
        if (at != NULL)
            at++;
    }
}

static void
judge_server(struct judge *judge, const char *info)
{
    char value[64], text[128];

    info_field(info, "redis_version", value, sizeof(value));
    (void)snprintf(text, sizeof(text), "this server says version \"%.32s\"", value);
    if (strtol(value, NULL, 10) < REDIS_MIN)
        find(judge, EW_HALT, "redis-version", "Use Redis 7.0 or newer.", text);
    info_field(info, "cluster_enabled", value, sizeof(value));
    if (strcmp(value, "1") == 0)
        find(judge, EW_HALT, "redis-cluster", "Use a single Redis with replicas.",
             "this is a Redis Cluster; scripts here touch keys of several slots");
    info_field(info, "maxmemory_policy", value, sizeof(value));
    (void)snprintf(text, sizeof(text), "maxmemory-policy is \"%.32s\"", value);
    if (strcmp(value, "noeviction") != 0)
        find(judge, EW_HALT, "redis-eviction",
             "Set maxmemory-policy noeviction: a record that is evicted "
             "lets a request be ordered twice.",
             text);
}

static void
judge_replication(struct judge *judge, const char *info)
{
    char value[64], text[128];

    info_field(info, "role", value, sizeof(value));
    if (strcmp(value, "master") != 0) /* in a failover the name may still lead here */
        find(judge, EW_RETRY, "redis-role", "Name the primary.", "this server is a replica");
    info_field(info, "connected_slaves", value, sizeof(value));
    (void)snprintf(text, sizeof(text), "%.32s replicas are attached, min-replicas-to-write is 0",
                   value);
    if (strtol(value, NULL, 10) <= 0)
        return;
    /* The field is there only while min-replicas-to-write is on. */
    info_field(info, "min_slaves_good_slaves", value, sizeof(value));
    if (value[0] == '\0')
        find(judge, EW_HALT, "redis-min-replicas",
             "Set min-replicas-to-write 1 and a small "
             "min-replicas-max-lag.",
             text);
}

int
ew_info_judge(const char *info, void (*problem)(void *arg, const struct ew_err *err), void *arg)
{
    struct judge judge = {.problem = problem, .arg = arg};

    if (info == NULL) {
        find(&judge, EW_HALT, "redis-info", "Allow INFO to this user.", "INFO gave no text");
    } else {
        judge_server(&judge, info);
        judge_replication(&judge, info);
    }
    return judge.count;
}

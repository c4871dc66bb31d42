/*
 * How an account stands with GlobalSign: what every reply teaches, who is told of a pause, the one
 * query that tests it, and the credentials by which Redis knows it.
 */
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "job.h"
#include "x509/digest.h"

/* --- who is told --- */

bool
ew_desk_event_out(struct ew_desk *desk, struct ew_account_event *event, struct ew_buf *value,
                  struct ew_out *out)
{
    struct ew_err err = {.problem = "overflow"};

    event->account = desk->account->name;
    event->time_ms = ew_wall_ms(desk->flow->options.clock);
    EW_LOG(EW_LOG_WARN, "flow", "account", EW_STR("account", desk->account->name),
           EW_STR("state", event->type), EW_STR("problem", event->problem),
           EW_INT("vendor_code", event->vendor_code), EW_STR("detail", event->cause));
    if (ew_wire_account_encode(event, value, &err) != EW_OK || value->overflowed) {
        EW_LOG(EW_LOG_ERROR, "flow", "no account event", EW_FAULT_FIELDS(&err));
        return false;
    }
    *out = (struct ew_out){.topic = EW_TOPIC_ACCOUNT,
                           .partition = -1,
                           .key = desk->account->name,
                           .key_len = strlen(desk->account->name),
                           .value = value->data,
                           .value_len = value->len};
    return true;
}

void
ew_desk_event(struct ew_desk *desk, struct ew_account_event *event)
{
    struct ew_buf value;
    struct ew_out out;

    ew_buf_init(&value, EW_ACCOUNT_EVENT_MAX);
    if (ew_desk_event_out(desk, event, &value, &out))
        ew_kafka_publish(desk->flow->kafka, &out, NULL, NULL);
    ew_buf_deinit(&value);
}

static void
tell_state(struct ew_desk *desk, const char *type, int code, const char *problem, const char *cause,
           const char *advice)
{
    struct ew_account_event event = {.type = type,
                                     .problem = problem,
                                     .cause = cause,
                                     .advice = advice,
                                     .vendor_code = code,
                                     .request_id = "",
                                     .order_id = ""};

    ew_desk_event(desk, &event);
}

/* Every wrong password counts towards the lock-out, so that one is never tried again by itself. */
static int64_t
retest_after(const struct ew_desk *desk, int code)
{
    return code == -4001 ? 0 : desk->flow->config->time.account_retest_ms;
}

static const char *
pause_advice(int code)
{
    switch (code) {
    case -4001:
        return "Set the right user and password in the secret and restart; if they were right all "
               "along, `epki-worker resume` tests them once.";
    case -4201:
        return "Register this egress address in the profile's API IP settings at GlobalSign; the "
               "account is tested from time to time.";
    case -9939:
        return "Have GlobalSign unlock the account; it is tested from time to time.";
    default:
        return "Ask GlobalSign to give this user the right to call the API; the account is tested "
               "from time to time.";
    }
}

static void
on_paused(void *arg, enum ew_fault fault, bool changed)
{
    struct ew_desk *desk = arg;

    if (fault == EW_OK && changed)
        tell_state(desk, "paused", desk->refused_code, desk->refused_problem,
                   "GlobalSign refuses this account", pause_advice(desk->refused_code));
}

/* --- testing it with a query --- */

void
ew_desk_set_paused(struct ew_desk *desk, bool paused, int code, const char *problem)
{
    desk->paused = paused;
    desk->code = code;
    (void)snprintf(desk->problem, sizeof(desk->problem), "%s", problem);
    if (!paused)
        return;
    ew_desk_tell_held(desk);
    ew_desk_watch_pause(desk);
}

static void
on_verified(void *arg, enum ew_fault fault, bool changed)
{
    struct ew_desk *desk = arg;

    if (fault == EW_OK && changed)
        tell_state(desk, "resumed", 0, "", "GlobalSign accepts this account", "");
    ew_desk_wake(desk);
}

bool
ew_ca_spoke(enum ew_ca_class cls)
{
    return cls == EW_CA_OK || cls == EW_CA_REJECTED || cls == EW_CA_NOT_FOUND;
}

static void
on_probed(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_desk *desk = arg;

    desk->probing = false;
    desk->flying[EW_RATE_QUERY]--;
    ew_desk_learn(desk, reply, false);
    if (ew_ca_spoke(reply->cls)) {
        ew_desk_set_paused(desk, false, 0, "");
        ew_store_account_resumed(desk->flow->store, desk->account->name, on_verified, desk);
        return;
    }
    if (reply->cls != EW_CA_ACCOUNT)
        ew_store_account_untested(desk->flow->store, desk->account->name);
    ew_desk_look_later(desk);
}

const char *
ew_desk_profile(const struct ew_desk *desk)
{
    const struct ew_config *config = desk->flow->config;

    for (size_t i = 0; i < config->setting_count; i++)
        if (config->settings[i].account == desk->account)
            return config->settings[i].profile;
    return NULL;
}

void
ew_desk_probe(struct ew_desk *desk)
{
    if (desk->probing)
        return;
    desk->probing = true;
    desk->flying[EW_RATE_QUERY]++;
    (void)ew_ca_get_profiles(desk->ca, ew_desk_profile(desk), on_probed, desk);
}

/* --- what replies teach --- */

/* Too much at once, there or on the way: it says so, does not answer, or does not come to shaking
 * hands. Unless fewer try then, all of them go on failing together for want of each other's time.
 */
static bool
struggled(const struct ew_ca_reply *reply)
{
    bool slow = reply->cls == EW_CA_NOT_SENT && strcmp(reply->problem, "ca-connect-timeout") == 0;

    return reply->http_status == 429 || reply->http_status >= 500 ||
           (reply->http_status == 0 && (slow || reply->cls == EW_CA_UNKNOWN));
}

void
ew_desk_learn(struct ew_desk *desk, const struct ew_ca_reply *reply, bool was_order)
{
    struct ew_flow *flow = desk->flow;
    int64_t wait = reply->retry_after_ms;

    ew_metric_add(flow->metrics, EW_METRIC_CA_CALLS, (int)reply->cls, 1);
    if (reply->date_ms > 0) {
        desk->ca_date_ms = reply->date_ms;
        desk->ca_date_boot = ew_loop_now(flow->loop);
    }
    if (was_order)
        ew_desk_adapt(desk, ew_loop_now(flow->loop), reply->duration_ms, struggled(reply));
    if (wait == 0 && reply->http_status == 429)
        wait = 1000;
    if (wait > 0)
        ew_store_not_before(flow->store, desk->account->name, wait);
    desk->accepted = desk->accepted || reply->cls == EW_CA_OK;
    if (reply->cls == EW_CA_ACCOUNT) {
        ew_desk_set_paused(desk, true, reply->code, reply->problem);
        /* Kept apart: a token from before the pause may lift it here until Redis says it again. */
        desk->refused_code = reply->code;
        desk->refused_problem = reply->problem;
        ew_store_account_pause(flow->store, desk->account->name, reply->code, reply->problem,
                               retest_after(desk, reply->code), on_paused, desk);
    }
}

/* --- the account in Redis --- */

/* What Redis compares to see that the credentials changed: 16 bits, which fit one in 65,536 wrong
 * passwords as well, of a digest that makes each guess slow. */
void
ew_desk_credentials(struct ew_desk *desk, const struct ew_buf *password)
{
    struct ew_buf salt;
    uint8_t digest[32];

    ew_buf_init(&salt, 4096);
    ew_buf_printf(&salt, "epki-worker credentials v1\n%s\n%s\n", desk->account->url,
                  desk->account->user);
    ew_password_digest(password->data, password->len, ew_buf_text(&salt), digest);
    ew_hex_encode(digest, 2, desk->credentials);
    ew_buf_deinit(&salt);
}

static void
on_opened(void *arg, enum ew_fault fault, bool changed)
{
    struct ew_desk *desk = arg;

    (void)fault, (void)changed;
    ew_desk_wake(desk);
}

void
ew_desk_open(struct ew_desk *desk)
{
    ew_store_account_open(desk->flow->store, desk->account->name, desk->credentials, on_opened,
                          desk);
}

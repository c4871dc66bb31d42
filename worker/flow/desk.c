/*
 * An account's desk: slots by class with a minimum for each, tokens from the shared limiter, the
 * account's state, and an in-flight limit that shrinks when GlobalSign struggles.
 */
#include "desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "job.h"
#include "x509/digest.h"

enum {
    PAUSE_POLL_MS = 3000, /* how often a paused account is looked at again */
    REDIS_POLL_MS = 500,
    MIN_SHARE = 10, /* percent of the slots that each class may always have */
};

static void pump(struct ew_desk *desk, enum ew_rate_class cls);

static bool
is_order(enum ew_rate_class cls)
{
    return cls >= EW_RATE_ENROLLMENT;
}

/* An order's class may take slots that leave the others the minimum they are waiting for. */
static int
free_slots(const struct ew_desk *desk, enum ew_rate_class cls)
{
    int used = 0, kept = 0, least;

    if (!is_order(cls))
        return desk->account->others_in_flight - desk->flying[EW_RATE_REVOCATION] -
               desk->flying[EW_RATE_QUERY];
    least = desk->limit * MIN_SHARE / 100;
    if (least < 1)
        least = 1;
    for (int c = EW_RATE_ENROLLMENT; c < EW_RATE_COUNT; c++) {
        used += desk->flying[c];
        if (c != (int)cls && desk->waiting[c] > 0 && desk->flying[c] < least)
            kept += least - desk->flying[c];
    }
    if (desk->limit < EW_RATE_COUNT)
        kept = 0; /* too few slots to share out: first come */
    return desk->limit - used - kept;
}

static struct ew_turn *
first_turn(struct ew_desk *desk, enum ew_rate_class cls)
{
    struct ew_link *link = ew_list_first(&desk->queue[cls]);

    return link == NULL ? NULL : EW_CONTAINER(link, struct ew_turn, link);
}

static void
grant(struct ew_desk *desk, struct ew_turn *turn)
{
    ew_link_remove(&turn->link);
    desk->waiting[turn->cls]--;
    desk->flying[turn->cls]++;
    turn->granted = true;
    turn->token_ms = ew_loop_now(desk->flow->loop);
    turn->go(turn);
}

static void
tell_held(struct ew_desk *desk)
{
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        struct ew_link *link, *next;

        for (link = ew_list_first(&desk->queue[c]); link != NULL; link = next) {
            struct ew_turn *turn = EW_CONTAINER(link, struct ew_turn, link);

            next = ew_list_next(&desk->queue[c], link);
            if (!turn->told) {
                turn->told = true;
                turn->held(turn, desk->code, desk->problem);
            }
        }
    }
}

/* --- testing the account with a query --- */

void
ew_desk_event(struct ew_desk *desk, struct ew_account_event *event)
{
    struct ew_buf value;
    struct ew_err err = {.problem = "overflow"};

    event->account = desk->account->name;
    event->time_ms = ew_wall_ms(desk->flow->options.clock);
    ew_buf_init(&value, 16384);
    if (ew_wire_account_encode(event, &value, &err) == EW_OK && !value.overflowed) {
        struct ew_out out = {.topic = EW_TOPIC_ACCOUNT,
                             .partition = -1,
                             .key = desk->account->name,
                             .key_len = strlen(desk->account->name),
                             .value = value.data,
                             .value_len = value.len};
        ew_kafka_publish(desk->flow->kafka, &out);
    } else {
        EW_LOG(EW_LOG_ERROR, "flow", "no account event", EW_FAULT_FIELDS(&err));
    }
    ew_buf_deinit(&value);
    EW_LOG(EW_LOG_WARN, "flow", "account", EW_STR("account", desk->account->name),
           EW_STR("state", event->type), EW_STR("problem", event->problem),
           EW_INT("vendor_code", event->vendor_code), EW_STR("detail", event->cause));
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

static void
on_verified(void *arg, enum ew_fault fault, bool changed)
{
    struct ew_desk *desk = arg;

    if (fault == EW_OK && changed)
        tell_state(desk, "resumed", 0, "", "GlobalSign accepts this account", "");
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        ew_timer_cancel(&desk->timer[c]);
        pump(desk, (enum ew_rate_class)c);
    }
}

static void
set_paused(struct ew_desk *desk, bool paused, int code, const char *problem)
{
    desk->paused = paused;
    desk->code = code;
    (void)snprintf(desk->problem, sizeof(desk->problem), "%s", problem);
    if (paused)
        tell_held(desk);
}

static void
on_probed(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_desk *desk = arg;

    desk->probing = false;
    desk->flying[EW_RATE_QUERY]--;
    ew_desk_learn(desk, reply, false);
    if (reply->cls == EW_CA_OK || reply->cls == EW_CA_REJECTED || reply->cls == EW_CA_NOT_FOUND) {
        set_paused(desk, false, 0, "");
        ew_store_account_resumed(desk->flow->store, desk->account->name, on_verified, desk);
        return;
    }
    if (reply->cls != EW_CA_ACCOUNT)
        ew_store_account_untested(desk->flow->store, desk->account->name);
    for (int c = 0; c < EW_RATE_COUNT; c++)
        if (desk->waiting[c] > 0 && !ew_timer_armed(&desk->timer[c]))
            ew_timer_start(&desk->timer[c], PAUSE_POLL_MS);
}

static void
probe(struct ew_desk *desk)
{
    if (desk->probing)
        return;
    desk->probing = true;
    desk->flying[EW_RATE_QUERY]++;
    (void)ew_ca_get_profiles(desk->ca, NULL, on_probed, desk);
}

/* --- tokens --- */

/* What was asked for may have gone meanwhile: such a token goes back. */
static void
grant_all(struct ew_desk *desk, enum ew_rate_class cls, int count)
{
    for (; count > 0; count--) {
        struct ew_turn *turn = first_turn(desk, cls);

        if (turn != NULL && free_slots(desk, cls) > 0)
            grant(desk, turn);
        else
            ew_store_refund(desk->flow->store, desk->account->name, &desk->rate, cls);
    }
}

static void
on_token(struct ew_desk *desk, enum ew_rate_class cls, enum ew_fault fault,
         const struct ew_token_reply *reply)
{
    int64_t wait = REDIS_POLL_MS;

    desk->asking[cls] = false;
    if (fault == EW_OK) {
        ew_metric_add(desk->flow->metrics, EW_METRIC_RATE_TOKENS, (int)reply->result,
                      reply->result == EW_TOKEN_GRANTED ? reply->count : 1);
        wait = reply->wait_ms > 0 ? reply->wait_ms : 1;
        desk->saturated = reply->result == EW_TOKEN_WAIT;
        if (reply->result == EW_TOKEN_GRANTED) {
            if (desk->paused)
                set_paused(desk, false, 0, "");
            grant_all(desk, cls, reply->count);
            pump(desk, cls);
            return;
        }
        if (reply->result == EW_TOKEN_PAUSED) {
            set_paused(desk, true, reply->code, reply->problem);
            wait = PAUSE_POLL_MS;
        } else if (reply->result == EW_TOKEN_PROBE) {
            probe(desk);
            wait = PAUSE_POLL_MS;
        }
    }
    ew_timer_start(&desk->timer[cls], wait);
}

#define TOKEN_CALLBACK(name, cls)                                                                  \
    static void name(void *arg, enum ew_fault fault, const struct ew_token_reply *reply)           \
    {                                                                                              \
        on_token(arg, cls, fault, reply);                                                          \
    }
TOKEN_CALLBACK(on_token_revocation, EW_RATE_REVOCATION)
TOKEN_CALLBACK(on_token_query, EW_RATE_QUERY)
TOKEN_CALLBACK(on_token_enrollment, EW_RATE_ENROLLMENT)
TOKEN_CALLBACK(on_token_renewal, EW_RATE_RENEWAL)
TOKEN_CALLBACK(on_token_bulk, EW_RATE_BULK)

static void (*const token_callbacks[EW_RATE_COUNT])(void *, enum ew_fault,
                                                    const struct ew_token_reply *) = {
    on_token_revocation, on_token_query, on_token_enrollment, on_token_renewal, on_token_bulk};

static void
pump(struct ew_desk *desk, enum ew_rate_class cls)
{
    int want = desk->waiting[cls], slots = free_slots(desk, cls);

    if (slots < want)
        want = slots;
    if (desk->asking[cls] || want <= 0 || ew_timer_armed(&desk->timer[cls]))
        return;
    if (is_order(cls) && ew_flow_quit_early(desk->flow))
        return;
    if (!ew_store_is_up(desk->flow->store) && !is_order(cls)) {
        /* Redis away: revocations and queries go on, by the slots alone, and by what is known of
         * the account: paused means nothing, not tested yet one call at a time. */
        if (desk->paused || (!desk->accepted &&
                             desk->flying[EW_RATE_REVOCATION] + desk->flying[EW_RATE_QUERY] > 0)) {
            ew_timer_start(&desk->timer[cls], PAUSE_POLL_MS);
            return;
        }
        grant(desk, first_turn(desk, cls));
        ew_timer_start(&desk->timer[cls], 200);
        return;
    }
    desk->asking[cls] = true;
    ew_store_tokens(desk->flow->store, desk->account->name, &desk->rate, cls, want,
                    token_callbacks[cls], desk);
}

#define TIMER_CALLBACK(name, cls)                                                                  \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        pump(arg, cls);                                                                            \
    }
TIMER_CALLBACK(on_timer_revocation, EW_RATE_REVOCATION)
TIMER_CALLBACK(on_timer_query, EW_RATE_QUERY)
TIMER_CALLBACK(on_timer_enrollment, EW_RATE_ENROLLMENT)
TIMER_CALLBACK(on_timer_renewal, EW_RATE_RENEWAL)
TIMER_CALLBACK(on_timer_bulk, EW_RATE_BULK)

static void (*const timer_callbacks[EW_RATE_COUNT])(void *) = {
    on_timer_revocation, on_timer_query, on_timer_enrollment, on_timer_renewal, on_timer_bulk};

/* --- turns --- */

void
ew_desk_ask(struct ew_desk *desk, struct ew_turn *turn, enum ew_rate_class cls)
{
    turn->desk = desk;
    turn->cls = cls;
    turn->granted = false;
    turn->told = false;
    ew_list_append(&desk->queue[cls], &turn->link);
    desk->waiting[cls]++;
    /* From a timer, so that go() never runs inside this call. */
    if (!desk->asking[cls] && !ew_timer_armed(&desk->timer[cls]))
        ew_timer_start(&desk->timer[cls], 0);
    if (desk->paused)
        tell_held(desk);
}

void
ew_turn_end(struct ew_turn *turn, bool unsent)
{
    struct ew_desk *desk = turn->desk;

    if (desk == NULL)
        return;
    turn->desk = NULL;
    if (turn->granted) {
        desk->flying[turn->cls]--;
        if (unsent)
            ew_store_refund(desk->flow->store, desk->account->name, &desk->rate, turn->cls);
        turn->granted = false;
    } else {
        ew_link_remove(&turn->link);
        desk->waiting[turn->cls]--;
    }
    for (int c = 0; c < EW_RATE_COUNT; c++)
        if (desk->waiting[c] > 0 && !desk->asking[c] && !ew_timer_armed(&desk->timer[c]))
            ew_timer_start(&desk->timer[c], 0);
}

/* --- learning --- */

static void
adapt(struct ew_desk *desk, bool struggled)
{
    int flying = ew_desk_flying(desk);

    if (struggled) {
        desk->limit = desk->limit * 9 / 10 > 1 ? desk->limit * 9 / 10 : 1;
        desk->grown = 0;
    } else if (flying * 2 >= desk->limit && ++desk->grown >= desk->limit) {
        desk->grown = 0;
        if (desk->limit < desk->account->orders_in_flight)
            desk->limit++;
    }
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
        adapt(desk, reply->http_status == 429 || reply->http_status >= 500 ||
                        (reply->cls == EW_CA_UNKNOWN && reply->http_status == 0));
    if (wait == 0 && reply->http_status == 429)
        wait = 1000;
    if (wait > 0)
        ew_store_not_before(flow->store, desk->account->name, wait);
    desk->accepted = desk->accepted || reply->cls == EW_CA_OK;
    if (reply->cls == EW_CA_ACCOUNT) {
        set_paused(desk, true, reply->code, reply->problem);
        /* Kept apart: a token from before the pause may lift it here until Redis says it again. */
        desk->refused_code = reply->code;
        desk->refused_problem = reply->problem;
        ew_store_account_pause(flow->store, desk->account->name, reply->code, reply->problem,
                               retest_after(desk, reply->code), on_paused, desk);
    }
}

int64_t
ew_desk_ca_now(const struct ew_desk *desk)
{
    if (desk->ca_date_ms == 0)
        return 0;
    return desk->ca_date_ms + (ew_loop_now(desk->flow->loop) - desk->ca_date_boot);
}

int
ew_desk_flying(const struct ew_desk *desk)
{
    int flying = 0;

    for (int c = EW_RATE_ENROLLMENT; c < EW_RATE_COUNT; c++)
        flying += desk->flying[c];
    return flying;
}

/* --- birth and death --- */

static void
on_opened(void *arg, enum ew_fault fault, bool changed)
{
    struct ew_desk *desk = arg;

    (void)changed;
    desk->opened = fault == EW_OK;
    for (int c = 0; c < EW_RATE_COUNT; c++)
        pump(desk, (enum ew_rate_class)c);
}

void
ew_desk_open(struct ew_desk *desk)
{
    ew_store_account_open(desk->flow->store, desk->account->name, desk->credentials, on_opened,
                          desk);
}

/* What Redis compares to see that the credentials changed: 16 bits of a digest, too few to check a
 * guessed password against. */
static void
digest_credentials(struct ew_desk *desk, const struct ew_buf *password)
{
    struct ew_buf text;
    uint8_t digest[32];

    ew_buf_init_secret(&text, 512);
    ew_buf_puts(&text, "epki-worker credentials v1\n");
    ew_buf_puts(&text, desk->account->url);
    ew_buf_putc(&text, '\n');
    ew_buf_puts(&text, desk->account->user);
    ew_buf_putc(&text, '\n');
    ew_buf_put(&text, password->data, password->len);
    ew_sha256(text.data, text.len, digest);
    ew_hex_encode(digest, 2, desk->credentials);
    ew_buf_deinit(&text);
}

enum ew_fault
ew_desk_new(struct ew_flow *flow, const struct ew_account *account, struct ew_desk **out,
            struct ew_err *err)
{
    struct ew_ca_options options = {.url = account->url,
                                    .ca_file = account->ca_file,
                                    .user = account->user,
                                    .connect_ms = account->connect_ms,
                                    .order_ms = account->order_ms,
                                    .query_ms = account->query_ms,
                                    .throttle_is_unsent = account->throttle_is_unsent,
                                    .hold_codes = account->hold_codes,
                                    .hold_code_count = account->hold_code_count};
    struct ew_desk *desk = calloc(1, sizeof(*desk));
    struct ew_buf password;
    enum ew_fault fault;

    if (desk == NULL)
        return ew_fail(err, EW_RETRY, "out-of-memory", "the account");
    desk->flow = flow;
    desk->account = account;
    desk->limit = account->orders_in_flight;
    desk->rate.per_minute = account->rate_per_minute;
    desk->rate.burst = account->burst;
    memcpy(desk->rate.share, account->share, sizeof(desk->rate.share));
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        ew_list_init(&desk->queue[c]);
        ew_timer_init(&desk->timer[c], flow->loop, timer_callbacks[c], desk);
    }
    ew_buf_init_secret(&password, EW_MAX_PASSWORD + 2);
    fault = ew_config_secret(account->password_file, EW_MAX_PASSWORD, &password, err);
    if (fault == EW_OK) {
        digest_credentials(desk, &password);
        fault = ew_ca_new(flow->loop, &options, &password, &desk->ca, err);
    }
    ew_buf_deinit(&password);
    if (fault != EW_OK) {
        free(desk);
        return fault;
    }
    *out = desk;
    return EW_OK;
}

void
ew_desk_free(struct ew_desk *desk)
{
    if (desk == NULL)
        return;
    for (int c = 0; c < EW_RATE_COUNT; c++)
        ew_timer_cancel(&desk->timer[c]);
    ew_ca_free(desk->ca);
    free(desk);
}

/*
 * An account's desk: slots by class with a minimum for each, tokens from the shared limiter, and an
 * in-flight limit that shrinks when GlobalSign struggles. How the account itself stands is told in
 * account.c.
 */
#include "desk.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "job.h"

enum {
    PAUSE_POLL_MS = 3000, /* how often a paused account is looked at again */
    CLOCK_POLL_MS = 3000, /* how often GlobalSign's time is asked for again */
    REDIS_POLL_MS = 500,
    MIN_SHARE = 10, /* percent of the slots that each class may always have */
};

static void pump(struct ew_desk *desk, enum ew_rate_class cls);

static bool
is_order(enum ew_rate_class cls)
{
    return cls >= EW_RATE_ENROLLMENT;
}

int
ew_desk_free_slots(const struct ew_desk *desk, enum ew_rate_class cls)
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

/* The rate holds nothing of a class of which nothing waits. */
static void
leave_queue(struct ew_desk *desk, struct ew_turn *turn)
{
    ew_link_remove(&turn->link);
    if (--desk->waiting[turn->cls] == 0)
        desk->saturated[turn->cls] = false;
}

static void
grant(struct ew_desk *desk, struct ew_turn *turn)
{
    leave_queue(desk, turn);
    desk->flying[turn->cls]++;
    turn->granted = true;
    turn->token_ms = ew_loop_now(desk->flow->loop);
    turn->go(turn);
}

void
ew_desk_tell_held(struct ew_desk *desk)
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

/* --- tokens --- */

/* What was asked for may have gone meanwhile: such a token goes back. */
static void
grant_all(struct ew_desk *desk, enum ew_rate_class cls, int count)
{
    for (; count > 0; count--) {
        struct ew_turn *turn = first_turn(desk, cls);

        if (turn != NULL && ew_desk_free_slots(desk, cls) > 0)
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
        desk->saturated[cls] = reply->result == EW_TOKEN_WAIT && desk->waiting[cls] > 0;
        if (reply->result == EW_TOKEN_GRANTED) {
            if (desk->paused)
                ew_desk_set_paused(desk, false, 0, "");
            grant_all(desk, cls, reply->count);
            pump(desk, cls);
            return;
        }
        if (reply->result == EW_TOKEN_PAUSED) {
            ew_desk_set_paused(desk, true, reply->code, reply->problem);
            wait = PAUSE_POLL_MS;
        } else if (reply->result == EW_TOKEN_PROBE) {
            ew_desk_probe(desk);
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
    int want = desk->waiting[cls], slots = ew_desk_free_slots(desk, cls);

    /* Another worker may have seen it accepted again: asked for even if nothing waits. Such a token
     * goes back. */
    if (want == 0 && desk->paused && cls == EW_RATE_QUERY)
        want = 1;
    if (slots < want)
        want = slots;
    if (desk->asking[cls] || want <= 0 || ew_timer_armed(&desk->timer[cls]))
        return;
    if (is_order(cls) && ew_flow_quit_early(desk->flow))
        return;
    if (is_order(cls) && !ew_desk_timed(desk)) {
        ew_timer_start(&desk->timer[cls], CLOCK_POLL_MS);
        return;
    }
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

void
ew_desk_wake(struct ew_desk *desk)
{
    for (int c = 0; c < EW_RATE_COUNT; c++) {
        ew_timer_cancel(&desk->timer[c]);
        pump(desk, (enum ew_rate_class)c);
    }
}

void
ew_desk_look_later(struct ew_desk *desk)
{
    for (int c = 0; c < EW_RATE_COUNT; c++)
        if (desk->waiting[c] > 0 && !ew_timer_armed(&desk->timer[c]))
            ew_timer_start(&desk->timer[c], PAUSE_POLL_MS);
}

void
ew_desk_watch_pause(struct ew_desk *desk)
{
    if (!desk->asking[EW_RATE_QUERY] && !ew_timer_armed(&desk->timer[EW_RATE_QUERY]))
        ew_timer_start(&desk->timer[EW_RATE_QUERY], PAUSE_POLL_MS);
}

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
    /* From a timer, so that go() never runs inside this call. Whether the account is paused is for
     * Redis to say: what is known here may be over. */
    if (!desk->asking[cls] && !ew_timer_armed(&desk->timer[cls]))
        ew_timer_start(&desk->timer[cls], 0);
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
        leave_queue(desk, turn);
    }
    for (int c = 0; c < EW_RATE_COUNT; c++)
        if (desk->waiting[c] > 0 && !desk->asking[c] && !ew_timer_armed(&desk->timer[c]))
            ew_timer_start(&desk->timer[c], 0);
}

/* --- the adaptive limit --- */

/* A moment's trouble fails many at once, and tells but one thing. */
static void
shrink(struct ew_desk *desk, int64_t now, int64_t sent)
{
    int less = desk->limit * 9 / 10;

    if (sent >= desk->least_boot) {
        desk->least = desk->limit > 1 ? desk->limit / 2 : 1;
        desk->least_boot = now;
    }
    desk->limit = less > desk->least ? less : desk->least;
    desk->grown = 0;
}

static void
grow(struct ew_desk *desk)
{
    int most = desk->account->orders_in_flight;
    int more = desk->limit + (desk->limit < 32 ? 1 : desk->limit / 16);

    desk->limit = more < most ? more : most;
    desk->grown = 0;
}

void
ew_desk_adapt(struct ew_desk *desk, int64_t now, int64_t took_ms, bool struggled)
{
    int flying = ew_desk_flying(desk);

    if (struggled)
        shrink(desk, now, now - took_ms);
    else if (flying * 2 >= desk->limit && ++desk->grown >= desk->limit)
        grow(desk);
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

enum ew_fault
ew_desk_new(struct ew_flow *flow, const struct ew_account *account, struct ew_desk **out,
            struct ew_err *err)
{
    struct ew_ca_options options = {.url = account->url,
                                    .ca_file = account->ca_file,
                                    .user = account->user,
                                    .connect_ms = account->connect_ms,
                                    .tcp_ms = flow->config->time.tcp_ms,
                                    .order_ms = account->order_ms,
                                    .query_ms = account->query_ms,
                                    .throttle_is_unsent = account->throttle_is_unsent,
                                    .hold_codes = account->hold_codes,
                                    .hold_code_count = account->hold_code_count};
    struct ew_desk *desk = ew_calloc(1, sizeof(*desk));
    struct ew_buf password;
    enum ew_fault fault;

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
    ew_desk_clock_init(desk);
    ew_buf_init_secret(&password, EW_MAX_PASSWORD + 2);
    fault = ew_config_secret(account->password_file, EW_MAX_PASSWORD, &password, err);
    if (fault == EW_OK) {
        ew_desk_credentials(desk, &password);
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
    ew_desk_clock_free(desk);
    ew_ca_free(desk->ca);
    free(desk);
}

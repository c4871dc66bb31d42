/*
 * The sweep of one profile: a lease, so that one worker does it for all, and the orders in parts,
 * by GlobalSign's own clock and behind everybody else's queries. Orders younger than the quiet
 * period are not looked at: their requests are at work.
 *
 * No promise rests on it, and it is harmless twice: whatever is in the way (Redis away or being
 * rebuilt, an account paused, the drain) ends a sweep, and the next one begins anew.
 */
#include "surplus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/memory.h"

enum {
    LOOK_MIN_MS = 500,
    LOOK_MAX_MS = 300 * 1000, /* so often the lease is asked for */
    LEASE_MS = 150 * 1000,    /* at work; prolonged before each call */
    YIELD_MS = 1000,          /* other queries wait: they go first */
};

static void look(struct ew_surplus *surplus);
static void ask(struct ew_surplus *surplus);
static void next_order(struct ew_surplus *surplus);

/* --- between the steps --- */

static void
on_timer(void *arg)
{
    struct ew_surplus *surplus = arg;

    surplus->then(surplus);
}

void
ew_surplus_after(struct ew_surplus *surplus, int64_t delay_ms,
                 void (*then)(struct ew_surplus *surplus))
{
    surplus->then = then;
    ew_timer_start(&surplus->timer, delay_ms);
}

static void
look_later(struct ew_surplus *surplus)
{
    int64_t pause = surplus->flow->config->time.surplus_interval_ms / 4;

    ew_surplus_after(surplus,
                     pause < LOOK_MIN_MS   ? LOOK_MIN_MS
                     : pause > LOOK_MAX_MS ? LOOK_MAX_MS
                                           : pause,
                     look);
}

static void
on_left(void *arg, enum ew_fault fault, bool mine)
{
    (void)arg, (void)fault, (void)mine;
}

static void
tell_counts(struct ew_surplus *surplus, bool whole, const char *cut_short)
{
    const size_t *counts = surplus->counts;

    for (int v = 0; v < EW_WHOSE_COUNT; v++)
        ew_metric_add(surplus->flow->metrics, EW_METRIC_SURPLUS_JUDGED, v, (int64_t)counts[v]);
    ew_metric_add(surplus->flow->metrics, EW_METRIC_SURPLUS_SWEEPS, whole ? 0 : 1, 1);
    EW_LOG(EW_LOG_INFO, "flow", "orders compared with answers",
           EW_STR("account", surplus->desk->account->name),
           EW_STR("profile", surplus->setting->setting->profile),
           EW_STR("result", whole ? "whole" : "partial"), EW_STR("why", cut_short),
           EW_INT("answered", counts[EW_WHOSE_ANSWERED]),
           EW_INT("in_flight", counts[EW_WHOSE_IN_FLIGHT]),
           EW_INT("surplus", counts[EW_WHOSE_SURPLUS]), EW_INT("foreign", counts[EW_WHOSE_FOREIGN]),
           EW_INT("nameless", counts[EW_WHOSE_NAMELESS]), EW_INT("ended", counts[EW_WHOSE_ENDED]));
}

/* The lease is kept until the next sweep is due, by whomever. */
void
ew_surplus_stop(struct ew_surplus *surplus, const char *cut_short)
{
    free(surplus->orders);
    surplus->orders = NULL;
    surplus->working = false;
    tell_counts(surplus, cut_short == NULL && !surplus->torn, cut_short);
    ew_store_lease(surplus->flow->store, surplus->lease, surplus->token,
                   surplus->flow->config->time.surplus_interval_ms, on_left, NULL);
    look_later(surplus);
}

static bool
may_work(const struct ew_surplus *surplus)
{
    return !surplus->flow->draining && ew_flow_can_order(surplus->flow) && !surplus->desk->paused;
}

static void
on_lease(void *arg, enum ew_fault fault, bool mine)
{
    struct ew_surplus *surplus = arg;

    if (surplus->flow->ended)
        return;
    if (fault == EW_OK && mine)
        surplus->then(surplus);
    else if (surplus->working)
        ew_surplus_stop(surplus, "the lease was lost");
    else
        look_later(surplus);
}

/* Goes on as long as nothing is in the way and the lease is ours. */
void
ew_surplus_step(struct ew_surplus *surplus, void (*then)(struct ew_surplus *surplus))
{
    if (!may_work(surplus)) {
        ew_surplus_stop(surplus, "something else comes first");
        return;
    }
    surplus->then = then;
    ew_store_lease(surplus->flow->store, surplus->lease, surplus->token, LEASE_MS, on_lease,
                   surplus);
}

void
ew_surplus_held(struct ew_turn *turn, int code, const char *problem)
{
    struct ew_surplus *surplus = EW_CONTAINER(turn, struct ew_surplus, turn);

    (void)code, (void)problem;
    ew_turn_end(turn, false);
    ew_surplus_stop(surplus, "the account is paused");
}

void
ew_surplus_next(struct ew_surplus *surplus, enum ew_whose whose)
{
    surplus->counts[whose]++;
    surplus->at++;
    next_order(surplus);
}

/* --- the orders, in parts --- */

static void
next_order(struct ew_surplus *surplus)
{
    for (; surplus->at < surplus->count; surplus->at++) {
        const struct ew_sight *order = &surplus->orders[surplus->at];

        if (order->has_key && !ew_order_ended(order->status)) {
            ew_surplus_look_at(surplus);
            return;
        }
        surplus->counts[ew_surplus_judge(order, NULL, NULL)]++;
    }
    free(surplus->orders);
    surplus->orders = NULL;
    if (surplus->more)
        ew_surplus_step(surplus, ask);
    else
        ew_surplus_stop(surplus, NULL);
}

static void
see(struct ew_sight *sight, const struct ew_ca_order *order)
{
    struct ew_cert_id id;
    struct ew_err err;

    sight->status = order->order_status;
    (void)snprintf(sight->order_id, sizeof(sight->order_id), "%s", order->order_id);
    if (order->certificate[0] == '\0' || strlen(order->order_id) > EW_MAX_ORDER_ID ||
        ew_cert_identify(order->certificate, strlen(order->certificate), &id, &err) != EW_OK)
        return;
    sight->has_key = true;
    memcpy(sight->key, id.spki_sha256, sizeof(sight->key));
    memcpy(sight->serial, id.serial, sizeof(sight->serial));
}

static void
keep(struct ew_surplus *surplus, const struct ew_ca_reply *reply)
{
    surplus->at = 0;
    surplus->count = reply->order_count;
    surplus->orders = ew_calloc(surplus->count + 1, sizeof(*surplus->orders));
    for (size_t i = 0; i < surplus->count; i++)
        see(&surplus->orders[i], &reply->orders[i]);
}

/* A part that is cut off is asked for in smaller ones; one that cannot be, is judged as it is. */
static void
on_orders(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_surplus *surplus = arg;
    int64_t now = ew_desk_ca_now(surplus->desk);

    surplus->call = NULL;
    ew_desk_learn(surplus->desk, reply, false);
    ew_turn_end(&surplus->turn, reply->cls == EW_CA_NOT_SENT);
    if (reply->cls != EW_CA_OK) {
        ew_surplus_stop(surplus, "GlobalSign does not list its orders");
        return;
    }
    surplus->more = ew_windows_next(&surplus->windows, reply->capped, now, 0);
    if (reply->capped && surplus->more) {
        ew_surplus_step(surplus, ask);
        return;
    }
    if (surplus->windows.torn) {
        surplus->torn = true;
        surplus->windows.torn = false;
        surplus->more = ew_windows_next(&surplus->windows, false, now, 0);
    }
    keep(surplus, reply);
    next_order(surplus);
}

static void
open_window(struct ew_surplus *surplus, int64_t now)
{
    const struct ew_config *config = surplus->flow->config;
    int64_t back = config->time.surplus_window_ms < config->time.horizon_ms
                       ? config->time.surplus_window_ms
                       : config->time.horizon_ms; /* older ones may be ours and forgotten */

    surplus->windows = (struct ew_windows){.from_ms = now - back,
                                           .to_ms = now - ew_config_quiet_ms(config),
                                           .end_ms = now - ew_config_quiet_ms(config)};
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_surplus *surplus = EW_CONTAINER(turn, struct ew_surplus, turn);
    struct ew_ca *ca = surplus->desk->ca;
    const char *profile = surplus->setting->setting->profile;

    if (surplus->windows.to_ms == 0)
        open_window(surplus, ew_desk_ca_now(surplus->desk));
    surplus->call = ew_ca_get_orders(ca, profile, NULL, surplus->windows.from_ms,
                                     surplus->windows.to_ms, on_orders, surplus);
}

static void
ask(struct ew_surplus *surplus)
{
    if (surplus->desk->waiting[EW_RATE_QUERY] > 0) {
        ew_surplus_after(surplus, YIELD_MS, ask);
        return;
    }
    if (ew_desk_ca_now(surplus->desk) == 0) {
        ew_surplus_stop(surplus, "GlobalSign does not say what time it is");
        return;
    }
    surplus->turn.go = on_go;
    surplus->turn.held = ew_surplus_held;
    ew_desk_ask(surplus->desk, &surplus->turn, EW_RATE_QUERY);
}

static void
begin(struct ew_surplus *surplus)
{
    surplus->working = true;
    surplus->torn = false;
    surplus->windows = (struct ew_windows){.torn = false};
    memset(surplus->counts, 0, sizeof(surplus->counts));
    ask(surplus);
}

static void
look(struct ew_surplus *surplus)
{
    uint8_t random[16];

    if (!may_work(surplus) || !ew_desk_timed(surplus->desk)) {
        look_later(surplus);
        return;
    }
    ew_random_bytes(random, sizeof(random));
    ew_hex_encode(random, sizeof(random), surplus->token);
    ew_surplus_step(surplus, begin);
}

/* --- birth and death --- */

static bool
shares_profile(const struct ew_setting *a, const struct ew_setting *b)
{
    return a->account == b->account && strcmp(a->profile, b->profile) == 0;
}

static void
watch(struct ew_flow *flow, struct ew_setting_run *setting)
{
    struct ew_surplus *surplus = ew_calloc(1, sizeof(*surplus));

    surplus->setting = setting;
    surplus->flow = flow;
    surplus->desk = setting->desk;
    (void)snprintf(surplus->lease, sizeof(surplus->lease), "surplus:%s:%s",
                   setting->setting->account->name, setting->setting->profile);
    ew_timer_init(&surplus->timer, flow->loop, on_timer, surplus);
    setting->surplus = surplus;
    look_later(surplus);
}

void
ew_surplus_watch(struct ew_flow *flow)
{
    if (flow->config->time.surplus_interval_ms == 0)
        return;
    for (size_t i = 0; i < flow->setting_count; i++) {
        size_t first = 0;

        while (!shares_profile(flow->settings[first].setting, flow->settings[i].setting))
            first++;
        if (first == i)
            watch(flow, &flow->settings[i]);
    }
}

void
ew_surplus_free(struct ew_surplus *surplus)
{
    if (surplus == NULL)
        return;
    ew_timer_cancel(&surplus->timer);
    ew_ca_call_cancel(surplus->call);
    surplus->call = NULL;
    ew_turn_end(&surplus->turn, false);
    free(surplus->orders);
    free(surplus);
}

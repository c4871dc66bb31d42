/*
 * GlobalSign's clock, which every reply tells. A worker that has just started has not heard it: one
 * query asks for it before the first order, so that nothing is judged by the clock of this machine,
 * and whoever looks for an order later knows when it was sent.
 */
#include "base/log.h"
#include "job.h"

int64_t
ew_desk_ca_now(const struct ew_desk *desk)
{
    if (desk->ca_date_ms == 0)
        return 0;
    return desk->ca_date_ms + (ew_loop_now(desk->flow->loop) - desk->ca_date_boot);
}

int64_t
ew_desk_now(const struct ew_desk *desk)
{
    int64_t now = ew_desk_ca_now(desk);

    return now == 0 && desk->clockless ? ew_wall_ms(desk->flow->options.clock) : now;
}

static bool
is_timed(const struct ew_desk *desk)
{
    return desk->ca_date_ms > 0 || desk->clockless;
}

static void
on_clock(void *arg, const struct ew_ca_reply *reply)
{
    struct ew_desk *desk = arg;

    desk->clock_call = NULL;
    ew_desk_learn(desk, reply, false);
    desk->clockless = ew_ca_spoke(reply->cls) && desk->ca_date_ms == 0;
    ew_turn_end(&desk->clock_turn, reply->cls == EW_CA_NOT_SENT);
    if (is_timed(desk))
        ew_desk_wake(desk);
    else
        EW_LOG(EW_LOG_WARN, "flow", "no order is sent before GlobalSign's time is known",
               EW_STR("account", desk->account->name), EW_STR("problem", reply->problem),
               EW_STR("detail", reply->message));
}

static void
on_go(struct ew_turn *turn)
{
    struct ew_desk *desk = turn->desk;

    if (is_timed(desk)) /* another reply told it meanwhile */
        ew_turn_end(turn, true);
    else
        desk->clock_call = ew_ca_get_profiles(desk->ca, ew_desk_profile(desk), on_clock, desk);
}

/* Those who wait for the answer are told themselves. */
static void
on_held(struct ew_turn *turn, int code, const char *problem)
{
    (void)turn, (void)code, (void)problem;
}

void
ew_desk_clock_init(struct ew_desk *desk)
{
    desk->clock_turn = (struct ew_turn){.go = on_go, .held = on_held};
}

void
ew_desk_clock_free(struct ew_desk *desk)
{
    ew_ca_call_cancel(desk->clock_call);
    ew_link_remove(&desk->clock_turn.link);
}

bool
ew_desk_timed(struct ew_desk *desk)
{
    if (is_timed(desk))
        return true;
    if (desk->clock_turn.desk == NULL)
        ew_desk_ask(desk, &desk->clock_turn, EW_RATE_QUERY);
    return false;
}

/*
 * Cancel and Revoke: which states allow them, what they do to the licence; orders that nobody
 * picks up; orders of the portal.
 */
#include "member.h"
#include "sim.h"

#include <string.h>

enum { ALREADY_CANCELLED = -9915, ALREADY_CHANGED = -9938 };

#define DAY_MS ((int64_t)86400000)

void
sim_orders_expire(struct sim *sim)
{
    struct sim_moment now = sim_moment_now(sim);
    for (size_t i = 0; sim->orders.picked_up && i < sim->orders.count; i++) {
        struct sim_order *order = sim->orders.list[i];
        if (order->pickup && !order->cancelled.real &&
            now.shown - order->requested.shown >= sim->settings.pickup_days * DAY_MS) {
            struct sim_licence *pack = sim_licence_find(&sim->profiles, order->licence);
            order->cancelled = now;
            order->pickup = false;
            order->licence_returned = pack != NULL;
            if (pack) {
                pack->used--;
            }
            sim_order_save(&sim->orders, order);
        }
    }
}

static void
sim_cancel_check(struct sim_call *call, int status)
{
    const struct sim_settings *settings = &call->sim->settings;
    int64_t age = sim_now_ms(settings) - call->order->issued.shown;
    if (status == SIM_STATUS_CANCELLED || status == SIM_STATUS_CANCELLED_ISSUED) {
        sim_errors_add(&call->errors, ALREADY_CANCELLED, "OrderID");
    } else if (status == SIM_STATUS_REVOKING || status == SIM_STATUS_REVOKED) {
        sim_errors_add(&call->errors, ALREADY_CHANGED, "OrderID");
    } else if (status == SIM_STATUS_ISSUED && age > settings->cancel_window_days * DAY_MS) {
        sim_errors_add(&call->errors, (int)settings->cancel_late_code, "OrderID");
    }
}

static void
sim_revoke_check(struct sim_call *call, int status)
{
    if (status == SIM_STATUS_CANCELLED || status == SIM_STATUS_CANCELLED_ISSUED) {
        sim_errors_add(&call->errors, ALREADY_CANCELLED, "OrderID");
    } else if (status == SIM_STATUS_REVOKING || status == SIM_STATUS_REVOKED) {
        sim_errors_add(&call->errors, ALREADY_CHANGED, "OrderID");
    } else if (status != SIM_STATUS_ISSUED) {
        sim_errors_add(&call->errors, (int)call->sim->settings.revoke_early_code, "OrderID");
    }
}

void
sim_change_check(struct sim_call *call)
{
    sim_orders_expire(call->sim);
    const char *id = sim_soap_get(&call->soap, "OrderID");
    call->order = sim_order_find(&call->sim->orders, id);
    if (!call->order) {
        sim_errors_add(&call->errors, (int)call->sim->settings.unknown_order_code, "OrderID");
        return;
    }
    int status = sim_order_status(call->order, sim_real_ms());
    if (call->op == SIM_OP_CANCEL) {
        sim_cancel_check(call, status);
    } else {
        sim_revoke_check(call, status);
    }
}

void
sim_change_commit(struct sim_call *call)
{
    struct sim *sim = call->sim;
    struct sim_order *order = call->order;
    struct sim_moment now = sim_moment_now(sim);
    struct sim_licence *pack = sim_licence_find(&sim->profiles, order->licence);
    if (call->op == SIM_OP_CANCEL) {
        order->cancelled = now;
        order->pickup = false;
        if (pack && !order->licence_returned) {
            order->licence_returned = true;
            pack->used--;
        }
    } else {
        order->revoke_requested = now;
        order->revoked = sim_moment_after(now, sim->settings.revoke_delay_ms);
    }
    sim_order_save(&sim->orders, order);
    call->recorded = true;
}

void
sim_change_answer(struct sim_call *call, struct sim_buf *out)
{
    struct sim_answer answer;
    struct sim_errors notes;
    int success = sim_call_success(call, &notes);
    sim_answer_open(&answer, out, &call->sim->settings, call->op, success, &notes);
    sim_answer_text(&answer, sim_op_info(call->op)->id,
                    call->errors.count ? NULL : call->order->id);
    sim_answer_close(&answer);
}

static const char *
sim_spec_text(const json_t *spec, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(spec, name));
    return text && *text ? text : otherwise;
}

struct sim_order *
sim_order_portal(struct sim *sim, const json_t *spec, const char **problem)
{
    static const struct sim_member members[] = {
        {"cn", SIM_MEMBER_TEXT, 1, 64},      {"email", SIM_MEMBER_TEXT, 0, 255},
        {"profile", SIM_MEMBER_TEXT, 1, 31}, {"product", SIM_MEMBER_TEXT, 1, 31},
        {"issued", SIM_MEMBER_FLAG, 0, 0},
    };
    if (!sim_members_check(spec, members, sizeof(members) / sizeof(members[0]), problem)) {
        return NULL;
    }
    const char *cn = sim_spec_text(spec, "cn", NULL);
    const char *profile = sim_spec_text(spec, "profile", "MP202601150001");
    struct sim_moment now = sim_moment_now(sim);
    *problem = "cn and a known profile are expected";
    if (!cn || !sim_profile_find(&sim->profiles, profile)) {
        return NULL;
    }
    struct sim_order *order = sim_order_new(&sim->orders, now.shown);
    bool expired = false;
    struct sim_licence *pack = sim_licence_pick(&sim->profiles, now.shown, &expired);
    order->requested = order->recorded = now;
    order->years = 1;
    order->cn = sim_copy(cn);
    order->email = sim_copy(sim_spec_text(spec, "email", NULL));
    sim_put(order->profile, sizeof(order->profile), profile);
    sim_put(order->product, sizeof(order->product),
            sim_spec_text(spec, "product", "EPKIPSPersonal"));
    if (json_is_false(json_object_get(spec, "issued"))) {
        order->pickup = true;
    } else if (!sim_order_pickup(sim, order, now)) {
        *problem = "no certificate can be made of this";
        sim_order_free(order);
        return NULL;
    }
    if (pack) {
        pack->used++;
        sim_put(order->licence, sizeof(order->licence), pack->id);
    }
    sim_order_save(&sim->orders, order);
    struct sim_entry entry = {.operation = "Portal",
                              .profile = order->profile,
                              .cn = order->cn,
                              .email = order->email,
                              .order_id = order->id,
                              .spki_sha256 = order->spki,
                              .result = "ok",
                              .recorded = true};
    sim_journal_write(&sim->journal, &entry);
    return order;
}

/*
 * What the control port tells of the simulator's state, and the CRL.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

/* The value of name in "a=b&c=d", percent-decoded; NULL: not there. */
static const char *
sim_query_value(const char *query, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    while (*query) {
        size_t part = strcspn(query, "&");
        if (part > len && strncmp(query, name, len) == 0 && query[len] == '=') {
            size_t used = 0;
            for (size_t i = len + 1; i < part && used + 1 < size; i++) {
                char hex[3] = {query[i], 0, 0};
                if (query[i] == '%' && i + 2 < part) {
                    hex[0] = query[i + 1];
                    hex[1] = query[i + 2];
                    out[used++] = (char)strtol(hex, NULL, 16);
                    i += 2;
                } else {
                    out[used++] = query[i] == '+' ? ' ' : query[i];
                }
            }
            out[used] = 0;
            return out;
        }
        query += part + (query[part] == '&');
    }
    return NULL;
}

static json_t *
sim_state_counters(const struct sim *sim)
{
    json_t *object = json_object();
    for (enum sim_op op = SIM_OP_NONE; op < SIM_OPS; op++) {
        const struct sim_counters *counters = &sim->counters;
        json_object_set_new(object, sim_op_info(op)->name,
                            json_pack("{s:I,s:I,s:I,s:I}", "calls", (json_int_t)counters->calls[op],
                                      "errors", (json_int_t)counters->errors[op], "faults",
                                      (json_int_t)counters->faults[op], "recorded",
                                      (json_int_t)counters->recorded[op]));
    }
    return object;
}

/* Filters: cn, profile, id; orders=0 leaves the list out. */
static json_t *
sim_state_orders(const struct sim *sim, const char *query)
{
    char cn[256];
    char profile[64];
    char none[8];
    int64_t now = sim_real_ms();
    json_t *list = json_array();
    bool by_cn = sim_query_value(query, "cn", cn, sizeof(cn)) != NULL;
    bool by_profile = sim_query_value(query, "profile", profile, sizeof(profile)) != NULL;
    bool wanted = !sim_query_value(query, "orders", none, sizeof(none)) || strcmp(none, "0") != 0;
    for (size_t i = 0; wanted && i < sim->orders.count; i++) {
        const struct sim_order *order = sim->orders.list[i];
        if ((!by_cn || strcmp(order->cn, cn) == 0) &&
            (!by_profile || strcmp(order->profile, profile) == 0)) {
            json_array_append_new(list, sim_order_json(order, now, false));
        }
    }
    return list;
}

json_t *
sim_state_json(struct sim *sim, const char *query)
{
    json_t *profiles = json_array();
    sim_orders_expire(sim);
    for (size_t i = 0; i < sim->profiles.count; i++) {
        json_array_append_new(profiles, sim_profile_json(&sim->profiles.list[i]));
    }
    int held = 0;
    for (const struct sim_call *call = sim->calls; call; call = call->next) {
        held += call->held;
    }
    return json_pack(
        "{s:o,s:I,s:o,s:o,s:o,s:I,s:I,s:i,s:b,s:{s:I,s:I,s:I}}", "orders",
        sim_state_orders(sim, query), "order_count", (json_int_t)sim->orders.count, "licences",
        sim_licences_json(&sim->profiles, sim_now_ms(&sim->settings)), "profiles", profiles,
        "counters", sim_state_counters(sim), "in_flight", (json_int_t)sim->counters.in_flight,
        "in_flight_max", (json_int_t)sim->counters.in_flight_max, "held", held, "locked",
        (int)sim->settings.locked, "connections", "accepted", (json_int_t)sim->api.accepted,
        "handshakes", (json_int_t)sim->api.handshakes, "resumed", (json_int_t)sim->api.resumed);
}

void
sim_crl_write(struct sim *sim, struct sim_buf *out)
{
    struct sim_moment now = sim_moment_now(sim);
    X509_CRL *crl = sim_crl_begin(&sim->ca, now.shown, now.real);
    bool ok = crl != NULL;
    for (size_t i = 0; ok && i < sim->orders.count; i++) {
        const struct sim_order *order = sim->orders.list[i];
        int status = sim_order_status(order, now.real);
        if (order->cert.der && status == SIM_STATUS_REVOKED) {
            ok = sim_crl_add(crl, &order->cert, order->revoked.shown);
        } else if (order->cert.der && status == SIM_STATUS_CANCELLED_ISSUED) {
            ok = sim_crl_add(crl, &order->cert, order->cancelled.shown);
        }
    }
    if (!ok || !sim_crl_end(&sim->ca, crl, out)) {
        abort();
    }
    X509_CRL_free(crl);
}

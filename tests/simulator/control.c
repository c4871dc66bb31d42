/*
 * The control port: plain HTTP and JSON on loopback, for tests and people. Everything that a
 * request may do is in the table of routes.
 */
#include "member.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
sim_control_send(struct sim_conn *conn, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    struct sim_buf out;
    sim_buf_init(&out, SIZE_MAX / 4);
    sim_buf_printf(&out, "%s\n", text);
    sim_conn_reply(conn, status, "application/json", "", out.data, out.len);
    sim_buf_deinit(&out);
    free(text);
}

static void
sim_control_refuse(struct sim_conn *conn, int status, const char *what, const char *problem)
{
    sim_control_send(conn, status, json_pack("{s:s,s:s}", "error", problem, "what", what));
}

struct sim_route_call {
    struct sim *sim;
    struct sim_conn *conn;
    const struct sim_http_request *http;
    const char *rest; /* of the path, behind the route's */
    json_t *body;     /* NULL when there is none */
};

static void
sim_get_health(struct sim_route_call *call)
{
    sim_control_send(call->conn, 200, json_pack("{s:s}", "status", "ok"));
}

static void
sim_get_state(struct sim_route_call *call)
{
    sim_control_send(call->conn, 200, sim_state_json(call->sim, call->http->query));
}

static void
sim_get_settings(struct sim_route_call *call)
{
    sim_control_send(call->conn, 200, sim_settings_json(&call->sim->settings));
}

/* Switches that act at once: the rest of the first pack. */
static void
sim_settings_applied(struct sim *sim)
{
    struct sim_profiles *profiles = &sim->profiles;
    if (sim->settings.licences >= 0 && profiles->licence_count) {
        profiles->licences[0].total = profiles->licences[0].used + sim->settings.licences;
        sim_profiles_save(profiles);
    }
    sim->settings.licences = -1;
}

static void
sim_post_settings(struct sim_route_call *call)
{
    const char *name;
    json_t *value;
    const char *problem = "an object of settings is expected";
    struct sim_settings next = call->sim->settings;
    if (!json_is_object(call->body)) {
        sim_control_refuse(call->conn, 400, "", problem);
        return;
    }
    json_object_foreach(call->body, name, value)
    {
        if (!sim_settings_set_json(&next, name, value, &problem)) {
            sim_control_refuse(call->conn, 400, name, problem);
            return;
        }
    }
    call->sim->settings = next;
    sim_settings_applied(call->sim);
    sim_get_settings(call);
}

static void
sim_get_faults(struct sim_route_call *call)
{
    sim_control_send(call->conn, 200,
                     json_pack("{s:o}", "faults", sim_faults_json(&call->sim->faults)));
}

static void
sim_faults_undo(struct sim_faults *faults, const json_t *ids)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        sim_faults_remove(faults, (long)json_integer_value(json_array_get(ids, i)));
    }
}

/* One, or a list: a script, taken whole or not at all. The ids come back in the same shape. */
static void
sim_post_faults(struct sim_route_call *call)
{
    struct sim_faults *faults = &call->sim->faults;
    const char *problem = "";
    json_t *ids = json_array();
    size_t count = json_is_array(call->body) ? json_array_size(call->body) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *spec = json_is_array(call->body) ? json_array_get(call->body, i) : call->body;
        long id = sim_faults_add(faults, spec, &problem);
        if (!id) {
            char which[24];
            (void)snprintf(which, sizeof(which), "%zu", i);
            sim_control_refuse(call->conn, 400, which, problem);
            sim_faults_undo(faults, ids);
            json_decref(ids);
            return;
        }
        json_array_append_new(ids, json_integer(id));
    }
    if (json_is_array(call->body)) {
        sim_control_send(call->conn, 200, json_pack("{s:o}", "ids", ids));
        return;
    }
    sim_control_send(call->conn, 200, json_pack("{s:O}", "id", json_array_get(ids, 0)));
    json_decref(ids);
}

static void
sim_delete_faults(struct sim_route_call *call)
{
    if (!*call->rest) {
        sim_faults_clear(&call->sim->faults);
    } else if (!sim_faults_remove(&call->sim->faults, strtol(call->rest + 1, NULL, 10))) {
        sim_control_refuse(call->conn, 404, call->rest + 1, "no such fault");
        return;
    }
    sim_get_faults(call);
}

static void
sim_post_release(struct sim_route_call *call)
{
    int released = sim_calls_release(call->sim);
    int handshakes = sim_server_release(&call->sim->api);
    sim_control_send(call->conn, 200,
                     json_pack("{s:i,s:i}", "replies", released, "handshakes", handshakes));
}

static void
sim_post_reset(struct sim_route_call *call)
{
    struct sim *sim = call->sim;
    sim_calls_release(sim);
    sim_server_release(&sim->api);
    sim_faults_clear(&sim->faults);
    sim->settings = sim->initial;
    sim->failed_logins = 0;
    sim->rate_count = 0;
    sim_get_settings(call);
}

/* The user picks a certificate up. */
static bool
sim_post_pickup(struct sim *sim, struct sim_order *order)
{
    if (!order->pickup || !sim_order_pickup(sim, order, sim_moment_now(sim))) {
        return false;
    }
    order->pickup = false;
    return true;
}

/* {"status": N}: shown from now on whatever the truth is; 0 puts an end to it. */
static bool
sim_post_status(struct sim_order *order, const json_t *body, const char **problem)
{
    static const struct sim_member members[] = {{"status", SIM_MEMBER_WHOLE, 0, 99}};
    if (!sim_members_check(body, members, 1, problem)) {
        return false;
    }
    order->shown_status = (int)json_integer_value(json_object_get(body, "status"));
    return true;
}

/* POST /orders places a portal order; /orders/ID/pickup and /orders/ID/status change one. */
static void
sim_post_orders(struct sim_route_call *call)
{
    struct sim *sim = call->sim;
    const char *problem = "no such order";
    char id[32];
    bool ok = false;
    if (!*call->rest) {
        struct sim_order *order = sim_order_portal(sim, call->body, &problem);
        if (order) {
            sim_control_send(call->conn, 200, sim_order_json(order, sim_real_ms(), true));
        } else {
            sim_control_refuse(call->conn, 400, "", problem);
        }
        return;
    }
    size_t len = strcspn(call->rest + 1, "/");
    const char *what = call->rest + 1 + len;
    sim_put(id, len < sizeof(id) ? len + 1 : sizeof(id), call->rest + 1);
    struct sim_order *order = sim_order_find(&sim->orders, id);
    if (order && strcmp(what, "/pickup") == 0) {
        problem = "it waits for no pick-up";
        ok = sim_post_pickup(sim, order);
    } else if (order && strcmp(what, "/status") == 0) {
        ok = sim_post_status(order, call->body, &problem);
    } else if (order) {
        problem = "no such route";
    }
    if (!ok) {
        sim_control_refuse(call->conn, order && call->body ? 400 : 404, call->rest, problem);
        return;
    }
    sim_order_save(&sim->orders, order);
    sim_control_send(call->conn, 200, sim_order_json(order, sim_real_ms(), true));
}

static void
sim_get_order(struct sim_route_call *call)
{
    const struct sim_order *order =
        *call->rest ? sim_order_find(&call->sim->orders, call->rest + 1) : NULL;
    if (!order) {
        sim_control_refuse(call->conn, 404, call->rest, "no such order");
        return;
    }
    sim_control_send(call->conn, 200, sim_order_json(order, sim_real_ms(), true));
}

static void
sim_post_profile(struct sim_route_call *call)
{
    struct sim *sim = call->sim;
    const char *id = *call->rest ? call->rest + 1 : "";
    const char *problem = "";
    if (!sim_profile_change(&sim->profiles, id, call->body, sim_now_ms(&sim->settings), &problem)) {
        sim_control_refuse(call->conn, 400, id, problem);
        return;
    }
    sim_profiles_save(&sim->profiles);
    sim_control_send(call->conn, 200, sim_profile_json(sim_profile_find(&sim->profiles, id)));
}

static void
sim_post_licences(struct sim_route_call *call)
{
    struct sim *sim = call->sim;
    const char *problem = "";
    if (!sim_licence_change(&sim->profiles, call->body, &problem)) {
        sim_control_refuse(call->conn, 400, "", problem);
        return;
    }
    sim_profiles_save(&sim->profiles);
    sim_control_send(call->conn, 200,
                     json_pack("{s:o}", "licences",
                               sim_licences_json(&sim->profiles, sim_now_ms(&sim->settings))));
}

static void
sim_get_crl(struct sim_route_call *call)
{
    struct sim_buf crl;
    sim_buf_init(&crl, (size_t)1 << 26);
    sim_crl_write(call->sim, &crl);
    sim_conn_reply(call->conn, 200, "application/pkix-crl", "", crl.data, crl.len);
    sim_buf_deinit(&crl);
}

static void
sim_get_issuer(struct sim_route_call *call)
{
    unsigned char *der = NULL;
    int len = i2d_X509(call->sim->ca.issuing, &der);
    sim_conn_reply(call->conn, 200, "application/pkix-cert", "", der, len > 0 ? (size_t)len : 0);
    OPENSSL_free(der);
}

static const struct sim_route {
    const char *method, *path;
    bool deeper; /* the path may go on with /... */
    void (*run)(struct sim_route_call *call);
    const char *help;
} routes[] = {
    {"GET", "/health", false, sim_get_health, "it runs"},
    {"GET", "/state", false, sim_get_state,
     "[?cn=&profile=&orders=0] orders, licences, profiles, counters, in_flight, held, locked"},
    {"GET", "/settings", false, sim_get_settings, "all switches"},
    {"POST", "/settings", false, sim_post_settings,
     "{\"order_max_ms\": 100, \"validation\": false}"},
    {"GET", "/faults", false, sim_get_faults, "those set, with hits"},
    {"POST", "/faults", false, sim_post_faults,
     "{\"fault\": \"reset\", \"operation\": \"Revoke\", \"count\": 1}, or a list of such"},
    {"DELETE", "/faults", true, sim_delete_faults, "all, or /faults/ID"},
    {"POST", "/release", false, sim_post_release, "lets held answers and handshakes go"},
    {"POST", "/reset", false, sim_post_reset, "release, no faults, the switches of the start"},
    {"POST", "/orders", true, sim_post_orders,
     "{\"cn\": ..., \"email\", \"profile\", \"product\", \"issued\"}: an order of the portal; "
     "/orders/ID/pickup; /orders/ID/status {\"status\": 8}"},
    {"GET", "/orders", true, sim_get_order, "/orders/ID with its certificate"},
    {"POST", "/profiles", true, sim_post_profile,
     "/profiles/ID {\"state\": \"suspended\", \"domains\": [...], \"addresses\": [...], ...}"},
    {"POST", "/licences", false, sim_post_licences,
     "{\"id\": ..., \"total\" or \"remaining\", \"not_after_ms\"}"},
    {"GET", "/crl", false, sim_get_crl, "DER"},
    {"GET", "/issuing-ca", false, sim_get_issuer, "DER"},
};

void
sim_control_help(void)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        printf("  %-6s %-12s %s\n", routes[i].method, routes[i].path, routes[i].help);
    }
}

static const struct sim_route *
sim_route_find(const struct sim_http_request *http, const char **rest, bool *known)
{
    *known = false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        size_t len = strlen(routes[i].path);
        if (strncmp(http->path, routes[i].path, len) != 0 ||
            (http->path[len] && !(routes[i].deeper && http->path[len] == '/'))) {
            continue;
        }
        *known = true;
        *rest = http->path + len;
        if (strcmp(routes[i].method, http->method) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

void
sim_control_request(void *context, struct sim_conn *conn, struct sim_http_request *http)
{
    struct sim_route_call call = {.sim = context, .conn = conn, .http = http};
    bool known = false;
    const struct sim_route *route = sim_route_find(http, &call.rest, &known);
    char path[sizeof(http->path)]; /* the answer ends the life of the request */
    memcpy(path, http->path, sizeof(path));
    if (!route) {
        sim_control_refuse(conn, known ? 405 : 404, http->path, "no such route");
        return;
    }
    json_error_t error;
    if (http->body.len) {
        call.body = json_loadb(http->body.data, http->body.len, JSON_REJECT_DUPLICATES, &error);
        if (!call.body) {
            sim_control_refuse(conn, 400, error.text, "the body is no JSON object or list");
            return;
        }
    }
    route->run(&call);
    if (strcmp(route->method, "GET") != 0) {
        sim_changes_write(call.sim, route->method, path);
    }
    json_decref(call.body);
}

/*
 * The API's door: WSDL, outages and limits, reading the call, choosing its fault.
 */
#include "sim.h"

#include <string.h>

#define API_PATH "/cr/ws/GasOrderService"
#define ADDRESS "https://system.globalsign.com" API_PATH

struct sim_moment
sim_moment_now(const struct sim *sim)
{
    return (struct sim_moment){sim_real_ms(), sim_now_ms(&sim->settings)};
}

struct sim_moment
sim_moment_after(struct sim_moment moment, int64_t ms)
{
    return (struct sim_moment){moment.real + ms, moment.shown + ms};
}

/* The WSDL with this server's own address in it. */
static void
sim_api_wsdl(struct sim *sim, struct sim_conn *conn)
{
    struct sim_buf body;
    const char *text = (const char *)sim_wsdl;
    const char *at =
        memmem(text, sim_wsdl_len, "location=\"" ADDRESS, sizeof("location=\"" ADDRESS) - 1);
    size_t before = at ? (size_t)(at - text) + sizeof("location=\"") - 1 : sim_wsdl_len;
    size_t after = at ? before + sizeof(ADDRESS) - 1 : sim_wsdl_len;
    sim_buf_init(&body, 1 << 20);
    sim_buf_add(&body, text, before);
    if (at) {
        sim_buf_printf(&body, "https://localhost:%d" API_PATH, sim->api.port);
    }
    sim_buf_add(&body, text + after, sim_wsdl_len - after);
    sim_conn_reply(conn, 200, "text/xml;charset=UTF-8", "", body.data, body.len);
    sim_buf_deinit(&body);
}

static void
sim_api_fault(struct sim_conn *conn, const char *code, const char *text)
{
    struct sim_buf body;
    sim_buf_init(&body, 8192);
    sim_fault_write(&body, code, text);
    sim_conn_reply(conn, 500, "text/xml;charset=UTF-8", "", body.data, body.len);
    sim_buf_deinit(&body);
}

/* Refused before it was read. The journal has it all the same. */
static void
sim_api_turn_away(struct sim *sim, struct sim_conn *conn, const char *why, int status,
                  int64_t retry_after_s)
{
    struct sim_entry entry = {.operation = "unknown", .result = "fault", .fault = why};
    sim->counters.faults[SIM_OP_NONE]++;
    sim_journal_write(&sim->journal, &entry);
    sim_conn_page(conn, status, retry_after_s);
}

static bool
sim_api_over_rate(struct sim *sim)
{
    int64_t second = sim_real_ms() / 1000;
    if (second != sim->rate_second) {
        sim->rate_second = second;
        sim->rate_count = 0;
    }
    return ++sim->rate_count > sim->settings.rate_limit && sim->settings.rate_limit > 0;
}

static bool
sim_api_over_parallel(const struct sim_call *call)
{
    int64_t limit = call->sim->settings.parallel_limit;
    return limit > 0 && sim_op_info(call->op)->kind == SIM_KIND_ORDER &&
           call->sim->counters.in_flight >= (uint64_t)limit;
}

/* The profile that the call is about, for faults and address ranges. */
static void
sim_api_profile(struct sim_call *call)
{
    static const char *const ids[] = {"OrderID", "OrderNo", "TargetOrderID"};
    const char *path = sim_op_info(call->op)->profile;
    const char *profile = path ? sim_soap_get(&call->soap, path) : NULL;
    for (size_t i = 0; !path && i < 3; i++) {
        const char *id = sim_soap_get(&call->soap, ids[i]);
        const struct sim_order *order = id ? sim_order_find(&call->sim->orders, id) : NULL;
        profile = order ? order->profile : profile;
    }
    sim_put(call->profile_id, sizeof(call->profile_id), profile);
}

static struct sim_call *
sim_call_new(struct sim *sim, struct sim_conn *conn)
{
    struct sim_call *call = sim_alloc(sizeof(*call));
    call->sim = sim;
    call->conn = conn;
    call->fault = (struct sim_fault){.delay_ms = -1, .retry_after_s = -1};
    uv_timer_init(&sim->loop, &call->timer);
    call->timer.data = call;
    sim_buf_init(&call->p12, 1 << 20);
    call->next = sim->calls;
    if (call->next) {
        call->next->prev = call;
    }
    sim->calls = call;
    sim_conn_set_user(conn, call);
    sim_conn_peer(conn, call->peer);
    return call;
}

static void
sim_api_call(struct sim *sim, struct sim_conn *conn, const struct sim_http_request *http)
{
    struct sim_call *call = sim_call_new(sim, conn);
    bool read = sim_soap_read(&call->soap, sim->schema, &sim->settings, http);
    call->op = call->soap.op;
    sim->counters.calls[call->op]++;
    if (!read) {
        sim->counters.faults[call->op]++;
        sim_call_journal(call, "fault", 0);
        sim_api_fault(conn, call->soap.fault_code, call->soap.fault_text);
        sim_call_free(call);
        return;
    }
    bool query = call->op == SIM_OP_GET_ORDERS;
    call->cn =
        sim_soap_get(&call->soap, query ? "OrderQueryParam.CommonName" : "DnAttributes.CommonName");
    call->email = sim_soap_get(&call->soap, "DnAttributes.Email");
    sim_api_profile(call);
    if (sim_api_over_parallel(call)) {
        call->fault.name = "parallel_limit";
        sim->counters.faults[call->op]++;
        sim_call_journal(call, "fault", 0);
        sim_conn_page(conn, 503, 1);
        sim_call_free(call);
        return;
    }
    call->fault = sim_faults_pick(&sim->faults, false, sim_op_info(call->op)->name, call->cn,
                                  call->profile_id);
    sim_call_begin(call);
}

void
sim_api_request(void *context, struct sim_conn *conn, struct sim_http_request *http)
{
    struct sim *sim = context;
    bool get = strcmp(http->method, "GET") == 0;
    if (get && strcmp(http->path, "/crl") == 0) {
        struct sim_buf crl;
        sim_buf_init(&crl, (size_t)1 << 26);
        sim_crl_write(sim, &crl);
        sim_conn_reply(conn, 200, "application/pkix-crl", "", crl.data, crl.len);
        sim_buf_deinit(&crl);
    } else if (strcmp(http->path, API_PATH) != 0) {
        sim_conn_page(conn, 404, -1);
    } else if (sim->settings.outage) {
        sim_api_turn_away(sim, conn, "outage", 503, -1);
    } else if (get && strcasecmp(http->query, "wsdl") == 0) {
        sim_api_wsdl(sim, conn);
    } else if (get) {
        sim_api_fault(conn, "soap:Server", "No such operation (HTTP GET).");
    } else if (strcmp(http->method, "POST") != 0) {
        sim_conn_page(conn, 405, -1);
    } else if (sim_api_over_rate(sim)) {
        sim_api_turn_away(sim, conn, "rate_limit", 429, 1);
    } else {
        sim_api_call(sim, conn, http);
    }
}

void
sim_api_closed(void *context, void *user)
{
    (void)context;
    struct sim_call *call = user;
    call->conn = NULL;
    if (call->held) {
        sim_call_free(call); /* nobody is left to answer; the order stays */
    }
}

enum sim_welcome
sim_api_welcome(void *context, int64_t *delay_ms)
{
    struct sim *sim = context;
    struct sim_fault fault = sim_faults_pick(&sim->faults, true, "", NULL, NULL);
    *delay_ms = fault.delay_ms;
    switch (fault.kind) {
    case SIM_FAULT_TLS_STALL:
        return SIM_WELCOME_STALL;
    case SIM_FAULT_CONNECTION_DROP:
        return SIM_WELCOME_DROP;
    default:
        return SIM_WELCOME_GO_ON;
    }
}

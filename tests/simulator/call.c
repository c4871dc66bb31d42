/*
 * The life of a call: decide, record, wait as long as the CA would, answer. Recording happens at
 * the start of the order time or at its end; faults strike in between.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static void
sim_call_freed(uv_handle_t *handle)
{
    struct sim_call *call = handle->data;
    free(call);
}

static void
sim_call_landed(struct sim_call *call)
{
    if (call->in_flight) {
        call->in_flight = false;
        call->sim->counters.in_flight--;
    }
}

void
sim_call_free(struct sim_call *call)
{
    sim_call_landed(call);
    if (call->next) {
        call->next->prev = call->prev;
    }
    if (call->prev) {
        call->prev->next = call->next;
    } else {
        call->sim->calls = call->next;
    }
    if (call->conn) {
        sim_conn_forget(call->conn, call);
    }
    sim_soap_free(&call->soap);
    EVP_PKEY_free(call->key);
    sim_buf_deinit(&call->p12);
    sim_buf_deinit(&call->answer);
    uv_close((uv_handle_t *)&call->timer, sim_call_freed);
}

static void
sim_call_tick(uv_timer_t *timer)
{
    struct sim_call *call = timer->data;
    call->then(call);
}

static void
sim_call_wait(struct sim_call *call, int64_t ms, void (*then)(struct sim_call *))
{
    call->then = then;
    uv_update_time(&call->sim->loop); /* making a key takes longer than a tick */
    uv_timer_start(&call->timer, sim_call_tick, ms > 0 ? (uint64_t)ms : 0, 0);
}

static int64_t
sim_order_time(const struct sim_settings *settings)
{
    int64_t span = settings->order_max_ms - settings->order_min_ms;
    uint64_t draw = 0;
    if (span <= 0) {
        return settings->order_min_ms;
    }
    sim_random(&draw, sizeof(draw));
    return settings->order_min_ms + (int64_t)(draw % (uint64_t)(span + 1));
}

static int64_t
sim_call_slow(const struct sim_call *call)
{
    enum { SLOW_MS = 10000 };
    int64_t delay = call->fault.delay_ms >= 0 ? call->fault.delay_ms : SLOW_MS;
    return call->fault.kind == SIM_FAULT_SLOW ? delay : 0;
}

static void
sim_call_check(struct sim_call *call)
{
    memset(&call->errors, 0, sizeof(call->errors));
    sim_account_check(call);
    if (!call->errors.count) {
        sim_rules_check(call);
    }
    if (call->errors.count) {
        return;
    }
    switch (sim_op_info(call->op)->kind) {
    case SIM_KIND_ORDER:
        sim_order_check(call);
        break;
    case SIM_KIND_CHANGE:
        sim_change_check(call);
        break;
    case SIM_KIND_QUERY:
        sim_query_check(call);
        break;
    }
}

/* Books what there is to book, and writes the journal. */
static void
sim_call_decide(struct sim_call *call)
{
    call->decided = true;
    if (call->errors.count) {
        call->sim->counters.errors[call->op]++;
        sim_call_journal(call, "error", call->errors.item[0].code);
        return;
    }
    switch (sim_op_info(call->op)->kind) {
    case SIM_KIND_ORDER:
        sim_order_commit(call); /* writes its own line, or two */
        return;
    case SIM_KIND_CHANGE:
        sim_change_commit(call);
        break;
    case SIM_KIND_QUERY:
        break;
    }
    sim_call_journal(call, "ok", 0);
}

static void
sim_call_reply(struct sim_call *call)
{
    struct sim_buf body;
    sim_buf_init(&body, (size_t)1 << 28);
    switch (sim_op_info(call->op)->kind) {
    case SIM_KIND_ORDER:
        sim_order_answer(call, &body);
        break;
    case SIM_KIND_CHANGE:
        sim_change_answer(call, &body);
        break;
    case SIM_KIND_QUERY:
        sim_query_answer(call, &body);
        break;
    }
    sim_call_landed(call);
    sim_call_misbehave(call, &body);
    sim_buf_deinit(&body);
}

static void
sim_call_late(struct sim_call *call)
{
    sim_call_check(call);
    sim_call_decide(call);
    sim_call_reply(call);
}

/* Right after recording: the connection breaks, or the answer is held. */
static bool
sim_call_strike(struct sim_call *call)
{
    if (call->fault.stage != SIM_STAGE_RECORD || call->errors.count) {
        return false;
    }
    if (call->fault.kind == SIM_FAULT_HOLD) {
        call->held = true;
        if (call->fault.delay_ms >= 0) {
            sim_call_wait(call, call->fault.delay_ms, sim_call_reply);
        }
        return true;
    }
    if (call->conn) {
        sim_conn_close(call->conn, call->fault.kind == SIM_FAULT_RESET_AFTER);
    }
    sim_call_free(call);
    return true;
}

static void
sim_call_order(struct sim_call *call)
{
    struct sim *sim = call->sim;
    sim_call_check(call);
    if (call->errors.count) {
        sim_call_decide(call);
        sim_call_wait(call, sim->settings.query_ms, sim_call_reply);
        return;
    }
    call->order_ms = sim_order_time(&sim->settings) + sim_call_slow(call);
    call->in_flight = true;
    if (++sim->counters.in_flight > sim->counters.in_flight_max) {
        sim->counters.in_flight_max = sim->counters.in_flight;
    }
    if (sim->settings.record_at == SIM_RECORD_END && call->fault.stage != SIM_STAGE_RECORD) {
        sim_call_wait(call, call->order_ms, sim_call_late);
        return;
    }
    sim_call_decide(call);
    if (!sim_call_strike(call)) {
        sim_call_wait(call, call->order_ms, sim_call_reply);
    }
}

static void
sim_call_change(struct sim_call *call)
{
    int64_t slow = sim_call_slow(call);
    sim_call_check(call);
    sim_call_decide(call);
    if (!sim_call_strike(call)) {
        sim_call_wait(call, call->sim->settings.change_ms + slow, sim_call_reply);
    }
}

static void
sim_call_query(struct sim_call *call)
{
    int64_t slow = sim_call_slow(call);
    if (call->fault.stage != SIM_STAGE_RECORD) {
        sim_call_wait(call, call->sim->settings.query_ms + slow, sim_call_late);
        return;
    }
    sim_call_check(call);
    sim_call_decide(call);
    if (!sim_call_strike(call)) {
        sim_call_reply(call);
    }
}

/* Instead of the business. The journal names the key all the same. */
static void
sim_call_before(struct sim_call *call)
{
    const char *csr = sim_soap_get(&call->soap, "CSR");
    if (sim_op_info(call->op)->kind == SIM_KIND_ORDER && csr && !call->key) {
        (void)sim_csr_read(csr, &call->key);
    }
    if (call->fault.kind == SIM_FAULT_ERROR) {
        sim_errors_add(&call->errors, call->fault.code, call->fault.field);
        call->sim->counters.errors[call->op]++;
        sim_call_journal(call, "error", call->fault.code);
    } else {
        call->sim->counters.faults[call->op]++;
        sim_call_journal(call, "fault", 0);
    }
    sim_call_misbehave(call, NULL);
}

void
sim_call_begin(struct sim_call *call)
{
    call->started = sim_moment_now(call->sim);
    if (call->fault.stage == SIM_STAGE_BEFORE && call->fault.kind) {
        sim_call_wait(call, call->fault.delay_ms, sim_call_before);
        return;
    }
    switch (sim_op_info(call->op)->kind) {
    case SIM_KIND_ORDER:
        sim_call_order(call);
        break;
    case SIM_KIND_CHANGE:
        sim_call_change(call);
        break;
    case SIM_KIND_QUERY:
        sim_call_query(call);
        break;
    }
}

int
sim_calls_release(struct sim *sim)
{
    int count = 0;
    struct sim_call *next = NULL;
    for (struct sim_call *call = sim->calls; call; call = next) {
        next = call->next;
        if (call->held) {
            call->held = false;
            count++;
            sim_call_wait(call, 0, sim_call_reply);
        }
    }
    return count;
}

void
sim_calls_end(struct sim *sim)
{
    while (sim->calls) {
        sim_call_free(sim->calls);
    }
}

void
sim_call_journal(struct sim_call *call, const char *result, int code)
{
    const struct sim_order *order = call->order;
    struct sim_entry entry = {
        .operation = sim_op_info(call->op)->name,
        .profile = call->profile_id,
        .cn = order ? order->cn : call->cn,
        .email = order ? order->email : call->email,
        .order_id = order ? order->id : NULL,
        .spki_sha256 = order ? order->spki : NULL,
        .result = result,
        .code = code,
        .fault = call->fault.name,
        .recorded = call->recorded,
    };
    char spki[65];
    if (!entry.spki_sha256 && call->key) {
        sim_spki_sha256(call->key, spki);
        entry.spki_sha256 = spki;
    }
    call->sim->counters.recorded[call->op] += call->recorded;
    sim_journal_write(&call->sim->journal, &entry);
}

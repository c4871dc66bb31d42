/*
 * The whole simulator, and one call to its API. Everything runs on one loop thread.
 */
#pragma once

#include "faults.h"
#include "journal.h"
#include "keys.h"
#include "orders.h"
#include "profiles.h"
#include "schema.h"
#include "server.h"
#include "soap_in.h"
#include "soap_out.h"

struct sim_counters {
    uint64_t calls[SIM_OPS], errors[SIM_OPS], faults[SIM_OPS], recorded[SIM_OPS];
    uint64_t in_flight, in_flight_max;
};

struct sim {
    uv_loop_t loop;
    struct sim_settings settings, initial; /* initial: as at the start, for POST /reset */
    struct sim_ca ca;
    struct sim_keys keys;
    SSL_CTX *tls;
    struct sim_schema *schema;
    struct sim_orders orders;
    struct sim_profiles profiles;
    struct sim_faults faults;
    struct sim_journal journal;
    struct sim_server api, control;
    struct sim_counters counters;
    struct sim_call *calls; /* all that are not over */
    char dir[3800];
    char password[64]; /* of the file */
    int failed_logins; /* in a row */
    int changes_fd;    /* of control.jsonl */
    int64_t rate_second, rate_count;
};

/* One call, from its request to its answer. It outlives its connection. */
struct sim_call {
    struct sim *sim;
    struct sim_conn *conn; /* NULL once it is gone */
    struct sim_call *next, *prev;
    uv_timer_t timer;
    void (*then)(struct sim_call *call); /* what the timer leads to */
    struct sim_soap soap;
    enum sim_op op;
    const char *cn, *email; /* of the request; they live as long as soap */
    char profile_id[32];
    unsigned char peer[16];
    struct sim_fault fault;
    struct sim_errors errors; /* of the business; none: it succeeded */
    EVP_PKEY *key;            /* of the CSR, or made here */
    struct sim_order *order;  /* booked or found */
    struct sim_buf p12;       /* DER, for OrderPkcs12 */
    struct sim_moment started;
    int64_t order_ms;
    bool decided, recorded, in_flight, held;
    struct sim_buf answer; /* being sent in pieces */
    size_t sent;
};

/* --- api.c, call.c --- */
void sim_api_request(void *context, struct sim_conn *conn, struct sim_http_request *http);
void sim_api_closed(void *context, void *user);
enum sim_welcome sim_api_welcome(void *context, int64_t *delay_ms);

/* Takes over a call that was read and chosen for: runs it to its answer. */
void sim_call_begin(struct sim_call *call);

/* Lets held answers go; returns how many. */
int sim_calls_release(struct sim *sim);

/* Ends all calls, at the end of the program. */
void sim_calls_end(struct sim *sim);

void sim_call_free(struct sim_call *call);

/* Writes the call's line. result as in struct sim_entry. */
void sim_call_journal(struct sim_call *call, const char *result, int code);

/* --- misbehave.c --- */

/* Answers as the fault of the call says. body: the true answer, for those that spoil it. */
void sim_call_misbehave(struct sim_call *call, struct sim_buf *body);

/* The SuccessCode of the answer, and the errors or the warning that go with it. */
int sim_call_success(const struct sim_call *call, struct sim_errors *notes);

/* Answers with SOAP, HTTP status 200 or 500. */
void sim_call_send(struct sim_call *call, int status, const struct sim_buf *body);

/* Answers with a page of HTML. retry_after_s -1: no such header. */
void sim_conn_page(struct sim_conn *conn, int status, int64_t retry_after_s);

/* --- account.c: user, password, lock, source address --- */
void sim_account_check(struct sim_call *call);

/* --- rules.c: the table of field rules --- */
void sim_rules_check(struct sim_call *call);

/* --- op_order.c, op_change.c, op_query.c: check adds errors, commit changes the CA's state --- */
void sim_order_check(struct sim_call *call);
void sim_order_commit(struct sim_call *call);
void sim_order_answer(struct sim_call *call, struct sim_buf *out);
void sim_change_check(struct sim_call *call);
void sim_change_commit(struct sim_call *call);
void sim_change_answer(struct sim_call *call, struct sim_buf *out);
void sim_query_check(struct sim_call *call);
void sim_query_answer(struct sim_call *call, struct sim_buf *out);

/* Signs the order's certificate over the key. fault: what is to be wrong with it. */
bool sim_order_sign(struct sim *sim, struct sim_order *order, EVP_PKEY *key,
                    const struct sim_leaf *more, enum sim_fault_kind fault);

/* The key's digest and certificate come when the user of an order picks it up. */
bool sim_order_pickup(struct sim *sim, struct sim_order *order, struct sim_moment when);

/* An order of somebody else, made in the portal. */
struct sim_order *sim_order_portal(struct sim *sim, const json_t *spec, const char **problem);

/* Orders that nobody picked up in time are cancelled; run before each look at them. */
void sim_orders_expire(struct sim *sim);

struct sim_moment sim_moment_now(const struct sim *sim);
struct sim_moment sim_moment_after(struct sim_moment moment, int64_t ms);

/* --- changes.c: the journal of the control port, DIR/control.jsonl --- */
bool sim_changes_open(struct sim *sim);

/* A line with the state as it is now; method and path say what led to it. */
void sim_changes_write(struct sim *sim, const char *method, const char *path);

/* --- control.c, state.c --- */
void sim_control_request(void *context, struct sim_conn *conn, struct sim_http_request *http);
void sim_control_help(void); /* one line for each route, for --help */
json_t *sim_state_json(struct sim *sim, const char *query);
void sim_crl_write(struct sim *sim, struct sim_buf *out);

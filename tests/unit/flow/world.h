/*
 * The flow alone in its world: the rooms below it that talk to somebody (loop, store, globalsign,
 * kafka, and the log) are played here, in the place of the real ones. Redis, Kafka and the account
 * do what they should unless a test says otherwise; GlobalSign answers when a test does; time
 * stands still until a test lets it pass. What each job did is written down as the walk of its
 * states. Only one program's file may include this.
 */
#pragma once

#include <openssl/pkcs12.h>

#include "make.h"

#include "base/hex.h"
#include "base/log.h"
#include "epki/v1/account_event.pb-c.h"
#include "epki/v1/enrollment.pb-c.h"
#include "epki/v1/internal.pb-c.h"
#include "job.h"
#include "room.h"

#define MAYBE __attribute__((unused))
#ifndef CALL_FAILS
#define CALL_FAILS(name) false /* of those played here; a test may say otherwise */
#endif
#define CANARY "nonce:run"
#define CN "Ada Lovelace"
#define UNTIL_ORDER "lookup claim queue intent calling order" /* walked, when all goes well */
#define ORDERED_AGAIN "claim queue intent calling order"
#define KEK "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"

enum {
    QUIET = 5000,
    ORDER_MS = 8000,
    CALLS = 64,
    COMMITS = 256,
    RECORDS = 64,
    BATCH = 500,
    READERS = 64
};

struct ew_loop {
    struct ew_list timers; /* struct armed */
};
struct ew_store {
    bool away;
};
struct ew_kafka {
    int unused;
};
struct ew_ca {
    int unused;
};
struct ew_part {
    enum ew_lane lane;
    const char *topic;
    bool owned;
    int64_t next;
    uint32_t outgrow; /* what its epoch was to rise above */
};

enum verb { ORDER, LIST, LOOK, PROFILES, CANCEL, REVOKE };

struct ew_ca_call {
    bool open;
    enum verb verb;
    char cn[80], order_id[80], pin[80]; /* an order with a PIN has no CSR */
    char profile[80];                   /* of which is asked; "" = all */
    int64_t from_ms, to_ms;
    bool (*gate)(void *arg);
    ew_ca_done *done;
    void *arg;
};

struct ew_reader {
    struct ew_reader_options options;
    size_t at;
    bool live, wants;
};

/* Something that comes later: a reply on its way. */
struct later {
    struct ew_link link;
    void (*run)(struct later *later);
    void *arg;
    enum ew_fault fault;
    union {
        ew_store_moved *moved;
        ew_store_account_moved *account;
        ew_store_found *found;
        void (*canary)(void *, enum ew_fault, enum ew_canary_state, const char *, bool);
        void (*lookup)(void *, enum ew_fault, enum ew_canary_state, const struct ew_record_view *);
        void (*awaited)(void *, enum ew_fault, enum ew_canary_state, const struct ew_record_view *,
                        bool);
        void (*claim)(void *, enum ew_fault, const struct ew_claim_reply *);
        void (*tokens)(void *, enum ew_fault, const struct ew_token_reply *);
        void (*owners)(void *, enum ew_fault, enum ew_canary_state, const struct ew_order_owners *);
        void (*taken)(void *, enum ew_fault, bool, const char *);
        void (*version)(void *, enum ew_fault, int64_t);
        void (*stopped)(void *, enum ew_fault, enum ew_stop_result);
        void (*committed)(void *, enum ew_committed, int64_t, const struct ew_err *);
        void (*offset)(void *, enum ew_offset_state);
        void (*flag)(void *, enum ew_fault, bool);
        void (*work)(void *);
    } done;
    struct ew_claim_reply claim;
    struct ew_token_reply token;
    enum ew_transition moved;
    enum ew_committed committed;
    int64_t t0_ms;
};

static struct world {
    int64_t boot_ms;
    struct ew_loop loop;
    struct ew_store store;
    struct ew_kafka kafka;
    struct ew_ca ca;
    struct ew_part enrollments, resumes, later_owned; /* enrollments again, while that is in use */
    struct ew_part *sealed_enter;                     /* by which enrolments for sealed keys come */
    struct ew_list later;
    struct ew_flow *flow;
    struct ew_metrics *metrics;
    struct ew_config config;
    struct ew_account account;
    struct ew_setting setting;
    struct ew_arena *arena;
    struct temp_file chain, password, kek;
    struct ew_keks *keks;

    /* Redis */
    const char *canary; /* "" = missing */
    struct ew_record_view view;
    struct ew_blob target; /* the state record of r-0, which others name as their target */
    bool circular;         /* who is waited for waits for the waiter */
    int deaf_claims;       /* that it does not answer */
    int claim_as;          /* what the next claim says; -1 = what it should */
    struct ew_source holder;
    struct ew_blob outcome;
    struct ew_claim claim;  /* the last one */
    char lost_orders[256];  /* of which it was told that they are ended for their lost keys */
    int losing_asked;       /* how often */
    char ending[80];        /* the last is the request's own until another is claimed */
    struct ew_blob misfit;  /* what it was told of an order that does not fit */
    int misfit_asked;       /* how often */
    struct ew_blob wrapped; /* the worker-made key that it keeps */
    bool has_spki;
    uint8_t spki[32];
    char verdict[EW_CANARY_MAX];
    int attempt, vanished;
    const char *owner;     /* of an order, "" = nobody's */
    const char *key_owner; /* who used a key last, "" = nobody */
    bool takes;            /* an order found is ours */
    bool leases;           /* what one worker does for all, this one does */
    int64_t lease_ms;
    char condemned[80]; /* the last order given up */
    enum ew_transition condemn_as;
    enum ew_transition calling, losing, losing_then; /* then: from the second time on */
    enum ew_transition misfit_as, misfit_then;
    bool losing_unusable; /* was said of the key that is lost */
    enum ew_stop_result stop_as;
    enum ew_record_state parked_as;
    bool parked_ordered;
    const char *certified; /* whose certificate Redis was told of before its answer */
    int dones, refunds;
    struct ew_source done_by;
    struct ew_blob saved; /* the last outcome told, and of which order and attempt */
    char saved_order[80];
    int saved_attempt;
    bool anothers;  /* the order that is told is recorded for another request: nothing is saved */
    bool remembers; /* who adopts the request finds its attempt, and what was told of that */
    bool rebuilds;  /* nobody else does, so it is ours to do */
    int restored, restoring, at_once; /* records told to Redis, on their way, and at most */
    enum ew_token token;

    /* GlobalSign */
    struct ew_ca_call calls[CALLS];
    bool ca_silent;    /* its replies carry no Date */
    EVP_PKEY *csr_key; /* the public key of the last order */

    /* Kafka */
    int64_t calling_date;         /* GlobalSign's, as it was told to Redis before a call */
    const char *record_key;       /* of an enrolment; NULL = none: it waits for nobody */
    enum ew_committed commit_as;  /* of the next commit with an answer */
    const char *refusal;          /* why Kafka refuses */
    int refuse_done;              /* so many commits that end an event */
    enum ew_committed publish_as; /* of what has no partition */
    bool publishing_stuck;        /* that gets no answer meanwhile */
    struct ew_list stuck;
    int publishes;
    size_t value_max; /* of an event; larger is refused */
    struct ew_event events[COMMITS];
    size_t event_count;
    size_t event_headers; /* of the last one */
    struct ew_read_record inflight[RECORDS];
    size_t inflight_count;
    int32_t home;                        /* the partition that every key belongs to */
    struct ew_blob state;                /* the last state record */
    const struct ew_read_record *states; /* what lies in that topic */
    size_t state_count;
    enum ew_mark marks[COMMITS];
    size_t mark_count;
    char parked[80], letter[80]; /* the last one's reason; of either kind */
    char letter_says[256], letter_order[80];
    int dead_letters;
    int account_events;
    char account_told[256]; /* the last one: type, problem, request, order */
    int resumes_published;
    bool resume_started;                      /* an owner of the next one had begun with it */
    int64_t deadline_ms;                      /* of the next request */
    size_t label_count;                       /* likewise */
    int64_t recipient_from_s, recipient_to_s; /* it is valid; 0 = as certificates of tests are */
    int64_t age_ms;                           /* of a record that comes in */
    bool doubted;                             /* the group's commits were lost before it */
    const struct ew_header *headers;          /* the next one's own */
    size_t header_count;
    struct ew_reader readers[READERS];
    int readers_begun, readers_most; /* in all; at once */
    bool readers_wait;               /* for Kafka: nobody is given anything */
    enum ew_offset_state offset_state;

    char walk[2048];
    char advised[2048]; /* the last line of the log with advice in it */
    char why[80];       /* of the last line that says why */
    int bugs, errors;   /* lines of these kinds */
} w;

static EVP_PKEY *ca_key, *device_key, *other_key;
static X509 *ca_cert;

static const void *kept(const void *data, size_t len);
static const char *certificate(const char *cn, const char *eku, EVP_PKEY *key);

#include "play_time.h"

#include "play_store.h"

#include "play_ca.h"

#include "play_kafka.h"

/* --- the beginning and the end --- */

static char device_csr[2048], device_pem[4096];

static void
to_text(struct ew_buf *pem, char *out, size_t max)
{
    assert_true(pem->len < max);
    memcpy(out, pem->data, pem->len);
    out[pem->len] = '\0';
    ew_buf_clear(pem);
}

/* A certificate that fits the order of CN; cn and eku NULL = those it should have. */
static MAYBE const char *
certificate(const char *cn, const char *eku, EVP_PKEY *key)
{
    struct cert_spec spec = {.subject = {{"CN", cn == NULL ? CN : cn}},
                             .key = key == NULL ? device_key : key,
                             .issuer = ca_cert,
                             .issuer_key = ca_key,
                             .extensions = {eku == NULL ? "extendedKeyUsage=clientAuth" : eku}};
    X509 *made = make_cert(&spec);
    struct ew_buf pem;

    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, made);
    to_text(&pem, device_pem, sizeof(device_pem));
    ew_buf_deinit(&pem);
    X509_free(made);
    return device_pem;
}

static void
make_device(void)
{
    X509_REQ *req = X509_REQ_new();
    struct ew_buf pem;

    device_key = ec_key("P-256");
    assert_int_equal(X509_REQ_set_pubkey(req, device_key), 1);
    assert_true(X509_REQ_sign(req, device_key, EVP_sha256()) > 0);
    ew_buf_init(&pem, MAKE_MAX);
    WRITE_PEM(&pem, PEM_write_bio_X509_REQ(bio, req));
    to_text(&pem, device_csr, sizeof(device_csr));
    ew_buf_deinit(&pem);
    X509_REQ_free(req);
}

static void
configure(void)
{
    struct ew_buf pem;
    struct ew_err err;

    ew_buf_init(&pem, MAKE_MAX);
    put_pem(&pem, ca_cert);
    w.chain = make_file(pem.data, pem.len);
    ew_buf_deinit(&pem);
    w.password = make_file("secret\n", 7);
    w.kek = make_file(KEK, strlen(KEK));
    assert_int_equal(ew_keks_load(w.kek.path, &w.keks, &err), EW_OK);
    w.account = (struct ew_account){.name = "main",
                                    .url = "https://127.0.0.1",
                                    .user = "PAR1",
                                    .password_file = w.password.path,
                                    .orders_in_flight = 10,
                                    .others_in_flight = 10,
                                    .order_ms = ORDER_MS};
    w.setting = (struct ew_setting){.name = "vpn",
                                    .account = &w.account,
                                    .profile = "MP1",
                                    .product = "ePkiOne",
                                    .years = 1,
                                    .csr_allowed = true,
                                    .worker_key_allowed = true,
                                    .globalsign_key_allowed = true,
                                    .key_types = 1u << EW_KEY_EC_P256,
                                    .recipients_file = w.chain.path,
                                    .chain_file = w.chain.path,
                                    .cn_template = "${first_name} ${last_name}"};
    w.config.accounts = &w.account;
    w.config.settings = &w.setting;
    w.config.account_count = w.config.setting_count = 1;
    w.config.kafka.group = "group";
    w.config.kafka.out[EW_TOPIC_STATE] = "epki.certificate.state";
    w.config.kafka.out[EW_TOPIC_INFLIGHT] = "epki.inflight";
    w.config.kafka.partition_items = 100;
    w.config.kafka.partition_bytes = 64 * 1024 * 1024;
    w.config.time.send_window_ms = 2500;
    w.config.time.tcp_ms = 500;
    w.config.time.processing_ms = 1000;
    w.config.time.visibility_ms = 500;
    w.config.time.margin_ms = 500;
    w.config.time.hold_max_ms = 30000;
    w.config.time.account_retest_ms = 3000;
    w.config.time.revocation_wait_ms = 5000;
    w.config.time.poll_first_ms = 500;
    w.config.time.poll_max_ms = 3000;
    w.config.time.retry_first_ms = 100;
    w.config.time.retry_max_ms = 2000;
    w.config.time.horizon_ms = 1000000;
    w.config.time.reconcile_first_ms = 300;
    w.config.time.reconcile_max_ms = 2000;
    assert_int_equal(ew_config_quiet_ms(&w.config), QUIET);
}

static void
world_fatal(void *arg, const struct ew_err *err)
{
    (void)arg;
    fail_msg("%s", err->detail);
}

static void
adopt(struct ew_part *part, enum ew_lane lane, const char *topic)
{
    struct ew_intake_events intake = ew_flow_intake(w.flow);

    *part = (struct ew_part){.lane = lane, .topic = topic, .owned = true};
    intake.adopted(intake.arg, part);
}

/* Whoever has a call in the air waits for its reply. */
static MAYBE void
is_lost(struct ew_part *part)
{
    struct ew_intake_events intake = ew_flow_intake(w.flow);

    part->owned = false;
    intake.lost(intake.arg, part);
}

/* What comes from it comes again from the first offset on. */
static MAYBE void
is_adopted(struct ew_part *part)
{
    adopt(part, part->lane, part->topic);
    w.walk[0] = '\0';
}

static MAYBE void
adopts_again(struct ew_part *part)
{
    is_lost(part);
    is_adopted(part);
}

static MAYBE int
world_begin(void **state)
{
    struct ew_flow_options options = {.config = &w.config,
                                      .clock = &world_clock,
                                      .loop = &w.loop,
                                      .instance = "w1",
                                      .fatal = world_fatal};
    struct ew_err err;

    (void)state;
    memset(&w, 0, sizeof(w));
    ew_list_init(&w.loop.timers);
    ew_list_init(&w.later);
    ew_list_init(&w.stuck);
    w.boot_ms = 1000;
    w.canary = CANARY;
    w.owner = w.key_owner = "";
    w.view.order_id = w.view.lost_orders = "";
    w.claim_as = -1;
    w.takes = w.leases = true;
    w.value_max = SIZE_MAX;
    w.refusal = "message-too-large";
    w.arena = ew_arena_new((size_t)64 * 1024 * 1024);
    options.metrics = w.metrics = ew_metrics_new("test");
    configure();
    options.keks = w.keks;
    if (ew_flow_new(&options, &w.flow, &err) != EW_OK)
        fail_msg("%s", err.detail);
    ew_flow_start(w.flow, &w.kafka, &w.store);
    w.flow->desks[0]->ca_date_ms = ca_now(); /* heard before; unheard() takes it back */
    w.flow->desks[0]->ca_date_boot = w.boot_ms;
    adopt(&w.enrollments, EW_LANE_ENROLLMENT, "epki.enrollment.requests");
    adopt(&w.resumes, EW_LANE_RESUME, "epki.resume");
    w.sealed_enter = &w.enrollments;
    pass(0);
    return 0;
}

static MAYBE int
world_end(void **state)
{
    struct ew_link *link;

    (void)state;
    ew_flow_end(w.flow);
    ew_flow_free(w.flow);
    publishing_goes_on();
    while ((link = ew_list_first(&w.later)) != NULL) {
        ew_link_remove(link);
        free(EW_CONTAINER(link, struct later, link));
    }
    assert_true(ew_list_empty(&w.loop.timers));
    assert_int_equal(w.bugs, 0);
    ew_metrics_free(w.metrics);
    ew_arena_free(w.arena);
    (void)unlink(w.chain.path);
    (void)unlink(w.password.path);
    (void)unlink(w.kek.path);
    ew_keks_free(w.keks);
    EVP_PKEY_free(w.csr_key);
    return 0;
}

static MAYBE int
keys_begin(void **state)
{
    (void)state;
    ca_key = ec_key("P-256");
    other_key = ec_key("P-256");
    ca_cert = make_ca("Issuing", ca_key, NULL, NULL);
    make_device();
    return 0;
}

static MAYBE int
keys_end(void **state)
{
    (void)state;
    X509_free(ca_cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(other_key);
    EVP_PKEY_free(device_key);
    return 0;
}

#include "play_events.h"

/* --- what came out --- */

/* The only answer so far, of this kind. */
static MAYBE const struct ew_event *
answered(enum ew_result result)
{
    const struct ew_event *found = NULL;

    for (size_t i = 0; i < w.event_count; i++) {
        if (!ew_result_terminal(w.events[i].result))
            continue;
        assert_null(found);
        found = &w.events[i];
    }
    assert_non_null(found);
    assert_int_equal(found->result, result);
    return found;
}

static MAYBE bool
told(enum ew_result result)
{
    for (size_t i = 0; i < w.event_count; i++)
        if (w.events[i].result == result)
            return true;
    return false;
}

/* The last record of this kind in epki.inflight. */
static MAYBE struct ew_inflight_record
inflight(enum ew_inflight_kind kind)
{
    struct ew_inflight_record record;
    struct ew_err err;

    for (size_t i = w.inflight_count; i-- > 0;) {
        const struct ew_read_record *read = &w.inflight[i];

        if (read->value != NULL &&
            ew_wire_inflight_decode(read->value, read->value_len, w.arena, &record, &err) ==
                EW_OK &&
            record.kind == kind)
            return record;
    }
    fail_msg("no such record");
    return record;
}

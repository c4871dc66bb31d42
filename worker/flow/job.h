/*
 * One event on its way to its one answer: the private heart of the flow. A job belongs to a
 * partition's run and to the lane of its key; it is freed when its offset is done or lost, and no
 * callback is under way.
 */
#pragma once

#include "answer.h"
#include "base/arena.h"
#include "base/backoff.h"
#include "base/list.h"
#include "base/table.h"
#include "desk.h"
#include "domain/outcome.h"
#include "domain/rules.h"
#include "domain/state.h"
#include "flow/flow.h"
#include "search.h"
#include "wire/wire.h"
#include "x509/cert.h"
#include "x509/p12.h"
#include "x509/verify.h"

struct ew_job;
struct ew_flow;
struct ew_key_work;
struct ew_opening;
struct ew_surplus;

/* A setting with what its files hold, and what stands in its way now. */
struct ew_setting_run {
    const struct ew_setting *setting;
    struct ew_flow *flow;
    struct ew_desk *desk;
    struct ew_trust *trust;
    struct ew_trust *recipients; /* NULL = no worker-made keys */
    bool paused;                 /* certificates came back that do not fit: the operator decides */
    int64_t test_at;     /* boot: no licence, or in vetting; one order tests it then. 0 = neither */
    unsigned tests;      /* in a row, for the back-off */
    struct ew_job *test; /* the order that tests it now */
    int out;             /* room.c: held requests released and not back */
    int unknown;         /* jobs in the state reconcile */
    struct ew_scan scan;
    struct ew_surplus *surplus; /* the sweep of its profile; NULL = another setting's, or none */
};

/* A partition while we own it. */
struct ew_run {
    struct ew_link link;
    struct ew_flow *flow;
    struct ew_part *part;
    struct ew_list jobs;
    struct ew_table *keys; /* record key's digest -> struct ew_key_lane */
    size_t job_count;
    bool lost;
    struct ew_room *room; /* of a partition of epki.resume: who waits there */
};

struct ew_key_lane {
    struct ew_list jobs; /* the first one runs */
    bool stopped;        /* one was dropped: its next owner does the rest too, in their order */
    char name[65];
};

enum {
    EW_FETCHING = 16, /* readers beside those of the rooms: each has a thread and a handle */
    EW_LOOKING = 8,   /* of them, those of whole partitions; the rest is for what comes back */
};

enum ew_ended { EW_ENDED, EW_END_NOT_FOUND, EW_END_REFUSED };
enum ew_end_next { EW_END_AT_ONCE, EW_END_LATER, EW_END_OVER };

/* An order being ended. */
struct ew_end {
    enum { EW_END_READ, EW_END_CANCEL, EW_END_REVOKE } step;
    const char *order_id;
    bool prefer_revoke, cancel_refused, revoke_refused;
    bool acted, accepted; /* asked to end it; GlobalSign said yes */
    bool blind;           /* asked although no query shows it */
    unsigned unclear;     /* refusals for what may pass, weighed; end_order.c */
    int64_t unseen_since; /* boot: since when GlobalSign does not show the order, 0 = it does */
    int status, vendor_code;
    enum ew_ended result; /* once it is over */
    void (*next)(struct ew_job *job, enum ew_ended result);
};

/* An event as it came. */
struct ew_came {
    struct ew_blob key, value;
    int64_t timestamp_ms; /* 0 = none */
    const struct ew_header *headers;
    size_t header_count;
    int headers_left_out; /* when it was kept for later */
};

/* What is committed of an order before it goes on. */
struct ew_telling {
    void (*again)(struct ew_job *job); /* tries once more */
    void (*next)(struct ew_job *job);  /* it is durable */
};

/* Why a job waits for another event. */
enum ew_wait { EW_WAIT_NONE, EW_WAIT_DUPLICATE, EW_WAIT_KEY, EW_WAIT_TARGET };

enum ew_owner {
    EW_OWNER_SELF,    /* the order is the job's, and so is its request */
    EW_OWNER_DONE,    /* the job's event was answered before: only its mark was lost */
    EW_OWNER_EVENT,   /* another event holds or answers the job's request */
    EW_OWNER_REQUEST, /* the order is another request's */
    EW_OWNER_UNSAID,  /* Redis cannot say */
};

/* other: the request whose order it is, else ""; view: what Redis has of the job's own request,
 * with EW_OWNER_SELF alone. Both are gone when this returns. */
typedef void ew_owner_fn(struct ew_job *job, enum ew_owner owner, const char *other,
                         const struct ew_record_view *view);

struct ew_job {
    struct ew_flow *flow;
    struct ew_run *run;
    struct ew_link in_run, in_key, in_list; /* in_list: whichever queue it waits in */
    struct ew_key_lane *lane;
    struct ew_record *record;
    struct ew_arena *arena;
    struct ew_timer timer;
    void (*on_timer)(struct ew_job *job);
    unsigned refs; /* callbacks under way */
    bool dropped;

    enum ew_state state, left_from; /* left_from: what it leaves for the room */
    int64_t since_ms;               /* boot time of the last move */
    int64_t received_ms;            /* wall */
    int64_t received_boot;
    int64_t ordered_ms; /* wall, 0 = never */

    struct ew_source source;
    struct ew_request req;
    enum ew_lane lane_of;      /* the original event's lane */
    struct ew_source original; /* a resume: the event it continues; topic "" otherwise */
    uint8_t digest[32];
    bool foreign;                     /* its id is another event's: nothing of that is touched */
    struct ew_failure failure;        /* cls set: this is how it will be rejected if it is new */
    struct ew_failure failure_before; /* what it was until its order was found not to fit */
    struct ew_setting_run *setting;
    struct ew_names names;

    bool has_spki;
    uint8_t spki[32];
    struct ew_blob wrapped;       /* the key that is to be delivered */
    bool opens;                   /* this worker has opened or made it */
    struct ew_key_work *key_work; /* on the pool, or waiting there */
    char pin[EW_PIN_LENGTH + 1]; /* of the order under way, if GlobalSign makes its key; a secret */
    struct ew_opening *opening;  /* what came with that key, until it is kept */
    uint8_t keys[EW_MAX_ATTEMPTS][32];
    size_t key_count;

    int attempt;
    bool air;             /* an order may have been sent, and what became of it is not known */
    bool unsent;          /* our own last attempt surely was not sent */
    bool discard;         /* what Redis knows of its outcome is of an order that we ended */
    bool verdict;         /* "none" was found under search.canary */
    bool ordering;        /* an ORDERING record of ours lies in epki.inflight */
    bool stopped;         /* a STOP flag lies beside it */
    bool pardoned;        /* people said: once more; until it is claimed */
    bool cancelled_known; /* people said: once more, whosever the cancelled order is */
    struct ew_source stopped_by;
    void (*after_target)(struct ew_job *job);
    void (*after_undo)(struct ew_job *job);
    void (*after_kept)(struct ew_job *job);
    ew_owner_fn *on_owner;
    struct ew_end end;
    struct ew_telling told;
    int64_t attempt_date_ms; /* the CA's now when the last attempt was sent, 0 = not known */
    bool untimed;            /* its recipient was judged without the CA's time */
    int64_t t0_ms;
    unsigned unsent_count; /* orders that never left, for the back-off */
    int vanished;   /* orders sent that GlobalSign never got; never 0 once people let it go on */
    unsigned tries; /* of whatever is being repeated now, for the back-off */
    struct ew_turn turn;
    struct ew_ca_call *call;
    bool gate_said_yes;
    struct ew_search search;
    const char *order_id; /* "" = none */
    const char *cert_text;
    struct ew_cert *cert;
    int64_t ca_date_ms; /* of the reply that brought the certificate */
    unsigned progress;  /* bits of enum ew_result already published */

    enum ew_wait wait;
    const char *wait_id; /* request id waited for */
    struct ew_source wait_source;
    int64_t wait_since;  /* boot */
    int64_t wait_looked; /* boot: the last look into Kafka */

    struct ew_state_record target; /* renewal, revocation: what is known of the certificate */
    bool has_target;
    enum ew_record_state target_state;
    struct ew_source target_source;
    const char *target_id; /* its request id, "" = not known */
    bool absent_stop;      /* our STOP record is in epki.inflight */
    const char *revoke_order;
    enum ew_result revoke_as;
    bool amend; /* whose certificate it was, or the version to say so under, Redis could not tell */

    /* the answer */
    struct ew_event event;
    struct ew_blob answer_state; /* encoded state record, for Redis after the commit */
    struct ew_done_index index;
    struct ew_blob rewrite_state;
    int64_t rewrite_version;
    struct ew_blob sealed_pkcs12, sealed_pin;
    struct ew_came came;     /* a resume: the original event, as its record keeps it */
    bool claim_heard;        /* Redis told what it has of this request: its wrapped key too */
    bool heard;              /* that, or all but its wrapped key */
    const char *lost_orders; /* that we end, or have ended, for their lost keys, blanks between */
    const char *lost_order;  /* the last one, once it is told; NULL = none was */
    bool superseded;         /* its order does not fit, and another event answers its request */
    const char *misfit;      /* what is kept of an order that does not fit; NULL = nothing */
    unsigned keys_lost;      /* how many were, one after the other */
    bool key_unusable;       /* GlobalSign's, as Redis has it: it is as good as none */
    int64_t missed_until;    /* boot time: then a missing key is lost; 0 = none was missed */
    unsigned reductions;     /* how often Kafka refused it as it was */
    bool parked;             /* not an answer: a person decides */
    const char *letter_problem, *letter_message; /* what it says; no message: the problem alone */
    const char *letter_order; /* the order in question, where that may be another's; NULL = none */
    struct ew_source letter_first; /* parked: the event that this one repeats */
    bool ended_by_people;          /* a resume of a parked one says: no more */
    bool ended_by_event;           /* a resume of one that waited says so: a revocation came */
    int64_t room_offset; /* a resume: of the WAITING record that it came from, -1 = none */
    bool mark_only;      /* done without an answer: somebody else's answer covers it */
    bool elsewhere;      /* the same, for it left for the room: what stands of it there stays */
};

struct ew_rebuild;

struct ew_flow {
    struct ew_flow_options options;
    const struct ew_config *config;
    struct ew_loop *loop;
    struct ew_metrics *metrics;
    struct ew_kafka *kafka;
    struct ew_store *store;
    struct ew_desk **desks;
    size_t desk_count;
    struct ew_setting_run *settings;
    size_t setting_count;
    struct ew_list runs;
    size_t job_count;
    char canary[EW_CANARY_MAX]; /* "" while none stands */
    struct ew_timer canary_timer;
    bool canary_asking;
    struct ew_timer sweep_timer;
    struct ew_rebuild *rebuild;
    int64_t rebuild_after;   /* boot */
    unsigned rebuild_window; /* after one that failed: scripts under way; 0 = as many as may be */
    bool ended;              /* nobody is called back any more */
    struct ew_table *keks_told; /* kek.c: what was said of keys that are shut */
    int fetching;               /* readers open for one request each, at most EW_FETCHING */
    int unpublished;            /* resume records that Kafka has not taken yet */
    bool draining;
    struct ew_timer drain_timer, drain_poll;
    int64_t drain_until;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* --- job.c --- */
void ew_run_new(struct ew_flow *flow, struct ew_part *part);
struct ew_run *ew_run_find(struct ew_flow *flow, const struct ew_part *part);
void ew_run_lose(struct ew_run *run); /* another worker's from now on */
void ew_run_free(struct ew_run *run); /* at the end of the process */
/* Whether there are jobs whose records have this key. */
bool ew_run_busy_with(const struct ew_run *run, const char *record_key);
struct ew_job *ew_job_new(struct ew_run *run, struct ew_record *record);
/* Nobody of its key is before it. */
bool ew_job_may_begin(const struct ew_job *job);
/* Out of its lists; freed now or when the last callback comes. The next of its key begins, unless
 * it was dropped: then its offset is another worker's, and so is what comes behind it. */
void ew_job_end(struct ew_job *job, enum ew_state last, const char *why);
/* The partition is gone: unsent work stops, a call in the air may still reach the mailbox. */
void ew_job_drop(struct ew_job *job);
/* Moves through the table and logs; a move the table does not know is a bug that is logged. */
void ew_job_move(struct ew_job *job, enum ew_state to, const char *why);
/* Around asynchronous calls: arg = ew_job_out(job); in the callback job = ew_job_back(arg), NULL
 * when the job was dropped meanwhile (and is now gone, or will be). */
void *ew_job_out(struct ew_job *job);
struct ew_job *ew_job_back(void *arg);
/* After a call in the air of a dropped job has come back: frees it. */
void ew_job_release(struct ew_job *job);
/* What begins the callback of every call but an order's: it is in the air no more, its desk learns
 * from the reply, its turn ends. False: the job was dropped meanwhile (and is now gone, or will
 * be). */
bool ew_job_replied(struct ew_job *job, const struct ew_ca_reply *reply);
void ew_job_after(struct ew_job *job, int64_t delay_ms, void (*fn)(struct ew_job *job));
/* As above with the flow's back-off, counting job->tries. */
void ew_job_retry(struct ew_job *job, void (*fn)(struct ew_job *job));
const char *ew_job_text(struct ew_job *job, const char *text); /* copied into its arena */
/* The same, but kept as it is when it says so already: what is said again and again must not fill
 * the arena. */
const char *ew_job_same(struct ew_job *job, const char *now, const char *text);
/* Copied into its arena; empty when that has no room. */
struct ew_blob ew_job_keep(struct ew_job *job, const void *data, size_t len);
/* Where the event stood, for a resume the original one. */
const struct ew_source *ew_job_source(const struct ew_job *job);
/* Whether that is where the job's event stands, or the one that it continues. */
bool ew_job_is_source(const struct ew_job *job, const struct ew_source *source);
enum { EW_FIRST_TEXT = 320 };
/* How the record of a duplicate names the event that it repeats; "" = none. */
void ew_first_text(const struct ew_source *first, char out[EW_FIRST_TEXT]);
/* The event itself, for a resume the original one. */
struct ew_came ew_job_came(const struct ew_job *job);
/* Into a record that keeps it until it comes again; its headers only as far as they are no larger
 * with it than an event may be. */
void ew_came_keep(const struct ew_came *came, struct ew_inflight_record *record);
/* An order with job->spki may have been sent, by whomever: every record of the request says so. */
void ew_job_note_key(struct ew_job *job);
void ew_job_fail(struct ew_job *job, enum ew_failure_class cls, const struct ew_err *err);
void ew_job_fail_with(struct ew_job *job, enum ew_failure_class cls, const char *problem,
                      const char *field, const char *cause, const char *advice);
struct ew_holder ew_job_holder(const struct ew_job *job);
/* The key of the order, from now on: its public key's digest, and itself, wrapped. */
void ew_job_take_key(struct ew_job *job, const uint8_t spki[32], const struct ew_buf *wrapped);

/* --- admit.c --- */
void ew_admit(struct ew_job *job); /* the head of its key: decode, check, look up */
void ew_admit_decoded(struct ew_job *job, const struct ew_err *invalid);
void ew_admit_known(struct ew_job *job);
/* Judges the certificate that its key is sealed to; if it is refused the job's failure says so. */
void ew_admit_recipient(struct ew_job *job);

/* --- claim.c --- */
void ew_claim_begin(struct ew_job *job);
/* Whatever is doubted of its offset, or of its record, there is no order to find: a revocation, or
 * its order is told and ended. */
void ew_claim_orders_nothing(struct ew_job *job);
/* A worker-made key is not here, and no claim has said yet whether it is lost. */
bool ew_job_key_unheard(const struct ew_job *job);

/* --- order.c --- */
void ew_order_queue(struct ew_job *job); /* slot, token, intent, call */
/* No order is placed after the deadline: the job is rejected. One that may have been is followed to
 * its end: false. */
bool ew_order_expired(struct ew_job *job);
/* The ORDERING record as it is to be now. ending: the order that is ended, "" = none. False: it
 * cannot be made, which is logged. key and value, to be freed either way, hold what out points to.
 */
bool ew_order_record(struct ew_job *job, int64_t ca_date_ms, const char *ending, struct ew_buf *key,
                     struct ew_buf *value, struct ew_out *out);

/* --- pending.c --- */
void ew_order_pending(struct ew_job *job); /* poll for the certificate of job->order_id */
/* Says so once; the job stays where it is. */
void ew_job_held(struct ew_job *job, const char *problem, int code);
/* Asks for a slot and a token; then go(&job->turn). While it is held instead, it says so. */
void ew_job_ask(struct ew_job *job, void (*go)(struct ew_turn *turn), enum ew_rate_class cls);
/* Waits for people: again(job) after a while. */
void ew_job_hold(struct ew_job *job, const char *why, void (*again)(struct ew_job *job));
/* Reads job->order_id again: verified when issued, rejected when it was ended. */
void ew_order_look(struct ew_job *job);

/* --- licence.c --- */
/* Whether an order of the setting may be placed now; if not, the job is held and comes back. */
bool ew_setting_open(struct ew_job *job);
/* What an order's reply says of licences and vetting; ends the test that it was. */
void ew_setting_learn(struct ew_job *job, enum ew_ca_class cls);
/* The job goes: if it was the test, another one is. */
void ew_setting_leave(struct ew_job *job);
/* Certificates came back that do not fit: no new orders of the setting in this process. */
void ew_setting_pause(struct ew_job *job, const struct ew_err *err);

/* --- verify.c --- */
void ew_verify_begin(struct ew_job *job); /* job->cert_text, job->order_id */
void ew_verify_ended(struct ew_job *job); /* the order is there, and cancelled or revoked */

/* --- lost_key.c --- */
/* job->order_id has a key that nobody has: it ends, and another is ordered. */
void ew_lost_key_begin(struct ew_job *job);

/* --- owner.c --- */
/* Records the order as the job's in Redis, unless it is another request's; done is told whose it
 * is, never from within this call. The order id is copied. */
void ew_owner_ask(struct ew_job *job, const char *order_id, ew_owner_fn *done);
/* Another event holds the request id or answers it, whatever this one did: the claim says which,
 * and this one is its duplicate. Redis had lost our record when that one came, or our mark. */
bool ew_owner_is_another(const struct ew_job *job, const struct ew_record_view *view);
/* What a whole Redis has of the job's request, as far as an adopter may not know it: what it writes
 * in place of a record of its owner before says as much. */
void ew_owner_hears(struct ew_job *job, const struct ew_record_view *view);
bool ew_owner_unheard(const struct ew_job *job); /* nobody has told that yet */
void ew_owner_listen(struct ew_job *job);        /* asks for it, and moves nothing */

/* --- misfit.c --- */
/* job->order_id is not what was asked for, err says why: once Redis has said that it is no other
 * request's, it is told and ended, and the request rejected. */
void ew_misfit_begin(struct ew_job *job, const struct ew_err *err);
/* What Redis has of the job's request is kept in job->misfit. is_kept: of job->order_id. */
void ew_misfit_note(struct ew_job *job, const struct ew_record_view *view);
bool ew_misfit_is_kept(const struct ew_job *job);
/* An owner before this one found its order not to fit: it is told, unless it was, and ended, and
 * the request rejected. view: what Redis has now, NULL = nothing new. False: none is known. */
bool ew_misfit_known(struct ew_job *job, const struct ew_record_view *view);

/* --- end_order.c --- */
bool ew_order_ended(int status); /* cancelled or revoked, or about to be */
/* One step, whoever takes it: the call of end->step, and what comes after its reply. */
struct ew_ca_call *ew_end_call(const struct ew_end *end, struct ew_ca *ca, ew_ca_done *done,
                               void *arg);
enum ew_end_next ew_end_learn(struct ew_end *end, const struct ew_ca_reply *reply, int64_t now,
                              int64_t visibility_ms);
/* Until GlobalSign shows the order ended (job->end.status), or will not. Uses job->setting. */
void ew_end_order(struct ew_job *job, const char *order_id, bool prefer_revoke,
                  void (*next)(struct ew_job *job, enum ew_ended result));
/* Cancels (or revokes) job->order_id until GlobalSign confirms it; then next(job). */
void ew_undo_begin(struct ew_job *job, const char *why, void (*next)(struct ew_job *job));
/* Commits what must be durable before the job goes on with what follows from an order's end. While
 * Kafka refuses it, it is tried again. */
void ew_job_commit_first(struct ew_job *job, struct ew_commit *commit, struct ew_telling telling);
/* So is the word that job->order_id is ended, and why: problem, cause and advice are event's.
 * recorded: with an ORDERING record that names it, in the same transaction. */
void ew_job_tell_ending(struct ew_job *job, struct ew_account_event *event, bool recorded,
                        struct ew_telling telling);

/* --- key.c --- */
/* Makes the worker's key (or opens the wrapped one), sets spki and wrapped; then next(job). */
void ew_key_make(struct ew_job *job, void (*next)(struct ew_job *job));
/* What the pool has not yet begun of it is not begun: nobody waits for it any more. */
void ew_key_unwanted(struct ew_job *job);
/* Reads spki from the wrapped key; false = it cannot be opened here, and that is told. */
bool ew_key_open(struct ew_job *job);
/* The worker-made key that it orders for, to be told to Redis; NULL = another's, or none is here.
 */
const struct ew_made_key *ew_key_made(const struct ew_job *job, struct ew_made_key *key);
/* PEM CSR of the request: the device's, or one made with the worker's key. */
EW_CHECK enum ew_fault ew_key_csr_text(struct ew_job *job, struct ew_buf *out, struct ew_err *err);
/* Builds and seals the PKCS#12 on the pool; then next(job), with err in *fault when it failed. */
void ew_key_seal(struct ew_job *job, void (*next)(struct ew_job *job, enum ew_fault fault));

/* --- kek.c --- */
/* The wrapped key is there and cannot be opened here: said once, to the operator and to who asked.
 */
void ew_kek_tell(struct ew_job *job, const struct ew_err *err);
/* Holds a job whose certificate waits for its key. */
void ew_kek_hold(struct ew_job *job);
/* Before an order: false = the job is held, for its key, claimed by another worker, is shut here.
 */
bool ew_kek_opens(struct ew_job *job);

/* --- outcome.c --- */
/* What Redis keeps of an outcome until the answer: the certificate, if there is one, and a key that
 * is nowhere else. */
void ew_outcome_read(struct ew_job *job, const struct ew_blob *outcome);
/* Keeps what became of job->order_id; then next(job), be Redis away or not. But an order that is
 * recorded for another request is none of the job's to end: it looks for its own. */
void ew_outcome_keep(struct ew_job *job, void (*next)(struct ew_job *job));
/* The same of a job whose partition is gone, for its adopter. */
void ew_outcome_leave(struct ew_job *job);
/* GlobalSign told the order of another request in the reply to ours. */
void ew_outcome_anothers(struct ew_job *job);

/* --- globalsign_key.c --- */
/* A new PIN for the order that is about to be sent: borrowed from the job. */
const char *ew_their_key_pin(struct ew_job *job);
/* Takes key and certificate out of an order's reply, tells Redis, and goes on to verify them; of a
 * dropped job for its adopter. Where that fails for no fault of what came it is tried again. */
void ew_their_key_open(struct ew_job *job, const struct ew_ca_reply *reply);
void ew_their_key_forget(struct ew_job *job); /* nobody opens it any more */
/* The reply has none: the order is cancelled. */
void ew_their_key_missing(struct ew_job *job, const struct ew_ca_reply *reply);

/* --- wait.c --- */
void ew_wait_begin(struct ew_job *job, enum ew_wait wait, const char *id,
                   const struct ew_source *holder);
/* Of one that waits since wait_since: whether Kafka itself is to be asked now, which reads whole
 * partitions; ever more rarely, and by some at a time. It counts as asked. */
bool ew_wait_asks_kafka(struct ew_job *job);

/* --- target.c, renew.c, revoke.c --- */
void ew_target_resolve(struct ew_job *job); /* both; then ew_renew_ready or ew_revoke_ready */
void ew_renew_ready(struct ew_job *job);
void ew_revoke_ready(struct ew_job *job);
/* Whether the target's answer names the certificate of this order. The index also leads there from
 * orders that it does not name: a surplus, one that was ended for its lost key, a rejected one's.
 */
bool ew_target_brought(const struct ew_job *job, const char *order_id);

/* --- amend.c --- */
/* The record that asks for it, in the revocation's transaction; out points into value. */
bool ew_amend_out(struct ew_job *job, struct ew_buf *value, struct ew_out *out);
void ew_amend_admit(struct ew_job *job, const struct ew_resume *resume);

/* --- canary.c, rebuild.c --- */
void ew_canary_watch(struct ew_flow *flow);
void ew_canary_check(struct ew_flow *flow);
void ew_rebuild_begin(struct ew_flow *flow);
void ew_rebuild_free(struct ew_flow *flow);

/* --- flow.c --- */
int32_t ew_inflight_partition(struct ew_job *job); /* of epki.inflight, by the request id */
struct ew_setting_run *ew_flow_setting(struct ew_flow *flow, const char *name);
bool ew_flow_quit_early(const struct ew_flow *flow); /* draining: nothing new leaves */

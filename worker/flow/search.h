/*
 * Looking for the order of a job that may have been sent: GlobalSign's lists are read, in parts, by
 * many jobs at once; what they show is the job's, another's, or in doubt; and only a whole list
 * after the quiet period says that there is none. A part of job.h, which includes it.
 */
#pragma once

#include "desk.h"

struct ew_job;
struct ew_setting_run;
struct ew_doubts;
struct ew_orphans;

/* A list of orders asked for in parts, because GlobalSign cuts long ones off. CA time. */
struct ew_windows {
    int64_t from_ms, to_ms; /* the part asked for; to_ms 0 = all, without dates */
    int64_t end_ms;         /* where the last part ends */
    bool torn;              /* a part could not be made whole */
};

/* One pass over all orders of a profile, shared by the jobs that look for theirs. */
struct ew_scan {
    struct ew_setting_run *setting;
    struct ew_list waiting; /* jobs of the next pass */
    struct ew_list passing; /* jobs of the pass under way */
    struct ew_turn turn;
    struct ew_ca_call *call;
    struct ew_timer timer;
    struct ew_windows windows;
    struct ew_doubts *unfinished; /* orders that this pass has shown */
    int64_t began_ms;             /* boot */
};

enum { EW_FOREIGN = 16 };

enum ew_inquired {
    EW_INQUIRED_OTHERS,  /* all of them are other requests' */
    EW_INQUIRED_OWN,     /* one is the request's own */
    EW_INQUIRED_NOBODYS, /* one is nobody's that Redis knows */
    EW_INQUIRED_UNSAID,  /* Redis cannot say */
};

/* Whose are these orders? */
struct ew_inquiry {
    struct ew_doubts *list;
    const struct ew_doubts *among; /* only those that are here too; NULL = all */
    bool own_too;                  /* the request's own are as good as another's */
    void (*done)(struct ew_job *job, enum ew_inquired result, const char *order_id); /* "" = all */
    size_t at; /* in the list */
};

/* What a reconcile has found out so far. */
struct ew_search {
    int64_t quiet_until;        /* boot time; 0 = not searching */
    int64_t chance_until;       /* boot time; the room is no alternative before */
    int64_t asked_ms;           /* boot time of the query under way */
    char canary[EW_CANARY_MAX]; /* the incarnation in which the quiet period began, "" = none */
    int64_t attempt_date_ms;    /* CA time before the attempt was sent, 0 = not known */
    unsigned round;
    struct ew_windows windows;
    bool key_used;                   /* GlobalSign said so: "none" is then a refusal */
    const char *foreign[EW_FOREIGN]; /* orders with our key that are another request's */
    size_t foreign_count;
    const char *unfindable;          /* why people would decide; NULL = it can be looked for */
    int status;                      /* of the order that was found */
    const char *seen_id, *seen_cert; /* of the last one, found as often as Redis cannot say whose */
    struct ew_doubts *unfinished;    /* orders of the list under way that might be ours */
    struct ew_doubts *ended;    /* and those that might have been: cancelled, and never issued */
    struct ew_doubts *suspects; /* the unfinished orders of the first whole list after the quiet
                                   period: ours would be among them. NULL = no such list yet */
    struct ew_inquiry inquiry;
    bool last;                  /* the list under way is the one that may say "none" */
    bool dated;                 /* epki.inflight was asked when the attempt was sent */
    struct ew_orphans *orphans; /* orphan.c; NULL = none in question */
};

/* --- reconcile.c --- */
void ew_reconcile_begin(struct ew_job *job, const char *why);
/* Why a request is parked that would be ordered again beside a cancelled order. */
#define EW_CANCELLED_REASON "cancelled-order-may-be-its-own"
/* Why a request is rejected whose key GlobalSign knew before any order of it: what carries the key
 * is people's. */
#define EW_KEY_USED_PROBLEM "key-used"
/* What was found out so far. */
void ew_reconcile_forget(struct ew_job *job);
/* Looks again after a while, or at once. */
void ew_reconcile_later(struct ew_job *job);
void ew_reconcile_again(struct ew_job *job);
/* There is no order of the job, and none will come. */
void ew_reconcile_none(struct ew_job *job);
/* Only a claim brings the wrapped key: while Redis was away when this began, nothing is lost yet.
 * True: the job claims. */
bool ew_reconcile_asks_for_key(struct ew_job *job);
/* An order was ended for its lost key, and the job has not heard of that: Redis was away, or being
 * rebuilt. A claim tells it all. */
bool ew_reconcile_hears_of_loss(const struct ew_job *job, const struct ew_record_view *view);
/* All orders of the profile, whatever their name: the list that may say "none". */
void ew_reconcile_scan(struct ew_job *job);
/* People say which order is whose. */
void ew_reconcile_ambiguous(struct ew_job *job);
/* CA time before which no attempt of the job was sent; while the CA's clock is not known, by other
 * people's. */
int64_t ew_reconcile_since(const struct ew_job *job);

/* GlobalSign cannot be asked for the job's order, or not by anything that tells it from others'.
 * Unless Redis, once it is whole, knows that it is answered, people decide. */
void ew_reconcile_unfindable(struct ew_job *job, const char *why);

/* --- reconcile_list.c --- */
/* The order in job->order_id is another request's: passed over from now on. False: there are too
 * many of them, and people decide. */
bool ew_reconcile_foreign(struct ew_job *job);
/* What a list of orders shows of the job's own. True: found; the job goes on elsewhere. */
bool ew_reconcile_look(struct ew_job *job, const struct ew_ca_order *order,
                       const uint8_t order_key[32], const struct ew_ca_reply *reply);
/* The list that was begun at asked_ms (boot) is seen; unfinished: what it showed of such orders. */
void ew_reconcile_seen(struct ew_job *job, int64_t asked_ms, bool whole,
                       struct ew_doubts *unfinished);
/* An order that has no certificate yet. */
bool ew_order_unfinished(const struct ew_ca_order *order);
/* Whether the one may be the other as a CA writes it: letters and digits alone count. */
bool ew_order_same_name(const char *one, const char *other);
/* The order is surely not the job's own. */
bool ew_reconcile_passes(const struct ew_job *job, const char *order_id);
/* The public key of an order's certificate; false = it has none that can be read. */
bool ew_order_key(const struct ew_ca_order *order, uint8_t key[32]);
/* The list that is seen shows nothing that is or may become the job's order: on to the next, or to
 * "none". */
void ew_reconcile_nothing(struct ew_job *job);
/* An order that has ended, and may have been ours. */
void ew_reconcile_note_ended(struct ew_job *job, const char *order_id);

/* --- orphan.c --- */
/* Whether nothing but name and time tell the job's order: GlobalSign made its key. */
bool ew_orphan_sought(const struct ew_job *job);
/* When the attempt was sent, if this worker did not send it; then reconciling begins. */
void ew_orphan_date(struct ew_job *job);
void ew_orphans_clear(struct ew_job *job); /* a list begins */
void ew_orphan_look(struct ew_job *job, const struct ew_ca_order *order,
                    const uint8_t order_key[32]); /* NULL = it shows none */
void ew_orphans_judge(struct ew_job *job);        /* the list is seen, whole */

/* --- doubts.c --- */
struct ew_doubts *ew_doubts_new(void);
struct ew_doubts *ew_doubts_ref(struct ew_doubts *doubts);
void ew_doubts_unref(struct ew_doubts *doubts); /* NULL is fine */
void ew_doubts_add(struct ew_doubts *doubts, const char *order_id);
bool ew_doubts_have(const struct ew_doubts *doubts, const char *order_id);
/* Asks Redis, one by one until one is not another request's; then inquiry->done. */
void ew_doubts_inquire(struct ew_job *job, const struct ew_inquiry *inquiry);

/* --- scan.c --- */
void ew_scan_init(struct ew_scan *scan, struct ew_setting_run *setting);
void ew_scan_free(struct ew_scan *scan);
/* The job takes part in the next pass; ew_reconcile_look() and _seen() tell it. */
void ew_scan_join(struct ew_job *job);
/* The account is paused: neither the pass under way nor the next one goes on. Who takes part may
 * leave. */
bool ew_scan_held(const struct ew_scan *scan);
/* The same, of the orders under the job's own name. */
void ew_scan_by_name(struct ew_job *job);
/* The next part to ask for after one that came back; false = that was the last, or torn. first_ms:
 * where windows begin when there are none yet; now: the CA's, 0 = not known. */
bool ew_windows_next(struct ew_windows *windows, bool capped, int64_t now, int64_t first_ms);

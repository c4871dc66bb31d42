/*
 * A key that nobody has, ours or GlobalSign's: what it was ordered for is worth nothing. The order
 * is ended, that is told, and another follows. Who finds it cancelled would take that for people's
 * wish, and Redis may go as well as the worker: before it is ended that stands in epki.inflight,
 * and in each record of the request from then on.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "job.h"

enum {
    KEYS_LOST_MAX = 5, /* of one request, before people look */
    KEY_LOOKS = 4,     /* for one that is missing */
};

static const char LOST_WITH_REDIS[] =
    "an order was cancelled because its worker-made key was lost with Redis; another one follows";
static const char SEE_REDIS[] =
    "Compare both orders with GlobalSign's bill; find out why Redis lost what it held.";
static const char LOST_WITH_REPLY[] =
    "an order was cancelled because the reply with the key that GlobalSign made was lost; another "
    "one follows";
static const char SEE_NETWORK[] =
    "Compare both orders with GlobalSign's bill; find out why the reply did not come.";

/* A new order follows, with a key of its own. */
static void
order_anew(struct ew_job *job)
{
    job->order_id = "";
    job->cert_text = NULL;
    job->has_spki = false;
    job->verdict = true;
    job->keys_lost++;
    job->missed_until = 0;
    job->discard = true;
    job->key_unusable = false;
    job->wrapped.len = 0;
    memcpy(job->search.canary, job->flow->canary, sizeof(job->search.canary));
    if (job->req.key == EW_KEY_WORKER)
        ew_key_make(job, ew_claim_begin);
    else
        ew_claim_begin(job);
}

/* The order was paid for, and nobody can use what it brought. It is told before anything follows:
 * once the new key is claimed, who takes the request over no longer knows of the old one. */
static void
tell_lost(struct ew_job *job)
{
    bool theirs = job->req.key == EW_KEY_GLOBALSIGN;
    struct ew_account_event event = {.problem = "key-lost",
                                     .cause = theirs ? LOST_WITH_REPLY : LOST_WITH_REDIS,
                                     .advice = theirs ? SEE_NETWORK : SEE_REDIS};

    job->lost_order = job->order_id;
    ew_job_tell_ending(job, &event, false,
                       (struct ew_telling){.again = tell_lost, .next = order_anew});
}

/* In the list of this job, as it is in that of Redis. */
static void
note_lost(struct ew_job *job)
{
    char text[EW_MAX_LOST_TEXT + 1];
    const char *rest = job->lost_orders;
    int count = *rest != '\0';

    if (ew_text_has(rest, job->order_id))
        return;
    for (const char *at = rest; *at != '\0'; at++)
        count += *at == ' ';
    for (; count >= EW_MAX_LOST_ORDERS; count--) {
        rest += strcspn(rest, " ");
        rest += strspn(rest, " ");
    }
    (void)snprintf(text, sizeof(text), "%s%s%s", rest, *rest == '\0' ? "" : " ", job->order_id);
    job->lost_orders = ew_job_text(job, text);
}

/* Not ours by Redis, or its key is there: it may be the order of an event that was answered, and
 * its key gone with that. Whose it is only a claim can say; which one it is, too, or the search. */
static bool
is_granted(struct ew_job *job, enum ew_fault fault, enum ew_transition result,
           void (*again)(struct ew_job *job))
{
    if (fault == EW_OK && result == EW_TR_OK)
        return true;
    if (fault != EW_OK || result == EW_TR_NO_CANARY) {
        ew_job_retry(job, again);
        return false;
    }
    job->lost_orders = job->order_id = "";
    job->cert_text = NULL;
    ew_job_retry(job, ew_claim_begin);
    return false;
}

static void
ask_redis(struct ew_job *job, ew_store_moved *done)
{
    struct ew_holder holder = ew_job_holder(job);

    ew_store_losing(job->flow->store, &holder, job->attempt, job->order_id, job->key_unusable, done,
                    ew_job_out(job));
}

static void confirm(struct ew_job *job);

static void
on_confirmed(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job != NULL && is_granted(job, fault, result, confirm))
        ew_undo_begin(job, "its key is lost", tell_lost);
}

/* Redis once more: where it was rebuilt meanwhile, that may have read Kafka before. */
static void
confirm(struct ew_job *job)
{
    job->ordering = true;
    ask_redis(job, on_confirmed);
}

static void
record(struct ew_job *job)
{
    struct ew_commit commit = {.part = job->run->part,
                               .offset = job->source.offset,
                               .mark = EW_MARK_STARTED,
                               .out_count = 1};
    struct ew_buf key, value;

    ew_job_note_key(job);
    if (ew_order_record(job, job->attempt_date_ms, job->order_id, &key, &value, &commit.outs[0]))
        ew_job_commit_first(job, &commit, (struct ew_telling){.again = record, .next = confirm});
    else
        ew_job_retry(job, record);
    ew_buf_deinit(&key);
    ew_buf_deinit(&value);
}

static void
on_losing(void *arg, enum ew_fault fault, enum ew_transition result)
{
    struct ew_job *job = ew_job_back(arg);

    if (job == NULL || !is_granted(job, fault, result, ew_lost_key_begin))
        return;
    note_lost(job);
    record(job);
}

/* A wiped key comes back with the reply to its order, from the worker that sent it, if that lives:
 * another order would cost a licence. Not where it is being ended already. */
static bool
may_come_back(struct ew_job *job)
{
    int64_t quiet_ms = ew_config_quiet_ms(job->flow->config);
    int64_t now = ew_loop_now(job->flow->loop);

    if (job->req.key != EW_KEY_WORKER || ew_text_has(job->lost_orders, job->order_id))
        return false;
    if (job->missed_until == 0)
        job->missed_until = now + quiet_ms;
    if (now >= job->missed_until)
        return false;
    ew_job_after(job, quiet_ms / KEY_LOOKS + 1, ew_claim_begin);
    return true;
}

void
ew_lost_key_begin(struct ew_job *job)
{
    if (job->state != EW_ST_VERIFY)
        ew_job_move(job, EW_ST_VERIFY, "");
    if (job->ended_by_people)
        ew_undo_begin(job, "people ended its request", ew_answer_rejected);
    else if (job->keys_lost >= KEYS_LOST_MAX)
        ew_answer_parked(job, "keys-lost-again-and-again", NULL);
    else if (job->attempt == 0) /* found while Redis was not heard: it knows more */
        ew_claim_begin(job);
    else if (!may_come_back(job))
        ask_redis(job, on_losing);
}

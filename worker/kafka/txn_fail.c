/*
 * The failpoints of a transaction, by what is in it. A batch passes those of everything in it; one
 * without items commits epochs.
 */
#include "txn_private.h"

#ifdef EW_FAILPOINTS

#include <string.h>

#include "base/failpoint.h"
#include "committer_private.h"

enum kind { INTENT, ANSWER, ADOPTION, KINDS };

static const int points[KINDS][4] = {
    [INTENT] = {EW_FP_INTENT_BEGUN, EW_FP_INTENT_PRODUCED, EW_FP_INTENT_SENT,
                EW_FP_INTENT_COMMITTED},
    [ANSWER] = {EW_FP_ANSWER_BEGUN, EW_FP_ANSWER_PRODUCED, EW_FP_ANSWER_SENT,
                EW_FP_ANSWER_COMMITTED},
    [ADOPTION] = {EW_FP_ADOPTION_BEGUN, -1, EW_FP_ADOPTION_SENT, EW_FP_ADOPTION_COMMITTED},
};

/* Its record of state or in the air begins with the request's id. */
static bool
concerns(const struct ew_item *item, const char *request_id)
{
    size_t len = strlen(request_id);

    for (size_t i = 0; i < item->out_count; i++) {
        const struct ew_out *out = &item->outs[i];
        bool named = out->topic == EW_TOPIC_STATE || out->topic == EW_TOPIC_INFLIGHT;

        if (named && out->key_len >= len && memcmp(out->key, request_id, len) == 0 &&
            (out->key_len == len || ((const char *)out->key)[len] == '\0'))
            return true;
    }
    return len == 0;
}

static bool
holds(const struct ew_txn *txn, enum kind kind, const char *request_id)
{
    enum ew_mark mark = kind == INTENT ? EW_MARK_STARTED : EW_MARK_DONE;

    if (kind == ADOPTION)
        return txn->count == 0;
    for (size_t i = 0; i < txn->count; i++)
        if (txn->items[i]->part != NULL && txn->items[i]->mark == mark &&
            concerns(txn->items[i], request_id))
            return true;
    return false;
}

static bool
fails_at(const struct ew_txn *txn, enum kind kind, enum ew_failpoint point)
{
    char request_id[EW_FAILPOINT_REQUEST];

    ew_failpoint_request(point, request_id);
    return holds(txn, kind, request_id) && ew_failpoint(point, request_id);
}

bool
ew_txn_fails(const struct ew_txn *txn, enum ew_txn_step step)
{
    bool fails = false;

    for (int kind = 0; kind < KINDS; kind++)
        if (points[kind][step] >= 0 &&
            fails_at(txn, (enum kind)kind, (enum ew_failpoint)points[kind][step]))
            fails = true;
    return fails;
}

#endif

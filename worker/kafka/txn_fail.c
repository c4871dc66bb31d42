/*
 * The failpoints of a transaction, by what is in it. A batch passes those of everything in it; one
 * without items commits epochs.
 */
#include "txn_private.h"

#ifdef EW_FAILPOINTS

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

static bool
holds(const struct ew_txn *txn, enum kind kind)
{
    enum ew_mark mark = kind == INTENT ? EW_MARK_STARTED : EW_MARK_DONE;

    if (kind == ADOPTION)
        return txn->count == 0;
    for (size_t i = 0; i < txn->count; i++)
        if (txn->items[i]->part != NULL && txn->items[i]->mark == mark)
            return true;
    return false;
}

bool
ew_txn_fails(const struct ew_txn *txn, enum ew_txn_step step)
{
    bool fails = false;

    for (int kind = 0; kind < KINDS; kind++)
        if (points[kind][step] >= 0 && holds(txn, (enum kind)kind) &&
            ew_failpoint((enum ew_failpoint)points[kind][step], NULL))
            fails = true;
    return fails;
}

#endif

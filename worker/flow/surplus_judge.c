/*
 * Whether an order is ours and nobody's: pure. Whatever is not known for certain is left alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "surplus.h"

/* By its id, or by its certificate: GlobalSign may have told that under another id. */
static bool
names(const struct ew_claimant *claimant, const struct ew_sight *order)
{
    return claimant != NULL && claimant->state == EW_REC_DONE &&
           (strcmp(claimant->order_id, order->order_id) == 0 ||
            (order->serial[0] != '\0' && strcmp(claimant->serial, order->serial) == 0));
}

static bool
is_open(const struct ew_claimant *claimant)
{
    return claimant != NULL && claimant->state != EW_REC_DONE && claimant->state != EW_REC_ABSENT;
}

enum ew_whose
ew_surplus_judge(const struct ew_sight *order, const struct ew_claimant *by_order,
                 const struct ew_claimant *by_key)
{
    if (ew_order_ended(order->status))
        return EW_WHOSE_ENDED;
    if (!order->has_key)
        return EW_WHOSE_NAMELESS;
    if (names(by_order, order) || names(by_key, order))
        return EW_WHOSE_ANSWERED;
    if (is_open(by_order) || is_open(by_key))
        return EW_WHOSE_IN_FLIGHT;
    if (by_key == NULL || by_key->state == EW_REC_ABSENT)
        return EW_WHOSE_FOREIGN;
    if (by_order != NULL && by_order->state == EW_REC_ABSENT)
        return EW_WHOSE_FOREIGN; /* somebody's it was, and what of it is forgotten */
    return EW_WHOSE_SURPLUS;
}

/* What carries its key is people's. Any other refusal may have been booked all the same. */
static bool
has_no_orders(const struct ew_event *answer)
{
    return !answer->has_certificate && answer->failure.cls == EW_FAIL_REFUSED &&
           strcmp(answer->failure.problem, EW_KEY_USED_PROBLEM) == 0;
}

void
ew_surplus_answered(const struct ew_blob *state, struct ew_claimant *out)
{
    struct ew_arena *arena = ew_arena_new(EW_MAX_FLOW_MEMORY);
    struct ew_state_record record;
    struct ew_err err;

    *out = (struct ew_claimant){.state = EW_REC_ABSENT};
    if (ew_wire_state_decode(state->data, state->len, arena, &record, &err) == EW_OK &&
        !has_no_orders(&record.first)) {
        out->state = EW_REC_DONE;
        if (record.first.has_certificate) {
            const struct ew_certificate *brought = &record.first.certificate;

            (void)snprintf(out->order_id, sizeof(out->order_id), "%s", brought->order_id);
            (void)snprintf(out->serial, sizeof(out->serial), "%s", brought->serial);
        }
    }
    ew_arena_free(arena);
}

/*
 * What who holds a request may do with its record, called as if it were synchronous.
 */
#pragma once

#include "redis_harness.h"

enum { CA_DATE = 1700000000 };

static MAYBE enum ew_transition
calling(struct fix *fix, const struct ew_claim *c, int attempt)
{
    ew_store_calling(fix->store, &c->holder, attempt, CA_DATE, got_moved, fix);
    return moved(fix);
}

static MAYBE enum ew_transition
unknown(struct fix *fix, const struct ew_claim *c, int attempt)
{
    ew_store_unknown(fix->store, &c->holder, attempt, got_moved, fix);
    return moved(fix);
}

static MAYBE enum ew_transition
outcome(struct fix *fix, const struct ew_claim *c, int attempt, const char *order, const char *text)
{
    struct ew_blob blob = blob_of(text);

    ew_store_outcome(fix->store, &c->holder, attempt, order, &blob, NULL, got_moved, fix);
    return moved(fix);
}

static MAYBE enum ew_transition
park(struct fix *fix, const struct ew_claim *c, enum ew_record_state state,
     const struct ew_source *original)
{
    ew_store_park(fix->store, &c->holder, state, original, false, got_moved, fix);
    return moved(fix);
}

static MAYBE enum ew_transition
done_with(struct fix *fix, const struct ew_claim *c, const char *text,
          const struct ew_done_index *index)
{
    struct ew_blob blob = blob_of(text);

    ew_store_done(fix->store, &c->holder, c->digest, &blob, index, got_moved, fix);
    return moved(fix);
}

static MAYBE enum ew_transition
done(struct fix *fix, const struct ew_claim *c, const char *text)
{
    struct ew_done_index index = {.order_id = "", .issuer = "", .serial = "", .expire_ms = 60000};

    return done_with(fix, c, text, &index);
}

static MAYBE struct ew_claim
resume_of(const char *id, int64_t offset, uint32_t epoch, const struct ew_claim *original)
{
    struct ew_claim out = claim_of(id, offset, epoch);

    out.holder.source = source_of("resume", 2, offset);
    out.holder.original = original->holder.source;
    return out;
}

/*
 * Rebuilds of a Redis from records of the topics.
 */
#pragma once

#include "redis_harness.h"

static MAYBE const char *const NONCE_A = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static MAYBE const char *const NONCE_B = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static MAYBE bool
begin(struct fix *fix, const char *nonce)
{
    ew_store_rebuild_begin(fix->store, nonce, got_flag, fix);
    return flag(fix);
}

static MAYBE bool
renew(struct fix *fix, const char *nonce)
{
    ew_store_rebuild_renew(fix->store, nonce, got_flag, fix);
    return flag(fix);
}

static MAYBE bool
finish(struct fix *fix, const char *nonce)
{
    ew_store_rebuild_finish(fix->store, nonce, got_flag, fix);
    return flag(fix);
}

static MAYBE enum ew_transition
restore_answer(struct fix *fix, const char *nonce, const char *id, int64_t version,
               const char *text)
{
    struct ew_claim c = claim_of(id, 7, 0);
    struct ew_blob state = blob_of(text);
    struct ew_done_index index = {
        .order_id = "CE1", .issuer = "CN=CA", .serial = "01", .expire_ms = 5000};

    ew_store_restore_state(fix->store, nonce, id, c.digest, &c.holder.source, version, &state,
                           &index, got_moved, fix);
    return moved(fix);
}

static MAYBE struct ew_inflight_record
inflight_of(enum ew_inflight_kind kind, const char *id, int64_t offset)
{
    struct ew_inflight_record out = {.kind = kind,
                                     .request_id = id,
                                     .attempt = 2,
                                     .order_id = "",
                                     .source = source_of("requests", 0, offset)};

    memset(out.digest, 0xd1, sizeof(out.digest));
    return out;
}

static MAYBE enum ew_transition
restore(struct fix *fix, const char *nonce, const struct ew_inflight_record *record)
{
    ew_store_restore_inflight(fix->store, nonce, record, 60000, got_moved, fix);
    return moved(fix);
}

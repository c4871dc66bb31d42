/*
 * The Lua scripts: one transition each, so that no two workers can be between its steps. Their
 * texts are in scripts_*.c; the server names them by SHA-1, which is learnt from SCRIPT LOAD.
 */
#pragma once

enum ew_script {
    EW_SCRIPT_CANARY,
    EW_SCRIPT_LOOKUP,
    EW_SCRIPT_AWAIT,
    EW_SCRIPT_FIND,
    EW_SCRIPT_CLAIM,
    EW_SCRIPT_CALLING,
    EW_SCRIPT_UNKNOWN,
    EW_SCRIPT_OUTCOME,
    EW_SCRIPT_PARK,
    EW_SCRIPT_TAKE_ORDER,
    EW_SCRIPT_LOSING,
    EW_SCRIPT_MISFIT,
    EW_SCRIPT_STOP,
    EW_SCRIPT_CERTIFIED,
    EW_SCRIPT_DONE,
    EW_SCRIPT_REWRITE,
    EW_SCRIPT_VERSION,
    EW_SCRIPT_BEGIN,
    EW_SCRIPT_SWEEP,
    EW_SCRIPT_RENEW,
    EW_SCRIPT_FINISH,
    EW_SCRIPT_RESTORE_STATE,
    EW_SCRIPT_RESTORE_INFLIGHT,
    EW_SCRIPT_TOKEN,
    EW_SCRIPT_REFUND,
    EW_SCRIPT_NOT_BEFORE,
    EW_SCRIPT_OPEN,
    EW_SCRIPT_ACCOUNT,
    EW_SCRIPT_BOOTSTRAP,
    EW_SCRIPT_LEASE,
    EW_SCRIPT_OWNERS,
    EW_SCRIPT_CONDEMN,
    EW_SCRIPT_COUNT,
};

#define EW_STORE_PREFIX "epki:v1:"

enum { EW_SCRIPT_PARTS = 4 };

/* A script is its parts one after another; NULL = no more. */
struct ew_script_text {
    const char *name;
    const char *parts[EW_SCRIPT_PARTS];
};

extern const struct ew_script_text ew_scripts[EW_SCRIPT_COUNT];

/* Shared parts. canary: num(), canary(key). record: read(key), write(key, record),
 * owns(key, order id), view(record, stop). index: index(id, ttl, order id, issuer, serial, first
 * key, last key). */
extern const char ew_lua_canary[];
extern const char ew_lua_record[];
extern const char ew_lua_index[];

extern const char ew_lua_claim_rules[];
extern const char ew_lua_claim[];
extern const char ew_lua_calling[];
extern const char ew_lua_unknown[];
extern const char ew_lua_outcome[];
extern const char ew_lua_park[];
extern const char ew_lua_take_order[];
extern const char ew_lua_losing[];
extern const char ew_lua_misfit[];
extern const char ew_lua_stop[];
extern const char ew_lua_lookup[];
extern const char ew_lua_await[];
extern const char ew_lua_find[];
extern const char ew_lua_certified[];
extern const char ew_lua_done[];
extern const char ew_lua_rewrite[];
extern const char ew_lua_version[];
extern const char ew_lua_canary_state[];
extern const char ew_lua_begin[];
extern const char ew_lua_sweep[];
extern const char ew_lua_renew[];
extern const char ew_lua_finish[];
extern const char ew_lua_restore_state[];
extern const char ew_lua_restore_inflight[];
extern const char ew_lua_bootstrap[];
extern const char ew_lua_bucket[];
extern const char ew_lua_token[];
extern const char ew_lua_refund[];
extern const char ew_lua_not_before[];
extern const char ew_lua_open[];
extern const char ew_lua_account[];
extern const char ew_lua_lease[];
extern const char ew_lua_owners[];
extern const char ew_lua_condemn[];

/*
 * Redis, played: see world.h.
 */
#pragma once

bool
ew_store_is_up(const struct ew_store *store)
{
    return !store->away;
}

static enum ew_canary_state
canary_state(void)
{
    return w.canary[0] == '\0' ? EW_CANARY_MISSING : EW_CANARY_OK;
}

static void
run_canary(struct later *l)
{
    l->done.canary(l->arg, l->fault, canary_state(), w.canary, !w.rebuilds);
}

void
ew_store_canary(struct ew_store *store,
                void (*done)(void *, enum ew_fault, enum ew_canary_state, const char *, bool),
                void *arg)
{
    (void)store;
    later(run_canary, arg)->done.canary = done;
}

/* What was told of the attempt in question, by whomever. */
static void
run_lookup(struct later *l)
{
    struct ew_record_view view;

    w.view.misfit = w.misfit;
    w.view.lost_orders = w.lost_orders;
    view = w.view;
    if (w.ending[0] != '\0')
        view.order_id = w.ending;
    if (w.remembers && w.saved_attempt == w.attempt) {
        view.outcome = w.saved;
        view.order_id = w.saved_order;
    }
    l->done.lookup(l->arg, l->fault, canary_state(), &view);
}

static void
run_target(struct later *l)
{
    struct ew_record_view view = {
        .state = EW_REC_DONE, .outcome = w.target, .order_id = "", .lost_orders = ""};

    l->done.lookup(l->arg, l->fault, canary_state(), &view);
}

void
ew_store_lookup(struct ew_store *store, const char *request_id,
                void (*done)(void *, enum ew_fault, enum ew_canary_state,
                             const struct ew_record_view *),
                void *arg)
{
    bool target = w.target.len > 0 && strcmp(request_id, "r-0") == 0;

    (void)store;
    later(target ? run_target : run_lookup, arg)->done.lookup = done;
}

static void
run_awaited(struct later *l)
{
    l->done.awaited(l->arg, l->fault, canary_state(), &w.view, w.circular);
}

void
ew_store_await(struct ew_store *store, const char *request_id, const char *other,
               void (*done)(void *, enum ew_fault, enum ew_canary_state,
                            const struct ew_record_view *, bool),
               void *arg)
{
    (void)store, (void)request_id, (void)other;
    later(run_awaited, arg)->done.awaited = done;
}

static void
run_found(struct later *l)
{
    l->done.found(l->arg, l->fault, canary_state(), w.owner);
}

void
ew_store_by_order(struct ew_store *store, const char *order_id, ew_store_found *done, void *arg)
{
    (void)store, (void)order_id;
    later(run_found, arg)->done.found = done;
}

void
ew_store_by_serial(struct ew_store *store, const char *issuer, const char *serial,
                   ew_store_found *done, void *arg)
{
    (void)store, (void)issuer, (void)serial;
    later(run_found, arg)->done.found = done;
}

static void
run_claim(struct later *l)
{
    l->claim.view.order_id = w.ending;
    l->claim.view.lost_orders = w.lost_orders;
    l->claim.view.misfit = w.misfit;
    l->claim.other = "r-other";
    l->claim.canary = w.canary;
    l->claim.view.state = w.view.state;
    l->claim.view.stopped = w.view.stopped;
    l->claim.view.stopped_by = w.view.stopped_by;
    l->claim.view.epoch = w.view.epoch;
    l->claim.view.ca_date_ms = w.view.ca_date_ms;
    l->claim.view.attempt = w.attempt;
    l->claim.view.vanished = w.vanished;
    l->claim.view.source = w.holder;
    l->claim.view.outcome = w.outcome;
    if (w.remembers && w.saved_attempt == w.attempt) {
        l->claim.view.outcome = w.saved;
        l->claim.view.order_id = w.saved_order;
    }
    l->claim.view.has_spki = w.has_spki;
    memcpy(l->claim.view.spki, w.spki, sizeof(w.spki));
    l->claim.wrapped = w.wrapped;
    l->done.claim(l->arg, l->fault, &l->claim);
}

/* As the script of the real one: what may be in the air is found out first; a verdict of another
 * incarnation is none; without a canary nothing is ordered. */
static enum ew_claimed
judge_claim(const struct ew_claim *claim)
{
    enum ew_claimed said = (enum ew_claimed)w.claim_as;

    if (w.attempt == 0 && claim->adopting) /* what is found out is that of the first at least */
        w.attempt = 1;
    if (w.claim_as >= 0) {
        w.claim_as = -1;
        return said;
    }
    if (w.canary[0] == '\0')
        return claim->adopting ? EW_CLAIM_RECONCILE : EW_CLAIM_NO_CANARY;
    if (claim->verdict != NULL && strcmp(claim->verdict, w.canary) != 0)
        return EW_CLAIM_STALE;
    if (claim->adopting && claim->verdict == NULL)
        return EW_CLAIM_RECONCILE;
    if (claim->verdict != NULL || claim->unsent || w.attempt == 0)
        w.attempt++;
    w.ending[0] = '\0';
    return EW_CLAIM_YES;
}

/* A wrapped key that is there already stays. */
static void
take_key(const struct ew_claim *claim)
{
    if (w.wrapped.len > 0 || !claim->has_spki)
        return;
    w.wrapped.data = kept(claim->wrapped.data, claim->wrapped.len);
    w.wrapped.len = claim->wrapped.len;
    w.has_spki = true;
    memcpy(w.spki, claim->spki, sizeof(w.spki));
}

void
ew_store_claim(struct ew_store *store, const struct ew_claim *claim,
               void (*done)(void *, enum ew_fault, const struct ew_claim_reply *), void *arg)
{
    struct later *l = later(run_claim, arg);

    (void)store;
    w.claim = *claim;
    w.verdict[0] = '\0';
    if (claim->verdict != NULL)
        (void)snprintf(w.verdict, sizeof(w.verdict), "%s", claim->verdict);
    l->done.claim = done;
    if (w.deaf_claims > 0) {
        w.deaf_claims--;
        l->fault = EW_RETRY;
    }
    if (l->fault == EW_OK && claim->pardon)
        w.vanished = 0;
    if (l->fault == EW_OK)
        l->claim.result = judge_claim(claim);
    if (l->fault == EW_OK && l->claim.result == EW_CLAIM_YES)
        take_key(claim);
}

static void
run_moved(struct later *l)
{
    if (l->done.moved != NULL)
        l->done.moved(l->arg, l->fault, l->moved);
}

static void
moves(ew_store_moved *done, void *arg, enum ew_transition result)
{
    struct later *l = later(run_moved, arg);

    l->done.moved = done;
    l->moved = result;
}

void
ew_store_calling(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 int64_t ca_date_ms, ew_store_moved *done, void *arg)
{
    (void)store, (void)holder, (void)attempt;
    w.calling_date = ca_date_ms;
    moves(done, arg, w.calling);
}

void
ew_store_unknown(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 ew_store_moved *done, void *arg)
{
    (void)store, (void)holder, (void)attempt;
    moves(done, arg, EW_TR_OK);
}

void
ew_store_outcome(struct ew_store *store, const struct ew_holder *holder, int attempt,
                 const char *order_id, const struct ew_blob *outcome, const struct ew_made_key *key,
                 ew_store_moved *done, void *arg)
{
    (void)holder;
    if (w.anothers || store->away) {
        moves(done, arg, w.anothers ? EW_TR_ANOTHERS : EW_TR_OK);
        return;
    }
    if (key != NULL && w.wrapped.len == 0) {
        w.wrapped.data = kept(key->wrapped.data, key->wrapped.len);
        w.wrapped.len = key->wrapped.len;
    }
    w.saved_attempt = attempt;
    w.saved = (struct ew_blob){.data = ew_arena_memdup(w.arena, outcome->data, outcome->len),
                               .len = outcome->len};
    (void)snprintf(w.saved_order, sizeof(w.saved_order), "%s", order_id);
    moves(done, arg, EW_TR_OK);
}

void
ew_store_losing(struct ew_store *store, const struct ew_holder *holder, int attempt,
                const char *order_id, bool unusable, ew_store_moved *done, void *arg)
{
    bool refused = w.wrapped.len > 0 || attempt != w.attempt;
    bool again = w.losing_asked > 0 && w.losing_then != EW_TR_OK;
    enum ew_transition result = refused ? EW_TR_REFUSED : again ? w.losing_then : w.losing;

    (void)holder;
    w.losing_unusable = unusable;
    w.losing_asked++;
    if (!store->away && result == EW_TR_OK) {
        size_t len = strlen(w.lost_orders);

        (void)snprintf(w.ending, sizeof(w.ending), "%s", order_id);
        if (strstr(w.lost_orders, order_id) == NULL)
            (void)snprintf(w.lost_orders + len, sizeof(w.lost_orders) - len, "%s%s",
                           len > 0 ? " " : "", order_id);
    }
    moves(done, arg, result);
}

void
ew_store_misfit(struct ew_store *store, const struct ew_holder *holder,
                const struct ew_blob *misfit, ew_store_moved *done, void *arg)
{
    bool anothers = w.view.source.topic[0] != '\0' && w.view.source.offset != holder->source.offset;

    enum ew_transition result = w.misfit_asked++ == 0 ? w.misfit_as : w.misfit_then;

    if (!store->away && !anothers && result == EW_TR_OK)
        w.misfit = (struct ew_blob){.data = kept(misfit->data, misfit->len), .len = misfit->len};
    moves(done, arg, anothers ? EW_TR_REFUSED : result);
}

void
ew_store_park(struct ew_store *store, const struct ew_holder *holder, enum ew_record_state state,
              const struct ew_source *original, bool has_ordered, ew_store_moved *done, void *arg)
{
    (void)store, (void)holder, (void)original;
    w.parked_as = state;
    w.parked_ordered = has_ordered;
    moves(done, arg, EW_TR_OK);
}

void
ew_store_certified(struct ew_store *store, const char *request_id,
                   const struct ew_done_index *index)
{
    (void)store;
    assert_true(index->issuer[0] != '\0' && index->serial[0] != '\0' && index->expire_ms > 0);
    w.certified = kept(request_id, strlen(request_id) + 1);
}

void
ew_store_done(struct ew_store *store, const struct ew_holder *holder, const uint8_t digest[32],
              const struct ew_blob *state, const struct ew_done_index *index, ew_store_moved *done,
              void *arg)
{
    (void)store, (void)digest, (void)state, (void)index;
    w.done_by = holder->source;
    w.dones++;
    moves(done, arg, EW_TR_OK);
}

void
ew_store_rewrite(struct ew_store *store, const char *request_id, int64_t version,
                 const struct ew_blob *state, ew_store_moved *done, void *arg)
{
    (void)store, (void)request_id, (void)version, (void)state;
    moves(done, arg, EW_TR_OK);
}

static void
run_taken(struct later *l)
{
    bool unsaid = w.takes && w.canary[0] == '\0';

    l->done.taken(l->arg, unsaid ? EW_RETRY : l->fault, w.takes && !unsaid,
                  w.takes ? "" : "r-other");
}

void
ew_store_take_order(struct ew_store *store, const struct ew_holder *holder, int attempt,
                    const char *order_id, void (*done)(void *, enum ew_fault, bool, const char *),
                    void *arg)
{
    (void)store, (void)holder, (void)attempt, (void)order_id;
    later(run_taken, arg)->done.taken = done;
}

static void
run_version(struct later *l)
{
    l->done.version(l->arg, l->fault, 7);
}

void
ew_store_next_version(struct ew_store *store, void (*done)(void *, enum ew_fault, int64_t),
                      void *arg)
{
    (void)store;
    later(run_version, arg)->done.version = done;
}

static void
run_stopped(struct later *l)
{
    l->done.stopped(l->arg, l->fault, w.stop_as);
}

void
ew_store_stop(struct ew_store *store, const char *target, const struct ew_source *by,
              bool absent_only, int64_t expire_ms,
              void (*done)(void *, enum ew_fault, enum ew_stop_result), void *arg)
{
    (void)store, (void)target, (void)by, (void)absent_only, (void)expire_ms;
    later(run_stopped, arg)->done.stopped = done;
}

static void
run_tokens(struct later *l)
{
    l->token.problem = "credentials";
    l->token.wait_ms = 100;
    l->done.tokens(l->arg, l->fault, &l->token);
}

void
ew_store_tokens(struct ew_store *store, const char *account, const struct ew_rate *rate,
                enum ew_rate_class cls, int want,
                void (*done)(void *, enum ew_fault, const struct ew_token_reply *), void *arg)
{
    struct later *l = later(run_tokens, arg);

    (void)store, (void)account, (void)rate, (void)cls;
    l->done.tokens = done;
    l->token = (struct ew_token_reply){.result = w.token, .count = want};
}

void
ew_store_refund(struct ew_store *store, const char *account, const struct ew_rate *rate,
                enum ew_rate_class cls)
{
    (void)store, (void)account, (void)rate, (void)cls;
    w.refunds++;
}

void
ew_store_not_before(struct ew_store *store, const char *account, int64_t delay_ms)
{
    (void)store, (void)account, (void)delay_ms;
}

static void
run_account(struct later *l)
{
    l->done.account(l->arg, l->fault, true);
}

void
ew_store_account_open(struct ew_store *store, const char *account, const char *credentials,
                      ew_store_account_moved *done, void *arg)
{
    (void)store, (void)account, (void)credentials;
    later(run_account, arg)->done.account = done;
}

void
ew_store_account_resumed(struct ew_store *store, const char *account, ew_store_account_moved *done,
                         void *arg)
{
    (void)store, (void)account;
    w.token = EW_TOKEN_GRANTED;
    later(run_account, arg)->done.account = done;
}

void
ew_store_account_untested(struct ew_store *store, const char *account)
{
    (void)store, (void)account;
}

void
ew_store_account_pause(struct ew_store *store, const char *account, int code, const char *problem,
                       int64_t retest_ms, ew_store_account_moved *done, void *arg)
{
    (void)store, (void)account, (void)code, (void)problem, (void)retest_ms;
    w.token = EW_TOKEN_PAUSED;
    later(run_account, arg)->done.account = done;
}

static void
run_lease(struct later *l)
{
    l->done.flag(l->arg, l->fault, w.leases);
}

void
ew_store_lease(struct ew_store *store, const char *name, const char *token, int64_t lease_ms,
               void (*done)(void *, enum ew_fault, bool), void *arg)
{
    (void)store, (void)name, (void)token;
    w.lease_ms = lease_ms;
    later(run_lease, arg)->done.flag = done;
}

static void
run_owners(struct later *l)
{
    struct ew_order_owners owners = {.by_order = w.owner, .by_key = w.key_owner};

    l->done.owners(l->arg, l->fault, canary_state(), &owners);
}

void
ew_store_owners(struct ew_store *store, const char *order_id, const uint8_t key[32],
                void (*done)(void *, enum ew_fault, enum ew_canary_state,
                             const struct ew_order_owners *),
                void *arg)
{
    (void)store, (void)order_id, (void)key;
    later(run_owners, arg)->done.owners = done;
}

void
ew_store_condemn(struct ew_store *store, const char *order_id, const uint8_t key[32],
                 const struct ew_order_owners *owners, int64_t expire_ms, ew_store_moved *done,
                 void *arg)
{
    (void)store, (void)key, (void)owners, (void)expire_ms;
    (void)snprintf(w.condemned, sizeof(w.condemned), "%s", order_id);
    moves(done, arg, w.condemn_as);
}

/* Unless a test says otherwise the canary tells that somebody else rebuilds. */
static void
run_rebuild(struct later *l)
{
    l->done.flag(l->arg, l->fault, true);
}

void
ew_store_rebuild_begin(struct ew_store *store, const char *nonce,
                       void (*done)(void *, enum ew_fault, bool), void *arg)
{
    (void)store, (void)nonce;
    assert_true(w.rebuilds);
    later(run_rebuild, arg)->done.flag = done;
}

void
ew_store_rebuild_renew(struct ew_store *store, const char *nonce,
                       void (*done)(void *, enum ew_fault, bool), void *arg)
{
    ew_store_rebuild_begin(store, nonce, done, arg);
}

static void
run_finish(struct later *l)
{
    w.canary = "rebuilt:run";
    l->done.flag(l->arg, l->fault, true);
}

void
ew_store_rebuild_finish(struct ew_store *store, const char *nonce,
                        void (*done)(void *, enum ew_fault, bool), void *arg)
{
    (void)store, (void)nonce;
    assert_int_equal(w.restoring, 0);
    later(run_finish, arg)->done.flag = done;
}

static void
run_restored(struct later *l)
{
    w.restoring--;
    w.restored++;
    l->done.moved(l->arg, l->fault, EW_TR_OK);
}

static void
restores(ew_store_moved *done, void *arg)
{
    if (++w.restoring > w.at_once)
        w.at_once = w.restoring;
    later(run_restored, arg)->done.moved = done;
}

void
ew_store_restore_state(struct ew_store *store, const char *nonce, const char *request_id,
                       const uint8_t digest[32], const struct ew_source *source, int64_t version,
                       const struct ew_blob *state, const struct ew_done_index *index,
                       ew_store_moved *done, void *arg)
{
    (void)store, (void)nonce, (void)request_id, (void)digest, (void)source, (void)version;
    (void)state, (void)index;
    restores(done, arg);
}

void
ew_store_restore_inflight(struct ew_store *store, const char *nonce,
                          const struct ew_inflight_record *record, int64_t stop_ms,
                          ew_store_moved *done, void *arg)
{
    (void)store, (void)nonce, (void)record, (void)stop_ms;
    restores(done, arg);
}

/*
 * Keys that GlobalSign makes: what comes is opened, kept for an adopter, and sealed; what cannot be
 * used is cancelled.
 */
#include <openssl/provider.h>

#include "world.h"

/* OpenSSL cannot be had so often. */
static int unopened;

OSSL_PROVIDER *__real_OSSL_PROVIDER_load(OSSL_LIB_CTX *ctx, const char *name);
OSSL_PROVIDER *__wrap_OSSL_PROVIDER_load(OSSL_LIB_CTX *ctx, const char *name);
OSSL_PROVIDER *
__wrap_OSSL_PROVIDER_load(OSSL_LIB_CTX *ctx, const char *name)
{
    if (strcmp(name, "default") != 0 || unopened == 0)
        return __real_OSSL_PROVIDER_load(ctx, name);
    unopened--;
    return NULL;
}

static void
key_comes(void)
{
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .pkcs12 = pkcs12(asked(ORDER)->pin, CN)});
}

static bool
holds(const struct ew_blob *blob, const char *text)
{
    return blob->len > 0 && memmem(blob->data, blob->len, text, strlen(text)) != NULL;
}

/* The digests of public keys that the state record lists. */
static size_t
keys_told(void)
{
    struct ew_state_record record;
    struct ew_err err;

    assert_int_equal(ew_wire_state_decode(w.state.data, w.state.len, w.arena, &record, &err),
                     EW_OK);
    return record.key_count;
}

static void
test_straight(void **state)
{
    const struct ew_event *event;
    char pin[80];

    (void)state;
    enrolls_for_their_key("r-1", false);
    walked(UNTIL_ORDER);
    (void)snprintf(pin, sizeof(pin), "%s", asked(ORDER)->pin);
    assert_int_equal(strlen(pin), EW_PIN_LENGTH);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).key_count, 0); /* nobody knows it yet */
    key_comes();
    walked("verify publish answered");
    event = answered(EW_RES_ISSUED);
    assert_string_equal(event->certificate.order_id, "CE1");
    assert_true(event->certificate.sealed_pkcs12.len > 0 && event->certificate.sealed_pin.len > 0);
    assert_int_equal(keys_told(), 1); /* by which others tell whose the order is */
    assert_string_equal(w.saved_order, "CE1");
    assert_false(holds(&w.saved, pin));
    for (size_t i = 0; i < w.inflight_count; i++) {
        struct ew_blob value = {.data = w.inflight[i].value, .len = w.inflight[i].value_len};

        assert_false(holds(&value, pin));
    }
    assert_int_equal(w.account_events, 0);
}

static void
test_each_order_has_a_pin_of_its_own(void **state)
{
    char first[80];

    (void)state;
    enrolls_for_their_key("r-1", false);
    (void)snprintf(first, sizeof(first), "%s", asked(ORDER)->pin);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT});
    pass(1000);
    assert_string_not_equal(asked(ORDER)->pin, first);
}

/* Were its reply lost, it would be known by its time alone: no order before that is known. */
static void
test_a_worker_that_knows_no_time_asks_for_it_first(void **state)
{
    (void)state;
    unheard();
    w.ca_silent = true;
    asks_for_their_key("r-1", false);
    walked("lookup claim queue");
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN});
    assert_null(asked(PROFILES));
    pass(5000);
    assert_null(asked(ORDER));
    w.ca_silent = false;
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN});
    walked("intent calling order");
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).ca_date_ms, ca_now());
}

/* Who cannot ask for it, because the account is paused, is in nobody's way either. */
static void
test_who_cannot_ask_for_the_time_leaves_like_others(void **state)
{
    (void)state;
    unheard();
    w.ca_silent = true;
    asks_for_their_key("r-1", false);
    replies(PROFILES,
            (struct ew_ca_reply){.cls = EW_CA_ACCOUNT, .code = -4201, .problem = "ca-address"});
    pass(w.config.time.hold_max_ms + 2000);
    walked("lookup claim queue leave answered");
    assert_string_equal(inflight(EW_INFLIGHT_WAITING).reason, "queue");
}

static void
test_one_without_a_clock_is_asked_once(void **state)
{
    (void)state;
    unheard();
    w.ca_silent = true;
    asks_for_their_key("r-1", false);
    replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
    walked(UNTIL_ORDER);
    assert_int_equal(inflight(EW_INFLIGHT_ORDERING).ca_date_ms, 0);
}

/* What came is there, whatever else is missing: it is opened once that is over. */
static void
test_what_cannot_be_opened_yet_is_opened_later(void **state)
{
    (void)state;
    unopened = 3;
    enrolls_for_their_key("r-1", false);
    key_comes();
    walked(UNTIL_ORDER);
    assert_string_equal(w.saved_order, "CE1"); /* an adopter knows whose it is */
    pass(2 * w.config.time.retry_max_ms);
    walked("verify publish answered");
    assert_int_equal(unopened, 0);
    assert_int_equal(w.errors, 3);
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE1");
    assert_true(holds(&w.saved, "\n")); /* told again, with the key */
    assert_int_equal(w.account_events, 0);
}

/* It never is: its order is worth nothing, and another may do better. */
static void
test_what_can_never_be_opened_is_ended(void **state)
{
    (void)state;
    unopened = 10;
    enrolls_for_their_key("r-1", false);
    key_comes();
    pass(10 * w.config.time.retry_max_ms);
    walked(UNTIL_ORDER " verify undo");
    assert_int_equal(unopened, 0);
    order_ends("CE1");
    walked(ORDERED_AGAIN);
    assert_string_equal(w.account_told, "compensated key-lost r-1 CE1");
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE2", .pkcs12 = pkcs12(asked(ORDER)->pin, CN)});
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
}

/* The partition goes meanwhile: nobody here waits for it any more. */
static void
test_who_waits_to_open_it_can_be_deposed(void **state)
{
    (void)state;
    unopened = 10;
    enrolls_for_their_key("r-1", false);
    key_comes();
    is_lost(&w.enrollments);
    walked(UNTIL_ORDER " dropped");
    pass(10 * w.config.time.retry_max_ms);
    assert_int_equal(unopened, 9);
    assert_int_equal(w.flow->job_count, 0);
    unopened = 0;
}

/* Its worker died before the answer: the adopter has the key from Redis, and orders nothing. */
static void
test_an_adopter_finds_the_key_with_the_outcome(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    key_comes();
    (void)answered(EW_RES_ISSUED);
    w.outcome = w.saved;
    w.event_count = 0;
    adopts_again(&w.enrollments);
    w.claim_as = EW_CLAIM_OUTCOME;
    enrolls_for_their_key("r-1", true);
    walked("lookup claim verify publish answered");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_int_equal(keys_told(), 1);
    assert_null(asked(ORDER));
}

/* Nobody of us wrote so long a key to Redis: it is as good as none. */
static void
test_an_adopter_takes_no_key_beyond_its_length(void **state)
{
    static const uint8_t zeros[EW_MAX_WRAPPED + 1];
    struct ew_buf text;

    (void)state;
    enrolls_for_their_key("r-1", false);
    key_comes();
    (void)answered(EW_RES_ISSUED);
    ew_buf_init(&text, MAKE_MAX);
    ew_buf_put(&text, w.saved.data, 65); /* the digest of its public key */
    ew_base64_encode(zeros, sizeof(zeros), &text);
    ew_buf_printf(&text, "\n%s", certificate(CN, NULL, NULL));
    w.outcome = (struct ew_blob){.data = kept(text.data, text.len), .len = text.len};
    ew_buf_deinit(&text);
    w.event_count = 0;
    adopts_again(&w.enrollments);
    w.claim_as = EW_CLAIM_OUTCOME;
    enrolls_for_their_key("r-1", true);
    walked("lookup claim verify undo");
    assert_true(w.losing_unusable); /* Redis would say that the key is there */
}

/* The partition goes while the call is in the air. */
static void
key_comes_to_a_deposed_worker(void)
{
    struct ew_ca_call *call;

    enrolls_for_their_key("r-1", false);
    call = asked(ORDER);
    assert_true(call->gate(call->arg));
    call->gate = NULL;
    is_lost(&w.enrollments);
    key_comes();
}

/* What comes then is left for its new owner. */
static void
test_a_deposed_worker_leaves_the_key_to_the_adopter(void **state)
{
    (void)state;
    key_comes_to_a_deposed_worker();
    assert_string_equal(w.saved_order, "CE1");
    assert_true(w.saved.len > 0);
    w.outcome = w.saved;
    is_adopted(&w.enrollments);
    w.claim_as = EW_CLAIM_OUTCOME;
    enrolls_for_their_key("r-1", true);
    walked("lookup claim verify publish answered");
    (void)answered(EW_RES_ISSUED);
}

/* It was left when another had adopted the request already: its order is not taken for one whose
 * key is lost by who adopts it after that one. */
static void
test_the_owner_after_the_next_finds_the_key_in_the_mailbox(void **state)
{
    struct ew_ca_order order = {.order_id = "CE1",
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .email = "",
                                .certificate = certificate(CN, NULL, NULL)};

    (void)state;
    w.remembers = true;
    key_comes_to_a_deposed_worker();
    is_adopted(&w.enrollments);
    w.view.state = EW_REC_UNKNOWN;
    w.claim_as = EW_CLAIM_RECONCILE;
    enrolls_for_their_key("r-1", true);
    shows_for(LOOK, 2000, &order, 1);
    walked("lookup claim reconcile pending verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE1");
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_null(asked(CANCEL));
    assert_null(asked(ORDER));
    assert_int_equal(w.account_events, 0);
}

static void
is_cancelled(const char *problem)
{
    walked(UNTIL_ORDER " verify undo");
    order_ends("CE1");
    walked("publish answered");
    assert_string_equal(answered(EW_RES_REJECTED)->failure.problem, problem);
    assert_int_equal(answered(EW_RES_REJECTED)->failure.cls, EW_FAIL_MISMATCH);
    assert_string_equal(w.saved_order, "CE1"); /* an adopter knows whose it is */
    assert_int_equal(w.account_events, 1);
    assert_string_equal(w.account_told, "compensated order-mismatch r-1 CE1");
}

static void
test_another_pin(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .pkcs12 = pkcs12("another1PIN", CN)});
    is_cancelled("pkcs12-pin");
}

static void
test_no_pkcs12(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .pkcs12 = "?"});
    is_cancelled("pkcs12-malformed");
}

/* A good one but for its length: its key has a name of so many letters. */
static unsigned char *
named_pkcs12(size_t letters, int *len)
{
    char *name = calloc(1, letters + 1);
    BIO *bio = BIO_new_mem_buf(certificate(CN, NULL, NULL), -1);
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    PKCS12 *p12;

    memset(name, 'n', letters);
    p12 = PKCS12_create(asked(ORDER)->pin, name, device_key, leaf, NULL, 0, 0, 2048, 2048, 0);
    *len = i2d_PKCS12(p12, &der);
    assert_true(*len > 0);
    PKCS12_free(p12);
    X509_free(leaf);
    BIO_free(bio);
    free(name);
    return der;
}

/* The longest that is taken, or the shortest that is not: whole blocks are encrypted. */
static const char *
long_pkcs12(bool beyond)
{
    enum { STEP = 4, NEAR = 200 };
    size_t letters = EW_MAX_PKCS12 / 4 - 4000;
    unsigned char *der = NULL;
    struct ew_buf text;
    const char *made;
    int len = 0;

    do {
        OPENSSL_free(der);
        letters += len == 0 ? 0 : (size_t)(EW_MAX_PKCS12 - len) / 8 + STEP;
        der = named_pkcs12(letters, &len);
    } while (len <= EW_MAX_PKCS12);
    if (!beyond) {
        OPENSSL_free(der);
        der = named_pkcs12(letters - 4 * STEP, &len);
    }
    assert_in_range(len, EW_MAX_PKCS12 - NEAR, EW_MAX_PKCS12 + NEAR);
    assert_true((len > EW_MAX_PKCS12) == beyond);
    ew_buf_init(&text, MAKE_MAX);
    ew_base64_encode(der, (size_t)len, &text);
    OPENSSL_free(der);
    made = ew_arena_strdup(w.arena, ew_buf_text(&text));
    ew_buf_deinit(&text);
    return made;
}

static void
test_the_longest_pkcs12(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .pkcs12 = long_pkcs12(false)});
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
}

static void
test_a_longer_pkcs12(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .pkcs12 = long_pkcs12(true)});
    is_cancelled("pkcs12-malformed");
}

static void
test_a_reply_without_one(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    is_cancelled("pkcs12-missing");
}

static void
test_of_another_person(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1",
                                        .pkcs12 = pkcs12(asked(ORDER)->pin, "Eve Else")});
    is_cancelled("cert-name");
}

/* Held, because the setting does not fit, and longer than a partition is held for it: the key goes
 * with the record, for what Redis has may be lost by then. */
static void
test_a_key_that_waits_for_people(void **state)
{
    struct ew_inflight_record left;
    struct ew_ca_order order;

    (void)state;
    enrolls_for_their_key("r-1", false);
    replies(ORDER, (struct ew_ca_reply){
                       .order_id = "CE1",
                       .pkcs12 = pkcs12_of(certificate(CN, "extendedKeyUsage=serverAuth", NULL),
                                           asked(ORDER)->pin)});
    walked(UNTIL_ORDER " verify held");
    order = (struct ew_ca_order){.order_id = "CE1",
                                 .order_status = EW_CA_ST_ISSUED,
                                 .cn = CN,
                                 .email = "",
                                 .certificate = device_pem};
    for (int i = 0; i < 600 && strstr(w.walk, "answered") == NULL; i++) {
        if (asked(LOOK) != NULL)
            shows(LOOK, &order, 1);
        pass(100);
    }
    left = inflight(EW_INFLIGHT_WAITING);
    assert_string_equal(left.order_id, "CE1");
    assert_true(left.has_ordered && left.wrapped_key.len > 0);
    assert_int_equal(left.key_count, 1);
    assert_null(asked(CANCEL));
}

/* Redis was away when it came, and its worker has lost the partition when Redis is back. */
static void
test_a_key_that_was_not_kept_is_left_at_the_end(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    w.store.away = true;
    replies(ORDER, (struct ew_ca_reply){
                       .order_id = "CE1",
                       .pkcs12 = pkcs12_of(certificate(CN, "extendedKeyUsage=serverAuth", NULL),
                                           asked(ORDER)->pin)});
    walked(UNTIL_ORDER " verify held");
    assert_int_equal(w.saved.len, 0);
    w.store.away = false;
    is_lost(&w.enrollments);
    walked("dropped");
    assert_string_equal(w.saved_order, "CE1");
    assert_true(w.saved.len > 0);
    assert_int_equal(w.saved_attempt, 1);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_straight),
        ROW(test_each_order_has_a_pin_of_its_own),
        ROW(test_a_worker_that_knows_no_time_asks_for_it_first),
        ROW(test_who_cannot_ask_for_the_time_leaves_like_others),
        ROW(test_one_without_a_clock_is_asked_once),
        ROW(test_what_cannot_be_opened_yet_is_opened_later),
        ROW(test_what_can_never_be_opened_is_ended),
        ROW(test_who_waits_to_open_it_can_be_deposed),
        ROW(test_an_adopter_finds_the_key_with_the_outcome),
        ROW(test_an_adopter_takes_no_key_beyond_its_length),
        ROW(test_a_deposed_worker_leaves_the_key_to_the_adopter),
        ROW(test_the_owner_after_the_next_finds_the_key_in_the_mailbox),
        ROW(test_another_pin),
        ROW(test_no_pkcs12),
        ROW(test_the_longest_pkcs12),
        ROW(test_a_longer_pkcs12),
        ROW(test_a_reply_without_one),
        ROW(test_of_another_person),
        ROW(test_a_key_that_waits_for_people),
        ROW(test_a_key_that_was_not_kept_is_left_at_the_end),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}

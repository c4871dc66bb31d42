/*
 * Whatever fails on the way of a request, once or from then on, it is not turned away for it: each
 * story ends with its one answer, and with one order that is left; where the process ends for want
 * of memory, there is no order that no intent stands for, and no word that would be wrong.
 */
#include "failing.h"

#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <sys/random.h>

/* --- what fails: all of OpenSSL's that does so for another reason than what it was given --- */

FAILING_KIND(OF_MEMORY, ssize_t, getrandom, (void *out, size_t len, unsigned flags),
             (out, len, flags), -1)
FAILING_KIND(OF_MEMORY, unsigned char *, SHA256,
             (const unsigned char *data, size_t len, unsigned char *out), (data, len, out), NULL)

static CRYPTO_malloc_fn openssl_take;
static CRYPTO_realloc_fn openssl_resize;

static void *
take(size_t size, const char *file, int line)
{
    bool before = in_library;
    void *memory;

    in_library = true;
    memory = openssl_take(size, file, line);
    in_library = before;
    return memory;
}

static void *
resize(void *memory, size_t size, const char *file, int line)
{
    bool before = in_library;

    in_library = true;
    memory = openssl_resize(memory, size, file, line);
    in_library = before;
    return memory;
}

int __real_CRYPTO_set_mem_functions(CRYPTO_malloc_fn taker, CRYPTO_realloc_fn resizer,
                                    CRYPTO_free_fn giver);
int __wrap_CRYPTO_set_mem_functions(CRYPTO_malloc_fn taker, CRYPTO_realloc_fn resizer,
                                    CRYPTO_free_fn giver);
int
__wrap_CRYPTO_set_mem_functions(CRYPTO_malloc_fn taker, CRYPTO_realloc_fn resizer,
                                CRYPTO_free_fn giver)
{
    openssl_take = taker;
    openssl_resize = resizer;
    return __real_CRYPTO_set_mem_functions(take, resize, giver);
}

FAILING(int, X509_REQ_sign, (X509_REQ * req, EVP_PKEY *key, const EVP_MD *digest),
        (req, key, digest), 0)
FAILING(int, PEM_write_bio_X509_REQ, (BIO * bio, const X509_REQ *req), (bio, req), 0)
FAILING(int, EVP_EncryptInit_ex,
        (EVP_CIPHER_CTX * ctx, const EVP_CIPHER *cipher, ENGINE *engine, const unsigned char *key,
         const unsigned char *iv),
        (ctx, cipher, engine, key, iv), 0)
FAILING(int, EVP_EncryptUpdate,
        (EVP_CIPHER_CTX * ctx, unsigned char *out, int *len, const unsigned char *in, int in_len),
        (ctx, out, len, in, in_len), 0)
FAILING(int, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX * ctx, unsigned char *out, int *len),
        (ctx, out, len), 0)
FAILING(int, EVP_DecryptInit_ex,
        (EVP_CIPHER_CTX * ctx, const EVP_CIPHER *cipher, ENGINE *engine, const unsigned char *key,
         const unsigned char *iv),
        (ctx, cipher, engine, key, iv), 0)
FAILING(int, EVP_DecryptUpdate,
        (EVP_CIPHER_CTX * ctx, unsigned char *out, int *len, const unsigned char *in, int in_len),
        (ctx, out, len, in, in_len), 0)
FAILING(PKCS12 *, PKCS12_create,
        (const char *pass, const char *name, EVP_PKEY *key, X509 *cert, STACK_OF(X509) * cas,
         int key_nid, int cert_nid, int rounds, int mac_rounds, int kind),
        (pass, name, key, cert, cas, key_nid, cert_nid, rounds, mac_rounds, kind), NULL)
FAILING(int, PKCS12_set_mac,
        (PKCS12 * p12, const char *pass, int len, unsigned char *salt, int salt_len, int rounds,
         const EVP_MD *digest),
        (p12, pass, len, salt, salt_len, rounds, digest), 0)
FAILING(CMS_ContentInfo *, CMS_encrypt,
        (STACK_OF(X509) * to, BIO *in, const EVP_CIPHER *cipher, unsigned flags),
        (to, in, cipher, flags), NULL)
FAILING(OSSL_PROVIDER *, OSSL_PROVIDER_load, (OSSL_LIB_CTX * ctx, const char *name), (ctx, name),
        NULL)

EVP_PKEY *__real_EVP_PKEY_Q_keygen(OSSL_LIB_CTX *ctx, const char *properties, const char *type,
                                   ...);
EVP_PKEY *__wrap_EVP_PKEY_Q_keygen(OSSL_LIB_CTX *ctx, const char *properties, const char *type,
                                   ...);
EVP_PKEY *
__wrap_EVP_PKEY_Q_keygen(OSSL_LIB_CTX *ctx, const char *properties, const char *type, ...)
{
    bool rsa = strcmp(type, "RSA") == 0;
    EVP_PKEY *key = NULL;
    va_list args;

    va_start(args, type);
    if (!fails(OF_CALLS, "EVP_PKEY_Q_keygen"))
        key = rsa ? __real_EVP_PKEY_Q_keygen(ctx, properties, type, va_arg(args, size_t))
                  : __real_EVP_PKEY_Q_keygen(ctx, properties, type, va_arg(args, char *));
    va_end(args);
    return key;
}

/* Slow on purpose, and no part of any story. */
int __wrap_PKCS5_PBKDF2_HMAC(const char *pass, int len, const unsigned char *salt, int salt_len,
                             int rounds, const EVP_MD *digest, int out_len, unsigned char *out);
int
__wrap_PKCS5_PBKDF2_HMAC(const char *pass, int len, const unsigned char *salt, int salt_len,
                         int rounds, const EVP_MD *digest, int out_len, unsigned char *out)
{
    (void)salt, (void)salt_len, (void)rounds, (void)digest, (void)out_len;
    return __real_SHA256((const unsigned char *)pass, (size_t)len, out) != NULL;
}

/* What the world itself needs. */
#define EVP_PKEY_Q_keygen __real_EVP_PKEY_Q_keygen
#define PKCS12_create __real_PKCS12_create
#define CALL_FAILS(name) fails(OF_CALLS, name)

#include "world.h"

#include "epki/v1/revocation.pb-c.h"
#include "x509/library.h"

/* --- GlobalSign, which answers by itself --- */

enum { ORDERS = 16, LONG = 300 * 1000 };

static struct {
    struct ew_ca_order orders[ORDERS];
    unsigned count;
    bool loses_replies; /* to orders */
    int64_t issues_at;  /* before that, orders are pending */
} ca;

static struct ew_part revocations;

static void
ordered(void)
{
    struct ew_ca_order *order = &ca.orders[ca.count++];
    bool theirs = asked(ORDER)->pin[0] != '\0', pending = w.boot_ms < ca.issues_at;
    struct ew_ca_reply reply = {.cls = ca.loses_replies ? EW_CA_UNKNOWN
                                       : pending        ? EW_CA_PENDING
                                                        : EW_CA_OK};
    char id[16];

    assert_true(ca.count <= ORDERS);
    (void)snprintf(id, sizeof(id), "CE%u", ca.count);
    order->order_id = ew_arena_strdup(w.arena, id);
    order->order_status = EW_CA_ST_ISSUED;
    order->cn = CN;
    order->email = "";
    order->request_ms = ca_now();
    order->certificate =
        ew_arena_strdup(w.arena, certificate(NULL, NULL, theirs ? device_key : w.csr_key));
    if (reply.cls != EW_CA_UNKNOWN)
        reply.order_id = order->order_id;
    if (reply.cls == EW_CA_OK && theirs)
        reply.pkcs12 = pkcs12_of(order->certificate, asked(ORDER)->pin);
    else if (reply.cls == EW_CA_OK)
        reply.certificate = order->certificate;
    replies(ORDER, reply);
}

static struct ew_ca_order *
order_of(const char *order_id)
{
    for (unsigned i = 0; i < ca.count; i++)
        if (strcmp(ca.orders[i].order_id, order_id) == 0)
            return &ca.orders[i];
    fail_msg("no order %s", order_id);
    return NULL;
}

static void
shown(enum verb verb)
{
    struct ew_ca_order orders[ORDERS];
    unsigned count = verb == LOOK ? 1 : ca.count;

    memcpy(orders, verb == LOOK ? order_of(asked(LOOK)->order_id) : ca.orders,
           count * sizeof(orders[0]));
    for (unsigned i = 0; i < count && w.boot_ms < ca.issues_at; i++) {
        orders[i].order_status = EW_CA_ST_WAITING;
        orders[i].certificate = "";
    }
    replies(verb, (struct ew_ca_reply){.orders = orders, .order_count = count});
}

static void
ended(enum verb verb)
{
    order_of(asked(verb)->order_id)->order_status =
        verb == CANCEL ? EW_CA_ST_CANCELLED_ISSUED : EW_CA_ST_REVOKED;
    replies(verb, (struct ew_ca_reply){.cls = EW_CA_OK});
}

static void
serve(enum verb verb)
{
    if (CALL_FAILS("GlobalSign"))
        replies(verb, (struct ew_ca_reply){.cls = EW_CA_NOT_SENT, .problem = "played"});
    else if (verb == ORDER)
        ordered();
    else if (verb == LIST || verb == LOOK)
        shown(verb);
    else if (verb == PROFILES)
        replies(verb, (struct ew_ca_reply){.cls = EW_CA_OK});
    else
        ended(verb);
}

/* --- what must be so --- */

static unsigned
count_events(enum ew_result result)
{
    unsigned count = 0;

    for (size_t i = 0; i < w.event_count; i++)
        count += w.events[i].result == result;
    return count;
}

static unsigned
live_orders(void)
{
    unsigned live = 0;

    for (unsigned i = 0; i < ca.count; i++)
        live += ca.orders[i].order_status == EW_CA_ST_ISSUED;
    return live;
}

static unsigned
intents(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < w.mark_count; i++)
        count += w.marks[i] == EW_MARK_STARTED;
    return count;
}

/* At any time. */
static bool
holds(void)
{
    return live_orders() <= 1 && ca.count <= intents() && count_events(EW_RES_REJECTED) == 0 &&
           count_events(EW_RES_ISSUED) <= 1 && w.dead_letters == 0 && w.parked[0] == '\0' &&
           w.bugs == 0;
}

static void
serve_until(enum ew_result result)
{
    for (int64_t end = w.boot_ms + LONG; w.boot_ms < end; pass(100)) {
        for (enum verb verb = ORDER; verb <= REVOKE; verb++)
            if (asked(verb) != NULL)
                serve(verb);
        if (!holds())
            fail_msg("%u orders, %u live, %u intents, %u rejected, %u issued, %d letters, %s",
                     ca.count, live_orders(), intents(), count_events(EW_RES_REJECTED),
                     count_events(EW_RES_ISSUED), w.dead_letters, w.parked);
        if (count_events(result) > 0)
            return;
    }
    if (failing_at == 0 || failing_kind != OF_CALLS_ON) /* then nothing may come of it */
        fail_msg("no answer; %s, advised: %s", w.why, w.advised);
}

static void
must_be_issued(void)
{
    serve_until(EW_RES_ISSUED);
    if (count_events(EW_RES_ISSUED) == 0)
        return;
    assert_int_equal(live_orders(), 1);
    assert_true(answered(EW_RES_ISSUED)->certificate.issuer[0] != '\0');
    assert_int_equal(order_of(answered(EW_RES_ISSUED)->certificate.order_id)->order_status,
                     EW_CA_ST_ISSUED);
    assert_int_equal(w.event_headers, 7);
}

static void
must_be_sealed(void)
{
    must_be_issued();
    if (count_events(EW_RES_ISSUED) == 0)
        return;
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pkcs12.len > 0);
    assert_true(answered(EW_RES_ISSUED)->certificate.sealed_pin.len > 0);
}

/* --- the stories --- */

static int
begin(void **state)
{
    memset(&ca, 0, sizeof(ca));
    (void)world_begin(state);
    w.refusal = "topic-closed"; /* its size is not why Kafka refuses an answer */
    return 0;
}

static void
test_by_csr(void **state)
{
    (void)state;
    enrolls("r-1", "context", false);
    must_be_issued();
}

static void
test_by_a_key_of_the_worker(void **state)
{
    (void)state;
    enrolls_for_key("r-1", false);
    must_be_sealed();
}

static void
test_by_a_key_of_globalsign(void **state)
{
    (void)state;
    enrolls_for_their_key("r-1", false);
    must_be_sealed();
    assert_true(ca.count <= 1); /* what came is there to be opened */
}

static void
test_by_an_adopter(void **state)
{
    (void)state;
    ca.loses_replies = true;
    enrolls_for_key("r-1", false);
    while (ca.count == 0 && asked(ORDER) == NULL && w.boot_ms < LONG)
        pass(100);
    if (asked(ORDER) == NULL)
        return;
    ordered();
    w.view.has_spki = true; /* Redis says so to whoever looks, too */
    memcpy(w.view.spki, w.spki, sizeof(w.spki));
    adopts_again(&w.enrollments);
    ca.loses_replies = false;
    enrolls_for_key("r-1", true);
    must_be_sealed();
}

static void
test_a_reply_that_was_lost(void **state)
{
    (void)state;
    ca.loses_replies = true;
    enrolls("r-1", "", false);
    must_be_issued();
}

static void
test_through_the_waiting_room(void **state)
{
    (void)state;
    ca.issues_at = w.boot_ms + w.config.time.hold_max_ms * 2;
    enrolls("r-1", "", false);
    must_be_issued();
}

static int
begin_issued(void **state)
{
    (void)begin(state);
    enrolls("r-1", "", false);
    must_be_issued();
    adopt(&revocations, EW_LANE_REVOCATION, "epki.revocation.requests");
    w.view.state = EW_REC_DONE;
    w.view.source = w.events[0].source;
    w.view.outcome = w.state;
    return 0;
}

static void
test_a_revocation(void **state)
{
    Epki__V1__RevocationRequest message = EPKI__V1__REVOCATION_REQUEST__INIT;
    struct ew_blob key = {.data = NULL, .len = 0};
    Epki__V1__Target which = EPKI__V1__TARGET__INIT;
    uint8_t bytes[1024];
    size_t len;

    (void)state;
    w.attempt = 0;
    which.target_case = EPKI__V1__TARGET__TARGET_REQUEST_ID;
    which.request_id = (char *)(uintptr_t)"r-1";
    message.request_id = (char *)(uintptr_t)"r-2";
    message.target = &which;
    len = epki__v1__revocation_request__get_packed_size(&message);
    assert_true(len <= sizeof(bytes));
    epki__v1__revocation_request__pack(&message, bytes);
    enter(&revocations, &key, kept(bytes, len), len, false);
    pass(0);
    serve_until(EW_RES_REVOKED);
    if (count_events(EW_RES_REVOKED) > 0)
        assert_int_equal(live_orders(), 0);
}

int
main(int argc, char **argv)
{
#define STORY(name_, tell_, begin_)                                                                \
    {.name = name_, .tell = tell_, .begin = begin_, .end = world_end, .holds = holds}
    static const struct story stories[] = {
        STORY("csr", test_by_csr, begin),
        STORY("worker-key", test_by_a_key_of_the_worker, begin),
        STORY("globalsign-key", test_by_a_key_of_globalsign, begin),
        STORY("adopter", test_by_an_adopter, begin),
        STORY("lost-reply", test_a_reply_that_was_lost, begin),
        STORY("room", test_through_the_waiting_room, begin),
        STORY("revocation", test_a_revocation, begin_issued),
    };
    struct ew_err err;
    int code;

    if (ew_x509_init_library(&err) != EW_OK)
        return 1;
    (void)keys_begin(NULL);
    (void)rsa_key(2048); /* once for all stories */
    code = failing_main(argc, argv, stories, sizeof(stories) / sizeof(stories[0]));
    (void)keys_end(NULL);
    return code;
}

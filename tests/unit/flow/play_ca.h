/*
 * GlobalSign, played: see world.h.
 */
#pragma once

enum ew_fault
ew_ca_new(struct ew_loop *loop, const struct ew_ca_options *options, struct ew_buf *password,
          struct ew_ca **out, struct ew_err *err)
{
    (void)loop, (void)password, (void)err;
    assert_int_equal(options->tcp_ms, w.config.time.tcp_ms); /* the quiet period counts on it */
    *out = &w.ca;
    return EW_OK;
}

void
ew_ca_free(struct ew_ca *ca)
{
    (void)ca;
}

static struct ew_ca_call *
begin_call(enum verb verb, const char *cn, const char *order_id, ew_ca_done *done, void *arg)
{
    for (size_t i = 0; i < CALLS; i++) {
        struct ew_ca_call *call = &w.calls[i];

        if (call->open)
            continue;
        *call = (struct ew_ca_call){.open = true, .verb = verb, .done = done, .arg = arg};
        (void)snprintf(call->cn, sizeof(call->cn), "%s", cn == NULL ? "" : cn);
        (void)snprintf(call->order_id, sizeof(call->order_id), "%s", order_id);
        return call;
    }
    fail_msg("too many calls");
    return NULL;
}

static EVP_PKEY *
key_of_csr(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_REQ *csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    EVP_PKEY *key = X509_REQ_get_pubkey(csr);

    assert_non_null(key);
    X509_REQ_free(csr);
    BIO_free(bio);
    return key;
}

struct ew_ca_call *
ew_ca_order(struct ew_ca *ca, const struct ew_ca_order_request *request, bool (*gate)(void *),
            ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = begin_call(ORDER, request->cn, "", done, arg);

    (void)ca;
    assert_true((request->csr == NULL) == (request->pin != NULL));
    EVP_PKEY_free(w.csr_key);
    w.csr_key = request->csr == NULL ? NULL : key_of_csr(request->csr);
    if (request->csr == NULL)
        (void)snprintf(call->pin, sizeof(call->pin), "%s", request->pin);
    call->gate = gate;
    return call;
}

struct ew_ca_call *
ew_ca_get_orders(struct ew_ca *ca, const char *profile, const char *cn, int64_t from_ms,
                 int64_t to_ms, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = begin_call(LIST, cn, "", done, arg);

    (void)ca, (void)profile;
    call->from_ms = from_ms;
    call->to_ms = to_ms;
    return call;
}

struct ew_ca_call *
ew_ca_get_order(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    (void)ca;
    return begin_call(LOOK, "", order_id, done, arg);
}

struct ew_ca_call *
ew_ca_get_profiles(struct ew_ca *ca, const char *profile, ew_ca_done *done, void *arg)
{
    struct ew_ca_call *call = begin_call(PROFILES, "", "", done, arg);

    (void)ca;
    (void)snprintf(call->profile, sizeof(call->profile), "%s", profile == NULL ? "" : profile);
    return call;
}

struct ew_ca_call *
ew_ca_cancel(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    (void)ca;
    return begin_call(CANCEL, "", order_id, done, arg);
}

struct ew_ca_call *
ew_ca_revoke(struct ew_ca *ca, const char *order_id, ew_ca_done *done, void *arg)
{
    (void)ca;
    return begin_call(REVOKE, "", order_id, done, arg);
}

void
ew_ca_call_cancel(struct ew_ca_call *call)
{
    if (call != NULL)
        call->open = false;
}

/* A call of this verb that waits for its reply, NULL = none. */
static MAYBE struct ew_ca_call *
asked(enum verb verb)
{
    for (size_t i = 0; i < CALLS; i++)
        if (w.calls[i].open && w.calls[i].verb == verb)
            return &w.calls[i];
    return NULL;
}

/* GlobalSign's clock goes an hour before ours: nothing may mix them. */
static int64_t
ca_now(void)
{
    return world_wall(NULL) + 3600 * 1000;
}

/* As a worker that has just started: GlobalSign has told no time yet. */
static MAYBE void
unheard(void)
{
    w.flow->desks[0]->ca_date_ms = 0;
}

/* Orders fly one at a time. */
static MAYBE void
one_slot(void)
{
    w.flow->desks[0]->limit = w.account.orders_in_flight = 1;
}

static MAYBE void
replies(enum verb verb, struct ew_ca_reply reply)
{
    struct ew_ca_call *call = asked(verb), copy;

    if (call == NULL)
        fail_msg("nobody asks for %d", (int)verb);
    copy = *call;
    if (copy.gate != NULL && reply.cls != EW_CA_NOT_SENT)
        assert_true(copy.gate(copy.arg));
    reply.field = reply.field == NULL ? "" : reply.field;
    reply.message = reply.message == NULL ? "" : reply.message;
    if (reply.cls != EW_CA_OK && reply.problem == NULL) /* where all went well there is none */
        reply.problem = "";
    reply.order_id = reply.order_id == NULL ? "" : reply.order_id;
    reply.certificate = reply.certificate == NULL ? "" : reply.certificate;
    reply.pkcs12 = reply.pkcs12 == NULL ? "" : reply.pkcs12;
    reply.date_ms = w.ca_silent ? 0 : ca_now();
    call->open = false;
    copy.done(copy.arg, &reply);
    pass(0);
}

/* What GlobalSign shows to who asks this. */
static MAYBE void
shows(enum verb verb, const struct ew_ca_order *orders, size_t count)
{
    replies(verb, (struct ew_ca_reply){.orders = orders, .order_count = count});
}

/* Lets time pass, and shows the same to whoever asks this. Returns how often. */
static MAYBE int
shows_for(enum verb verb, int64_t ms, const struct ew_ca_order *orders, size_t count)
{
    int asks = 0;

    for (int64_t end = w.boot_ms + ms; w.boot_ms < end; pass(100))
        for (; asked(verb) != NULL; asks++)
            shows(verb, orders, count);
    return asks;
}

/* GlobalSign has not issued CE1 yet, whoever asks and for how long. */
static MAYBE void
stays_pending_for(int64_t ms)
{
    struct ew_ca_order order = {
        .order_id = "CE1", .order_status = EW_CA_ST_WAITING, .certificate = ""};

    (void)shows_for(LOOK, ms, &order, 1);
}

/* It is looked at, cancelled, and looked at again. */
static MAYBE void
order_ends(const char *order_id)
{
    struct ew_ca_order order = {.order_id = order_id,
                                .order_status = EW_CA_ST_ISSUED,
                                .certificate = "",
                                .cn = "",
                                .email = ""};

    assert_string_equal(asked(LOOK)->order_id, order_id);
    shows(LOOK, &order, 1);
    assert_string_equal(asked(CANCEL)->order_id, order_id);
    replies(CANCEL, (struct ew_ca_reply){.order_id = order_id});
    order.order_status = EW_CA_ST_CANCELLED_ISSUED;
    shows(LOOK, &order, 1);
}

/* A PKCS#12 of the device's key and this certificate for it, as base64, in the world's arena. */
static MAYBE const char *
pkcs12_of(const char *pem, const char *pin)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    PKCS12 *p12 = PKCS12_create(pin, "Ada", device_key, leaf, NULL, 0, 0, 2048, 2048, 0);
    unsigned char *der = NULL;
    int len = i2d_PKCS12(p12, &der);
    struct ew_buf text;
    const char *made;

    assert_true(len > 0);
    ew_buf_init(&text, MAKE_MAX);
    ew_base64_encode(der, (size_t)len, &text);
    made = ew_arena_strdup(w.arena, ew_buf_text(&text));
    ew_buf_deinit(&text);
    OPENSSL_free(der);
    PKCS12_free(p12);
    X509_free(leaf);
    BIO_free(bio);
    return made;
}

/* As it comes with an order. */
static MAYBE const char *
pkcs12(const char *pin, const char *cn)
{
    return pkcs12_of(certificate(cn, NULL, NULL), pin);
}

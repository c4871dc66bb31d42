/*
 * Events coming in, played: see world.h.
 */
#pragma once

static void
enter(struct ew_part *part, const struct ew_blob *key, const void *value, size_t len, bool started)
{
    struct ew_intake_events intake = ew_flow_intake(w.flow);
    struct ew_record *record = calloc(1, sizeof(*record));

    assert_non_null(record);
    *record = (struct ew_record){.part = part,
                                 .offset = part->next++,
                                 .timestamp_ms = world_wall(NULL) - w.age_ms,
                                 .key = key->data,
                                 .key_len = key->len,
                                 .value = value,
                                 .value_len = len,
                                 .headers = w.headers,
                                 .header_count = w.header_count,
                                 .started = started,
                                 .doubt = w.doubted};
    w.header_count = 0;
    intake.record(intake.arg, record);
}

static void
enrolls_with(struct ew_part *part, const char *request_id, const char *context, bool started,
             Epki__V1__KeyChoice *key)
{
    struct ew_blob record_key = {.data = (const uint8_t *)w.record_key,
                                 .len = w.record_key == NULL ? 0 : strlen(w.record_key)};
    Epki__V1__EnrollmentRequest message = EPKI__V1__ENROLLMENT_REQUEST__INIT;
    Epki__V1__Subject subject = EPKI__V1__SUBJECT__INIT;
    char *labels[EW_MAX_LABELS];
    uint8_t bytes[16384];
    size_t len;

    if (!started || !w.remembers)
        w.attempt = 0; /* the newest request is the one that Redis speaks of */
    subject.first_name = (char *)(uintptr_t)"Ada";
    subject.last_name = (char *)(uintptr_t)"Lovelace";
    message.request_id = (char *)(uintptr_t)request_id;
    message.setting = (char *)(uintptr_t)"vpn";
    message.subject = &subject;
    message.key = key;
    message.deadline_ms = w.deadline_ms;
    message.context.data = (uint8_t *)(uintptr_t)context;
    message.context.len = strlen(context);
    for (message.labels = labels; message.n_labels < w.label_count; message.n_labels++)
        labels[message.n_labels] = (char *)(uintptr_t)"of the request";
    len = epki__v1__enrollment_request__get_packed_size(&message);
    assert_true(len <= sizeof(bytes));
    epki__v1__enrollment_request__pack(&message, bytes);
    enter(part, &record_key, kept(bytes, len), len, started);
    pass(0);
}

/* An enrolment of CN by the device's CSR.
 * started: another owner had begun with it. */
static void
enrolls_by(struct ew_part *part, const char *request_id, const char *context, bool started)
{
    Epki__V1__KeyChoice key = EPKI__V1__KEY_CHOICE__INIT;

    key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_CSR;
    key.csr = device_csr;
    enrolls_with(part, request_id, context, started, &key);
}

/* The same, with a key that is sealed to a recipient: the worker's or GlobalSign's. */
static void
enrolls_for(Epki__V1__KeyChoice *key, ProtobufCBinaryData *recipient, const char *request_id,
            bool started)
{
    struct cert_spec spec = {.subject = {{"CN", "Recipient"}},
                             .key = rsa_key(2048),
                             .from_s = w.recipient_from_s,
                             .to_s = w.recipient_to_s,
                             .issuer = ca_cert,
                             .issuer_key = ca_key};
    X509 *cert = make_cert(&spec);
    struct ew_buf der;

    ew_buf_init(&der, MAKE_MAX);
    put_der(&der, cert);
    recipient->data = der.data;
    recipient->len = der.len;
    enrolls_with(w.sealed_enter, request_id, "", started, key);
    ew_buf_deinit(&der);
    X509_free(cert);
}

static MAYBE void
enrolls_for_key(const char *request_id, bool started)
{
    Epki__V1__KeyChoice key = EPKI__V1__KEY_CHOICE__INIT;
    Epki__V1__WorkerKey worker = EPKI__V1__WORKER_KEY__INIT;

    key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_WORKER_KEY;
    key.worker_key = &worker;
    enrolls_for(&key, &worker.recipient_certificate, request_id, started);
}

static MAYBE void
asks_for_their_key(const char *request_id, bool started)
{
    Epki__V1__KeyChoice key = EPKI__V1__KEY_CHOICE__INIT;
    Epki__V1__GlobalSignKey theirs = EPKI__V1__GLOBAL_SIGN_KEY__INIT;

    key.choice_case = EPKI__V1__KEY_CHOICE__CHOICE_GLOBALSIGN_KEY;
    key.globalsign_key = &theirs;
    enrolls_for(&key, &theirs.recipient_certificate, request_id, started);
}

/* GlobalSign is asked for its time before the first such order. */
static MAYBE void
enrolls_for_their_key(const char *request_id, bool started)
{
    asks_for_their_key(request_id, started);
    if (asked(PROFILES) != NULL)
        replies(PROFILES, (struct ew_ca_reply){.cls = EW_CA_OK});
}

static MAYBE void
enrolls(const char *request_id, const char *context, bool started)
{
    enrolls_by(&w.enrollments, request_id, context, started);
}

static MAYBE void
enrolls_at(struct ew_part *part, const char *request_id)
{
    enrolls_by(part, request_id, "", false);
}

/* r-1 is ordered, and not issued at once. */
static MAYBE void
is_pending(void)
{
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"});
    walked("lookup claim queue intent calling order pending");
}

/* When exactly is left to chance. */
static MAYBE void
looks_soon(void)
{
    for (int i = 0; i < 40 && asked(LOOK) == NULL; i++)
        pass(w.config.time.poll_first_ms);
    assert_non_null(asked(LOOK));
}

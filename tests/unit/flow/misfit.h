/*
 * Orders that do not bring what was asked for.
 */
#pragma once

#include "world.h"

#define TOLD "compensated order-mismatch r-1 CE1"

static MAYBE struct ew_ca_order
order_of(int status, const char *cert)
{
    return (struct ew_ca_order){
        .order_id = "CE1", .order_status = status, .cn = CN, .email = "", .certificate = cert};
}

static MAYBE const char *
misfit_certificate(bool key)
{
    return key ? certificate(NULL, NULL, other_key) : certificate("Eve Else", NULL, NULL);
}

/* Its order comes back with another key, or under another name. */
static MAYBE void
misfits(bool key)
{
    enrolls("r-1", "", false);
    w.holder = w.view.source = (struct ew_source){.topic = "epki.enrollment.requests", .offset = 0};
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = misfit_certificate(key)});
}

static MAYBE void
is_rejected(const char *problem)
{
    const struct ew_event *event = answered(EW_RES_REJECTED);

    assert_int_equal(event->failure.cls, EW_FAIL_MISMATCH);
    assert_string_equal(event->failure.problem, problem);
    assert_true(event->failure.cause[0] != '\0');
    assert_string_equal(event->certificate.order_id, "CE1");
    assert_int_equal(w.account_events, 1); /* told once, whoever answers */
}

/* By Redis, and by epki.inflight, should Redis lose it. */
static MAYBE void
is_kept(enum ew_inflight_kind kind, const char *problem)
{
    struct ew_inflight_record record = inflight(kind);
    char begins[64];

    (void)snprintf(begins, sizeof(begins), "CE1\n%s\n", problem);
    assert_non_null(record.misfit);
    assert_memory_equal(record.misfit, begins, strlen(begins));
    assert_int_equal(strlen(record.misfit), w.misfit.len);
    assert_memory_equal(record.misfit, w.misfit.data, w.misfit.len);
    assert_string_equal(record.order_id, "CE1");
    assert_int_equal(record.attempt, 1);
    assert_int_equal(record.key_count, 1); /* which an answer has to list */
}

/* Its owner dies when the order is ended, and nothing is answered yet. */
static MAYBE void
comes_to_another(enum ew_claimed says)
{
    adopts_again(&w.enrollments);
    w.claim_as = (int)says;
    enrolls("r-1", "", true);
}

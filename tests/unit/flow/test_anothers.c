/*
 * GlobalSign tells another request's order in the reply to ours, which Redis knows: that one is
 * none of our business, whatever is wrong with it, and ours is found as if no reply had come.
 */
#include "world.h"

static const char *
others_certificate(void)
{
    return certificate("Eve Else", NULL, other_key);
}

static struct ew_ca_order
ours(void)
{
    return (struct ew_ca_order){.order_id = "CE2",
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .email = "",
                                .request_ms = ca_now(),
                                .certificate = certificate(NULL, NULL, NULL)};
}

/* CE1 is neither looked at nor ended nor told of. */
static void
leaves_it_alone(void)
{
    assert_null(asked(LOOK));
    assert_null(asked(CANCEL));
    assert_int_equal(w.account_events, 0);
    assert_int_equal(w.saved_attempt, 0);
}

static void
is_told_anothers(struct ew_ca_reply reply)
{
    reply.order_id = "CE1";
    w.anothers = true;
    replies(ORDER, reply);
    w.anothers = false;
    leaves_it_alone();
}

static void
finds_its_own(void)
{
    struct ew_ca_order order = ours();

    shows(LIST, &order, 1);
    walked("verify publish answered");
    assert_string_equal(answered(EW_RES_ISSUED)->certificate.order_id, "CE2");
    leaves_it_alone();
}

static void
test_with_anothers_certificate(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    is_told_anothers((struct ew_ca_reply){.certificate = others_certificate()});
    walked(UNTIL_ORDER " reconcile");
    finds_its_own();
}

/* It would be revoked, or ended as a surplus, under an order that it does not have. */
static void
test_with_our_certificate(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    is_told_anothers((struct ew_ca_reply){.certificate = certificate(NULL, NULL, NULL)});
    walked(UNTIL_ORDER " reconcile");
    finds_its_own();
}

static void
test_without_a_certificate(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    is_told_anothers((struct ew_ca_reply){.cls = EW_CA_PENDING});
    walked(UNTIL_ORDER " pending reconcile");
    finds_its_own();
}

/* What cannot be opened is no proof that the order is ours to end. */
static void
test_with_anothers_key(void **state)
{
    struct ew_ca_order order;

    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct ew_ca_reply reply = {.cls = missing ? EW_CA_PENDING : EW_CA_OK};

        w.saved_attempt = 0;
        enrolls_for_their_key("r-1", false);
        reply.pkcs12 = missing ? NULL : pkcs12("another1PIN", "Eve Else");
        is_told_anothers(reply);
        walked(UNTIL_ORDER " reconcile");
        order = ours();
        shows_for(LIST, QUIET + ORDER_MS, &order, 1);
        walked("verify undo");
        assert_string_equal(asked(LOOK)->order_id, "CE2"); /* its key came to nobody */
        order_ends("CE2");
        walked(ORDERED_AGAIN);
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Not noticed when the reply came: a good order is not ended for that. */
static void
test_while_redis_was_away(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.store.away = true;
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = others_certificate()});
    walked(UNTIL_ORDER " verify");
    w.store.away = w.takes = false;
    pass(w.config.time.retry_max_ms);
    walked("reconcile");
    leaves_it_alone();
    w.takes = true;
    finds_its_own();
}

/* Nor is the request rejected for what was said of that one: there is none of its own, so that it
 * is ordered. */
static void
test_what_does_not_fit_of_anothers_is_forgotten(void **state)
{
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct ew_ca_reply reply = {.order_id = "CE1", .certificate = others_certificate()};

        if (missing) {
            reply = (struct ew_ca_reply){.cls = EW_CA_PENDING, .order_id = "CE1"};
            enrolls_for_their_key("r-1", false);
        } else {
            enrolls("r-1", "", false);
        }
        w.store.away = true;
        w.saved_attempt = 0;
        replies(ORDER, reply);
        walked(UNTIL_ORDER " verify");
        w.store.away = w.takes = false;
        pass(w.config.time.retry_max_ms);
        shows_for(LIST, QUIET + ORDER_MS, NULL, 0);
        walked("reconcile " ORDERED_AGAIN);
        leaves_it_alone();
        (void)world_end(NULL);
        (void)world_begin(NULL);
    }
}

/* Redis was wiped, and is being rebuilt: it says that nobody has the order, and knows nothing. */
static void
test_while_redis_is_rebuilt(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.store.away = true;
    replies(ORDER, (struct ew_ca_reply){.order_id = "CE1", .certificate = others_certificate()});
    w.store.away = false;
    w.view.state = EW_REC_ABSENT;
    w.canary = "";
    pass(60000);
    walked(UNTIL_ORDER " verify");
    w.canary = CANARY;
    w.takes = false;
    pass(w.config.time.retry_max_ms);
    walked("reconcile");
    leaves_it_alone();
}

/* Whose it is can then not be told, and an answer does not wait for that. */
static void
test_a_silent_redis_keeps_no_certificate_back(void **state)
{
    (void)state;
    enrolls("r-1", "", false);
    w.anothers = w.store.away = true;
    replies(ORDER,
            (struct ew_ca_reply){.order_id = "CE1", .certificate = certificate(NULL, NULL, NULL)});
    walked(UNTIL_ORDER " verify publish answered");
    (void)answered(EW_RES_ISSUED);
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)
    const struct CMUnitTest tests[] = {
        ROW(test_with_anothers_certificate), ROW(test_with_our_certificate),
        ROW(test_without_a_certificate),     ROW(test_with_anothers_key),
        ROW(test_while_redis_was_away),      ROW(test_what_does_not_fit_of_anothers_is_forgotten),
        ROW(test_while_redis_is_rebuilt),    ROW(test_a_silent_redis_keeps_no_certificate_back),
    };

    return cmocka_run_group_tests(tests, keys_begin, keys_end);
}

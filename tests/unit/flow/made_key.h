/*
 * Orders with a key that the worker made.
 */
#pragma once

#include "world.h"

#define UNTIL_CHECKED_ORDER "lookup check claim queue intent calling order"

static MAYBE struct ew_ca_order
issued(const char *order_id)
{
    return (struct ew_ca_order){.order_id = order_id,
                                .order_status = EW_CA_ST_ISSUED,
                                .cn = CN,
                                .certificate = certificate(NULL, NULL, w.csr_key)};
}

/* Its owner died before it heard of the order; who adopts it begins. */
static MAYBE struct ew_ca_order
ordered_before(void)
{
    enrolls_for_key("r-1", false);
    walked(UNTIL_CHECKED_ORDER);
    adopts_again(&w.enrollments);
    return issued("CE1");
}

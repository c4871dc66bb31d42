/*
 * An order whose reply was lost.
 */
#pragma once

#include "world.h"

static MAYBE void
goes_unknown(void)
{
    enrolls("r-1", "", false);
    replies(ORDER, (struct ew_ca_reply){.cls = EW_CA_UNKNOWN, .problem = "ca-timeout"});
    walked(UNTIL_ORDER " reconcile");
}

static MAYBE struct ew_ca_order
order_of(const char *order_id, int status, const char *cert)
{
    return (struct ew_ca_order){
        .order_id = order_id, .order_status = status, .cn = CN, .certificate = cert};
}

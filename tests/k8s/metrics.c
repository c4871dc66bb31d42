/*
 * Prints what /metrics says before anything has happened: every metric and all of its labels.
 */
#include <stdio.h>

#include "base/metric.h"

int
main(void)
{
    struct ew_metrics *metrics = ew_metrics_new("0");
    struct ew_buf text;

    if (metrics == NULL)
        return 1;
    ew_buf_init(&text, 1 << 20);
    ew_metrics_render(metrics, &text);
    (void)fputs(ew_buf_text(&text), stdout);
    ew_metrics_free(metrics);
    return text.overflowed ? 1 : 0;
}

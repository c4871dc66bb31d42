/*
 * How long to wait before trying again: one pure function.
 */
#pragma once

#include <stdint.h>

struct ew_backoff {
    int64_t first_ms;
    int64_t max_ms;
};

/* Full delay doubles with each attempt (1, 2, ...) up to max_ms; of it, between half and all by
 * `random` (any 32 bits). Never less than 1. */
int64_t ew_backoff_ms(const struct ew_backoff *backoff, unsigned attempt, uint32_t random);

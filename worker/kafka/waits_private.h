/*
 * Waiting with a bound, on the monotonic clock. Only what pthreads lacks.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"

/* A condition that counts on CLOCK_MONOTONIC. */
static inline enum ew_fault
ew_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int error;

    if (pthread_condattr_init(&attr) != 0)
        return EW_RETRY;
    error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (error == 0)
        error = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return error == 0 ? EW_OK : EW_RETRY;
}

/* CLOCK_MONOTONIC in `ms` milliseconds. */
static inline void
ew_deadline(struct timespec *until, int64_t ms)
{
    (void)clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += ms / 1000;
    until->tv_nsec += ms % 1000 * 1000000;
    if (until->tv_nsec >= 1000000000) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000;
    }
}

static inline int64_t
ew_mono_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

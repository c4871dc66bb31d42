/*
 * The machine's clocks and randomness.
 */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t
read_ms(clockid_t id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) != 0)
        abort(); /* cannot happen on Linux; going on without time would be worse */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
boot_ms(void *self)
{
    (void)self;
    return read_ms(CLOCK_BOOTTIME);
}

static int64_t
wall_ms(void *self)
{
    (void)self;
    return read_ms(CLOCK_REALTIME);
}

const struct ew_clock ew_clock_system = {.boot_ms = boot_ms, .wall_ms = wall_ms};

void
ew_time_format(int64_t ms, char out[EW_TIME_TEXT])
{
    time_t seconds = (time_t)(ms / 1000);
    int rest = (int)(ms % 1000);
    struct tm tm;

    if (rest < 0) {
        rest += 1000;
        seconds--;
    }
    out[0] = '\0';
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099)
        return;
    (void)snprintf(out, EW_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, rest);
}

void
ew_random_bytes(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno != EINTR)
            abort(); /* no randomness, no keys, no ids */
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

uint32_t
ew_random_u32(void)
{
    uint32_t value;

    ew_random_bytes(&value, sizeof(value));
    return value;
}

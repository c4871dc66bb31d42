/*
 * Time, passed in. Three clocks that must never be mixed: boot (waiting and fencing, counts
 * while suspended), wall (for what people read, and what is remembered for days; each use stands in
 * tests/wall_clock.txt), and the CA's Date (validity and deadlines; not here).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ew_clock {
    void *self;
    int64_t (*boot_ms)(void *self); /* CLOCK_BOOTTIME, milliseconds */
    int64_t (*wall_ms)(void *self); /* CLOCK_REALTIME, milliseconds since 1970 */
};

/* The machine's clocks. Any thread. */
extern const struct ew_clock ew_clock_system;

static inline int64_t
ew_boot_ms(const struct ew_clock *clock)
{
    return clock->boot_ms(clock->self);
}

static inline int64_t
ew_wall_ms(const struct ew_clock *clock)
{
    return clock->wall_ms(clock->self);
}

/* "2026-11-23T10:00:00.000Z" of milliseconds since 1970. */
#define EW_TIME_TEXT 72
void ew_time_format(int64_t wall_ms, char out[EW_TIME_TEXT]);

/* Chance, passed in: fills len bytes, cryptographically strong. Any thread. */
void ew_random_bytes(void *out, size_t len);
uint32_t ew_random_u32(void);

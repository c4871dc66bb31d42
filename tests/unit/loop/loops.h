/*
 * A loop, and a clock that the test moves. Only one program's file may include this.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

#define MAYBE __attribute__((unused))

static MAYBE struct ew_loop *
new_loop(unsigned threads)
{
    struct ew_loop *loop = NULL;

    assert_int_equal(ew_loop_new(&ew_clock_system, threads, &loop, NULL), EW_OK);
    return loop;
}

static _Atomic int64_t fake_ms;

static int64_t
fake_now(void *self)
{
    (void)self;
    return fake_ms;
}

static MAYBE const struct ew_clock fake_clock = {.boot_ms = fake_now, .wall_ms = fake_now};

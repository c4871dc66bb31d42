/*
 * What every test against a real broker needs: conditions that are waited for, and a reason to be
 * skipped. What else they share: clients.h, site.h, witness.h, member.h.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    PATIENCE_MS = 120000, /* with what will come, on a machine however busy */
    EXIT_SKIPPED = 77,
};

/* Ends the running test and says why. */
#define REQUIRE(cond, ...)                                                                         \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "harness: " __VA_ARGS__);                                              \
            fputc('\n', stderr);                                                                   \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* Waits until cond is true. */
#define AWAIT(cond)                                                                                \
    do {                                                                                           \
        int64_t await_until_ms = now_ms() + PATIENCE_MS;                                           \
                                                                                                   \
        while (!(cond)) {                                                                          \
            REQUIRE(now_ms() < await_until_ms, "waited in vain: %s", #cond);                       \
            sleep_ms(5);                                                                           \
        }                                                                                          \
    } while (0)

int64_t now_ms(void); /* boot time */
void sleep_ms(int ms);

/* For main(): false without a broker (then exit with EXIT_SKIPPED). The first argument may name the
 * tests to run. */
bool harness_ready(int argc, char **argv);

/*
 * Waiting, and whether there is a broker; see harness.h.
 */
#include "harness.h"

#include <stdlib.h>
#include <time.h>

int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
sleep_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    while (nanosleep(&time, &time) != 0)
        continue;
}

bool
harness_ready(int argc, char **argv)
{
    if (getenv("KAFKA_BOOTSTRAP") == NULL) {
        fprintf(stderr, "KAFKA_BOOTSTRAP is not set\n");
        return false;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return true;
}

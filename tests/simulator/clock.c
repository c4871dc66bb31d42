/*
 * Times as the simulator tells them: HTTP dates, ISO 8601 with an offset, and reading the latter.
 */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t
sim_real_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
sim_now_ms(const struct sim_settings *settings)
{
    return sim_real_ms() + settings->clock_offset_s * 1000;
}

static void
sim_time_split(int64_t ms, struct tm *parts, int *rest)
{
    int64_t milli = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - milli) / 1000);
    gmtime_r(&seconds, parts);
    *rest = (int)milli;
}

void
sim_time_http(int64_t ms, char out[40])
{
    struct tm parts;
    int rest;
    sim_time_split(ms, &parts, &rest);
    strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

void
sim_time_iso(int64_t ms, int64_t utc_offset_min, char out[40])
{
    struct tm parts;
    int rest;
    char main_part[24];
    sim_time_split(ms + utc_offset_min * 60000, &parts, &rest);
    strftime(main_part, sizeof(main_part), "%Y-%m-%dT%H:%M:%S", &parts);
    int away = abs((int)utc_offset_min) % 6000;
    (void)snprintf(out, 40, "%s.%03d%c%02d:%02d", main_part, rest, utc_offset_min < 0 ? '-' : '+',
                   away / 60, away % 60);
}

/* Reads exactly count digits. */
static bool
sim_digits(const char **text, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        char c = **text;
        if (c < '0' || c > '9') {
            return false;
        }
        *value = *value * 10 + (c - '0');
        (*text)++;
    }
    return true;
}

static bool
sim_mark(const char **text, char mark)
{
    if (**text != mark) {
        return false;
    }
    (*text)++;
    return true;
}

static bool
sim_zone(const char **at, int *minutes)
{
    int hour = 0;
    int minute = 0;
    *minutes = 0;
    if (sim_mark(at, 'Z')) {
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if ((!sim_mark(at, '+') && !sim_mark(at, '-')) || !sim_digits(at, 2, &hour) ||
        !sim_mark(at, ':') || !sim_digits(at, 2, &minute) || hour > 14 || minute > 59) {
        return false;
    }
    *minutes = sign * (hour * 60 + minute);
    return true;
}

bool
sim_time_parse(const char *text, int64_t *ms)
{
    struct tm parts;
    memset(&parts, 0, sizeof(parts));
    const char *at = text;
    int milli = 0;
    int zone = 0;
    if (!sim_digits(&at, 4, &parts.tm_year) || !sim_mark(&at, '-') ||
        !sim_digits(&at, 2, &parts.tm_mon) || !sim_mark(&at, '-') ||
        !sim_digits(&at, 2, &parts.tm_mday) || !sim_mark(&at, 'T') ||
        !sim_digits(&at, 2, &parts.tm_hour) || !sim_mark(&at, ':') ||
        !sim_digits(&at, 2, &parts.tm_min) || !sim_mark(&at, ':') ||
        !sim_digits(&at, 2, &parts.tm_sec)) {
        return false;
    }
    if (sim_mark(&at, '.') && !sim_digits(&at, 3, &milli)) {
        return false;
    }
    if (!sim_zone(&at, &zone) || *at || parts.tm_mon < 1 || parts.tm_mon > 12 ||
        parts.tm_mday < 1 || parts.tm_mday > 31 || parts.tm_hour > 23 || parts.tm_min > 59 ||
        parts.tm_sec > 60) {
        return false;
    }
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *ms = (int64_t)timegm(&parts) * 1000 + milli - (int64_t)zone * 60000;
    return true;
}

/*
 * Plans for the failpoints of a test build, read once and passed by any thread.
 */
#include "base/failpoint.h"

#ifdef EW_FAILPOINTS

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { REQUEST_MAX = EW_FAILPOINT_REQUEST - 1, KILLED = 137, MS_MAX = 600000, NTH_MAX = 1000000 };

enum action { NOTHING, DIE, STOP, DELAY, FAIL, ACTIONS };

static const char *const action_names[ACTIONS] = {"", "die", "stop", "delay", "fail"};

struct plan {
    enum action action;
    long ms;
    unsigned nth;
    char request[REQUEST_MAX + 1];
    unsigned passed;
};

#define ROW(id, name, text) {name, text},
static const struct {
    const char *name, *text;
} table[EW_FP_COUNT] = {EW_FAILPOINTS_TABLE(ROW)};
#undef ROW

/* A thread does not wait for another's delay: held only to look. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan plans[EW_FP_COUNT];
static char directory[PATH_MAX - 64]; /* "" = plans do not change */

/* --- reading the plans --- */

static bool
number(const char **at, char mark, long max, long *out)
{
    char *end;

    if (**at != mark)
        return true;
    *out = strtol(*at + 1, &end, 10);
    if (end == *at + 1 || *out < 1 || *out > max)
        return false;
    *at = end;
    return true;
}

static bool
read_action(const char **at, struct plan *plan)
{
    size_t len = strcspn(*at, ":@/");

    for (int i = NOTHING + 1; i < ACTIONS; i++)
        if (strlen(action_names[i]) == len && memcmp(*at, action_names[i], len) == 0)
            plan->action = (enum action)i;
    *at += len;
    return plan->action != NOTHING;
}

static bool
read_what(const char *at, struct plan *plan)
{
    long nth = 1;

    if (!read_action(&at, plan) || !number(&at, ':', MS_MAX, &plan->ms) ||
        !number(&at, '@', NTH_MAX, &nth))
        return false;
    plan->nth = (unsigned)nth;
    if (*at == '/' && strlen(at + 1) <= REQUEST_MAX)
        (void)snprintf(plan->request, sizeof(plan->request), "%s", at + 1);
    return *at == '\0' || plan->request[0] != '\0';
}

static bool
read_plan(const char *text)
{
    const char *at = strchr(text, '=');
    struct plan *plan = NULL;

    for (int i = 0; at != NULL && i < EW_FP_COUNT; i++)
        if (strlen(table[i].name) == (size_t)(at - text) &&
            memcmp(table[i].name, text, (size_t)(at - text)) == 0)
            plan = &plans[i];
    if (plan == NULL || plan->action != NOTHING)
        return false;
    return read_what(at + 1, plan);
}

static bool
read_directory(const char *given)
{
    return snprintf(directory, sizeof(directory), "%s", given) < (int)sizeof(directory);
}

enum ew_fault
ew_failpoints_arm(struct ew_err *err)
{
    const char *given = getenv("EPKI_FAILPOINTS");
    char text[4096], *rest = text, *plan;

    if (given == NULL || (given[0] == '@' && read_directory(given + 1)))
        return EW_OK;
    if (snprintf(text, sizeof(text), "%s", given) >= (int)sizeof(text))
        return ew_fail(err, EW_REJECT, "failpoints", "more than 4095 characters");
    while ((plan = strsep(&rest, ",")) != NULL)
        if (!read_plan(plan))
            return ew_fail_field(err, EW_REJECT, "failpoints", "EPKI_FAILPOINTS",
                                 "Write NAME=die|stop|delay|fail[:MS][@NTH][/REQUEST], each name "
                                 "once; `epki-worker failpoints` lists the names.",
                                 "cannot read: %s", plan);
    return EW_OK;
}

void
ew_failpoints_list(void)
{
    for (int i = 0; i < EW_FP_COUNT; i++)
        (void)printf("%s\t%s\n", table[i].name, table[i].text);
}

/* --- passing them --- */

static void
pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) != 0) {
    }
}

static void
path_of(enum ew_failpoint point, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/%s", directory, table[point].name);
}

enum { TOLD_MAX = REQUEST_MAX + 64 };

/* What the directory says of a point; "" = nothing. */
static void
read_told(enum ew_failpoint point, char text[TOLD_MAX])
{
    char path[PATH_MAX];
    ssize_t len;
    int fd;

    text[0] = '\0';
    if (directory[0] == '\0')
        return;
    path_of(point, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    len = read(fd, text, TOLD_MAX - 1);
    (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
}

/* Passings count while it says the same. */
static void
look(enum ew_failpoint point, const char *text)
{
    struct plan told = {.action = NOTHING};

    if (directory[0] == '\0')
        return;
    if (text[0] != '\0' && read_what(text, &told))
        told.passed = plans[point].passed;
    else
        told = (struct plan){.action = NOTHING};
    plans[point] = told;
}

/* Told by a file, it is for one process: the one that takes it away. */
static bool
take(enum ew_failpoint point)
{
    char path[PATH_MAX];

    if (directory[0] == '\0')
        return true;
    plans[point].passed = 0;
    path_of(point, path);
    return unlink(path) == 0;
}

static bool
fits(const struct plan *plan, const char *request_id)
{
    return plan->action != NOTHING &&
           (plan->request[0] == '\0' ||
            (request_id != NULL && strcmp(plan->request, request_id) == 0));
}

void
ew_failpoint_request(enum ew_failpoint point, char request_id[EW_FAILPOINT_REQUEST])
{
    char text[TOLD_MAX];

    read_told(point, text);
    pthread_mutex_lock(&lock);
    look(point, text);
    memcpy(request_id, plans[point].request, EW_FAILPOINT_REQUEST);
    pthread_mutex_unlock(&lock);
}

bool
ew_failpoint(enum ew_failpoint point, const char *request_id)
{
    char text[TOLD_MAX];
    struct plan plan;
    bool strikes;

    read_told(point, text);
    pthread_mutex_lock(&lock);
    look(point, text);
    plan = plans[point];
    strikes = fits(&plan, request_id) && ++plans[point].passed == plan.nth && take(point);
    pthread_mutex_unlock(&lock);
    if (!strikes)
        return false;
    EW_LOG(EW_LOG_WARN, "base", "failpoint", EW_STR("name", table[point].name),
           EW_STR("action", action_names[plan.action]), EW_STR("request_id", request_id));
    if (plan.ms > 0)
        pause_ms(plan.ms);
    if (plan.action == DIE)
        _exit(KILLED);
    if (plan.action == STOP)
        (void)raise(SIGSTOP);
    return plan.action == FAIL;
}

#else

typedef int ew_no_failpoints; /* ISO C wants a declaration */

#endif

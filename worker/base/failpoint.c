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

enum {
    REQUEST_MAX = EW_FAILPOINT_REQUEST - 1,
    KILLED = 137,
    REFUSED = 2,
    MS_MAX = 600000,
    NTH_MAX = 1000000
};

enum action { NOTHING, DIE, STOP, DELAY, FAIL, ACTIONS };

static const char *const action_names[ACTIONS] = {"", "die", "stop", "delay", "fail"};

struct plan {
    enum action action;
    long ms;
    unsigned nth;
    char request[REQUEST_MAX + 1];
    unsigned passed;
};

#define ROW(id, name, use, text) {name, text, use},
static const struct {
    const char *name, *text;
    enum ew_failpoint_use use;
} table[EW_FP_COUNT] = {EW_FAILPOINTS_TABLE(ROW)};
#undef ROW

/* A thread does not wait for another's delay: held only to look. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan plans[EW_FP_COUNT];
static char directory[PATH_MAX - 64]; /* "" = plans do not change */

/* --- reading the plans: NULL, or what is wrong with one --- */

static bool
number(const char **at, char mark, long max, long *out)
{
    char *end;

    if (**at != mark)
        return true;
    if ((*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *out = strtol(*at + 1, &end, 10);
    *at = end;
    return *out >= 1 && *out <= max;
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
read_request(const char *at, struct plan *plan)
{
    if (*at == '/' && strlen(at + 1) <= REQUEST_MAX)
        (void)snprintf(plan->request, sizeof(plan->request), "%s", at + 1);
    return *at == '\0' || plan->request[0] != '\0';
}

/* What would be taken, and come to nothing. */
static const char *
not_there(enum ew_failpoint point, const struct plan *plan)
{
    if (plan->action == DELAY && plan->ms == 0)
        return "a delay needs :MS";
    if (plan->action == FAIL && !(table[point].use & EW_FP_FAIL))
        return "nothing can fail there: die, stop or delay";
    if (plan->request[0] != '\0' && !(table[point].use & EW_FP_REQUEST))
        return "no request is known there";
    return NULL;
}

static const char *
read_what(enum ew_failpoint point, const char *at, struct plan *plan)
{
    long nth = 1;

    if (!read_action(&at, plan))
        return "no such action";
    if (!number(&at, ':', MS_MAX, &plan->ms))
        return "MS is 1 to 600000";
    if (!number(&at, '@', NTH_MAX, &nth))
        return "NTH is 1 to 1000000";
    plan->nth = (unsigned)nth;
    if (!read_request(at, plan))
        return "after the action comes [:MS][@NTH][/REQUEST], a request of 1 to 128 characters";
    return not_there(point, plan);
}

static const char *
read_plan(const char *text)
{
    const char *at = strchr(text, '=');
    int point = 0;

    if (at == NULL)
        return "no NAME=";
    while (point < EW_FP_COUNT && (strlen(table[point].name) != (size_t)(at - text) ||
                                   memcmp(table[point].name, text, (size_t)(at - text)) != 0))
        point++;
    if (point == EW_FP_COUNT)
        return "no such place";
    if (plans[point].action != NOTHING)
        return "a second plan for its place";
    return read_what((enum ew_failpoint)point, at + 1, &plans[point]);
}

static bool
read_directory(const char *given)
{
    return snprintf(directory, sizeof(directory), "%s", given) < (int)sizeof(directory);
}

enum ew_fault
ew_failpoints_arm(struct ew_err *err)
{
    const char *given = getenv("EPKI_FAILPOINTS"), *wrong;
    char text[4096], *rest = text, *plan;

    memset(plans, 0, sizeof(plans));
    directory[0] = '\0';
    if (given == NULL || (given[0] == '@' && read_directory(given + 1)))
        return EW_OK;
    if (snprintf(text, sizeof(text), "%s", given) >= (int)sizeof(text))
        return ew_fail(err, EW_REJECT, "failpoints", "more than 4095 characters");
    while ((plan = strsep(&rest, ",")) != NULL)
        if ((wrong = read_plan(plan)) != NULL)
            return ew_fail_field(err, EW_REJECT, "failpoints", "EPKI_FAILPOINTS",
                                 "Write NAME=die|stop|delay|fail[:MS][@NTH][/REQUEST], each name "
                                 "once; `epki-worker failpoints` lists what each knows.",
                                 "%s: %s", plan, wrong);
    return EW_OK;
}

void
ew_failpoints_list(void)
{
    for (int i = 0; i < EW_FP_COUNT; i++)
        (void)printf("%s\tdie stop delay%s\t%s\t%s\n", table[i].name,
                     table[i].use & EW_FP_FAIL ? " fail" : "",
                     table[i].use & EW_FP_REQUEST ? "request" : "-", table[i].text);
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

/* Nobody would miss a plan that is not followed, but for the test that waits. */
static _Noreturn void
refuse(enum ew_failpoint point, const char *text, const char *wrong)
{
    EW_LOG(EW_LOG_ERROR, "base", "failpoint refused", EW_STR("name", table[point].name),
           EW_STR("plan", text), EW_STR("why", wrong));
    _exit(REFUSED);
}

static bool
same(const struct plan *a, const struct plan *b)
{
    return a->action == b->action && a->ms == b->ms && a->nth == b->nth &&
           strcmp(a->request, b->request) == 0;
}

/* Passings count while it says the same. */
static void
look(enum ew_failpoint point, const char *text)
{
    struct plan told = {.action = NOTHING};
    const char *wrong;

    if (directory[0] == '\0')
        return;
    if (text[0] != '\0' && (wrong = read_what(point, text, &told)) != NULL)
        refuse(point, text, wrong);
    if (same(&told, &plans[point]))
        told.passed = plans[point].passed;
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

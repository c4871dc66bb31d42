/*
 * The loop and the log, played: time, timers, replies on their way, and the walk of the states.
 */
#pragma once

static int64_t
world_boot(void *self)
{
    (void)self;
    return w.boot_ms;
}

static int64_t
world_wall(void *self)
{
    (void)self;
    return NOW_MS + w.boot_ms;
}

static const struct ew_clock world_clock = {.boot_ms = world_boot, .wall_ms = world_wall};

struct armed {
    struct ew_link link;
    struct ew_timer *timer;
};

int64_t
ew_loop_now(const struct ew_loop *loop)
{
    (void)loop;
    return w.boot_ms;
}

void
ew_timer_init(struct ew_timer *timer, struct ew_loop *loop, void (*fn)(void *), void *arg)
{
    *timer = (struct ew_timer){.loop = loop, .fn = fn, .arg = arg};
}

static struct armed *
armed_of(const struct ew_timer *timer)
{
    for (struct ew_link *l = ew_list_first(&w.loop.timers); l != NULL;
         l = ew_list_next(&w.loop.timers, l))
        if (EW_CONTAINER(l, struct armed, link)->timer == timer)
            return EW_CONTAINER(l, struct armed, link);
    return NULL;
}

void
ew_timer_cancel(struct ew_timer *timer)
{
    struct armed *armed = timer->slot == 0 ? NULL : armed_of(timer);

    timer->slot = 0;
    if (armed == NULL)
        return;
    ew_link_remove(&armed->link);
    free(armed);
}

void
ew_timer_start(struct ew_timer *timer, int64_t delay_ms)
{
    struct armed *armed = calloc(1, sizeof(*armed));

    ew_timer_cancel(timer);
    assert_non_null(armed);
    timer->due_ms = w.boot_ms + delay_ms;
    timer->slot = 1;
    armed->timer = timer;
    ew_list_append(&w.loop.timers, &armed->link);
}

bool
ew_timer_armed(const struct ew_timer *timer)
{
    return timer->slot != 0;
}

static struct later *
later(void (*run)(struct later *), void *arg)
{
    struct later *made = calloc(1, sizeof(*made));

    assert_non_null(made);
    made->run = run;
    made->arg = arg;
    made->fault = w.store.away || CALL_FAILS("Redis") ? EW_RETRY : EW_OK;
    ew_list_append(&w.later, &made->link);
    return made;
}

static void
run_work(struct later *l)
{
    l->done.work(l->arg);
}

void
ew_loop_offload(struct ew_loop *loop, void (*work)(void *), void (*done)(void *), void *arg)
{
    (void)loop;
    work(arg);
    later(run_work, arg)->done.work = done;
}

void
ew_loop_offload_last(struct ew_loop *loop, void (*work)(void *), void (*done)(void *), void *arg)
{
    ew_loop_offload(loop, work, done, arg);
}

static void give_records(void);

/* Every reply that is on its way. Who asks again and again at the same time would never end. */
static void
deliver(void)
{
    struct ew_link *link;

    for (int most = 100000; (link = ew_list_first(&w.later)) != NULL; most--) {
        struct later *l = EW_CONTAINER(link, struct later, link);

        if (most == 0)
            fail_msg("it goes round in circles: %s", w.walk);
        ew_link_remove(link);
        l->run(l);
        free(l);
    }
    give_records();
}

static struct ew_timer *
first_timer(int64_t until_ms)
{
    struct ew_timer *first = NULL;

    for (struct ew_link *l = ew_list_first(&w.loop.timers); l != NULL;
         l = ew_list_next(&w.loop.timers, l)) {
        struct ew_timer *timer = EW_CONTAINER(l, struct armed, link)->timer;

        if (timer->due_ms <= until_ms && (first == NULL || timer->due_ms < first->due_ms))
            first = timer;
    }
    return first;
}

static void
pass(int64_t ms)
{
    int64_t until = w.boot_ms + ms;
    struct ew_timer *timer;

    deliver();
    while ((timer = first_timer(until)) != NULL) {
        if (timer->due_ms > w.boot_ms)
            w.boot_ms = timer->due_ms;
        ew_timer_cancel(timer);
        timer->fn(timer->arg);
        deliver();
    }
    w.boot_ms = until;
}

/* --- the log: the walk of the states --- */

static void
note_line(const struct ew_log_field *fields)
{
    char line[sizeof(w.advised)] = "";
    bool advice = false;
    size_t len = 0;

    for (const struct ew_log_field *field = fields; field->name != NULL; field++) {
        if (field->kind == EW_LOG_STR && field->str == NULL)
            continue;
        len += (size_t)(field->kind == EW_LOG_STR
                            ? snprintf(line + len, sizeof(line) - len, "%s=%s ", field->name,
                                       field->str)
                            : snprintf(line + len, sizeof(line) - len, "%s=%lld ", field->name,
                                       (long long)field->num));
        assert_true(len < sizeof(line));
        advice = advice || strcmp(field->name, "advice") == 0;
        if (strcmp(field->name, "why") == 0)
            (void)snprintf(w.why, sizeof(w.why), "%s", field->str);
    }
    if (advice)
        memcpy(w.advised, line, sizeof(line));
}

void
ew_log_write(enum ew_log_level level, const char *logger, const char *msg,
             const struct ew_log_field *fields)
{
    size_t len = strlen(w.walk);

    (void)logger;
    note_line(fields);
    w.errors += level == EW_LOG_ERROR;
    w.bugs += strncmp(msg, "BUG", 3) == 0;
    if (strcmp(msg, "move") != 0)
        return;
    for (const struct ew_log_field *field = fields; field->name != NULL; field++)
        if (strcmp(field->name, "state") == 0)
            (void)snprintf(w.walk + len, sizeof(w.walk) - len, "%s%s", len > 0 ? " " : "",
                           field->str);
}

enum ew_fault
ew_log_level_parse(const char *name, enum ew_log_level *out)
{
    (void)name, (void)out;
    return EW_OK;
}

/* What was walked since the last time this was asked. */
static MAYBE void
walked(const char *expected)
{
    assert_string_equal(w.walk, expected);
    assert_int_equal(w.bugs, 0);
    w.walk[0] = '\0';
}

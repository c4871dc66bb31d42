/*
 * Every allocation, and every call that can fail, failed in turn. A story is told once to count
 * them, and then again for each: the n-th fails, alone or with all that come after it, in a process
 * of its own. The story's own checks must hold then too, or the process must have ended for want of
 * memory as base/memory.h says; a crash, a leak (where a sanitizer looks for it) or another word is
 * a failure, and names n and the call.
 *
 * Which calls: those that the linker wraps, CMakeLists.txt says for which program. What a library
 * takes of our memory for itself is counted apart (`in_library`), and of that every so manieth is
 * failed; EW_FAILING=all fails each. Under a sanitizer, which is slow, a few of all. `PROGRAM STORY
 * KIND N` tells one and shows what it says. Only one program's file may include this, before what
 * should not be failed itself.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum failing_kind {
    OF_MEMORY,
    OF_MEMORY_ON,
    OF_LIBRARY,
    OF_LIBRARY_ON,
    OF_CALLS,
    OF_CALLS_ON,
    FAILING_KINDS
}; /* _ON: and all after it */
enum { FAILING_ENDED = 99, FAILING_SECONDS = 120 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FAILING_MOST = 60, FAILING_LIBRARY_MOST = 4 };
#else
enum { FAILING_MOST = 10000, FAILING_LIBRARY_MOST = 8 };
#endif

struct story {
    const char *name;
    void (*tell)(void **state);
    int (*begin)(void **state), (*end)(void **state); /* nothing fails there; may be NULL */
    bool (*holds)(void); /* even where the process ends for want of memory; may be NULL */
};

static const char *const failing_names[] = {"memory",     "memory-on", "library",
                                            "library-on", "calls",     "calls-on"};

/* Seen by both processes. */
static struct failing {
    atomic_ulong calls;
    char name[64]; /* of the one that failed first */
} *failing;

static const struct story *failing_story;
static enum failing_kind failing_kind;
static unsigned long failing_at; /* 0 = none */
static atomic_bool failing_on;
static _Thread_local bool in_library; /* it is a library that wants memory */

/* Does the call that is made now fail? */
static bool
fails(enum failing_kind kind, const char *name)
{
    bool on = (failing_kind & 1u) != 0;
    unsigned long n;

    if (kind == OF_MEMORY && in_library)
        kind = OF_LIBRARY;
    if (!atomic_load(&failing_on) || (failing_kind & ~1u) != kind)
        return false;
    n = atomic_fetch_add(&failing->calls, 1) + 1;
    if (failing_at == 0 || n < failing_at || (n > failing_at && !on))
        return false;
    if (n == failing_at)
        (void)snprintf(failing->name, sizeof(failing->name), "%s", name);
    return true;
}

/* --- wrapped calls --- */

/* One that fails by giving `failed`. Of kind OF_MEMORY: what is to end the process as that does. */
#define FAILING_KIND(kind, type, name, params, args, failed)                                       \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return fails(kind, #name) ? (failed) : __real_##name args;                                 \
    }
#define FAILING(type, name, params, args, failed)                                                  \
    FAILING_KIND(OF_CALLS, type, name, params, args, failed)

FAILING_KIND(OF_MEMORY, void *, malloc, (size_t size), (size), NULL)
FAILING_KIND(OF_MEMORY, void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING_KIND(OF_MEMORY, void *, realloc, (void *memory, size_t size), (memory, size), NULL)
FAILING_KIND(OF_MEMORY, char *, strdup, (const char *text), (text), NULL)

_Noreturn void __wrap_abort(void);
_Noreturn void
__wrap_abort(void)
{
    atomic_store(&failing_on, false);
    if ((failing_kind & ~1u) == OF_CALLS || failing->name[0] == '\0')
        (void)fprintf(stderr, "the process ended, and memory was there\n");
    else if (failing_story->holds == NULL || failing_story->holds())
        _exit(FAILING_ENDED);
    _exit(1);
}

/* What the test itself takes from here on is always there. */
#undef strdup
#define malloc(size) __real_malloc(size)
#define calloc(count, size) __real_calloc(count, size)
#define realloc(memory, size) __real_realloc(memory, size)
#define strdup(text) __real_strdup(text)

/* --- telling --- */

static int
failing_begin(void **state)
{
    return failing_story->begin == NULL ? 0 : failing_story->begin(state);
}

static void
failing_tell(void **state)
{
    atomic_store(&failing_on, true);
    failing_story->tell(state);
    atomic_store(&failing_on, false);
}

static int
failing_end(void **state)
{
    atomic_store(&failing_on, false);
    return failing_story->end == NULL ? 0 : failing_story->end(state);
}

/* In a process of its own. */
static _Noreturn void
failing_child(FILE *said)
{
    const struct CMUnitTest tests[] = {
        {failing_story->name, failing_tell, failing_begin, failing_end, NULL}};

    if (said != NULL &&
        (dup2(fileno(said), STDOUT_FILENO) < 0 || dup2(fileno(said), STDERR_FILENO) < 0))
        _exit(1);
    (void)alarm(FAILING_SECONDS); /* a story that does not end is a failure, too */
    exit(cmocka_run_group_tests(tests, NULL, NULL));
}

static void
failing_show(FILE *said)
{
    char line[512];

    rewind(said);
    while (fgets(line, sizeof(line), said) != NULL)
        (void)fputs(line, stderr);
}

/* Whether it went as it should; what it said is shown otherwise. */
static bool
failing_once(enum failing_kind kind, unsigned long at)
{
    FILE *said = tmpfile();
    int status = 0;
    bool good;
    pid_t pid;

    if (said == NULL)
        return false;
    failing_kind = kind;
    failing_at = at;
    memset(failing, 0, sizeof(*failing));
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0)
        failing_child(said);
    good = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == FAILING_ENDED);
    if (!good) {
        failing_show(said);
        (void)fprintf(stderr, "FAILED: %s %s %lu (%s): status %x\n", failing_story->name,
                      failing_names[kind], at, failing->name, (unsigned)status);
    }
    (void)fclose(said);
    return good;
}

/* Returns how many went wrong. */
static unsigned
failing_each(enum failing_kind kind)
{
    const char *wish = getenv("EW_FAILING");
    bool library = (kind & ~1u) == OF_LIBRARY;
    unsigned long all, most = library ? FAILING_LIBRARY_MOST : FAILING_MOST;
    unsigned wrong = !failing_once(kind, 0);

    all = atomic_load(&failing->calls);
    if (most > all || (wish != NULL && strcmp(wish, "all") == 0))
        most = all;
    if ((kind & 1u) != 0)
        most = (most + 3) / 4;
    for (unsigned long i = 0; i < most && wrong < 5; i++)
        wrong += !failing_once(kind, 1 + i * all / most);
    (void)printf("%s: %lu of %lu failed in turn (%s), %u went wrong\n", failing_story->name, most,
                 all, failing_names[kind], wrong);
    return wrong;
}

static unsigned
failing_one(const struct story *stories, size_t count, char **words)
{
    for (size_t i = 0; i < count; i++)
        for (unsigned kind = 0; kind < FAILING_KINDS; kind++)
            if (strcmp(words[0], stories[i].name) == 0 &&
                strcmp(words[1], failing_names[kind]) == 0) {
                failing_story = &stories[i];
                failing_kind = kind;
                failing_at = strtoul(words[2], NULL, 10);
                failing_child(NULL);
            }
    return 1;
}

/* The exit code. */
static int
failing_main(int argc, char **argv, const struct story *stories, size_t count)
{
    unsigned wrong = 0;

    failing =
        mmap(NULL, sizeof(*failing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (failing == MAP_FAILED)
        return 1;
    if (argc == 4)
        return (int)failing_one(stories, count, argv + 1);
    for (size_t i = 0; i < count; i++) {
        failing_story = &stories[i];
        for (unsigned kind = 0; kind < FAILING_KINDS; kind++)
            wrong += failing_each(kind);
    }
    return wrong > 0;
}

/*
 * C11 threads as pthreads, for programs under ThreadSanitizer only: it knows nothing of glibc's
 * thrd_create(), which librdkafka uses, and crashes in such a thread. Link it into the program.
 * glibc's mtx_t and cnd_t hold a pthread_mutex_t and a pthread_cond_t.
 */
#if defined(__SANITIZE_THREAD__)
#define EW_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EW_TSAN 1
#endif
#endif

typedef int ew_not_empty;

#ifdef EW_TSAN

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct start {
    thrd_start_t fn;
    void *arg;
};

static void *
run(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)start.fn(start.arg);
}

static int
code(int error)
{
    switch (error) {
    case 0:
        return thrd_success;
    case EBUSY:
        return thrd_busy;
    case ETIMEDOUT:
        return thrd_timedout;
    default:
        return thrd_error;
    }
}

int
thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
    struct start *start = malloc(sizeof(*start));

    if (start == NULL)
        return thrd_nomem;
    start->fn = fn;
    start->arg = arg;
    return code(pthread_create(thread, NULL, run, start));
}

int
thrd_join(thrd_t thread, int *result)
{
    void *value = NULL;
    int error = pthread_join(thread, &value);

    if (result != NULL)
        *result = (int)(intptr_t)value;
    return code(error);
}

int
mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attr;
    int error;

    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    error = pthread_mutex_init((pthread_mutex_t *)(void *)mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return code(error);
}

void
mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)(void *)mutex);
}

int
mtx_lock(mtx_t *mutex)
{
    return code(pthread_mutex_lock((pthread_mutex_t *)(void *)mutex));
}

int
mtx_trylock(mtx_t *mutex)
{
    return code(pthread_mutex_trylock((pthread_mutex_t *)(void *)mutex));
}

int
mtx_unlock(mtx_t *mutex)
{
    return code(pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex));
}

int
cnd_init(cnd_t *cond)
{
    return code(pthread_cond_init((pthread_cond_t *)(void *)cond, NULL));
}

void
cnd_destroy(cnd_t *cond)
{
    pthread_cond_destroy((pthread_cond_t *)(void *)cond);
}

int
cnd_signal(cnd_t *cond)
{
    return code(pthread_cond_signal((pthread_cond_t *)(void *)cond));
}

int
cnd_broadcast(cnd_t *cond)
{
    return code(pthread_cond_broadcast((pthread_cond_t *)(void *)cond));
}

int
cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    return code(
        pthread_cond_wait((pthread_cond_t *)(void *)cond, (pthread_mutex_t *)(void *)mutex));
}

int
cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until)
{
    return code(pthread_cond_timedwait((pthread_cond_t *)(void *)cond,
                                       (pthread_mutex_t *)(void *)mutex, until));
}

#endif

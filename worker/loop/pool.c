/*
 * A few threads for work that would block the loop (key generation, signatures). The results come
 * back through the loop's posts. Two queues, the second for what can wait; no cancelling.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "loop_private.h"

enum { EW_POOL_MAX = 16 };

struct ew_pool {
    struct ew_loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct ew_task_queue queue, last; /* under lock */
    bool stopping;                    /* under lock */
    unsigned count;
    pthread_t threads[EW_POOL_MAX];
};

static struct ew_task *
pop(struct ew_pool *pool)
{
    struct ew_task *task = ew_task_pop(&pool->queue);

    return task != NULL ? task : ew_task_pop(&pool->last);
}

static struct ew_task *
next_task(struct ew_pool *pool)
{
    struct ew_task *task = NULL;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && (task = pop(pool)) == NULL)
        pthread_cond_wait(&pool->more, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return task;
}

static void *
pool_thread(void *arg)
{
    struct ew_pool *pool = arg;
    struct ew_task *task;

    while ((task = next_task(pool)) != NULL) {
        task->fn(task->arg);
        ew_loop_post(pool->loop, task->done, task->arg);
        free(task);
    }
    return NULL;
}

/* The process's signals are for the thread that expects them. */
static int
start_thread(struct ew_pool *pool, pthread_t *thread)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, NULL, pool_thread, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

enum ew_fault
ew_pool_new(struct ew_loop *loop, unsigned threads, struct ew_pool **out, struct ew_err *err)
{
    struct ew_pool *pool;

    if (threads < 1 || threads > EW_POOL_MAX)
        return ew_fail(err, EW_BUG, "loop-pool", "%u threads is not between 1 and %d", threads,
                       EW_POOL_MAX);
    pool = ew_calloc(1, sizeof(*pool));
    pool->loop = loop;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    while (pool->count < threads) {
        int rc = start_thread(pool, &pool->threads[pool->count]);

        if (rc != 0) {
            ew_pool_free(pool);
            return ew_fail(err, EW_RETRY, "loop-pool", "pthread_create: %s", strerrordesc_np(rc));
        }
        pool->count++;
    }
    *out = pool;
    return EW_OK;
}

void
ew_pool_free(struct ew_pool *pool)
{
    struct ew_task *task;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
    while ((task = pop(pool)) != NULL)
        free(task);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void
ew_pool_put(struct ew_pool *pool, struct ew_task *task, bool last)
{
    pthread_mutex_lock(&pool->lock);
    ew_task_push(last ? &pool->last : &pool->queue, task);
    pthread_cond_signal(&pool->more);
    pthread_mutex_unlock(&pool->lock);
}

/*
 * One key at a time is in the making; the first is made when the first is taken.
 */
#include "keys.h"

#include "ca.h"

#include <string.h>

static void sim_keys_fill(struct sim_keys *keys);

static void
sim_keys_make(uv_work_t *work)
{
    struct sim_keys *keys = work->data;
    keys->made = sim_key_new(true);
}

static void
sim_keys_made(uv_work_t *work, int status)
{
    struct sim_keys *keys = work->data;
    keys->busy = false;
    if (status == 0) {
        keys->ready[keys->count++] = keys->made;
    }
    keys->made = NULL;
    sim_keys_fill(keys);
}

static void
sim_keys_fill(struct sim_keys *keys)
{
    if (keys->busy || keys->closing || keys->count == SIM_KEYS_AHEAD) {
        return;
    }
    keys->busy = true;
    keys->work.data = keys;
    if (uv_queue_work(keys->loop, &keys->work, sim_keys_make, sim_keys_made)) {
        keys->busy = false;
    }
}

void
sim_keys_init(struct sim_keys *keys, uv_loop_t *loop)
{
    memset(keys, 0, sizeof(*keys));
    keys->loop = loop;
}

EVP_PKEY *
sim_keys_take(struct sim_keys *keys)
{
    EVP_PKEY *key = NULL;
    if (keys->count) {
        key = keys->ready[--keys->count];
        keys->ready[keys->count] = NULL;
    }
    sim_keys_fill(keys);
    return key ? key : sim_key_new(true);
}

void
sim_keys_stop(struct sim_keys *keys)
{
    keys->closing = true;
}

void
sim_keys_deinit(struct sim_keys *keys)
{
    for (int i = 0; i < keys->count; i++) {
        EVP_PKEY_free(keys->ready[i]);
    }
    keys->count = 0;
}

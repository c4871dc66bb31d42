/*
 * RSA keys for OrderPkcs12, made ahead on another thread: making one takes longer than the loop
 * may stand still.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <uv.h>

enum { SIM_KEYS_AHEAD = 4 };

struct sim_keys {
    uv_loop_t *loop;
    uv_work_t work;
    EVP_PKEY *ready[SIM_KEYS_AHEAD];
    EVP_PKEY *made; /* the other thread's while busy */
    int count;
    bool busy, closing;
};

void sim_keys_init(struct sim_keys *keys, uv_loop_t *loop);

/* A key that nobody else gets; makes one on the spot when none is ready. */
EVP_PKEY *sim_keys_take(struct sim_keys *keys);

/* No new ones from now on; the loop must run until the last is made, then deinit. */
void sim_keys_stop(struct sim_keys *keys);
void sim_keys_deinit(struct sim_keys *keys);

/*
 * A settings file on disk for tests: a good one, text replaced in it, and the problems it gives.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

/* A word #at-section marks where lines may be put in; DIR stands for the test's directory. */
static const char good_file[] = "kafka:\n"
                                "  bootstrap: localhost:9092\n"
                                "#at-kafka\n"
                                "redis:\n"
                                "  url: redis://localhost:6379/0\n"
                                "#at-redis\n"
                                "#at-top\n"
                                "accounts:\n"
                                "- name: main\n"
                                "  url: https://test.example.com/cr/ws/GasOrderService\n"
                                "  user: PAR12345_api\n"
                                "  password_file: DIR/password\n"
                                "#at-account\n"
                                "settings:\n"
                                "- name: vpn\n"
                                "  account: main\n"
                                "  profile: MP1\n"
                                "  chain_file: DIR/chain.pem\n"
                                "  cn: \"${first_name} ${last_name}\"\n"
                                "#at-setting\n";

static char test_dir[64];

static char *
path_in(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", test_dir, name);
    return path;
}

static void
write_bytes(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(path_in(name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void
write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static int
make_dir(void **state)
{
    (void)state;
    (void)snprintf(test_dir, sizeof(test_dir), "/tmp/epki-config-XXXXXX");
    if (mkdtemp(test_dir) == NULL)
        return -1;
    write_text("password", "hunter2-hunter2\n");
    write_text("chain.pem", "-----BEGIN CERTIFICATE-----\n");
    return 0;
}

static int
remove_dir(void **state)
{
    static const char *const names[] = {"password", "chain.pem", "settings.yaml", "extra", "pipe"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(path_in(names[i]));
    return rmdir(test_dir);
}

/* Every `from` in text becomes `to`; fails when there is none. The caller frees. */
static inline char *
replaced(const char *text, const char *from, const char *to)
{
    const char *next = strstr(text, from);
    struct ew_buf out;
    size_t len;

    if (next == NULL)
        fail_msg("no %s to replace", from);
    ew_buf_init(&out, 65536);
    for (; next != NULL; text = next + strlen(from), next = strstr(text, from)) {
        ew_buf_put(&out, text, (size_t)(next - text));
        ew_buf_puts(&out, to);
    }
    ew_buf_puts(&out, text);
    return (char *)ew_buf_take(&out, &len);
}

/* --- what was found --- */

enum { KEPT = 1100 };

static struct {
    struct ew_err errs[KEPT];
    int heard;    /* calls of the listener */
    int returned; /* what the loader returned */
} found;

static void
hear(void *arg, const struct ew_err *err)
{
    assert_ptr_equal(arg, &found);
    assert_int_equal(err->fault, EW_HALT);
    if (found.heard < KEPT)
        found.errs[found.heard] = *err;
    found.heard++;
}

static inline const struct ew_err *
problem_at(const char *field, const char *detail)
{
    for (int i = 0; i < found.heard && i < KEPT; i++)
        if (strcmp(found.errs[i].field, field) == 0 && strstr(found.errs[i].detail, detail) != NULL)
            return &found.errs[i];
    return NULL;
}

static inline const char *
all_problems(void)
{
    static char text[4096];
    size_t len = 0;

    text[0] = '\0';
    for (int i = 0; i < found.heard && i < KEPT && len < sizeof(text) - 400; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\n  %s: %s", found.errs[i].field,
                                found.errs[i].detail);
    return text;
}

/* Loads text as the settings file. config is filled, and the caller's to free, when 0 is returned.
 */
static int
load_text(const char *text, struct ew_config *config)
{
    char *whole = strstr(text, "DIR") == NULL ? strdup(text) : replaced(text, "DIR", test_dir);

    write_text("settings.yaml", whole);
    free(whole);
    memset(&found, 0, sizeof(found));
    memset(config, 0x5a, sizeof(*config));
    found.returned = ew_config_load(path_in("settings.yaml"), config, hear, &found);
    return found.returned;
}

/* The good file with one replacement. */
static inline int
load_with(const char *from, const char *to, struct ew_config *config)
{
    char *text = replaced(good_file, from, to);
    int problems = load_text(text, config);

    free(text);
    return problems;
}

/*
 * `run` and the Redis that it is given: one that may drop records ends it before anything else is
 * touched; one that is merely away does not. A signal does, while it waits.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>

#include "../store/redis_harness.h"

struct site {
    struct redis redis;
    int kafka, kafka_port; /* a socket that only notices */
    char settings[96], password[96], chain[96];
    pid_t worker;
    int output;
};

static void
listen_as_kafka(struct site *site)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    site->kafka = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(site->kafka >= 0);
    assert_int_equal(bind(site->kafka, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(site->kafka, 8), 0);
    assert_int_equal(getsockname(site->kafka, (struct sockaddr *)&address, &len), 0);
    site->kafka_port = ntohs(address.sin_port);
}

static void
write_file(const char *path, const char *format, ...)
{
    FILE *file = fopen(path, "w");
    va_list args;

    assert_non_null(file);
    va_start(args, format);
    assert_true(vfprintf(file, format, args) > 0);
    va_end(args);
    assert_int_equal(fclose(file), 0);
}

static void
write_root(const char *path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *root = X509_new();
    FILE *file = fopen(path, "w");

    assert_true(key != NULL && root != NULL && file != NULL);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(root), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(root), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(root), 3600);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(root), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"root", -1, -1, 0);
    (void)X509_set_issuer_name(root, X509_get_subject_name(root));
    (void)X509_set_pubkey(root, key);
    assert_true(X509_sign(root, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, root), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(root);
    EVP_PKEY_free(key);
}

static int
set_up(void **state)
{
    struct site *site = calloc(1, sizeof(*site));
    const char *extra[] = {"--maxmemory-policy", "allkeys-lru", NULL};

    assert_non_null(site);
    redis_start(&site->redis, extra);
    listen_as_kafka(site);
    (void)snprintf(site->password, sizeof(site->password), "%s/password", site->redis.dir);
    (void)snprintf(site->settings, sizeof(site->settings), "%s/settings.yaml", site->redis.dir);
    (void)snprintf(site->chain, sizeof(site->chain), "%s/chain.pem", site->redis.dir);
    write_root(site->chain);
    write_file(site->password, "hunter2-hunter2\n");
    write_file(site->settings,
               "kafka: {bootstrap: \"127.0.0.1:%d\"}\n"
               "redis: {url: \"redis://127.0.0.1:%d/0\"}\n"
               "accounts:\n"
               "- {name: main, url: \"https://127.0.0.1:1/\", environment: test,\n"
               "   user: PAR1_a, password_file: %s}\n"
               "settings:\n"
               "- {name: vpn, account: main, profile: MP1, cn: x, chain_file: %s}\n",
               site->kafka_port, site->redis.port, site->password, site->chain);
    *state = site;
    return 0;
}

static int
tear_down(void **state)
{
    struct site *site = *state;

    (void)unlink(site->settings);
    (void)unlink(site->chain);
    close(site->kafka);
    redis_stop(&site->redis);
    free(site);
    return 0;
}

static void
begin_run(struct site *site)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    site->worker = fork();
    assert_true(site->worker >= 0);
    if (site->worker == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)execl(EW_BINARY_DIR "/epki-worker", "epki-worker", "run", "--config", site->settings,
                    (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    site->output = ends[0];
}

/* What it said until its end. */
static int
end_run(struct site *site, char *text, size_t size)
{
    size_t len = 0;
    ssize_t got;
    int status;

    while (len + 1 < size && (got = read(site->output, text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(site->output);
    assert_int_equal(waitpid(site->worker, &status, 0), site->worker);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool
kafka_is_asked(const struct site *site, int ms)
{
    struct pollfd fd = {.fd = site->kafka, .events = POLLIN};

    return poll(&fd, 1, ms) > 0;
}

static void
test_unfit_is_refused(void **state)
{
    struct site *site = *state;
    char text[8192];

    begin_run(site);
    assert_int_equal(end_run(site, text, sizeof(text)), 1);
    if (strstr(text, "redis-eviction") == NULL || strstr(text, "noeviction") == NULL)
        fail_msg("%s", text);
    assert_false(kafka_is_asked(site, 0));
}

static void
test_away_is_waited_for(void **state)
{
    struct site *site = *state;
    char text[8192];
    bool asked;

    redis_kill(&site->redis);
    begin_run(site);
    asked = kafka_is_asked(site, 20000);
    (void)kill(site->worker, SIGKILL);
    (void)end_run(site, text, sizeof(text));
    if (!asked || strstr(text, "redis-unreachable") == NULL)
        fail_msg("%s", text);
}

static void
test_signal_ends_what_still_waits(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct site *site = *state;
    char text[8192];

    redis_kill(&site->redis);
    for (size_t i = 0; i < 2; i++) {
        begin_run(site);
        assert_true(kafka_is_asked(site, 20000));
        assert_int_equal(kill(site->worker, signals[i]), 0);
        assert_int_equal(end_run(site, text, sizeof(text)), 0);
        assert_null(strstr(text, "cannot start"));
        while (kafka_is_asked(site, 0))
            close(accept(site->kafka, NULL, NULL));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unfit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_away_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_signal_ends_what_still_waits, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("cli: run and Redis", tests, NULL, NULL);
}

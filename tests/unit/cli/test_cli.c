/*
 * The built program as a shell sees it: what it prints where, how it exits, and that with bad
 * usage or settings nothing is begun: no connection reaches the Kafka, Redis or CA that they name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buf.h"

static char dir[64];

static const char *
path_in(const char *name)
{
    static char path[2][128];
    static int turn;
    char *out = path[turn ^= 1];

    (void)snprintf(out, sizeof(path[0]), "%s/%s", dir, name);
    return out;
}

static void
write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_in(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* --- running it --- */

struct outcome {
    int code; /* -1 = by a signal */
    struct ew_buf out, err;
};

static struct outcome done;

static pid_t
start(const char *const *args, int *out, int *err)
{
    int outs[2], errs[2];
    pid_t pid;

    assert_int_equal(pipe2(outs, O_CLOEXEC), 0);
    assert_int_equal(pipe2(errs, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[12] = {(char *)(uintptr_t)"epki-worker"};

        for (size_t i = 0; args[i] != NULL; i++)
            argv[i + 1] = (char *)(uintptr_t)args[i];
        (void)dup2(outs[1], STDOUT_FILENO);
        (void)dup2(errs[1], STDERR_FILENO);
        (void)execv(EW_BINARY_DIR "/epki-worker", argv);
        _exit(127);
    }
    close(outs[1]);
    close(errs[1]);
    *out = outs[0];
    *err = errs[0];
    return pid;
}

/* Both streams to their ends, then the exit. */
static void
finish(pid_t pid, int out, int err)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    struct ew_buf *into[2] = {&done.out, &done.err};
    int status = 0;

    ew_buf_deinit(&done.out);
    ew_buf_deinit(&done.err);
    ew_buf_init(&done.out, 1024 * 1024);
    ew_buf_init(&done.err, 1024 * 1024);
    while ((fds[0].fd >= 0 || fds[1].fd >= 0) && poll(fds, 2, 60000) > 0) {
        for (int i = 0; i < 2; i++) {
            char bytes[4096];
            ssize_t got;

            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            got = read(fds[i].fd, bytes, sizeof(bytes));
            if (got > 0)
                ew_buf_put(into[i], bytes, (size_t)got);
            else
                fds[i].fd = -1;
        }
    }
    close(out);
    close(err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    done.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
run(const char *const *args)
{
    int out, err;
    pid_t pid = start(args, &out, &err);

    finish(pid, out, err);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static bool
says(const struct ew_buf *stream, const char *text)
{
    return strstr(ew_buf_text(stream), text) != NULL;
}

/* --- Kafka, Redis and GlobalSign: sockets that only notice --- */

enum { KAFKA, REDIS, GLOBALSIGN, ADMIN, PORTS };

static int listeners[PORTS], ports[PORTS];

static void
listen_on(int which)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    listeners[which] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listeners[which], (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listeners[which], 16), 0);
    assert_int_equal(getsockname(listeners[which], (struct sockaddr *)&address, &len), 0);
    ports[which] = ntohs(address.sin_port);
}

static bool
was_called(int which)
{
    int fd = accept(listeners[which], NULL, NULL);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void
nobody_was_called(void)
{
    for (int i = 0; i < PORTS; i++)
        assert_false(was_called(i));
}

/* --- files --- */

static void
write_certificate(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *file = fopen(path_in(name), "w");

    assert_true(key != NULL && cert != NULL && file != NULL);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"root", -1, -1, 0);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(cert));
    (void)X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static const char *of_account = ""; /* more for it */

/* A good file, but for the lines given: more for the setting, more for the end. */
static void
write_settings(const char *chain, const char *setting, const char *top)
{
    char text[4096];

    (void)snprintf(text, sizeof(text),
                   "kafka: {bootstrap: \"127.0.0.1:%d\"}\n"
                   "redis: {url: \"redis://127.0.0.1:%d/0\"}\n"
                   "admin: {port: %d}\n"
                   "accounts:\n"
                   "- {name: main, url: \"https://127.0.0.1:%d/\", environment: test,\n"
                   "   user: PAR1_a, %spassword_file: %s/password}\n"
                   "settings:\n"
                   "- name: vpn\n"
                   "  account: main\n"
                   "  profile: MP1\n"
                   "  chain_file: %s/%s\n"
                   "  cn: x\n"
                   "%s%s",
                   ports[KAFKA], ports[REDIS], ports[ADMIN], ports[GLOBALSIGN], of_account, dir,
                   dir, chain, setting, top);
    write_file("settings.yaml", text);
}

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/epki-cli-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    for (int i = 0; i < PORTS; i++)
        listen_on(i);
    write_file("password", "hunter2-hunter2\n");
    write_file("garbage", "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n");
    write_certificate("chain.pem");
    return 0;
}

static int
tear_down(void **state)
{
    static const char *const names[] = {"password", "garbage", "chain.pem", "keks",
                                        "settings.yaml"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(path_in(names[i]));
    for (int i = 0; i < PORTS; i++)
        close(listeners[i]);
    ew_buf_deinit(&done.out);
    ew_buf_deinit(&done.err);
    return rmdir(dir);
}

/* --- usage --- */

static void
test_version_and_help(void **state)
{
    static const char *const words[] = {"run --config FILE",   "bootstrap --config FILE",
                                        "check --config FILE", "settings",
                                        "--version",           "Exit codes"};

    (void)state;
    RUN("--version");
    assert_int_equal(done.code, 0);
    assert_string_equal(ew_buf_text(&done.out), "epki-worker " EW_VERSION "\n");
    assert_string_equal(ew_buf_text(&done.err), "");
    RUN("--help");
    assert_int_equal(done.code, 0);
    assert_string_equal(ew_buf_text(&done.err), "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_true(says(&done.out, words[i]));
    RUN("-h");
    assert_int_equal(done.code, 0);
    assert_true(says(&done.out, "run --config FILE"));
}

static void
test_settings_explains_the_file(void **state)
{
    static const char *const words[] = {
        "bootstrap",           "send_window_ms", "[2000-60000] (default 5000)",
        "accounts: a list of", "kek_file",       "epki.inflight",
        "password_file",       "(required)",     "years",
        "[1-3] (default 1)"};

    (void)state;
    RUN("settings");
    assert_int_equal(done.code, 0);
    assert_string_equal(ew_buf_text(&done.err), "");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!says(&done.out, words[i]))
            fail_msg("`settings` does not say %s", words[i]);
}

static void
test_bad_usage(void **state)
{
    static const struct {
        const char *args[6];
        const char *says;
    } rows[] = {
        {{NULL}, "command is missing"},
        {{"launch", NULL}, "unknown command"},
        {{"launch", "--config", "settings.yaml", NULL}, "unknown command"},
        {{"", NULL}, "unknown command"},
        {{"--versio", NULL}, "unknown command"},
        {{"run", NULL}, "--config FILE"},
        {{"run", "settings.yaml", NULL}, "--config FILE"},
        {{"run", "--config", NULL}, "--config FILE"},
        {{"run", "--config", "", NULL}, "--config FILE"},
        {{"run", "--config=", NULL}, "--config FILE"},
        {{"run", "-c", "settings.yaml", NULL}, "--config FILE"},
        {{"run", "--config", "settings.yaml", "--verbose", NULL}, "--config FILE"},
        {{"bootstrap", NULL}, "--config FILE"},
        {{"check", NULL}, "--config FILE"},
        {{"--version", "--help", NULL}, "unknown command"},
        {{"settings", "now", NULL}, "unknown command"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(rows[i].args);
        if (done.code != 2 || !says(&done.err, rows[i].says) || !says(&done.err, "--help"))
            fail_msg("row %zu: %d, %s", i, done.code, ew_buf_text(&done.err));
        assert_string_equal(ew_buf_text(&done.out), "");
    }
}

/* --- settings --- */

static const char *const commands[] = {"run", "bootstrap", "check"};

/* Every command refuses the file as it is, says all of this, and begins nothing. */
static void
refused(const char *const *texts, size_t count, const char *total)
{
    for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
        RUN(commands[c], "--config", path_in("settings.yaml"));
        assert_int_equal(done.code, 2);
        assert_string_equal(ew_buf_text(&done.out), "");
        for (size_t i = 0; i < count; i++)
            if (!says(&done.err, texts[i]))
                fail_msg("%s does not say %s, but: %s", commands[c], texts[i],
                         ew_buf_text(&done.err));
        assert_true(says(&done.err, total));
        assert_true(says(&done.err, "nothing was started"));
        assert_false(says(&done.err, "{\"ts\""));
        assert_false(says(&done.err, "hunter2"));
    }
    nobody_was_called();
}

static void
test_no_settings_file(void **state)
{
    static const char *const texts[] = {"No such file or directory"};

    (void)state;
    (void)unlink(path_in("settings.yaml"));
    refused(texts, 1, "1 problem;");
    RUN("run", "--config=/nowhere/at/all.yaml");
    assert_int_equal(done.code, 2);
    assert_true(says(&done.err, "/nowhere/at/all.yaml"));
}

static void
test_all_problems_are_listed(void **state)
{
    static const char *const texts[] = {
        "colour: unknown key",
        "kafka.session_ms: 1 is not a number of 1000-300000",
        "redis.url: it is missing",
        "accounts[0].url: the URL does not begin with https://",
        "accounts[0].password_file: No such file or directory",
        "accounts[1].url: a test account on GlobalSign's production host",
        "settings[0].chain_file: it is missing",
        "settings[0].cn: unknown or unfinished variable: nobody",
    };
    char text[2048];

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "colour: red\n"
                   "kafka: {bootstrap: \"127.0.0.1:%d\", session_ms: 1}\n"
                   "redis: {}\n"
                   "accounts:\n"
                   "- {name: a, url: \"http://127.0.0.1:%d/\", user: PAR1_a,\n"
                   "   password_file: hunter2}\n"
                   "- {name: b, url: \"https://system.globalsign.com/\", environment: test,\n"
                   "   user: PAR1_a, password_file: %s/password}\n"
                   "settings:\n"
                   "- {name: vpn, account: a, profile: MP1, cn: \"${nobody}\"}\n",
                   ports[KAFKA], ports[GLOBALSIGN], dir);
    write_file("settings.yaml", text);
    refused(texts, sizeof(texts) / sizeof(texts[0]), "8 problems;");
}

/* What is in the files counts as well. */
static void
test_files_are_read(void **state)
{
    static const char *const texts[] = {
        "settings[0].chain_file: ", "settings[0].recipients_file: ", "kek_file: "};
    char more[256], top[128];

    (void)state;
    (void)snprintf(more, sizeof(more), "  recipients_file: %s/garbage\n", dir);
    (void)snprintf(top, sizeof(top), "kek_file: %s/garbage\n", dir);
    write_settings("garbage", more, top);
    refused(texts, 3, "3 problems;");
}

/* An order that may exist must not be placed again because a list says so. */
static void
test_codes_to_hold_by_leave_no_order(void **state)
{
    static const char *const texts[] = {"accounts[0].hold_codes: -1 ",
                                        "accounts[0].hold_codes: -6007 ",
                                        "accounts[0].hold_codes: -4001 "};

    (void)state;
    of_account = "hold_codes: [-4005, -1, -6007, -54321, -4001], ";
    write_settings("chain.pem", "", "");
    of_account = "";
    refused(texts, 3, "3 problems;");
}

/* Keys of GlobalSign's making come once: one that could not be read must not be ordered. */
static void
test_what_reads_their_keys_is_there(void **state)
{
    static const char *const texts[] = {"settings[0].keys: OpenSSL's legacy provider is missing",
                                        "openssl-provider-legacy"};
    char more[256], top[128];

    (void)state;
    write_file("keks", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    assert_int_equal(chmod(path_in("keks"), 0600), 0);
    (void)snprintf(top, sizeof(top), "kek_file: %s/keks\n", dir);
    (void)snprintf(more, sizeof(more),
                   "  keys: [csr, globalsign]\n  recipients_file: %s/chain.pem\n", dir);
    write_settings("chain.pem", more, top);
    assert_int_equal(setenv("OPENSSL_MODULES", "/nowhere", 1), 0);
    refused(texts, 2, "1 problem;");
    assert_int_equal(unsetenv("OPENSSL_MODULES"), 0);
}

/* With a good file the same sockets do notice: the tests above would see a start. */
static void
test_a_good_file_starts(void **state)
{
    struct pollfd noticed = {.fd = listeners[KAFKA], .events = POLLIN};
    int out, err;
    pid_t pid;

    (void)state;
    write_settings("chain.pem", "", "");
    pid =
        start((const char *const[]){"run", "--config", path_in("settings.yaml"), NULL}, &out, &err);
    assert_int_equal(poll(&noticed, 1, 30000), 1);
    assert_true(was_called(KAFKA));
    assert_int_equal(kill(pid, SIGKILL), 0);
    finish(pid, out, err);
    assert_false(says(&done.err, "problem;"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_and_help),
        cmocka_unit_test(test_settings_explains_the_file),
        cmocka_unit_test(test_bad_usage),
        cmocka_unit_test(test_no_settings_file),
        cmocka_unit_test(test_all_problems_are_listed),
        cmocka_unit_test(test_files_are_read),
        cmocka_unit_test(test_codes_to_hold_by_leave_no_order),
        cmocka_unit_test(test_what_reads_their_keys_is_there),
        cmocka_unit_test(test_a_good_file_starts),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * A real redis-server on a free loopback port in a directory of its own, and what a test asks it
 * and tells it by itself. It dies with the test.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#define MAYBE __attribute__((unused))

struct redis {
    pid_t pid;
    int port;
    char dir[64];
    redisContext *probe; /* a connection of the test's own */
};

static MAYBE void
pause_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&time, NULL);
}

static MAYBE int
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static MAYBE void
redis_connect(struct redis *redis)
{
    struct timeval limit = {.tv_sec = 5};

    for (int i = 0; i < 200; i++) {
        redis->probe = redisConnectWithTimeout("127.0.0.1", redis->port, limit);
        if (redis->probe != NULL && redis->probe->err == 0)
            return;
        if (redis->probe != NULL)
            redisFree(redis->probe);
        redis->probe = NULL;
        pause_ms(25);
    }
    fail_msg("redis-server does not listen");
}

/* extra: up to eight more words for its command line, ended by NULL. */
static MAYBE void
redis_spawn(struct redis *redis, const char *const *extra)
{
    char port[12];
    char *argv[24] = {"redis-server", "--port",     port,           "--bind",      "127.0.0.1",
                      "--save",       "",           "--appendonly", "no",          "--dir",
                      redis->dir,     "--loglevel", "warning",      "--daemonize", "no"};
    int argc = 15;
    pid_t parent = getpid();

    (void)snprintf(port, sizeof(port), "%d", redis->port);
    for (int i = 0; extra != NULL && extra[i] != NULL && argc < 23; i++)
        argv[argc++] = (char *)(uintptr_t)extra[i];
    redis->pid = fork();
    assert_true(redis->pid >= 0);
    if (redis->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || freopen("/dev/null", "w", stdout) == NULL)
            _exit(1);
        execvp(argv[0], argv);
        _exit(127);
    }
    redis_connect(redis);
}

static MAYBE void
redis_start(struct redis *redis, const char *const *extra)
{
    memset(redis, 0, sizeof(*redis));
    (void)snprintf(redis->dir, sizeof(redis->dir), "/tmp/ew-redis-XXXXXX");
    assert_non_null(mkdtemp(redis->dir));
    redis->port = free_port();
    redis_spawn(redis, extra);
}

static MAYBE void
redis_kill(struct redis *redis)
{
    int status;

    if (redis->probe != NULL)
        redisFree(redis->probe);
    redis->probe = NULL;
    if (redis->pid > 0) {
        (void)kill(redis->pid, SIGKILL);
        (void)waitpid(redis->pid, &status, 0);
    }
    redis->pid = 0;
}

static MAYBE void
redis_stop(struct redis *redis)
{
    char path[96];

    redis_kill(redis);
    (void)snprintf(path, sizeof(path), "%s/dump.rdb", redis->dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/password", redis->dir);
    (void)unlink(path);
    (void)rmdir(redis->dir);
}

static MAYBE redisReply *
ask_with(struct redis *redis, const char *format, va_list args)
{
    redisReply *reply = redisvCommand(redis->probe, format, args);

    assert_non_null(reply);
    return reply;
}

static MAYBE redisReply *
ask(struct redis *redis, const char *format, ...)
{
    va_list args;
    redisReply *reply;

    va_start(args, format);
    reply = ask_with(redis, format, args);
    va_end(args);
    return reply;
}

static MAYBE long long
ask_int(struct redis *redis, const char *format, ...)
{
    va_list args;
    redisReply *reply;
    long long num;

    va_start(args, format);
    reply = ask_with(redis, format, args);
    va_end(args);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    num = reply->integer;
    freeReplyObject(reply);
    return num;
}

/* The text of a reply, "" for nil. */
static MAYBE const char *
ask_text(struct redis *redis, const char *format, ...)
{
    static char text[512];
    va_list args;
    redisReply *reply;

    va_start(args, format);
    reply = ask_with(redis, format, args);
    va_end(args);
    (void)snprintf(text, sizeof(text), "%s", reply->str == NULL ? "" : reply->str);
    freeReplyObject(reply);
    return text;
}

static MAYBE void
tell(struct redis *redis, const char *format, ...)
{
    va_list args;
    redisReply *reply;

    va_start(args, format);
    reply = ask_with(redis, format, args);
    va_end(args);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply->str);
    freeReplyObject(reply);
}

/*
 * Where Redis is: the URL, and the file with its password.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_private.h"

static enum ew_fault
bad(struct ew_err *err, const char *what)
{
    return ew_fail_field(
        err, EW_HALT, "redis-url", "redis.url",
        "Write redis://host:port/db; user and password have settings of their own.", "%s", what);
}

static bool
digits(const char *text, size_t len, long max)
{
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return strtol(text, NULL, 10) <= max;
}

static enum ew_fault
parse_host(const char **rest, struct ew_url *out, struct ew_err *err)
{
    const char *at = *rest, *end;

    if (*at == '[') {
        at++;
        end = strchr(at, ']');
        if (end == NULL)
            return bad(err, "an IPv6 address without its closing bracket");
        *rest = end + 1;
    } else {
        end = at + strcspn(at, ":/?#");
        *rest = end;
    }
    if (end == at || (size_t)(end - at) >= sizeof(out->host))
        return bad(err, "no host, or one that is too long");
    memcpy(out->host, at, (size_t)(end - at));
    out->host[end - at] = '\0';
    return EW_OK;
}

enum ew_fault
ew_url_parse(const char *url, struct ew_url *out, struct ew_err *err)
{
    const char *at;
    size_t len;

    memset(out, 0, sizeof(*out));
    memcpy(out->port, "6379", 5);
    if (url != NULL && strncmp(url, "redis://", 8) == 0)
        at = url + 8;
    else if (url != NULL && strncmp(url, "rediss://", 9) == 0)
        at = url + 9;
    else
        return bad(err, "it does not begin with redis:// or rediss://");
    out->tls = url[5] == 's';
    if (strchr(at, '@') != NULL)
        return bad(err, "user or password in the URL");
    if (parse_host(&at, out, err) != EW_OK)
        return EW_HALT;
    if (*at == ':') {
        at++;
        len = strcspn(at, "/");
        if (!digits(at, len, 65535))
            return bad(err, "the port is not a number of 1 to 65535");
        memcpy(out->port, at, len);
        out->port[len] = '\0';
        at += len;
    }
    if (*at == '/' && at[1] != '\0') {
        if (!digits(at + 1, strlen(at + 1), 65535))
            return bad(err, "the database is not a number");
        out->db = (int)strtol(at + 1, NULL, 10);
    } else if (*at != '\0' && *at != '/') {
        return bad(err, "something follows the host that is neither port nor database");
    }
#ifndef EW_HAVE_HIREDIS_SSL
    if (out->tls)
        return ew_fail_field(
            err, EW_HALT, "redis-tls", "redis.url",
            "Use redis:// on a trusted network, a TLS tunnel beside the worker, or "
            "a build with hiredis 1.x (Debian 13).",
            "rediss:// needs hiredis 1.x; this build has %d.%d", HIREDIS_MAJOR, HIREDIS_MINOR);
#endif
    return EW_OK;
}

int
ew_url_port(const struct ew_url *url)
{
    return (int)strtol(url->port, NULL, 10);
}

enum ew_fault
ew_password_read(const char *path, struct ew_buf *out, struct ew_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char bytes[EW_MAX_REDIS_PASSWORD + 1];
    ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
    size_t len;

    if (fd >= 0)
        close(fd);
    if (got < 0)
        return ew_fail_field(err, EW_HALT, "redis-password-file", "redis.password_file",
                             "Mount the secret and let the worker read it.", "cannot read %s",
                             path);
    len = 0;
    while (len < (size_t)got && bytes[len] != '\n' && bytes[len] != '\r')
        len++;
    if (len > 0 && len <= EW_MAX_REDIS_PASSWORD)
        ew_buf_put(out, bytes, len);
    explicit_bzero(bytes, sizeof(bytes));
    if (len == 0 || len > EW_MAX_REDIS_PASSWORD)
        return ew_fail_field(err, EW_HALT, "redis-password-file", "redis.password_file",
                             "Write the password into its first line.", "%s is empty or too long",
                             path);
    return EW_OK;
}

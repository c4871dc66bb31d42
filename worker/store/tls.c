/*
 * TLS under hiredis, by a session of our own: of hiredis' the server's certificate is of any name.
 */
#include "x509/tls.h"

#include "store_private.h"

#ifdef EW_HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

/* hiredis 0.14 has no TLS, and the URL was refused. */
static int
take_over(redisContext *context, struct ssl_st *tls)
{
#ifdef EW_HAVE_HIREDIS_SSL
    return redisInitiateSSL(context, tls);
#else
    (void)context, (void)tls;
    return REDIS_ERR;
#endif
}

enum ew_fault
ew_tls_open(const struct ew_url *url, const char *ca_file, struct ssl_st **out, struct ew_err *err)
{
    struct ew_err why;

    *out = NULL;
    if (!url->tls || ew_tls_client(url->host, ca_file, out, &why) == EW_OK)
        return EW_OK;
    return ew_fail_field(err, EW_HALT, "redis-tls", "redis.ca_file",
                         "Name a PEM file with the CA of Redis.", "%s", why.detail);
}

enum ew_fault
ew_tls_begin(redisContext *context, const struct ew_url *url, const char *ca_file,
             struct ssl_st **out, struct ew_err *err)
{
    enum ew_fault fault = ew_tls_open(url, ca_file, out, err);

    if (*out == NULL || take_over(context, *out) == REDIS_OK)
        return fault;
    fault = ew_fail_field(err, EW_RETRY, "redis-tls", "redis.url",
                          "Correct redis.url and redis.ca_file, or the server's certificate.",
                          "%s: %s", context->errstr, ew_tls_trouble(*out));
    ew_tls_free(*out); /* it is still ours */
    *out = NULL;
    return fault;
}

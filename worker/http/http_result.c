/*
 * What a transfer came to: curl's codes become our words here and nowhere else.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "http_private.h"

static const struct {
    CURLcode code;
    const char *problem;
} problems[] = {
    {CURLE_COULDNT_RESOLVE_HOST, "http-dns"},
    {CURLE_COULDNT_RESOLVE_PROXY, "http-dns"},
    {CURLE_COULDNT_CONNECT, "http-connect"},
    {CURLE_OPERATION_TIMEDOUT, "http-timeout"},
    {CURLE_SSL_CONNECT_ERROR, "http-tls"},
    {CURLE_SSL_CIPHER, "http-tls"},
    {CURLE_PEER_FAILED_VERIFICATION, "http-certificate"},
    {CURLE_SSL_CACERT_BADFILE, "http-certificate"},
    {CURLE_SSL_ISSUER_ERROR, "http-certificate"},
    {CURLE_SEND_ERROR, "http-reset"},
    {CURLE_RECV_ERROR, "http-reset"},
    {CURLE_GOT_NOTHING, "http-reset"},
    {CURLE_PARTIAL_FILE, "http-truncated"},
    {CURLE_FILESIZE_EXCEEDED, "http-too-large"},
    {CURLE_WRITE_ERROR, "http-too-large"},
    {CURLE_UNSUPPORTED_PROTOCOL, "http-protocol"}, /* HTTP/0.9 */
    {CURLE_WEIRD_SERVER_REPLY, "http-protocol"},
    {CURLE_BAD_CONTENT_ENCODING, "http-protocol"},
};

static const char *
problem_of(const struct ew_http_call *call, CURLcode code)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return call->gate_calls > 1 ? "http-reset" : "http-gate";
    if (code == CURLE_OPERATION_TIMEDOUT && !call->gate_passed)
        return "http-connect-timeout";
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
        if (problems[i].code == code)
            return problems[i].problem;
    return "http-internal";
}

static const char *
header(CURL *easy, const char *name)
{
    struct curl_header *found = NULL;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK)
        return NULL;
    return found->value;
}

static int64_t
parse_date(const char *text)
{
    time_t when = text ? curl_getdate(text, NULL) : -1;

    return when > 0 ? (int64_t)when * 1000 : 0;
}

/* Seconds, or a date: that counts from the reply's own Date, for our clock may differ. */
static int64_t
parse_retry_after(const char *text, int64_t date_ms)
{
    enum { MOST_MS = 24 * 3600 * 1000 };
    int64_t ms;

    if (text == NULL)
        return 0;
    if (isdigit((unsigned char)text[0])) {
        char *end;
        unsigned long long seconds = strtoull(text, &end, 10);

        if (*end != '\0')
            return 0;
        return seconds < MOST_MS / 1000 ? (int64_t)seconds * 1000 : MOST_MS;
    }
    ms = parse_date(text);
    if (ms == 0 || date_ms == 0 || ms <= date_ms)
        return 0;
    return ms - date_ms < MOST_MS ? ms - date_ms : MOST_MS;
}

static int64_t
milliseconds(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(easy, info, &us);
    return (int64_t)us / 1000;
}

/* CURLE_OK alone does not say it: a status line and a hang-up is CURLE_OK with nothing in it. */
static bool
is_framed(CURL *easy)
{
    return header(easy, "Content-Length") || header(easy, "Transfer-Encoding");
}

void
ew_http_result_read(struct ew_http_call *call, CURLcode code, struct ew_http_result *result)
{
    CURL *easy = call->easy;
    char *type = NULL;
    long status = 0, connects = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    result->gate_passed = call->gate_passed;
    result->status = (int)status;
    result->too_large = call->too_large || code == CURLE_FILESIZE_EXCEEDED;
    result->complete = code == CURLE_OK && status > 0 && (is_framed(easy) || call->reply.len > 0);
    if (!result->complete)
        result->problem = code == CURLE_OK ? "http-truncated" : problem_of(call, code);
    result->detail = call->detail;
    result->content_type = type ? type : "";
    result->date_ms = parse_date(header(easy, "Date"));
    result->retry_after_ms = parse_retry_after(header(easy, "Retry-After"), result->date_ms);
    result->fresh = connects > 0;
    result->connect_ms = result->fresh ? milliseconds(easy, CURLINFO_APPCONNECT_TIME_T) : 0;
    result->total_ms = milliseconds(easy, CURLINFO_TOTAL_TIME_T);
}

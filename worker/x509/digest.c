/*
 * Digests, public-key digests and judgement, and OpenSSL's errors translated.
 */
#include "x509/digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/sha.h>

#include "domain/limits.h"
#include "x509_private.h"

void
ew_sha256(const void *data, size_t len, uint8_t out[32])
{
    if (SHA256(data, len, out) == NULL)
        abort(); /* identity and safety hang on digests: without them nothing may go on */
}

void
ew_password_digest(const void *password, size_t len, const char *salt, uint8_t out[32])
{
    enum { ROUNDS = 100000 };

    if (PKCS5_PBKDF2_HMAC(password, (int)len, (const unsigned char *)salt, (int)strlen(salt),
                          ROUNDS, EVP_sha256(), 32, out) != 1)
        abort(); /* as above */
}

enum ew_fault
ew_openssl_fail(struct ew_err *err, enum ew_fault fault, const char *problem, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return ew_fail(err, fault, problem, "%s: %s", what, reason == NULL ? "refused" : reason);
}

enum ew_fault
ew_written(const struct ew_buf *out, struct ew_err *err)
{
    return out->overflowed ? ew_fail(err, EW_RETRY, "out-of-memory", "writing a key") : EW_OK;
}

static const char *
judge_curve(const EVP_PKEY *pkey, bool any_curve, const char **type)
{
    char group[32] = "", form[32] = "";
    int explicit = 0;

    /* Explicit parameters that are a known curve's get its name all the same. */
    if (EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit) !=
            1 ||
        explicit != 0)
        return "key-type";
    if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       NULL) != 1)
        return "key-type";
    if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, form,
                                       sizeof(form), NULL) == 1 &&
        strcmp(form, "uncompressed") != 0)
        return "key-type";
    if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0)
        *type = "EC P-256";
    else if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0)
        *type = "EC P-384";
    else if (any_curve && (strcmp(group, "secp521r1") == 0 || strcmp(group, "P-521") == 0))
        *type = "EC P-521";
    else
        return "key-type";
    return "";
}

const char *
ew_pubkey_judge(EVP_PKEY *pkey, int min_rsa, bool any_curve, const char **type, int *bits)
{
    const char *name = "", *problem = "key-type";
    int size = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA) {
        name = "RSA";
        problem = size < min_rsa ? "key-weak" : size > EW_MAX_RSA ? "key-type" : "";
    } else if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC) {
        problem = judge_curve(pkey, any_curve, &name);
    }
    ERR_clear_error();
    if (type != NULL)
        *type = name;
    if (bits != NULL)
        *bits = size;
    return problem;
}

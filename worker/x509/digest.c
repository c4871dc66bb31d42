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

/* --- SubjectPublicKeyInfo, as DER ---
 * OpenSSL 3.0 sets up an encoder for each key that it writes, and every request needs two. The
 * kinds that devices use are written here, to the same bytes; all others are left to it. */

static const uint8_t RSA_ALGORITHM[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t P256_ALGORITHM[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                                         0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t P384_ALGORITHM[] = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                         0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
enum { DER_INTEGER = 0x02, DER_BITS = 0x03, DER_SEQUENCE = 0x30, SPKI_MAX = 2200, POINT_MAX = 97 };

/* Written from the back, so that each length is known when it is written. */
struct der {
    uint8_t bytes[SPKI_MAX];
    size_t at;
};

static void
put_front(struct der *der, const void *data, size_t len)
{
    der->at -= len;
    memcpy(der->bytes + der->at, data, len);
}

static void
put_byte(struct der *der, size_t byte)
{
    der->bytes[--der->at] = (uint8_t)byte;
}

/* Around everything from der->at to `end`. */
static void
wrap(struct der *der, int tag, size_t end)
{
    size_t len = end - der->at;

    put_byte(der, len & 0xff);
    if (len > 0xff)
        put_byte(der, len >> 8);
    if (len > 0x7f)
        put_byte(der, len > 0xff ? 0x82 : 0x81);
    put_byte(der, (size_t)tag);
}

static bool
put_integer(struct der *der, const EVP_PKEY *pkey, const char *name)
{
    BIGNUM *number = NULL;
    size_t end = der->at, len;
    bool good = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && !BN_is_zero(number) &&
                BN_num_bytes(number) <= 1024;

    if (good) {
        len = (size_t)BN_num_bytes(number);
        der->at -= len;
        (void)BN_bn2bin(number, der->bytes + der->at);
        if (der->bytes[der->at] & 0x80)
            put_byte(der, 0);
        wrap(der, DER_INTEGER, end);
    }
    BN_free(number);
    return good;
}

static bool
put_rsa(struct der *der, const EVP_PKEY *pkey)
{
    size_t end = der->at;

    if (!put_integer(der, pkey, OSSL_PKEY_PARAM_RSA_E) ||
        !put_integer(der, pkey, OSSL_PKEY_PARAM_RSA_N))
        return false;
    wrap(der, DER_SEQUENCE, end);
    put_byte(der, 0);
    wrap(der, DER_BITS, end);
    put_front(der, RSA_ALGORITHM, sizeof(RSA_ALGORITHM));
    return true;
}

static bool
put_ec(struct der *der, const EVP_PKEY *pkey)
{
    uint8_t point[POINT_MAX];
    size_t end = der->at, len = 0;
    const char *type;

    if (judge_curve(pkey, false, &type)[0] != '\0' ||
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                        &len) != 1 ||
        point[0] != 0x04)
        return false;
    put_front(der, point, len);
    put_byte(der, 0);
    wrap(der, DER_BITS, end);
    if (len == 65)
        put_front(der, P256_ALGORITHM, sizeof(P256_ALGORITHM));
    else
        put_front(der, P384_ALGORITHM, sizeof(P384_ALGORITHM));
    return true;
}

static enum ew_fault
encoded_sha256(EVP_PKEY *pkey, uint8_t out[32])
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);

    if (len <= 0) {
        ERR_clear_error();
        return EW_BUG;
    }
    ew_sha256(der, (size_t)len, out);
    OPENSSL_free(der);
    return EW_OK;
}

enum ew_fault
ew_pubkey_sha256(EVP_PKEY *pkey, uint8_t out[32])
{
    struct der der = {.at = sizeof(der.bytes)};
    int id = EVP_PKEY_get_base_id(pkey);

    if (!(id == EVP_PKEY_RSA && put_rsa(&der, pkey)) && !(id == EVP_PKEY_EC && put_ec(&der, pkey)))
        return encoded_sha256(pkey, out);
    wrap(&der, DER_SEQUENCE, sizeof(der.bytes));
    ew_sha256(der.bytes + der.at, sizeof(der.bytes) - der.at, out);
    return EW_OK;
}

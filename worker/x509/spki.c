/*
 * SubjectPublicKeyInfo, as DER: what a public key is known by. OpenSSL 3.0 sets up an encoder for
 * each key that it writes and decoders for each that it reads: of every request two, and of a list
 * of orders one for each. The kinds that devices use are written here, to the same bytes, and read
 * out of certificates that nothing else is asked of; all others are left to it.
 */
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "x509/digest.h"
#include "x509_private.h"

static const uint8_t RSA_ALGORITHM[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t P256_ALGORITHM[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                                         0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t P384_ALGORITHM[] = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
                                         0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
enum {
    SPKI_MAX = 2200,
    NUMBER_MAX = EW_MAX_RSA / 8,
    POINT_P256 = 65,
    POINT_P384 = 97,
    UNCOMPRESSED = 0x04
};

/* --- writing --- */

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
put_number(struct der *der, struct ew_blob number)
{
    size_t end = der->at;

    for (; number.len > 0 && number.data[0] == 0; number.len--)
        number.data++;
    if (number.len == 0 || number.len > NUMBER_MAX)
        return false;
    put_front(der, number.data, number.len);
    if (number.data[0] & 0x80)
        put_byte(der, 0);
    wrap(der, EW_DER_INTEGER, end);
    return true;
}

static bool
put_rsa(struct der *der, struct ew_blob n, struct ew_blob e)
{
    size_t end = der->at;

    if (!put_number(der, e) || !put_number(der, n))
        return false;
    wrap(der, EW_DER_SEQUENCE, end);
    put_byte(der, 0);
    wrap(der, EW_DER_BITS, end);
    put_front(der, RSA_ALGORITHM, sizeof(RSA_ALGORITHM));
    wrap(der, EW_DER_SEQUENCE, end);
    return true;
}

static bool
put_ec(struct der *der, struct ew_blob point)
{
    size_t end = der->at;

    if ((point.len != POINT_P256 && point.len != POINT_P384) || point.data[0] != UNCOMPRESSED)
        return false;
    put_front(der, point.data, point.len);
    put_byte(der, 0);
    wrap(der, EW_DER_BITS, end);
    if (point.len == POINT_P256)
        put_front(der, P256_ALGORITHM, sizeof(P256_ALGORITHM));
    else
        put_front(der, P384_ALGORITHM, sizeof(P384_ALGORITHM));
    wrap(der, EW_DER_SEQUENCE, end);
    return true;
}

static void
digest(const struct der *der, uint8_t out[32])
{
    ew_sha256(der->bytes + der->at, sizeof(der->bytes) - der->at, out);
}

/* --- of a key that OpenSSL holds --- */

static struct ew_blob
number_of(const EVP_PKEY *pkey, const char *name, uint8_t room[NUMBER_MAX])
{
    BIGNUM *number = NULL;
    struct ew_blob out = {.data = room, .len = 0};

    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_num_bytes(number) <= NUMBER_MAX)
        out.len = (size_t)BN_bn2bin(number, room);
    BN_free(number);
    return out;
}

static bool
write_rsa(struct der *der, const EVP_PKEY *pkey)
{
    uint8_t n[NUMBER_MAX], e[NUMBER_MAX];

    return put_rsa(der, number_of(pkey, OSSL_PKEY_PARAM_RSA_N, n),
                   number_of(pkey, OSSL_PKEY_PARAM_RSA_E, e));
}

static bool
write_ec(struct der *der, EVP_PKEY *pkey)
{
    uint8_t point[POINT_P384];
    size_t len = 0;

    return ew_pubkey_judge(pkey, 0, false, NULL, NULL)[0] == '\0' &&
           EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                           &len) == 1 &&
           put_ec(der, (struct ew_blob){.data = point, .len = len});
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

    if (!(id == EVP_PKEY_RSA && write_rsa(&der, pkey)) &&
        !(id == EVP_PKEY_EC && write_ec(&der, pkey)))
        return encoded_sha256(pkey, out);
    digest(&der, out);
    return EW_OK;
}

/* --- of a key as it stands in a certificate --- */

bool
ew_der_take(struct ew_blob *in, uint8_t tag, struct ew_blob *content)
{
    const unsigned char *at = in->data;
    long len = 0;
    int has_tag = 0, has_cls = 0;
    int form = ASN1_get_object(&at, &len, &has_tag, &has_cls, (long)in->len);
    bool bad = (form & 0x80) != 0, indefinite = (form & 0x01) != 0;

    ERR_clear_error();
    if (bad || indefinite || in->data[0] != tag)
        return false;
    *content = (struct ew_blob){.data = at, .len = (size_t)len};
    in->len -= (size_t)(at - in->data) + (size_t)len;
    in->data = at + len;
    return true;
}

static bool
is(struct ew_blob content, const uint8_t *algorithm, size_t len)
{
    return content.len == len - 2 && memcmp(content.data, algorithm + 2, len - 2) == 0;
}

static bool
rewrite(struct der *der, struct ew_blob spki)
{
    struct ew_blob algorithm, bits, key, n, e;

    if (!ew_der_take(&spki, EW_DER_SEQUENCE, &algorithm) ||
        !ew_der_take(&spki, EW_DER_BITS, &bits) || spki.len > 0 || bits.len < 2 ||
        bits.data[0] != 0)
        return false;
    bits = (struct ew_blob){.data = bits.data + 1, .len = bits.len - 1};
    if (is(algorithm, P256_ALGORITHM, sizeof(P256_ALGORITHM)))
        return bits.len == POINT_P256 && put_ec(der, bits);
    if (is(algorithm, P384_ALGORITHM, sizeof(P384_ALGORITHM)))
        return bits.len == POINT_P384 && put_ec(der, bits);
    return is(algorithm, RSA_ALGORITHM, sizeof(RSA_ALGORITHM)) &&
           ew_der_take(&bits, EW_DER_SEQUENCE, &key) && bits.len == 0 &&
           ew_der_take(&key, EW_DER_INTEGER, &n) && ew_der_take(&key, EW_DER_INTEGER, &e) &&
           key.len == 0 && put_rsa(der, n, e);
}

bool
ew_spki_sha256(struct ew_blob spki, uint8_t out[32])
{
    struct der der = {.at = sizeof(der.bytes)};

    if (!rewrite(&der, spki))
        return false;
    digest(&der, out);
    return true;
}

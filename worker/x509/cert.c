/*
 * Certificates read into facts, whatever they came wrapped in.
 */
#include "x509/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

#include "base/hex.h"
#include "base/memory.h"
#include "x509/digest.h"
#include "x509_private.h"

/* --- from bytes to one X509 --- */

/* Of a PKCS#7 the certificate that issued no other. Its type alone says nothing of its content,
 * which is optional. */
static X509 *
pick_leaf(const PKCS7 *p7)
{
    bool is_signed = PKCS7_type_is_signed(p7) && p7->d.sign != NULL;
    STACK_OF(X509) *certs = is_signed ? p7->d.sign->cert : NULL;
    int count = certs == NULL ? 0 : sk_X509_num(certs);

    for (int i = 0; i < count; i++) {
        X509 *cert = sk_X509_value(certs, i);
        bool issued = false;

        for (int j = 0; j < count; j++)
            issued = issued ||
                     (j != i && X509_NAME_cmp(X509_get_subject_name(cert),
                                              X509_get_issuer_name(sk_X509_value(certs, j))) == 0);
        if (!issued && X509_up_ref(cert) == 1)
            return cert;
    }
    return NULL;
}

static X509 *
from_der(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509 *cert = ew_x509_read(der, len);
    PKCS7 *p7;

    if (cert != NULL)
        return cert;
    p7 = d2i_PKCS7(NULL, &at, (long)len);
    if (p7 != NULL && at == der + len)
        cert = pick_leaf(p7);
    PKCS7_free(p7);
    return cert;
}

/* The base64 between the first header and its footer; both kinds of content are tried. */
static bool
pem_body(const char *text, size_t len, const char **body, size_t *body_len)
{
    const char *begin = memmem(text, len, "-----BEGIN ", 11), *end;
    size_t left;

    if (begin == NULL)
        return false;
    left = len - (size_t)(begin - text) - 11;
    begin = memmem(begin + 11, left, "-----", 5);
    if (begin == NULL)
        return false;
    begin += 5;
    left = len - (size_t)(begin - text);
    end = memmem(begin, left, "-----END ", 9);
    if (end == NULL)
        return false;
    *body = begin;
    *body_len = (size_t)(end - begin);
    return true;
}

/* The DER in a text: a part of it, or decoded into room. */
static bool
to_der(const char *text, size_t len, struct ew_buf *room, struct ew_blob *der)
{
    const char *body = text;
    size_t body_len = len;

    if (len < 2 || len > EW_MAX_CERT)
        return false;
    if ((uint8_t)text[0] == 0x30 && (uint8_t)text[1] >= 0x80) {
        *der = (struct ew_blob){.data = (const uint8_t *)text, .len = len};
        return true;
    }
    if (memmem(text, len, "-----BEGIN ", 11) != NULL && !pem_body(text, len, &body, &body_len))
        return false;
    if (ew_base64_decode(body, body_len, room) != EW_OK || room->overflowed || room->len == 0)
        return false;
    *der = (struct ew_blob){.data = room->data, .len = room->len};
    return true;
}

/* --- facts --- */

static const char *
keep(struct ew_cert *cert, char *text)
{
    size_t room = sizeof(cert->texts) / sizeof(cert->texts[0]);

    if (text == NULL)
        return "";
    if (cert->text_count == room) {
        free(text);
        return "";
    }
    cert->texts[cert->text_count++] = text;
    return text;
}

static char *
copy_asn1(const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, string);
    char *copy = NULL;

    /* A NUL inside a name is an attack: it is no name. */
    if (len >= 0 && memchr(utf8, '\0', (size_t)len) == NULL)
        copy = ew_strndup((const char *)utf8, (size_t)len);
    OPENSSL_free(utf8);
    return copy;
}

static char *
copy_name(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *copy = NULL, *text;
    long len;

    if (bio != NULL &&
        X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        len = BIO_get_mem_data(bio, &text);
        if (len <= EW_MAX_NAME)
            copy = ew_strndup(text, (size_t)len);
    }
    BIO_free(bio);
    return copy;
}

static void
read_serial(struct ew_cert *cert)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert->x509), NULL);
    char *text = number == NULL ? NULL : BN_bn2hex(number), *at = text;
    char *copy;

    while (at != NULL && at[0] == '0' && at[1] != '\0')
        at++;
    copy = at == NULL ? NULL : ew_strdup(at);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    cert->facts.serial = keep(cert, copy);
    OPENSSL_free(text);
    BN_free(number);
}

static void
add_email(struct ew_cert *cert, char *text)
{
    struct ew_cert_facts *facts = &cert->facts;

    if (text == NULL || facts->email_count == EW_MAX_CERT_NAMES) {
        free(text);
        return;
    }
    facts->emails[facts->email_count++] = keep(cert, text);
}

static void
read_subject(struct ew_cert *cert)
{
    const X509_NAME *name = X509_get_subject_name(cert->x509);
    struct ew_cert_facts *facts = &cert->facts;
    int at;

    facts->subject = keep(cert, copy_name(name));
    facts->issuer = keep(cert, copy_name(X509_get_issuer_name(cert->x509)));
    at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at >= 0)
        facts->cn = keep(cert, copy_asn1(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
    for (at = -1; (at = X509_NAME_get_index_by_NID(name, NID_organizationalUnitName, at)) >= 0 &&
                  facts->ou_count < EW_MAX_CERT_NAMES;)
        facts->ous[facts->ou_count++] =
            keep(cert, copy_asn1(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
    for (at = -1; (at = X509_NAME_get_index_by_NID(name, NID_pkcs9_emailAddress, at)) >= 0;)
        add_email(cert, copy_asn1(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
}

static void
read_alternatives(struct ew_cert *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert->x509, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_EMAIL)
            add_email(cert, copy_asn1(name->d.rfc822Name));
        else if (name->type == GEN_OTHERNAME && cert->facts.upn[0] == '\0' &&
                 OBJ_obj2nid(name->d.otherName->type_id) == NID_ms_upn &&
                 name->d.otherName->value->type == V_ASN1_UTF8STRING)
            cert->facts.upn = keep(cert, copy_asn1(name->d.otherName->value->value.utf8string));
    }
    GENERAL_NAMES_free(names);
}

static void
read_usage(struct ew_cert *cert)
{
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(cert->x509, NID_ext_key_usage, NULL, NULL);
    unsigned eku = 0;

    for (int i = 0; usage != NULL && i < sk_ASN1_OBJECT_num(usage); i++) {
        switch (OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, i))) {
        case NID_client_auth:
            eku |= EW_EKU_CLIENT_AUTH;
            break;
        case NID_email_protect:
            eku |= EW_EKU_EMAIL_PROTECTION;
            break;
        case NID_ms_efs:
            eku |= EW_EKU_EFS;
            break;
        case NID_ms_smartcard_login:
            eku |= EW_EKU_SMARTCARD_LOGON;
            break;
        case NID_server_auth:
            eku |= EW_EKU_SERVER_AUTH;
            break;
        default:
            eku |= EW_EKU_OTHER;
        }
    }
    cert->facts.eku = eku;
    cert->facts.is_ca =
        X509_check_ca(cert->x509) > 0 && (X509_get_extension_flags(cert->x509) & EXFLAG_CA) != 0;
    EXTENDED_KEY_USAGE_free(usage);
}

static bool
read_time(const ASN1_TIME *time, int64_t *out)
{
    struct tm tm;

    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = (int64_t)timegm(&tm) * 1000;
    return true;
}

static bool
read_facts(struct ew_cert *cert)
{
    struct ew_cert_facts *facts = &cert->facts;
    EVP_PKEY *pkey = X509_get0_pubkey(cert->x509);
    uint8_t digest[32];
    char *hex = ew_malloc(65);

    facts->cn = facts->upn = facts->serial = "";
    if (pkey == NULL || ew_pubkey_sha256(pkey, facts->spki_sha256) != EW_OK ||
        !read_time(X509_get0_notBefore(cert->x509), &facts->not_before_ms) ||
        !read_time(X509_get0_notAfter(cert->x509), &facts->not_after_ms)) {
        free(hex);
        return false;
    }
    ew_sha256(cert->der, cert->der_len, digest);
    ew_hex_encode(digest, sizeof(digest), hex);
    facts->sha256 = keep(cert, hex);
    read_serial(cert);
    read_subject(cert);
    read_alternatives(cert);
    read_usage(cert);
    return true;
}

enum ew_fault
ew_cert_read(const char *text, size_t len, struct ew_cert **out, struct ew_err *err)
{
    struct ew_cert *cert = ew_calloc(1, sizeof(*cert));
    unsigned char *der = NULL;
    int der_len = -1;
    struct ew_buf room;
    struct ew_blob bytes;

    ew_buf_init(&room, EW_MAX_CERT);
    if (to_der(text, len, &room, &bytes))
        cert->x509 = from_der(bytes.data, bytes.len);
    ew_buf_deinit(&room);
    if (cert->x509 != NULL)
        der_len = i2d_X509(cert->x509, &der);
    cert->der = der;
    cert->der_len = der_len > 0 ? (size_t)der_len : 0;
    if (der_len <= 0 || !read_facts(cert)) {
        ew_cert_free(cert);
        ERR_clear_error();
        return ew_fail(err, EW_REJECT, "cert-malformed", "no certificate in %zu bytes", len);
    }
    ERR_clear_error();
    *out = cert;
    return EW_OK;
}

enum ew_fault
ew_cert_identify(const char *text, size_t len, struct ew_cert_id *out, struct ew_err *err)
{
    struct ew_buf room;
    struct ew_blob bytes;
    struct ew_cert *cert = NULL;
    enum ew_fault fault;
    const char *serial;
    bool known;

    ew_buf_init(&room, EW_MAX_CERT);
    known = to_der(text, len, &room, &bytes) && ew_x509_identify(bytes, out);
    ew_buf_deinit(&room);
    if (known)
        return EW_OK;
    fault = ew_cert_read(text, len, &cert, err);
    if (fault != EW_OK)
        return fault;
    serial = ew_cert_facts(cert)->serial;
    memcpy(out->spki_sha256, ew_cert_facts(cert)->spki_sha256, sizeof(out->spki_sha256));
    (void)snprintf(out->serial, sizeof(out->serial), "%s",
                   strlen(serial) > EW_MAX_SERIAL ? "" : serial);
    ew_cert_free(cert);
    return EW_OK;
}

void
ew_cert_free(struct ew_cert *cert)
{
    if (cert == NULL)
        return;
    for (size_t i = 0; i < cert->text_count; i++)
        free(cert->texts[i]);
    OPENSSL_free(cert->der);
    X509_free(cert->x509);
    free(cert);
}

const struct ew_cert_facts *
ew_cert_facts(const struct ew_cert *cert)
{
    return &cert->facts;
}

struct ew_blob
ew_cert_der(const struct ew_cert *cert)
{
    return (struct ew_blob){.data = cert->der, .len = cert->der_len};
}

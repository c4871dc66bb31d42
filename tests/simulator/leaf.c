/*
 * One certificate as EPKI issues it: subject from profile and request, usages by product, serial
 * of 16 random bytes, one CRL distribution point, the issuer's address.
 */
#include "ca.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OID_UPN "1.3.6.1.4.1.311.20.2.3"
#define OID_SID_EXTENSION "1.3.6.1.4.1.311.25.2"
#define OID_SID_VALUE "1.3.6.1.4.1.311.25.2.1"
#define OID_TEMPLATE "1.3.6.1.4.1.311.21.7"
#define OID_EFS "1.3.6.1.4.1.311.10.3.4"
#define OID_SMARTCARD_LOGON "1.3.6.1.4.1.311.20.2.2"
#define OID_POLICY "1.3.6.1.4.1.4146.1.40.10"

static bool
sim_entry(X509_NAME *name, int nid, const char *value)
{
    return !value || !*value ||
           X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

static bool
sim_subject(X509_NAME *name, const struct sim_leaf *leaf)
{
    bool ok = sim_entry(name, NID_countryName, leaf->country) &&
              sim_entry(name, NID_stateOrProvinceName, leaf->state) &&
              sim_entry(name, NID_localityName, leaf->locality) &&
              sim_entry(name, NID_organizationName, leaf->organization);
    for (size_t i = 0; ok && i < 4; i++) {
        ok = sim_entry(name, NID_organizationalUnitName, leaf->unit[i]);
    }
    return ok && sim_entry(name, NID_commonName, leaf->common_name) &&
           sim_entry(name, NID_surname, leaf->surname) &&
           sim_entry(name, NID_givenName, leaf->given_name) &&
           sim_entry(name, NID_pseudonym, leaf->pseudonym) &&
           sim_entry(name, NID_pkcs9_emailAddress, leaf->email);
}

/* A GeneralName of kind otherName; tag is V_ASN1_UTF8STRING or V_ASN1_OCTET_STRING. */
static bool
sim_other_name(GENERAL_NAMES *names, const char *oid, int tag, const char *value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OBJECT *type = OBJ_txt2obj(oid, 1);
    ASN1_STRING *text = ASN1_STRING_type_new(tag);
    ASN1_TYPE *any = ASN1_TYPE_new();
    if (!name || !type || !text || !any || !ASN1_STRING_set(text, value, -1)) {
        abort();
    }
    ASN1_TYPE_set(any, tag, text);
    return GENERAL_NAME_set0_othername(name, type, any) == 1 &&
           sk_GENERAL_NAME_push(names, name) > 0;
}

static bool
sim_email_name(GENERAL_NAMES *names, const char *email)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (!name || !text || !ASN1_STRING_set(text, email, -1)) {
        abort();
    }
    GENERAL_NAME_set0_value(name, GEN_EMAIL, text);
    return sk_GENERAL_NAME_push(names, name) > 0;
}

static bool
sim_alternative(X509 *cert, const struct sim_leaf *leaf)
{
    bool email = leaf->san_email && *leaf->san_email;
    bool upn = leaf->upn && *leaf->upn;
    if (!email && !upn) {
        return true;
    }
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool ok = names && (!email || sim_email_name(names, leaf->san_email)) &&
              (!upn || sim_other_name(names, OID_UPN, V_ASN1_UTF8STRING, leaf->upn)) &&
              X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool
sim_raw_extension(X509 *cert, const char *oid, const unsigned char *der, int len)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    bool ok = object && value && ASN1_OCTET_STRING_set(value, der, len) == 1;
    X509_EXTENSION *extension = ok ? X509_EXTENSION_create_by_OBJ(NULL, object, 0, value) : NULL;
    ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return ok;
}

/* Active Directory's security identifier: an otherName inside an extension of its own. */
static bool
sim_sid(X509 *cert, const char *sid)
{
    if (!sid || !*sid) {
        return true;
    }
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    unsigned char *der = NULL;
    bool ok = names && sim_other_name(names, OID_SID_VALUE, V_ASN1_OCTET_STRING, sid);
    int len = ok ? i2d_GENERAL_NAMES(names, &der) : -1;
    ok = len > 0 && sim_raw_extension(cert, OID_SID_EXTENSION, der, len);
    OPENSSL_free(der);
    GENERAL_NAMES_free(names);
    return ok;
}

/* Microsoft's certificate template: SEQUENCE { OID, INTEGER, INTEGER OPTIONAL }. */
static bool
sim_template(X509 *cert, const struct sim_leaf *leaf)
{
    if (!leaf->template_oid || !*leaf->template_oid) {
        return true;
    }
    ASN1_OBJECT *oid = OBJ_txt2obj(leaf->template_oid, 1);
    unsigned char body[512];
    unsigned char *at = body;
    const char *numbers[2] = {leaf->template_major, leaf->template_minor};
    if (!oid || i2d_ASN1_OBJECT(oid, NULL) > 400) {
        ASN1_OBJECT_free(oid);
        return false;
    }
    i2d_ASN1_OBJECT(oid, &at);
    ASN1_OBJECT_free(oid);
    for (size_t i = 0; i < 2 && numbers[i] && *numbers[i]; i++) {
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        if (!number || !ASN1_INTEGER_set_int64(number, strtoll(numbers[i], NULL, 10))) {
            abort();
        }
        i2d_ASN1_INTEGER(number, &at);
        ASN1_INTEGER_free(number);
    }
    unsigned char der[520];
    unsigned char *out = der;
    int len = (int)(at - body);
    ASN1_put_object(&out, 1, len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(out, body, (size_t)len);
    return sim_raw_extension(cert, OID_TEMPLATE, der, (int)(out - der) + len);
}

static bool
sim_usages(X509 *cert, X509 *issuer, const struct sim_leaf *leaf)
{
    char extended[160];
    bool rsa = EVP_PKEY_get_base_id(leaf->key) == EVP_PKEY_RSA;
    bool upn = leaf->upn && *leaf->upn;
    (void)snprintf(extended, sizeof(extended), "%s%s%s%s", leaf->client_auth ? ",clientAuth" : "",
                   leaf->email_protection ? ",emailProtection" : "", leaf->efs ? "," OID_EFS : "",
                   upn ? "," OID_SMARTCARD_LOGON : "");
    return sim_x509_add(cert, issuer, NID_key_usage,
                        rsa ? "critical,digitalSignature,keyEncipherment"
                            : "critical,digitalSignature,keyAgreement") &&
           (!extended[0] || sim_x509_add(cert, issuer, NID_ext_key_usage, extended + 1));
}

static bool
sim_extensions(const struct sim_ca *ca, X509 *cert, X509 *issuer, const struct sim_leaf *leaf)
{
    char crl[96];
    char aia[112];
    (void)snprintf(crl, sizeof(crl), "URI:%s/crl", ca->base_url);
    (void)snprintf(aia, sizeof(aia), "caIssuers;URI:%s/issuing-ca", ca->base_url);
    return sim_usages(cert, issuer, leaf) &&
           sim_x509_add(cert, issuer, NID_basic_constraints, "CA:FALSE") &&
           sim_x509_add(cert, issuer, NID_certificate_policies, OID_POLICY) &&
           sim_x509_add(cert, issuer, NID_crl_distribution_points, crl) &&
           sim_x509_add(cert, issuer, NID_info_access, aia) &&
           sim_x509_add(cert, issuer, NID_subject_key_identifier, "hash") &&
           sim_x509_add(cert, issuer, NID_authority_key_identifier, "keyid") &&
           sim_alternative(cert, leaf) && sim_sid(cert, leaf->sid) && sim_template(cert, leaf);
}

static bool
sim_validity(X509 *cert, const struct sim_leaf *leaf, struct sim_cert *out)
{
    time_t start = (time_t)(leaf->not_before_ms / 1000);
    struct tm parts;
    gmtime_r(&start, &parts);
    parts.tm_year += leaf->years;
    time_t end = timegm(&parts);
    out->not_before_ms = (int64_t)start * 1000;
    out->not_after_ms = (int64_t)end * 1000;
    return ASN1_TIME_adj(X509_getm_notBefore(cert), start, 0, 0) &&
           ASN1_TIME_adj(X509_getm_notAfter(cert), end, 0, 0);
}

static bool
sim_leaf_encode(X509 *cert, struct sim_cert *out)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    if (len <= 0) {
        return false;
    }
    out->len = (size_t)len;
    out->der = sim_alloc(out->len);
    memcpy(out->der, der, out->len);
    OPENSSL_free(der);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    int size = ASN1_STRING_length(serial);
    sim_hex(out->serial, ASN1_STRING_get0_data(serial), size < 20 ? (size_t)size : 20);
    return true;
}

bool
sim_ca_issue(const struct sim_ca *ca, const struct sim_leaf *leaf, struct sim_cert *out)
{
    memset(out, 0, sizeof(*out));
    X509 *issuer = leaf->rogue ? ca->rogue : ca->issuing;
    X509 *cert = X509_new();
    bool ok = cert && X509_set_version(cert, X509_VERSION_3) && sim_x509_serial(cert) &&
              sim_subject(X509_get_subject_name(cert), leaf) &&
              X509_set_issuer_name(cert, X509_get_subject_name(issuer)) &&
              sim_validity(cert, leaf, out) && X509_set_pubkey(cert, leaf->key) &&
              sim_extensions(ca, cert, issuer, leaf) &&
              X509_sign(cert, leaf->rogue ? ca->rogue_key : ca->issuing_key, EVP_sha256()) &&
              sim_leaf_encode(cert, out);
    if (!ok) {
        ERR_print_errors_fp(stderr);
    }
    X509_free(cert);
    return ok;
}

/*
 * Judging a certificate against what was asked for.
 */
#include "x509/verify.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

#include "x509/seal.h"
#include "x509_private.h"

enum { SKEW_S = 600, DAY_S = 24 * 3600 };

static enum ew_verdict
wrong(struct ew_err *err, enum ew_verdict verdict, const char *problem, const char *field,
      const char *detail)
{
    static const char cancelled[] = "The order was cancelled; find out why GlobalSign issued this.";
    static const char held[] =
        "Compare the setting with the profile; if GlobalSign changed its CA, "
        "add the new one to chain_file and restart.";

    (void)ew_fail_field(err, EW_REJECT, problem, field,
                        verdict <= EW_CERT_WRONG_NAME ? cancelled : held, "%s", detail);
    return verdict;
}

static bool
same_text(const char *one, const char *other)
{
    return strcasecmp(one, other) == 0;
}

static X509_NAME *
name_of(const char *text)
{
    X509_NAME *name = X509_NAME_new();

    /* The type of the attribute does not matter: they are compared as text. */
    if (name == NULL ||
        X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                   (const unsigned char *)text, (int)strlen(text), -1, 0) != 1)
        abort(); /* an order must not be cancelled for that */
    return name;
}

/* As RFC 5280, 7.1 has it: neither case nor blanks at the ends or doubled make another name. */
static bool
same_name(const char *one, const char *other)
{
    X509_NAME *left, *right;
    bool same = strcmp(one, other) == 0;

    if (same || one[0] == '\0' || other[0] == '\0')
        return same;
    left = name_of(one);
    right = name_of(other);
    same = X509_NAME_cmp(left, right) == 0;
    X509_NAME_free(left);
    X509_NAME_free(right);
    return same;
}

static bool
holds(const char *const *names, size_t count, const char *wanted,
      bool (*same)(const char *one, const char *other))
{
    for (size_t i = 0; i < count; i++)
        if (same(names[i], wanted))
            return true;
    return false;
}

static enum ew_verdict
check_names(const struct ew_cert_facts *facts, const struct ew_expect *expect, struct ew_err *err)
{
    if (!same_name(facts->cn, expect->cn))
        return wrong(err, EW_CERT_WRONG_NAME, "cert-name", "cn",
                     "the certificate has another common name than the order");
    if (expect->email[0] != '\0' &&
        !holds(facts->emails, facts->email_count, expect->email, same_text))
        return wrong(err, EW_CERT_WRONG_NAME, "cert-email", "email",
                     "the certificate lacks the e-mail address of the order");
    if (expect->upn[0] != '\0' && !same_text(facts->upn, expect->upn))
        return wrong(err, EW_CERT_WRONG_NAME, "cert-upn", "upn",
                     "the certificate lacks the UPN of the order");
    for (size_t i = 0; i < expect->ou_count; i++)
        if (!holds(facts->ous, facts->ou_count, expect->ous[i], same_name))
            return wrong(err, EW_CERT_WRONG_NAME, "cert-ou", "ou",
                         "the certificate lacks an organisational unit of the order");
    return EW_CERT_OK;
}

/* PARTIAL_CHAIN: up to the first certificate that the bundle holds. Above it nothing can have
 * changed since the bundle was loaded, and a signature costs as much as the rest of the judgement.
 */
static bool
chains(X509 *x509, const struct ew_trust *trust, int64_t now_ms, const char **why)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool good;

    if (ctx == NULL || X509_STORE_CTX_init(ctx, trust->store, x509, NULL) != 1)
        abort(); /* nothing was looked at: no reason to turn anybody away */
    if (now_ms == 0)
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME);
    else
        X509_STORE_CTX_set_time(ctx, 0, (time_t)(now_ms / 1000));
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
    good = X509_verify_cert(ctx) == 1;
    *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static enum ew_verdict
check_validity(const struct ew_cert_facts *facts, const struct ew_expect *expect,
               struct ew_err *err)
{
    int64_t now = expect->now_ms / 1000, from = facts->not_before_ms / 1000;
    int64_t to = facts->not_after_ms / 1000, most = (int64_t)expect->years * 366 + 60;

    if (from > now + SKEW_S || to <= now)
        return wrong(err, EW_CERT_WRONG_VALIDITY, "cert-validity", "validity",
                     "the certificate is not valid now, by GlobalSign's own clock");
    /* Longer by up to 60 days is GlobalSign's practice of not losing what was left of the old one.
     */
    if (to - from > most * DAY_S || to - from < (int64_t)expect->years * 360 * DAY_S)
        return wrong(err, EW_CERT_WRONG_VALIDITY, "cert-validity", "validity",
                     "the certificate's validity is not the setting's");
    return EW_CERT_OK;
}

enum ew_verdict
ew_cert_verify(const struct ew_cert *cert, const struct ew_trust *trust,
               const struct ew_expect *expect, struct ew_err *err)
{
    const struct ew_cert_facts *facts = &cert->facts;
    enum ew_verdict verdict;
    const char *why;

    if (memcmp(facts->spki_sha256, expect->spki_sha256, sizeof(facts->spki_sha256)) != 0)
        return wrong(err, EW_CERT_WRONG_KEY, "cert-key", "key",
                     "the certificate is for another public key");
    verdict = check_names(facts, expect, err);
    if (verdict != EW_CERT_OK)
        return verdict;
    /* Validity first: an expired chain would otherwise hide it. */
    verdict = check_validity(facts, expect, err);
    if (verdict != EW_CERT_OK)
        return verdict;
    if (facts->is_ca || (facts->eku & expect->need_eku) != expect->need_eku)
        return wrong(err, EW_CERT_WRONG_USAGE, "cert-usage", "eku",
                     facts->is_ca ? "the certificate is a CA's"
                                  : "the certificate lacks a key usage that the setting needs");
    if (!chains(cert->x509, trust,
                facts->not_before_ms > expect->now_ms ? facts->not_before_ms : expect->now_ms,
                &why))
        return wrong(err, EW_CERT_WRONG_CHAIN, "cert-chain", "chain", why);
    return EW_CERT_OK;
}

static enum ew_fault
bad_recipient(struct ew_err *err, const char *detail)
{
    ERR_clear_error();
    return ew_fail_field(err, EW_REJECT, "recipient", "key.worker_key.recipient_certificate",
                         "Send the DER certificate of a recipient that the setting allows.", "%s",
                         detail);
}

/* Where the certificate says what its key is for: some do not open what this one may not. */
static bool
may_open(X509 *cert)
{
    bool rsa = EVP_PKEY_is_a(X509_get0_pubkey(cert), "RSA") == 1;

    return (X509_get_key_usage(cert) & (rsa ? KU_KEY_ENCIPHERMENT : KU_KEY_AGREEMENT)) != 0;
}

enum ew_fault
ew_recipient_check(const uint8_t *der, size_t len, const struct ew_trust *allowed, int64_t now_ms,
                   struct ew_err *err)
{
    const unsigned char *at = der;
    X509 *cert;
    enum ew_fault fault = EW_OK;
    const char *why;

    if (len == 0 || len > EW_MAX_RECIPIENT)
        return bad_recipient(err, len == 0 ? "it is missing" : "more than 8192 bytes");
    cert = d2i_X509(NULL, &at, (long)len);
    if (cert == NULL || at != der + len)
        fault = bad_recipient(err, "not one DER certificate");
    else if (X509_get0_pubkey(cert) == NULL ||
             ew_pubkey_judge(X509_get0_pubkey(cert), 2048, true, NULL, NULL)[0] != '\0')
        fault = bad_recipient(err, "its key is too weak or of a kind that cannot be sealed to");
    else if (!may_open(cert))
        fault =
            bad_recipient(err, "its key usage lacks keyEncipherment (RSA) or keyAgreement (EC)");
    else if (!chains(cert, allowed, now_ms, &why))
        fault = bad_recipient(err, why);
    X509_free(cert);
    return fault;
}

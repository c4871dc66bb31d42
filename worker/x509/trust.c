/*
 * Bundles of trusted certificates and the chains in them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/memory.h"
#include "x509_private.h"

static enum ew_fault
bad_file(struct ew_err *err, const char *path, const char *what)
{
    ERR_clear_error();
    return ew_fail_field(err, EW_HALT, "bundle", "", "Give a PEM file of certificates.", "%s: %s",
                         path, what);
}

/* Read as leaves are: in a chain of one library context no key has to be copied. */
static X509 *
next(BIO *bio)
{
    char no_password[] = ""; /* an encrypted PEM is an error, not a question on the terminal */
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, no_password);
    X509 *again = NULL;
    unsigned char *der = NULL;
    int len = cert == NULL ? -1 : i2d_X509(cert, &der);

    if (len > 0)
        again = ew_x509_read(der, (size_t)len);
    OPENSSL_free(der);
    if (again == NULL)
        return cert;
    X509_free(cert);
    return again;
}

static const char *
read_all(BIO *bio, struct ew_trust *trust)
{
    X509 *cert;

    while ((cert = next(bio)) != NULL) {
        if (sk_X509_num(trust->certs) == EW_MAX_BUNDLE || sk_X509_push(trust->certs, cert) == 0) {
            X509_free(cert);
            return "more than 64 certificates";
        }
        if (X509_STORE_add_cert(trust->store, cert) != 1)
            return "a certificate that cannot be used";
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return "a certificate that does not parse";
    return sk_X509_num(trust->certs) == 0 ? "no certificate in it" : NULL;
}

static bool
encode_all(struct ew_trust *trust)
{
    int count = sk_X509_num(trust->certs);

    trust->ders = ew_calloc((size_t)count, sizeof(*trust->ders));
    for (int i = 0; i < count; i++) {
        unsigned char *der = NULL;
        int len = i2d_X509(sk_X509_value(trust->certs, i), &der);

        if (len <= 0)
            return false;
        trust->ders[i] = (struct ew_blob){.data = der, .len = (size_t)len};
    }
    return true;
}

enum ew_fault
ew_trust_load(const char *path, struct ew_trust **out, struct ew_err *err)
{
    struct ew_trust *trust = ew_calloc(1, sizeof(*trust));
    const char *problem = "out of memory";
    struct stat st;
    BIO *bio = NULL;

    if (stat(path, &st) != 0) {
        free(trust);
        return bad_file(err, path, strerror(errno));
    }
    if (st.st_size > EW_MAX_CHAIN_FILE)
        problem = "larger than 256 KiB";
    else if ((trust->store = X509_STORE_new()) != NULL &&
             (trust->certs = sk_X509_new_null()) != NULL) {
        bio = BIO_new_file(path, "r");
        problem = bio == NULL ? "it cannot be opened" : read_all(bio, trust);
    }
    BIO_free(bio);
    if (problem == NULL && !encode_all(trust))
        problem = "a certificate that cannot be encoded";
    if (problem != NULL) {
        ew_trust_free(trust);
        return bad_file(err, path, problem);
    }
    ERR_clear_error();
    *out = trust;
    return EW_OK;
}

/* --- whole? --- */

static bool
leads_to_root(const struct ew_trust *trust, X509 *cert)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool good = false;

    if (ctx != NULL && X509_STORE_CTX_init(ctx, trust->store, cert, NULL) == 1) {
        X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_NO_CHECK_TIME);
        good = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

enum ew_fault
ew_trust_complete(const struct ew_trust *trust, struct ew_err *err)
{
    char name[256];

    for (int i = 0; i < sk_X509_num(trust->certs); i++) {
        X509 *cert = sk_X509_value(trust->certs, i);

        if (leads_to_root(trust, cert))
            continue;
        X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof(name));
        return ew_fail_field(err, EW_HALT, "bundle", "",
                             "Add the CAs above it, up to the root, to the file.",
                             "%s does not chain to a root in the file", name);
    }
    return EW_OK;
}

void
ew_trust_free(struct ew_trust *trust)
{
    if (trust == NULL)
        return;
    for (int i = 0; trust->ders != NULL && i < sk_X509_num(trust->certs); i++)
        OPENSSL_free((void *)(uintptr_t)trust->ders[i].data);
    free(trust->ders);
    sk_X509_pop_free(trust->certs, X509_free);
    X509_STORE_free(trust->store);
    free(trust);
}

static bool
self_signed(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

/* Of several with one name and key, as after a renewal, the one that stays valid longest: there is
 * no clock here, and the others may have expired. */
static int
find_issuer(const struct ew_trust *trust, X509 *cert)
{
    int best = -1;

    for (int i = 0; i < sk_X509_num(trust->certs); i++) {
        X509 *issuer = sk_X509_value(trust->certs, i);

        if (X509_check_issued(issuer, cert) != X509_V_OK || self_signed(issuer))
            continue;
        if (best < 0 ||
            ASN1_TIME_compare(X509_get0_notAfter(issuer),
                              X509_get0_notAfter(sk_X509_value(trust->certs, best))) > 0)
            best = i;
    }
    return best;
}

size_t
ew_trust_chain(const struct ew_trust *trust, const struct ew_cert *cert, struct ew_blob *out,
               size_t max)
{
    X509 *at = cert->x509;
    size_t count = 0;

    while (count < max && !self_signed(at)) {
        int issuer = find_issuer(trust, at);

        if (issuer < 0)
            break;
        out[count++] = trust->ders[issuer];
        at = sk_X509_value(trust->certs, issuer);
    }
    return count;
}

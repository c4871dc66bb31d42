/*
 * The simulator's own certification authority: root, issuing CA, a rogue one that nobody trusts,
 * and the CA of the TLS server. Keys live in the directory and survive a restart.
 */
#pragma once

#include "buf.h"
#include "settings.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

struct sim_ca {
    EVP_PKEY *root_key, *issuing_key, *rogue_key, *tls_ca_key, *tls_key;
    X509 *root, *issuing, *rogue, *tls_ca, *tls;
    char base_url[64]; /* of the control port: CRL and issuer certificate */
};

/* Loads the keys and certificates from dir, making those that are missing, and writes chain.pem
 * and tls-ca.pem. false with a message on stderr. */
bool sim_ca_open(struct sim_ca *ca, const char *dir, enum sim_ca_key kind);
void sim_ca_close(struct sim_ca *ca);

/* A server context for https://localhost: TLS 1.2 or later, with session tickets. */
SSL_CTX *sim_ca_tls_context(const struct sim_ca *ca);

/* What a certificate is made from. Texts are borrowed; NULL or "" means none. */
struct sim_leaf {
    const char *country, *state, *locality, *organization;
    const char *unit[4];
    const char *common_name, *email, *surname, *given_name, *pseudonym;
    const char *san_email, *upn, *sid;
    const char *template_oid, *template_major, *template_minor;
    bool client_auth, email_protection, efs, rogue;
    int years;
    int64_t not_before_ms;
    EVP_PKEY *key;
};

/* An issued certificate. der is owned; the rest is read from it. */
struct sim_cert {
    unsigned char *der;
    size_t len;
    char serial[48];
    int64_t not_before_ms, not_after_ms;
};

bool sim_ca_issue(const struct sim_ca *ca, const struct sim_leaf *leaf, struct sim_cert *out);

/* Adds one extension made from v3 text; issuer may be the certificate itself. */
bool sim_x509_add(X509 *cert, X509 *issuer, int nid, const char *value);

/* 16 random bytes, positive, not zero. */
bool sim_x509_serial(X509 *cert);

/* SHA-256 over the SubjectPublicKeyInfo, lower-case hex. */
void sim_spki_sha256(EVP_PKEY *key, char out[65]);

/* What is wrong with a CSR, as the CA says it; 0: nothing. *key is the caller's. */
int sim_csr_read(const char *text, EVP_PKEY **key);

/* A new key: EC P-256, or RSA 2048. Never NULL. */
EVP_PKEY *sim_key_new(bool rsa);

/* The certificate as an answer shows it. */
void sim_cert_text(const struct sim_ca *ca, const struct sim_cert *cert,
                   enum sim_cert_format format, struct sim_buf *out);

/* PKCS#12 with the chain, DER. */
bool sim_cert_pkcs12(const struct sim_ca *ca, const struct sim_cert *cert, EVP_PKEY *key,
                     const char *pin, const char *name, enum sim_p12_encoding encoding,
                     struct sim_buf *out);

/* A CRL of the issuing CA: begin, add each, end (DER). */
X509_CRL *sim_crl_begin(const struct sim_ca *ca, int64_t now_ms, int64_t number);
bool sim_crl_add(X509_CRL *crl, const struct sim_cert *cert, int64_t when_ms);
bool sim_crl_end(const struct sim_ca *ca, X509_CRL *crl, struct sim_buf *out);

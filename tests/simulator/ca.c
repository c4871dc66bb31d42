/*
 * The hierarchy: made once, kept in the directory. Leaf certificates are leaf.c's.
 */
#include "ca.h"

#include <fcntl.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CA_DAYS = 7300, TLS_DAYS = 3650, PEM_MAX = 65536 };

EVP_PKEY *
sim_key_new(bool rsa)
{
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    if (!key) {
        abort();
    }
    return key;
}

bool
sim_x509_serial(X509 *cert)
{
    unsigned char bytes[16];
    sim_random(bytes, sizeof(bytes));
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x10);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

bool
sim_x509_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    CONF *none = NCONF_new(NULL); /* some extensions insist on a configuration */
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509V3_set_nconf(&context, none);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(none, &context, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    NCONF_free(none);
    return ok;
}

static bool
sim_name(X509_NAME *name, const char *common_name)
{
    const unsigned char *o = (const unsigned char *)"Simulated GlobalSign (tests only)";
    const unsigned char *cn = (const unsigned char *)common_name;
    return X509_NAME_add_entry_by_NID(name, NID_countryName, MBSTRING_ASC,
                                      (const unsigned char *)"BE", -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_ASC, o, -1, -1, 0) ==
               1 &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, cn, -1, -1, 0) == 1;
}

struct sim_ca_profile {
    const char *common_name, *constraints, *usage, *extended, *alternative;
    int days;
};

/* A certificate for the hierarchy itself; issuer NULL: self-signed. */
static X509 *
sim_ca_make(EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const struct sim_ca_profile *profile)
{
    X509 *cert = X509_new();
    X509 *by = issuer ? issuer : cert;
    /* Two days back, for clients whose clock is behind. */
    bool ok =
        cert && X509_set_version(cert, X509_VERSION_3) && sim_x509_serial(cert) &&
        sim_name(X509_get_subject_name(cert), profile->common_name) &&
        X509_set_issuer_name(cert, X509_get_subject_name(by)) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -2 * 86400) &&
        X509_time_adj_ex(X509_getm_notAfter(cert), profile->days, 0, NULL) &&
        X509_set_pubkey(cert, key) &&
        sim_x509_add(cert, by, NID_basic_constraints, profile->constraints) &&
        sim_x509_add(cert, by, NID_key_usage, profile->usage) &&
        sim_x509_add(cert, by, NID_subject_key_identifier, "hash") &&
        (!issuer || sim_x509_add(cert, by, NID_authority_key_identifier, "keyid")) &&
        (!profile->extended || sim_x509_add(cert, by, NID_ext_key_usage, profile->extended)) &&
        (!profile->alternative ||
         sim_x509_add(cert, by, NID_subject_alt_name, profile->alternative)) &&
        X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256());
    if (!ok) {
        ERR_print_errors_fp(stderr);
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static void
sim_ca_path(char out[4096], const char *dir, const char *name, const char *ending)
{
    (void)snprintf(out, 4096, "%s/ca/%s.%s", dir, name, ending);
}

static EVP_PKEY *
sim_ca_key(const char *dir, const char *name, bool rsa)
{
    char path[4096];
    sim_ca_path(path, dir, name, "key");
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (file) {
        fclose(file);
        return key;
    }
    key = sim_key_new(rsa);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (file && fclose(file) == 0 && ok) {
        return key;
    }
    EVP_PKEY_free(key);
    return NULL;
}

static X509 *
sim_ca_cert(const char *dir, const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
            const struct sim_ca_profile *profile)
{
    char path[4096];
    sim_ca_path(path, dir, name, "pem");
    FILE *file = fopen(path, "re");
    X509 *cert = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file) {
        fclose(file);
        return cert;
    }
    cert = key ? sim_ca_make(key, issuer, issuer_key, profile) : NULL;
    file = cert ? fopen(path, "wxe") : NULL;
    bool ok = file && PEM_write_X509(file, cert) == 1;
    if (file && fclose(file) == 0 && ok) {
        return cert;
    }
    X509_free(cert);
    return NULL;
}

static bool
sim_ca_publish(const char *dir, const char *name, X509 *first, X509 *second)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    BIO *memory = BIO_new(BIO_s_mem());
    bool ok = memory && PEM_write_bio_X509(memory, first) == 1 &&
              (!second || PEM_write_bio_X509(memory, second) == 1);
    char *data = NULL;
    long len = ok ? BIO_get_mem_data(memory, &data) : 0;
    ok = len > 0 && sim_write_file(path, data, (size_t)len, 0644);
    BIO_free(memory);
    return ok;
}

static const struct sim_ca_profile ROOT = {
    .common_name = "Simulated EPKI Root",
    .constraints = "critical,CA:TRUE",
    .usage = "critical,keyCertSign,cRLSign",
    .days = CA_DAYS,
};
static const struct sim_ca_profile ISSUING = {
    .common_name = "Simulated EPKI PersonalSign CA",
    .constraints = "critical,CA:TRUE,pathlen:0",
    .usage = "critical,keyCertSign,cRLSign",
    .days = CA_DAYS,
};
static const struct sim_ca_profile ROGUE = {
    .common_name = "Simulated EPKI PersonalSign CA",
    .constraints = "critical,CA:TRUE",
    .usage = "critical,keyCertSign,cRLSign",
    .days = CA_DAYS,
};
static const struct sim_ca_profile TLS_CA = {
    .common_name = "Simulated EPKI TLS CA",
    .constraints = "critical,CA:TRUE",
    .usage = "critical,keyCertSign,cRLSign",
    .days = CA_DAYS,
};
static const struct sim_ca_profile TLS_SERVER = {
    .common_name = "localhost",
    .constraints = "critical,CA:FALSE",
    .usage = "critical,digitalSignature",
    .extended = "serverAuth",
    .alternative = "DNS:localhost,IP:127.0.0.1,IP:::1",
    .days = TLS_DAYS,
};

static bool
sim_ca_keys(struct sim_ca *ca, const char *dir, bool rsa)
{
    ca->root_key = sim_ca_key(dir, "root", rsa);
    ca->issuing_key = sim_ca_key(dir, "issuing", rsa);
    ca->rogue_key = sim_ca_key(dir, "rogue", rsa);
    /* EC whatever the CA's keys are: a handshake costs little. */
    ca->tls_ca_key = sim_ca_key(dir, "tls-ca", false);
    ca->tls_key = sim_ca_key(dir, "tls", false);
    return ca->root_key && ca->issuing_key && ca->rogue_key && ca->tls_ca_key && ca->tls_key;
}

static bool
sim_ca_certs(struct sim_ca *ca, const char *dir)
{
    ca->root = sim_ca_cert(dir, "root", ca->root_key, NULL, NULL, &ROOT);
    ca->issuing = sim_ca_cert(dir, "issuing", ca->issuing_key, ca->root, ca->root_key, &ISSUING);
    ca->rogue = sim_ca_cert(dir, "rogue", ca->rogue_key, NULL, NULL, &ROGUE);
    ca->tls_ca = sim_ca_cert(dir, "tls-ca", ca->tls_ca_key, NULL, NULL, &TLS_CA);
    ca->tls = sim_ca_cert(dir, "tls", ca->tls_key, ca->tls_ca, ca->tls_ca_key, &TLS_SERVER);
    return ca->root && ca->issuing && ca->rogue && ca->tls_ca && ca->tls;
}

bool
sim_ca_open(struct sim_ca *ca, const char *dir, enum sim_ca_key kind)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/ca", dir);
    (void)mkdir(path, 0700);
    if (sim_ca_keys(ca, dir, kind == SIM_CA_RSA2048) && sim_ca_certs(ca, dir) &&
        sim_ca_publish(dir, "chain.pem", ca->issuing, ca->root) &&
        sim_ca_publish(dir, "tls-ca.pem", ca->tls_ca, NULL)) {
        return true;
    }
    fprintf(stderr, "epki-simulator: %s: cannot read or make the CA's keys and certificates\n",
            path);
    ERR_print_errors_fp(stderr);
    return false;
}

void
sim_ca_close(struct sim_ca *ca)
{
    EVP_PKEY *keys[] = {ca->root_key, ca->issuing_key, ca->rogue_key, ca->tls_ca_key, ca->tls_key};
    X509 *certs[] = {ca->root, ca->issuing, ca->rogue, ca->tls_ca, ca->tls};
    for (size_t i = 0; i < 5; i++) {
        EVP_PKEY_free(keys[i]);
        X509_free(certs[i]);
    }
    memset(ca, 0, sizeof(*ca));
}

SSL_CTX *
sim_ca_tls_context(const struct sim_ca *ca)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) ||
        SSL_CTX_use_certificate(tls, ca->tls) != 1 ||
        SSL_CTX_use_PrivateKey(tls, ca->tls_key) != 1 ||
        SSL_CTX_add1_chain_cert(tls, ca->tls_ca) != 1) {
        ERR_print_errors_fp(stderr);
        abort();
    }
    /* A connection holds no TLS buffers while it waits for its answer. */
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_num_tickets(tls, 1);
    return tls;
}

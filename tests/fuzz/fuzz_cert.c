/*
 * Certificates as replies of GlobalSign bring them, in whatever wrapping: what is read of one, and
 * what a list's is known by, which must be the same.
 */
#include <string.h>

#include "fuzz_x509.h"
#include "x509/cert.h"

static void
check_facts(const struct ew_cert_facts *facts)
{
    MUST(facts->serial != NULL && facts->issuer != NULL && facts->subject != NULL);
    MUST(facts->cn != NULL && facts->upn != NULL && strlen(facts->sha256) == 64);
    MUST(facts->ou_count <= EW_MAX_CERT_NAMES && facts->email_count <= EW_MAX_CERT_NAMES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ew_err err = {.fault = EW_OK};
    struct ew_cert_id id;
    struct ew_cert *cert = NULL;
    enum ew_fault known = ew_cert_identify((const char *)data, size, &id, &err);
    enum ew_fault read = ew_cert_read((const char *)data, size, &cert, &err);

    MUST(known == EW_OK || known == EW_REJECT);
    MUST(read == EW_OK || read == EW_REJECT);
    if (read != EW_OK) {
        MUST(cert == NULL);
        return 0;
    }
    check_facts(ew_cert_facts(cert));
    MUST(known == EW_OK);
    MUST(memcmp(id.spki_sha256, ew_cert_facts(cert)->spki_sha256, 32) == 0);
    MUST(id.serial[0] == '\0' || strcmp(id.serial, ew_cert_facts(cert)->serial) == 0);
    ew_cert_free(cert);
    return 0;
}

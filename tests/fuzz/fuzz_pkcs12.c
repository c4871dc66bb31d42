/*
 * A PKCS#12 as GlobalSign makes them, opened with the PIN that was chosen for it: what comes out is
 * a key with its certificate, or nothing.
 */
#include "fuzz_x509.h"
#include "x509/cert.h"
#include "x509/p12.h"

#define PIN "Pin0123456789ABCDEFG"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ew_err err = {.fault = EW_OK};
    struct ew_key *key = NULL;
    struct ew_buf cert;
    enum ew_fault fault;

    ew_buf_init(&cert, 65536);
    fault = ew_p12_open(data, size, PIN, &key, &cert, &err);
    MUST(fault == EW_OK || fault == EW_REJECT);
    MUST((fault == EW_OK) == (key != NULL));
    MUST(fault != EW_OK || cert.len > 0);
    ew_key_free(key);
    ew_buf_deinit(&cert);
    return 0;
}

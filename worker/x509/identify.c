/*
 * What a certificate is known by, read off it without decoding the rest. A list of orders has one
 * of each, and whoever looks for an order reads long lists.
 */
#include <string.h>

#include "base/hex.h"
#include "x509_private.h"

/* RFC 5280, 4.1: version, serial, signature, issuer, validity, subject, key. The version is 3 in
 * all that we know; of another one nothing is said here. */
static bool
find(struct ew_blob cert, struct ew_blob *serial, struct ew_blob *spki)
{
    struct ew_blob whole, tbs, passed;

    if (!ew_der_take(&cert, EW_DER_SEQUENCE, &whole) || cert.len > 0 ||
        !ew_der_take(&whole, EW_DER_SEQUENCE, &tbs) ||
        !ew_der_take(&tbs, EW_DER_VERSION, &passed) || !ew_der_take(&tbs, EW_DER_INTEGER, serial))
        return false;
    for (int i = 0; i < 4; i++)
        if (!ew_der_take(&tbs, EW_DER_SEQUENCE, &passed))
            return false;
    return ew_der_take(&tbs, EW_DER_SEQUENCE, spki);
}

/* As BN_bn2hex() writes it, in lower case: no leading zeros but in 0 itself. */
static bool
write_serial(struct ew_blob serial, char out[EW_MAX_SERIAL + 1])
{
    char hex[EW_MAX_SERIAL + 1];
    const char *at = hex;

    if (serial.len == 0 || (serial.data[0] & 0x80) != 0)
        return false;
    for (; serial.len > 1 && serial.data[0] == 0; serial.len--)
        serial.data++;
    if (serial.len > EW_MAX_SERIAL / 2)
        return false;
    ew_hex_encode(serial.data, serial.len, hex);
    while (at[0] == '0' && at[1] != '\0')
        at++;
    memcpy(out, at, strlen(at) + 1);
    return true;
}

bool
ew_x509_identify(struct ew_blob cert, struct ew_cert_id *out)
{
    struct ew_blob serial, spki;

    return find(cert, &serial, &spki) && write_serial(serial, out->serial) &&
           ew_spki_sha256(spki, out->spki_sha256);
}

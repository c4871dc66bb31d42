/*
 * How often a PKCS#12 wants its PIN hashed, before it is done: whoever made it says so, and two
 * thousand million times would keep a thread for minutes, and whoever waits for that thread.
 */
#include <openssl/pkcs12.h>

#include "x509_private.h"

/* Takes a part's rounds from what is left. */
static bool
spend(const ASN1_INTEGER *rounds, int64_t *left)
{
    int64_t count = 0;

    if (ASN1_INTEGER_get_int64(&count, rounds) != 1 || count < 0 || count > EW_MAX_ROUNDS)
        return false;
    *left -= count;
    return *left >= 0;
}

/* A function of the PIN that has no such number, as scrypt, is refused: it can be as slow. */
static bool
function_fits(const X509_ALGOR *function, int64_t *left)
{
    PBKDF2PARAM *param = NULL;
    bool fits = false;

    if (OBJ_obj2nid(function->algorithm) == NID_id_pbkdf2)
        param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), function->parameter);
    if (param != NULL)
        fits = spend(param->iter, left);
    PBKDF2PARAM_free(param);
    return fits;
}

static bool
algorithm_fits(const X509_ALGOR *algorithm, int64_t *left)
{
    int nid = OBJ_obj2nid(algorithm->algorithm);
    PBE2PARAM *newer = NULL;
    PBEPARAM *older = NULL;
    bool fits = false;

    if (nid == NID_pbes2 || nid == NID_pbmac1) /* of the same shape */
        newer = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);
    else
        older = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
    if (newer != NULL)
        fits = function_fits(newer->keyfunc, left);
    else if (older != NULL)
        fits = spend(older->iter, left);
    PBE2PARAM_free(newer);
    PBEPARAM_free(older);
    return fits;
}

static bool
mac_fits(const PKCS12 *p12, int64_t *left)
{
    const ASN1_INTEGER *rounds = NULL;
    const X509_ALGOR *algorithm = NULL;

    if (!PKCS12_mac_present(p12))
        return true;
    PKCS12_get0_mac(NULL, &algorithm, NULL, &rounds, p12);
    if (OBJ_obj2nid(algorithm->algorithm) == NID_pbmac1)
        return algorithm_fits(algorithm, left);
    return rounds == NULL || spend(rounds, left); /* none = 1 */
}

/* NULL = none of them can be read, which whoever opens it will say. */
static bool
bags_fit(const STACK_OF(PKCS12_SAFEBAG) * bags, int64_t *left)
{
    bool fit = true;

    for (int i = 0; fit && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        const X509_ALGOR *algorithm = NULL;

        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_pkcs8ShroudedKeyBag:
            X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, NULL);
            fit = algorithm_fits(algorithm, left);
            break;
        case NID_safeContentsBag:
            fit = false; /* bags in bags: nobody makes them */
            break;
        default:
            break;
        }
    }
    return fit;
}

static bool
safe_fits(PKCS7 *safe, const char *pin, int64_t *left)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    bool fits;

    if (safe->d.ptr == NULL) /* of any type: its content is optional */
        return false;
    if (PKCS7_type_is_encrypted(safe)) {
        if (!algorithm_fits(safe->d.encrypted->enc_data->algorithm, left))
            return false;
        if (pin != NULL)
            bags = PKCS12_unpack_p7encdata(safe, pin, -1);
    } else if (PKCS7_type_is_data(safe)) {
        bags = PKCS12_unpack_p7data(safe);
    }
    fits = bags_fit(bags, left);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return fits;
}

bool
ew_p12_rounds_fit(const PKCS12 *p12, const char *pin)
{
    STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
    int64_t left = EW_MAX_ROUNDS_ALL;
    bool fit = mac_fits(p12, &left);

    for (int i = 0; fit && i < sk_PKCS7_num(safes); i++)
        fit = safe_fits(sk_PKCS7_value(safes, i), pin, &left);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return fit;
}

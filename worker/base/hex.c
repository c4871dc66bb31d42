/*
 * Hexadecimal and base64.
 */
#include "base/hex.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
ew_hex_encode(const uint8_t *data, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[data[i] >> 4];
        out[2 * i + 1] = hex_digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum ew_fault
ew_hex_decode(const char *text, uint8_t *out, size_t len)
{
    if (strlen(text) != 2 * len)
        return EW_REJECT;
    for (size_t i = 0; i < len; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return EW_REJECT;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return EW_OK;
}

void
ew_base64_encode(const uint8_t *data, size_t len, struct ew_buf *out)
{
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16 | (have > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (have > 2 ? data[i + 2] : 0);
        char four[4] = {base64_digits[bits >> 18], base64_digits[bits >> 12 & 63],
                        (char)(have > 1 ? base64_digits[bits >> 6 & 63] : '='),
                        (char)(have > 2 ? base64_digits[bits & 63] : '=')};

        ew_buf_put(out, four, sizeof(four));
    }
}

static int
base64_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);

    return at == NULL ? -1 : (int)(at - base64_digits);
}

enum ew_fault
ew_base64_decode(const char *text, size_t len, struct ew_buf *out)
{
    uint32_t bits = 0;
    unsigned have = 0, padding = 0;

    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text[i]);

        if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')
            continue;
        if (text[i] == '=' && have + padding >= 2 && padding < 2) {
            padding++;
            continue;
        }
        if (value < 0 || padding > 0)
            return EW_REJECT;
        bits = bits << 6 | (uint32_t)value;
        if (++have == 4) {
            uint8_t three[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};

            ew_buf_put(out, three, sizeof(three));
            bits = 0;
            have = 0;
        }
    }
    if (have == 1 || (padding > 0 && have + padding != 4) || (padding == 0 && have != 0))
        return EW_REJECT;
    if (have == 2)
        ew_buf_putc(out, (char)(bits >> 4 & 255));
    if (have == 3) {
        ew_buf_putc(out, (char)(bits >> 10 & 255));
        ew_buf_putc(out, (char)(bits >> 2 & 255));
    }
    return EW_OK;
}

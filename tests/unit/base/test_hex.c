/*
 * Hexadecimal and base64: the RFC's vectors, round trips of every length, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"

static void
test_hex(void **state)
{
    const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    uint8_t back[6];
    char text[13];

    (void)state;
    ew_hex_encode(bytes, sizeof(bytes), text);
    assert_string_equal(text, "00017f80feff");
    assert_int_equal(ew_hex_decode("00017F80fEfF", back, sizeof(back)), EW_OK);
    assert_memory_equal(back, bytes, sizeof(bytes));
    assert_int_equal(ew_hex_decode("", back, 0), EW_OK);
    assert_int_equal(ew_hex_decode("00017f80fef", back, sizeof(back)), EW_REJECT);
    assert_int_equal(ew_hex_decode("00017f80feff0", back, sizeof(back)), EW_REJECT);
    assert_int_equal(ew_hex_decode("00017f80fe/f", back, sizeof(back)), EW_REJECT);
    assert_int_equal(ew_hex_decode("00017f80feg0", back, sizeof(back)), EW_REJECT);
    assert_int_equal(ew_hex_decode(" 0017f80feff", back, sizeof(back)), EW_REJECT);
}

static void
decodes(const char *text, size_t len, const void *bytes, size_t count)
{
    struct ew_buf out;

    ew_buf_init(&out, 1000);
    assert_int_equal(ew_base64_decode(text, len, &out), EW_OK);
    assert_int_equal(out.len, count);
    assert_memory_equal(ew_buf_text(&out), bytes, count);
    ew_buf_deinit(&out);
}

static void
test_base64_vectors(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    struct ew_buf out;

    (void)state;
    ew_buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ew_buf_clear(&out);
        ew_base64_encode((const uint8_t *)rows[i][0], strlen(rows[i][0]), &out);
        assert_string_equal(ew_buf_text(&out), rows[i][1]);
        decodes(rows[i][1], strlen(rows[i][1]), rows[i][0], strlen(rows[i][0]));
    }
    ew_buf_deinit(&out);
    decodes("Zm9v\r\n Ym\tFy \n", 14, "foobar", 6);
    decodes("Z g = =", 7, "f", 1);
}

static void
test_base64_round_trip(void **state)
{
    uint8_t bytes[256];
    struct ew_buf out;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    ew_buf_init(&out, 1000);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        ew_buf_clear(&out);
        ew_base64_encode(bytes, len, &out);
        assert_int_equal(out.len, (len + 2) / 3 * 4);
        decodes(ew_buf_text(&out), out.len, bytes, len);
    }
    ew_buf_deinit(&out);
}

static void
test_base64_refusals(void **state)
{
    static const char *const rows[] = {"Z",     "Zg",         "Zg=",     "Zg===", "Zm9v=", "=",
                                       "====",  "Zm8==",      "Zg==Z",   "Z=g=",  "Zm9-",  "Zm9_",
                                       "Zm9v!", "\xc3\xa4Zg", "Zm9vYg=", "Zm9vZ"};
    struct ew_buf out;

    (void)state;
    ew_buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (ew_base64_decode(rows[i], strlen(rows[i]), &out) != EW_REJECT)
            fail_msg("%s was taken", rows[i]);
    assert_int_equal(ew_base64_decode("Zm\0v", 4, &out), EW_REJECT);
    ew_buf_deinit(&out);
    ew_buf_init(&out, 2);
    assert_int_equal(ew_base64_decode("Zm9v", 4, &out), EW_OK); /* the buffer tells */
    assert_true(out.overflowed);
    ew_buf_deinit(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_base64_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Proof of the SOAP writer: shape on the wire, escaping, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "soap/write.h"

#define NS "https://system.globalsign.com/cr/ws/"
#define HEAD                                                                                       \
    "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" "               \
    "xmlns:ws=\"" NS "\"><soapenv:Body>"
#define TAIL "</soapenv:Body></soapenv:Envelope>"

static void
test_shape(void **state)
{
    struct ew_soap_writer w;
    struct ew_buf out;

    (void)state;
    ew_buf_init_secret(&out, 1000);
    ew_soap_begin(&w, &out, NS, "Cancel");
    ew_soap_open(&w, "Request");
    ew_soap_text(&w, "OrderID", "CEPS1");
    ew_soap_text_if(&w, "UPN", NULL);
    ew_soap_text_if(&w, "SID", "");
    ew_soap_text(&w, "Empty", NULL);
    ew_soap_int(&w, "Year", -1);
    ew_soap_true(&w, "EFSOption");
    ew_soap_close(&w);
    assert_int_equal(ew_soap_end(&w, NULL), EW_OK);
    assert_string_equal(ew_buf_text(&out), HEAD
                        "<ws:Cancel><Request><OrderID>CEPS1</OrderID><Empty></Empty>"
                        "<Year>-1</Year><EFSOption>true</EFSOption></Request></ws:Cancel>" TAIL);
    ew_buf_deinit(&out);
}

/* What becomes of one text: NULL = refused. Freed by the caller. */
static char *
written(const char *text, bool lines)
{
    struct ew_soap_writer w;
    struct ew_buf out;
    struct ew_err err;
    char *result = NULL;

    ew_buf_init(&out, 1000);
    ew_soap_begin(&w, &out, NS, "o");
    if (lines)
        ew_soap_lines(&w, "t", text);
    else
        ew_soap_text(&w, "t", text);
    if (ew_soap_end(&w, &err) == EW_OK) {
        const char *start = strstr(ew_buf_text(&out), "<t>") + 3;

        result = strndup(start, (size_t)(strstr(start, "</t>") - start));
    } else {
        assert_int_equal(err.fault, EW_REJECT);
        assert_string_equal(err.problem, "soap-text");
        assert_string_equal(err.field, "t");
    }
    ew_buf_deinit(&out);
    return result;
}

static void
expect(const char *text, bool lines, const char *wanted)
{
    char *got = written(text, lines);

    if (wanted)
        assert_string_equal(got, wanted);
    else
        assert_null(got);
    free(got);
}

static void
test_escaping(void **state)
{
    (void)state;
    expect("a<b>&\"c'd", false, "a&lt;b&gt;&amp;&quot;c&apos;d");
    expect("</t><evil/>", false, "&lt;/t&gt;&lt;evil/&gt;");
    expect("]]>", false, "]]&gt;");
    expect("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x94\x91", false,
           "J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x94\x91");
    expect("\xf4\x8f\xbf\xbd", false, "\xf4\x8f\xbf\xbd"); /* the last plane */
    expect("a\r\nb\tc", true, "a&#13;\nb\tc");
}

static void
test_refused_text(void **state)
{
    static const char *const bad[] = {
        "a\nb", /* a line end where there is none */
        "a\tb",
        "\x01",
        "\x1b[31m",
        "\x7f",
        "\xc2\x85", /* a C1 control */
        "\x80",     /* a tail without a head */
        "\xc3",     /* a head without a tail */
        "\xe2\x82",
        "\xc0\xaf", /* longer than needed */
        "\xe0\x80\xaf",
        "\xf0\x80\x80\xaf",
        "\xed\xa0\x80",     /* half a surrogate pair */
        "\xef\xbf\xbe",     /* not a character */
        "\xf4\x90\x80\x80", /* beyond the last plane */
        "\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(bad[i], false, NULL);
    for (size_t i = 2; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(bad[i], true, NULL);
}

static void
test_first_bad_field_is_named_and_misuse_is_a_bug(void **state)
{
    struct ew_soap_writer w;
    struct ew_buf out;
    struct ew_err err;

    (void)state;
    ew_buf_init(&out, 1000);
    ew_soap_begin(&w, &out, NS, "o");
    ew_soap_text(&w, "CommonName", "\x01");
    ew_soap_text(&w, "Email", "\x02");
    assert_int_equal(ew_soap_end(&w, &err), EW_REJECT);
    assert_string_equal(err.field, "CommonName");
    assert_null(strchr(err.detail, '\x01'));

    ew_buf_clear(&out);
    ew_soap_begin(&w, &out, NS, "o");
    ew_soap_open(&w, "a");
    assert_int_equal(ew_soap_end(&w, &err), EW_BUG); /* one left open */

    ew_buf_clear(&out);
    ew_soap_begin(&w, &out, NS, "o");
    ew_soap_close(&w);
    assert_int_equal(ew_soap_end(&w, &err), EW_BUG); /* one closed too often */

    ew_buf_clear(&out);
    ew_soap_begin(&w, &out, NS, "o");
    for (int i = 0; i < 100; i++)
        ew_soap_open(&w, "deep");
    assert_int_equal(ew_soap_end(&w, &err), EW_BUG);
    ew_buf_deinit(&out);

    ew_buf_init(&out, 300);
    ew_soap_begin(&w, &out, NS, "o");
    for (int i = 0; i < 100; i++)
        ew_soap_text(&w, "a", "too long for the buffer");
    assert_int_equal(ew_soap_end(&w, &err), EW_BUG);
    ew_buf_deinit(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_refused_text),
        cmocka_unit_test(test_first_bad_field_is_named_and_misuse_is_a_bug),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

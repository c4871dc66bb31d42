/*
 * The writer: text goes through one escaping function and nothing else reaches the buffer from
 * outside.
 */
#include "soap/write.h"

#include <stdint.h>
#include <string.h>

/* Length of the UTF-8 sequence at p, 0 if there is no valid one that XML can carry as text. */
static size_t
sequence(const unsigned char *p, bool lines)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code;
    size_t len;

    if (p[0] < 0x80)
        return (p[0] >= 0x20 && p[0] != 0x7f) ||
               (lines && (p[0] == '\t' || p[0] == '\n' || p[0] == '\r'));
    if ((p[0] & 0xe0) == 0xc0)
        len = 2, code = p[0] & 0x1fU;
    else if ((p[0] & 0xf0) == 0xe0)
        len = 3, code = p[0] & 0x0fU;
    else if ((p[0] & 0xf8) == 0xf0)
        len = 4, code = p[0] & 0x07U;
    else
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0; /* also at the NUL that ends the text */
        code = code << 6 | (p[i] & 0x3fU);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
        (code >= 0x80 && code <= 0x9f) || code == 0xfffe || code == 0xffff)
        return 0;
    return len;
}

static const char *
entity(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\r':
        return "&#13;"; /* a bare one would be read as a line feed */
    default:
        return NULL;
    }
}

static bool
put_escaped(struct ew_buf *out, const char *text, bool lines)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p) {
        size_t len = sequence(p, lines);
        const char *escaped = entity(*p);

        if (len == 0)
            return false;
        if (escaped)
            ew_buf_puts(out, escaped);
        else
            ew_buf_put(out, p, len);
        p += len;
    }
    return true;
}

static void
put_tag(struct ew_soap_writer *writer, const char *before, const char *name)
{
    ew_buf_puts(writer->out, before);
    ew_buf_puts(writer->out, name);
    ew_buf_putc(writer->out, '>');
}

static void
put_element(struct ew_soap_writer *writer, const char *name, const char *text, bool lines)
{
    put_tag(writer, "<", name);
    if (text && !put_escaped(writer->out, text, lines) && writer->bad_field == NULL)
        writer->bad_field = name;
    put_tag(writer, "</", name);
}

void
ew_soap_begin(struct ew_soap_writer *writer, struct ew_buf *out, const char *ns,
              const char *operation)
{
    *writer = (struct ew_soap_writer){.out = out};
    ew_buf_puts(out, "<soapenv:Envelope"
                     " xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:ws=\"");
    if (!put_escaped(out, ns, false))
        writer->bad_field = "namespace";
    ew_buf_puts(out, "\"><soapenv:Body>");
    put_tag(writer, "<ws:", operation);
    writer->open[writer->depth++] = operation;
}

void
ew_soap_open(struct ew_soap_writer *writer, const char *name)
{
    if (writer->depth == EW_SOAP_MAX_OPEN) {
        writer->misused = true;
        return;
    }
    writer->open[writer->depth++] = name;
    put_tag(writer, "<", name);
}

void
ew_soap_close(struct ew_soap_writer *writer)
{
    if (writer->depth <= 1) { /* the operation is closed by ew_soap_end */
        writer->misused = true;
        return;
    }
    put_tag(writer, "</", writer->open[--writer->depth]);
}

void
ew_soap_text(struct ew_soap_writer *writer, const char *name, const char *text)
{
    put_element(writer, name, text, false);
}

void
ew_soap_text_if(struct ew_soap_writer *writer, const char *name, const char *text)
{
    if (text && *text)
        put_element(writer, name, text, false);
}

void
ew_soap_lines(struct ew_soap_writer *writer, const char *name, const char *text)
{
    put_element(writer, name, text, true);
}

void
ew_soap_int(struct ew_soap_writer *writer, const char *name, int value)
{
    put_tag(writer, "<", name);
    ew_buf_printf(writer->out, "%d", value);
    put_tag(writer, "</", name);
}

void
ew_soap_true(struct ew_soap_writer *writer, const char *name)
{
    put_element(writer, name, "true", false);
}

enum ew_fault
ew_soap_end(struct ew_soap_writer *writer, struct ew_err *err)
{
    if (writer->depth != 1)
        writer->misused = true;
    put_tag(writer, "</ws:", writer->open[0]);
    ew_buf_puts(writer->out, "</soapenv:Body></soapenv:Envelope>");
    if (writer->bad_field)
        return ew_fail_field(
            err, EW_REJECT, "soap-text", writer->bad_field, "send UTF-8 without control characters",
            "%s is not valid UTF-8 or holds a control character", writer->bad_field);
    if (writer->misused || writer->out->overflowed)
        return ew_fail(err, EW_BUG, "soap-write", "request %s: %s", writer->open[0],
                       writer->misused ? "elements do not pair" : "too long");
    return EW_OK;
}

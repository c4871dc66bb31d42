/*
 * The writer of answers. Bytes that XML cannot carry are left out.
 */
#include "soap_out.h"

#include "schema.h"

#include <stdio.h>
#include <string.h>

#define SOAP_OPEN                                                                                  \
    "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>"
#define SOAP_CLOSE "</soap:Body></soap:Envelope>"

void
sim_xml_escape(struct sim_buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            sim_buf_text(out, "&amp;");
            break;
        case '<':
            sim_buf_text(out, "&lt;");
            break;
        case '>':
            sim_buf_text(out, "&gt;");
            break;
        case '"':
            sim_buf_text(out, "&quot;");
            break;
        case '\r':
            sim_buf_text(out, "&#xD;");
            break;
        default:
            if ((unsigned char)*text >= 0x20 || *text == '\n' || *text == '\t') {
                sim_buf_add(out, text, 1);
            }
        }
    }
}

void
sim_answer_start(struct sim_answer *answer, const char *name)
{
    sim_buf_printf(answer->out, "<%s>", name);
}

void
sim_answer_end(struct sim_answer *answer, const char *name)
{
    sim_buf_printf(answer->out, "</%s>", name);
}

void
sim_answer_text(struct sim_answer *answer, const char *name, const char *text)
{
    if (text && *text) {
        sim_answer_start(answer, name);
        sim_xml_escape(answer->out, text);
        sim_answer_end(answer, name);
        return;
    }
    switch ((enum sim_unset)answer->settings->empty) {
    case SIM_UNSET_NIL:
        sim_buf_printf(answer->out,
                       "<%s xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                       "xsi:nil=\"true\"/>",
                       name);
        break;
    case SIM_UNSET_EMPTY:
        sim_buf_printf(answer->out, "<%s/>", name);
        break;
    case SIM_UNSET_ABSENT:
        break;
    }
}

void
sim_answer_number(struct sim_answer *answer, const char *name, long long number)
{
    sim_buf_printf(answer->out, "<%s>%lld</%s>", name, number, name);
}

void
sim_answer_date(struct sim_answer *answer, const char *name, int64_t ms)
{
    char text[40] = "";
    if (ms) {
        sim_time_iso(ms, answer->settings->utc_offset_min, text);
    }
    sim_answer_text(answer, name, text);
}

static void
sim_answer_errors(struct sim_answer *answer, const struct sim_errors *errors)
{
    if (!errors || !errors->count) {
        sim_buf_text(answer->out, "<Errors/>");
        return;
    }
    sim_answer_start(answer, "Errors");
    for (size_t i = 0; i < errors->count; i++) {
        const struct sim_error *error = &errors->item[i];
        sim_answer_start(answer, "Error");
        sim_answer_number(answer, "ErrorCode", error->code);
        if (error->field[0]) {
            sim_answer_text(answer, "ErrorField", error->field);
        }
        sim_answer_text(answer, "ErrorMessage", sim_error_text(error->code));
        sim_answer_end(answer, "Error");
    }
    sim_answer_end(answer, "Errors");
}

static void
sim_answer_timestamp(struct sim_answer *answer)
{
    char text[40];
    sim_time_iso(sim_now_ms(answer->settings), answer->settings->utc_offset_min, text);
    if (answer->settings->timestamp_12h) {
        int hour = (text[11] - '0') * 10 + (text[12] - '0');
        hour = hour % 12 ? hour % 12 : 12;
        text[11] = (char)('0' + hour / 10);
        text[12] = (char)('0' + hour % 10);
    }
    sim_answer_text(answer, "Timestamp", text);
}

void
sim_answer_open(struct sim_answer *answer, struct sim_buf *out, const struct sim_settings *settings,
                enum sim_op op, int success, const struct sim_errors *errors)
{
    const struct sim_op_info *info = sim_op_info(op);
    const char *header = info->header;
    if (info->kind == SIM_KIND_QUERY && settings->query_header == SIM_HEADER_ORDER) {
        header = "OrderResponseHeader";
    }
    *answer = (struct sim_answer){.out = out, .settings = settings, .op = op};
    sim_buf_printf(out, SOAP_OPEN "<ns2:%sResponse xmlns:ns2=\"" SIM_NAMESPACE "\"><Response><%s>",
                   info->name, header);
    sim_answer_number(answer, "SuccessCode", success);
    sim_answer_errors(answer, errors);
    sim_answer_timestamp(answer);
    sim_answer_end(answer, header);
}

void
sim_answer_close(struct sim_answer *answer)
{
    sim_buf_printf(answer->out, "</Response></ns2:%sResponse>" SOAP_CLOSE,
                   sim_op_info(answer->op)->name);
}

void
sim_fault_write(struct sim_buf *out, const char *code, const char *text)
{
    sim_buf_printf(out, SOAP_OPEN "<soap:Fault><faultcode>%s</faultcode><faultstring>", code);
    sim_xml_escape(out, text);
    sim_buf_text(out, "</faultstring></soap:Fault>" SOAP_CLOSE);
}

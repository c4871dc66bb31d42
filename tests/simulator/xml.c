/*
 * libxml2 goes on after a mistake to find more of them, and some releases take quadratic time at
 * that, or for the attributes of one element. One hostile request must not stop the loop thread.
 */
#include "xml.h"

#include <libxml/parser.h>
#include <string.h>

enum { ATTRIBUTES_MAX = 500 }; /* Apache CXF's default */

/* Behind the closing of what begins at `at` (a comment, CDATA, an instruction); NULL: none such. */
static const char *
sim_xml_skip(const char *at, const char *end)
{
    static const char *const pairs[][2] = {{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};
    for (size_t i = 0; i < 3; i++) {
        size_t open = strlen(pairs[i][0]);
        size_t close = strlen(pairs[i][1]);
        if ((size_t)(end - at) < open || memcmp(at, pairs[i][0], open) != 0) {
            continue;
        }
        const char *stop = memmem(at + open, (size_t)(end - at) - open, pairs[i][1], close);
        return stop ? stop + close : end;
    }
    return NULL;
}

/* Counts the attributes of the tag at `at`, which ends at *after. */
static size_t
sim_xml_attributes(const char *at, const char *end, const char **after)
{
    size_t count = 0;
    char quote = 0;
    for (; at < end && (quote || *at != '>'); at++) {
        if (quote) {
            quote = *at == quote ? 0 : quote;
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        } else {
            count += *at == '=';
        }
    }
    *after = at;
    return count;
}

static bool
sim_xml_light(const char *text, size_t len)
{
    const char *end = text + len;
    for (const char *at = text; at && at < end; at = memchr(at, '<', (size_t)(end - at))) {
        const char *after = sim_xml_skip(at, end);
        if (!after && sim_xml_attributes(at, end, &after) > ATTRIBUTES_MAX) {
            return false;
        }
        at = after;
    }
    return true;
}

struct sim_xml_state {
    bool bad, dtd;
};

static void
sim_xml_mistake(xmlParserCtxtPtr parser, const xmlError *error)
{
    if (error->level >= XML_ERR_ERROR) {
        struct sim_xml_state *state = parser->_private;
        state->bad = true; /* a prefix that nobody declared counts as well */
        xmlStopParser(parser);
    }
}

/* libxml2 made the error const in 2.12. */
#if LIBXML_VERSION < 21200
static void
sim_xml_mistaken(void *context, xmlErrorPtr error)
#else
static void
sim_xml_mistaken(void *context, const xmlError *error)
#endif
{
    sim_xml_mistake(context, error);
}

/* Stops before the first declaration is read. */
static void
sim_xml_dtd(void *context, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name;
    (void)external;
    (void)system;
    xmlParserCtxtPtr parser = context;
    struct sim_xml_state *state = parser->_private;
    state->dtd = state->bad = true;
    xmlStopParser(parser);
}

xmlDocPtr
sim_xml_read(const char *text, size_t len, bool *dtd)
{
    struct sim_xml_state state = {false, false};
    xmlParserCtxtPtr parser = sim_xml_light(text, len) ? xmlNewParserCtxt() : NULL;
    *dtd = false;
    if (!parser) {
        return NULL;
    }
    parser->_private = &state;
    parser->sax->serror = sim_xml_mistaken;
    parser->sax->internalSubset = sim_xml_dtd;
    xmlDocPtr doc =
        xmlCtxtReadMemory(parser, text, (int)len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOCDATA);
    xmlFreeParserCtxt(parser);
    *dtd = state.dtd;
    if (state.bad) {
        xmlFreeDoc(doc);
        doc = NULL;
    }
    return doc;
}

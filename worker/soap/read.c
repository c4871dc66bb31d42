/*
 * The parser's frame: limits while parsing, one document or one error. What is found in it is the
 * getters' (node.c). Never a second look at bytes that failed.
 */
#include <ctype.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "base/memory.h"
#include "read_private.h"

/* What a SAX callback remembers; the parser's own state says only that it was stopped. */
struct guard {
    startElementNsSAX2Func start;
    size_t elements;
    bool dtd;
    bool limit;
};

/* SOAP forbids a DTD, so one is proof of a wrong or hostile peer: stop at it, before any entity
 * is declared. */
static void
on_dtd(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxtPtr parser = ctx;
    struct guard *guard = parser->_private;

    (void)name, (void)external, (void)system;
    guard->dtd = true;
    xmlStopParser(parser);
}

static void
on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int ns_count,
         const xmlChar **namespaces, int attribute_count, int defaulted, const xmlChar **attributes)
{
    xmlParserCtxtPtr parser = ctx;
    struct guard *guard = parser->_private;

    if (++guard->elements > EW_MAX_SOAP_ELEMENTS || parser->nodeNr >= EW_MAX_SOAP_DEPTH ||
        attribute_count > EW_MAX_SOAP_ATTRIBUTES || ns_count > EW_MAX_SOAP_ATTRIBUTES) {
        guard->limit = true;
        xmlStopParser(parser);
        return;
    }
    guard->start(ctx, name, prefix, uri, ns_count, namespaces, attribute_count, defaulted,
                 attributes);
}

static bool
looks_like_html(const char *data, size_t len)
{
    static const char *const heads[] = {"<!doctype html", "<html"};

    while (len > 0 && isspace((unsigned char)*data))
        data++, len--;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (len >= strlen(heads[i]) && strncasecmp(data, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

static bool
is_blank(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isspace((unsigned char)data[i]))
            return false;
    return true;
}

static enum ew_fault
check_bytes(const char *data, size_t len, struct ew_err *err)
{
    if (len > EW_MAX_REPLY)
        return ew_fail(err, EW_REJECT, "soap-limit", "reply of %zu bytes", len);
    if (is_blank(data, len))
        return ew_fail(err, EW_REJECT, "soap-empty", "reply without a body");
    if (looks_like_html(data, len))
        return ew_fail(err, EW_REJECT, "soap-html", "reply is an HTML page");
    /* libxml2 takes a NUL after the root for the end and never sees what is behind it. */
    if (memchr(data, '\0', len))
        return ew_fail(err, EW_REJECT, "soap-malformed", "reply holds a NUL");
    return EW_OK;
}

static enum ew_fault
parse_fault(xmlParserCtxtPtr parser, const struct guard *guard, struct ew_err *err)
{
    const xmlError *last = xmlCtxtGetLastError(parser);

    if (guard->dtd)
        return ew_fail(err, EW_REJECT, "soap-dtd", "reply holds a DTD");
    if (guard->limit)
        return ew_fail(err, EW_REJECT, "soap-limit", "reply too deep or with too many elements");
    return ew_fail(err, EW_REJECT, "soap-malformed", "line %d: %s", last ? last->line : 0,
                   last && last->message ? last->message : "not well-formed");
}

static enum ew_fault
parse(const char *data, size_t len, xmlDocPtr *out, struct ew_err *err)
{
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    struct guard guard = {0};
    enum ew_fault fault = EW_OK;
    xmlDocPtr xml;

    if (parser == NULL)
        abort(); /* as all of its memory */
    guard.start = parser->sax->startElementNs;
    parser->_private = &guard;
    parser->sax->internalSubset = on_dtd;
    parser->sax->externalSubset = on_dtd;
    parser->sax->startElementNs = on_start;
    /* Dropped, so that a text interrupted by one is still one text. */
    parser->sax->comment = NULL;
    parser->sax->processingInstruction = NULL;
    xml = xmlCtxtReadMemory(parser, data, (int)len, NULL, NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                XML_PARSE_NOCDATA);
    if (xml == NULL || guard.dtd || guard.limit || !parser->wellFormed || !parser->nsWellFormed) {
        fault = parse_fault(parser, &guard, err);
        xmlFreeDoc(xml);
    } else {
        *out = xml;
    }
    xmlFreeParserCtxt(parser);
    return fault;
}

/* The one element child; NULL if there is none or another one. */
static xmlNodePtr
only_element(xmlNodePtr parent)
{
    xmlNodePtr found = NULL;

    for (xmlNodePtr node = parent->children; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        if (found)
            return NULL;
        found = node;
    }
    return found;
}

static xmlNodePtr
find_answer(xmlDocPtr xml)
{
    xmlNodePtr root = xmlDocGetRootElement(xml), body = NULL;

    if (root == NULL || !ew_soap_is(root, "Envelope"))
        return NULL;
    for (xmlNodePtr node = root->children; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE || !ew_soap_is(node, "Body"))
            continue;
        if (body)
            return NULL;
        body = node;
    }
    return body ? only_element(body) : NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* libxml2 that finds no memory passes over what it has no room for, and calls the rest well-formed:
 * an order's reply without its certificate, a list of orders without ours. */
static void
init(void)
{
    (void)xmlMemSetup(free, ew_malloc, ew_realloc, ew_strdup);
    xmlInitParser();
}

enum ew_fault
ew_soap_read(const void *data, size_t len, struct ew_soap_doc **out, struct ew_err *err)
{
    struct ew_soap_doc *doc;
    enum ew_fault fault = check_bytes(data, len, err);

    if (fault != EW_OK)
        return fault;
    pthread_once(&once, init);
    doc = ew_calloc(1, sizeof(*doc));
    fault = parse(data, len, &doc->xml, err);
    if (fault == EW_OK && (doc->answer = find_answer(doc->xml)) == NULL)
        fault = ew_fail(err, EW_REJECT, "soap-envelope", "reply is XML, but no SOAP answer");
    if (fault != EW_OK) {
        ew_soap_free(doc);
        return fault;
    }
    doc->texts = ew_arena_new((size_t)EW_MAX_REPLY * 2);
    *out = doc;
    return EW_OK;
}

void
ew_soap_free(struct ew_soap_doc *doc)
{
    if (doc == NULL)
        return;
    xmlFreeDoc(doc->xml);
    ew_arena_free(doc->texts);
    free(doc);
}

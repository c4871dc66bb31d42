/*
 * The order of the checks is CXF's: media and action, XML, envelope, headers, dispatch, shape,
 * schema. What it refuses here never reaches the business code.
 */
#include "soap_in.h"

#include "buf.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_11 "http://schemas.xmlsoap.org/soap/envelope/"
#define ENVELOPE_12 "http://www.w3.org/2003/05/soap-envelope"
#define XSI "http://www.w3.org/2001/XMLSchema-instance"

static bool
sim_soap_fault(struct sim_soap *soap, const char *code, const char *text)
{
    (void)snprintf(soap->fault_code, sizeof(soap->fault_code), "soap:%s", code);
    sim_put(soap->fault_text, sizeof(soap->fault_text), text);
    return false;
}

static bool
sim_is(xmlNodePtr node, const char *uri, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns &&
           strcmp((const char *)node->ns->href, uri) == 0 &&
           strcmp((const char *)node->name, name) == 0;
}

static xmlNodePtr
sim_first_element(xmlNodePtr node)
{
    while (node && node->type != XML_ELEMENT_NODE) {
        node = node->next;
    }
    return node;
}

static bool
sim_soap_action(struct sim_soap *soap, const struct sim_http_request *http)
{
    if (!http->has_soap_action || !http->soap_action[0] || strcmp(http->soap_action, "\"\"") == 0) {
        return true;
    }
    return sim_soap_fault(soap, "Server", "The given SOAPAction does not match an operation.");
}

static bool
sim_soap_xml(struct sim_soap *soap, const struct sim_http_request *http)
{
    const struct sim_buf *body = &http->body;
    bool dtd = false;
    soap->doc = body->len ? sim_xml_read(body->data, body->len, &dtd) : NULL;
    if (dtd) {
        return sim_soap_fault(soap, "Client",
                              "Error reading XMLStreamReader: Received event DTD, instead of "
                              "START_ELEMENT or END_ELEMENT.");
    }
    if (!soap->doc || !xmlDocGetRootElement(soap->doc)) {
        return sim_soap_fault(soap, "Client", "Error reading XMLStreamReader.");
    }
    return true;
}

static bool
sim_soap_headers(struct sim_soap *soap, xmlNodePtr header)
{
    for (xmlNodePtr at = header->children; at; at = at->next) {
        if (at->type != XML_ELEMENT_NODE) {
            continue;
        }
        xmlChar *must =
            xmlGetNsProp(at, (const xmlChar *)"mustUnderstand", (const xmlChar *)ENVELOPE_11);
        bool refused =
            must && (strcmp((char *)must, "1") == 0 || strcmp((char *)must, "true") == 0);
        xmlFree(must);
        if (refused) {
            return sim_soap_fault(soap, "MustUnderstand",
                                  "MustUnderstand headers are not understood.");
        }
    }
    return true;
}

/* Finds the first element of the Body. */
static bool
sim_soap_envelope(struct sim_soap *soap, xmlNodePtr *operation)
{
    xmlNodePtr root = xmlDocGetRootElement(soap->doc);
    if (sim_is(root, ENVELOPE_12, "Envelope")) {
        return sim_soap_fault(soap, "VersionMismatch",
                              "A SOAP 1.2 message is not valid when sent to a SOAP 1.1 only "
                              "endpoint.");
    }
    if (!sim_is(root, ENVELOPE_11, "Envelope")) {
        return sim_soap_fault(soap, "Client", "The root element is no SOAP envelope.");
    }
    xmlNodePtr at = sim_first_element(root->children);
    if (at && sim_is(at, ENVELOPE_11, "Header")) {
        if (!sim_soap_headers(soap, at)) {
            return false;
        }
        at = sim_first_element(at->next);
    }
    if (!at || !sim_is(at, ENVELOPE_11, "Body")) {
        return sim_soap_fault(soap, "Client", "The envelope has no Body.");
    }
    *operation = sim_first_element(at->children);
    if (!*operation) {
        return sim_soap_fault(soap, "Server", "The Body is empty: no operation to dispatch to.");
    }
    return true;
}

static bool
sim_soap_dispatch(struct sim_soap *soap, xmlNodePtr operation)
{
    const char *uri = operation->ns ? (const char *)operation->ns->href : "";
    const char *name = (const char *)operation->name;
    enum sim_op op = strcmp(uri, SIM_NAMESPACE) == 0 ? sim_op_find(name) : SIM_OP_NONE;
    if (op == SIM_OP_NONE) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "Message part {%.90s}%.60s was not recognized. (Does it exist in service "
                       "WSDL?)",
                       uri, name);
        return sim_soap_fault(soap, "Client", text);
    }
    soap->op = op;
    return true;
}

/* What the WSDL does not know, or does not know there. */
static const struct {
    const char *name, *parent, *after; /* after: where it must stand when the order counts */
    bool in_wsdl;
} newer_elements[] = {
    {"SubscriberEmailAddress", "Request", "DnAttributes", false},
    {"SurName", "DnAttributes", "CommonName", false},
    {"GivenName", "DnAttributes", "CommonName", false},
    {"Pseudonym", "DnAttributes", "CommonName", false},
    {"SID", "Request", NULL, true},
    {"SANRFC822EmailAddress", "Request", NULL, true},
};

static bool
sim_newer_placed(xmlNodePtr node, const char *after)
{
    xmlNodePtr before = node->prev;
    while (before && before->type != XML_ELEMENT_NODE) {
        before = before->prev;
    }
    return before && strcmp((const char *)before->name, after) == 0;
}

/* Takes one newer element out, remembering its text. false: it stands in the wrong place. */
static bool
sim_newer_take(struct sim_soap *soap, xmlNodePtr node, const char *parent, enum sim_newer mode)
{
    for (size_t i = 0; i < sizeof(newer_elements) / sizeof(newer_elements[0]); i++) {
        const char *name = newer_elements[i].name;
        if (strcmp((const char *)node->name, name) != 0 || node->ns ||
            strcmp(parent, newer_elements[i].parent) != 0 ||
            (newer_elements[i].in_wsdl && mode == SIM_NEWER_ORDERED)) {
            continue;
        }
        if (mode == SIM_NEWER_ORDERED && !sim_newer_placed(node, newer_elements[i].after)) {
            return false;
        }
        if (soap->newer_count < SIM_SOAP_NEWER_MAX) {
            xmlChar *value = xmlNodeGetContent(node);
            sim_put(soap->newer[soap->newer_count].name, 32, name);
            soap->newer[soap->newer_count++].value = sim_copy((const char *)value);
            xmlFree(value);
        }
        xmlUnlinkNode(node);
        xmlFreeNode(node);
        return true;
    }
    return true;
}

static bool
sim_newer_scan(struct sim_soap *soap, xmlNodePtr parent, enum sim_newer mode)
{
    xmlNodePtr next = NULL;
    for (xmlNodePtr at = parent->children; at; at = next) {
        next = at->next;
        if (at->type != XML_ELEMENT_NODE) {
            continue;
        }
        if (strcmp((const char *)at->name, "DnAttributes") == 0 &&
            !sim_newer_scan(soap, at, mode)) {
            return false;
        }
        if (!sim_newer_take(soap, at, (const char *)parent->name, mode)) {
            return sim_soap_fault(soap, "Client",
                                  "Unmarshalling Error: an element stands in the wrong place.");
        }
    }
    return true;
}

/* On a server of the years before SID and SANRFC822EmailAddress these are unknown elements. */
static bool
sim_newer_refuse(struct sim_soap *soap, xmlNodePtr request)
{
    for (xmlNodePtr at = request->children; at; at = at->next) {
        if (at->type == XML_ELEMENT_NODE &&
            (strcmp((const char *)at->name, "SID") == 0 ||
             strcmp((const char *)at->name, "SANRFC822EmailAddress") == 0)) {
            return sim_soap_fault(soap, "Client", "Unmarshalling Error: unexpected element.");
        }
    }
    return true;
}

static bool
sim_soap_newer(struct sim_soap *soap, enum sim_newer mode)
{
    if (!soap->request || sim_op_info(soap->op)->kind != SIM_KIND_ORDER || mode == SIM_NEWER_OFF) {
        return true;
    }
    return mode == SIM_NEWER_NONE ? sim_newer_refuse(soap, soap->request)
                                  : sim_newer_scan(soap, soap->request, mode);
}

static xmlNodePtr
sim_child_at(xmlNodePtr node, const char *name, size_t len, size_t n)
{
    for (xmlNodePtr at = node->children; at; at = at->next) {
        if (at->type == XML_ELEMENT_NODE && strlen((const char *)at->name) == len &&
            memcmp(at->name, name, len) == 0 && n-- == 0) {
            return at;
        }
    }
    return NULL;
}

static xmlNodePtr
sim_last_child(xmlNodePtr node, const char *name, size_t len)
{
    for (xmlNodePtr at = node->last; at; at = at->prev) {
        if (at->type == XML_ELEMENT_NODE && strlen((const char *)at->name) == len &&
            memcmp(at->name, name, len) == 0) {
            return at;
        }
    }
    return NULL;
}

bool
sim_soap_read(struct sim_soap *soap, const struct sim_schema *schema,
              const struct sim_settings *settings, const struct sim_http_request *http)
{
    memset(soap, 0, sizeof(*soap));
    xmlNodePtr operation = NULL;
    if (!sim_soap_action(soap, http) || !sim_soap_xml(soap, http) ||
        !sim_soap_envelope(soap, &operation) || !sim_soap_dispatch(soap, operation)) {
        return false;
    }
    soap->request = sim_last_child(operation, "Request", 7);
    if (!sim_soap_newer(soap, (enum sim_newer)settings->newer_elements)) {
        return false;
    }
    char problem[300];
    if (!sim_schema_shape(schema, operation, problem, sizeof(problem)) ||
        (settings->validation &&
         !sim_schema_validate(schema, operation, problem, sizeof(problem)))) {
        return sim_soap_fault(soap, "Client", problem);
    }
    sim_schema_disorder(schema, operation, soap->disorder, sizeof(soap->disorder));
    return true;
}

void
sim_soap_free(struct sim_soap *soap)
{
    xmlFreeDoc(soap->doc);
    for (size_t i = 0; i < soap->newer_count; i++) {
        free(soap->newer[i].value);
    }
    while (soap->texts) {
        struct sim_soap_text *next = soap->texts->next;
        /* Passwords and PINs are among them. */
        explicit_bzero(soap->texts->text, strlen(soap->texts->text));
        free(soap->texts);
        soap->texts = next;
    }
    memset(soap, 0, sizeof(*soap));
}

static const char *
sim_soap_text(struct sim_soap *soap, xmlNodePtr node)
{
    xmlChar *nil = xmlGetNsProp(node, (const xmlChar *)"nil", (const xmlChar *)XSI);
    bool is_nil = nil && (strcmp((char *)nil, "true") == 0 || strcmp((char *)nil, "1") == 0);
    xmlFree(nil);
    if (is_nil) {
        return NULL;
    }
    xmlChar *content = xmlNodeGetContent(node);
    size_t len = content ? strlen((const char *)content) : 0;
    struct sim_soap_text *text = sim_alloc(sizeof(*text) + len + 1);
    if (len) {
        memcpy(text->text, content, len);
    }
    xmlFree(content);
    text->next = soap->texts;
    soap->texts = text;
    return text->text;
}

static const char *
sim_newer_get(const struct sim_soap *soap, const char *path)
{
    const char *dot = strrchr(path, '.');
    const char *name = dot ? dot + 1 : path;
    for (size_t i = soap->newer_count; i > 0; i--) {
        if (strcmp(soap->newer[i - 1].name, name) == 0) {
            return soap->newer[i - 1].value;
        }
    }
    return NULL;
}

const char *
sim_soap_get_at(struct sim_soap *soap, const char *path, size_t n)
{
    xmlNodePtr node = soap->request;
    const char *newer = sim_newer_get(soap, path);
    if (newer) {
        return n == 0 ? newer : NULL;
    }
    while (node) {
        size_t len = strcspn(path, ".");
        if (!path[len]) {
            node = sim_child_at(node, path, len, n);
            return node ? sim_soap_text(soap, node) : NULL;
        }
        node = sim_last_child(node, path, len);
        path += len + 1;
    }
    return NULL;
}

const char *
sim_soap_get(struct sim_soap *soap, const char *path)
{
    xmlNodePtr node = soap->request;
    const char *newer = sim_newer_get(soap, path);
    if (newer) {
        return newer;
    }
    while (node) {
        size_t len = strcspn(path, ".");
        node = sim_last_child(node, path, len);
        if (node && !path[len]) {
            return sim_soap_text(soap, node);
        }
        path += len + 1;
    }
    return NULL;
}

static const char *
sim_trimmed(const char *text)
{
    return text ? text + strspn(text, " \t\r\n") : "";
}

bool
sim_soap_flag(struct sim_soap *soap, const char *path)
{
    const char *text = sim_trimmed(sim_soap_get(soap, path));
    size_t len = strcspn(text, " \t\r\n");
    return (len == 4 && memcmp(text, "true", 4) == 0) || (len == 1 && *text == '1');
}

long
sim_soap_number(struct sim_soap *soap, const char *path)
{
    const char *text = sim_trimmed(sim_soap_get(soap, path));
    char *end = NULL;
    long number = strtol(text, &end, 10);
    return *sim_trimmed(end) || number < -1000000 || number > 1000000 ? 0 : number;
}

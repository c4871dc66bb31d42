/*
 * Shapes are read from the same XSD that libxml2 compiles, so the two cannot drift apart.
 */
#include "schema.h"

#include "buf.h"

#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XSI "http://www.w3.org/2001/XMLSchema-instance"

struct sim_child {
    char name[48];
    char type[48]; /* "" for a simple type */
};

struct sim_type {
    char name[48];
    struct sim_child child[32];
    size_t count;
};

struct sim_schema {
    xmlDocPtr doc;
    xmlSchemaPtr compiled;
    struct sim_type types[96];
    size_t count;
};

static void
sim_attribute(xmlNodePtr node, const char *name, char *out, size_t size)
{
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
    sim_put(out, size, (const char *)value);
    xmlFree(value);
}

static bool
sim_named(xmlNodePtr node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static void
sim_type_read(struct sim_type *type, xmlNodePtr node)
{
    sim_attribute(node, "name", type->name, sizeof(type->name));
    for (xmlNodePtr sequence = node->children; sequence; sequence = sequence->next) {
        if (!sim_named(sequence, "sequence")) {
            continue;
        }
        for (xmlNodePtr item = sequence->children; item; item = item->next) {
            if (!sim_named(item, "element") || type->count == 32) {
                continue;
            }
            struct sim_child *child = &type->child[type->count++];
            char full[64];
            sim_attribute(item, "name", child->name, sizeof(child->name));
            sim_attribute(item, "type", full, sizeof(full));
            sim_put(child->type, sizeof(child->type),
                    strncmp(full, "tns:", 4) == 0 ? full + 4 : "");
        }
    }
}

static const struct sim_type *
sim_type_find(const struct sim_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->count; i++) {
        if (strcmp(schema->types[i].name, name) == 0) {
            return &schema->types[i];
        }
    }
    return NULL;
}

struct sim_schema *
sim_schema_new(void)
{
    struct sim_schema *schema = sim_alloc(sizeof(*schema));
    schema->doc = xmlReadMemory((const char *)sim_xsd, (int)sim_xsd_len, "GasOrderService.xsd",
                                NULL, XML_PARSE_NONET);
    xmlSchemaParserCtxtPtr parser = schema->doc ? xmlSchemaNewDocParserCtxt(schema->doc) : NULL;
    schema->compiled = parser ? xmlSchemaParse(parser) : NULL;
    if (parser) {
        xmlSchemaFreeParserCtxt(parser);
    }
    if (!schema->compiled) {
        abort(); /* the embedded schema is ours */
    }
    for (xmlNodePtr node = xmlDocGetRootElement(schema->doc)->children; node; node = node->next) {
        if (sim_named(node, "complexType") && schema->count < 96) {
            sim_type_read(&schema->types[schema->count++], node);
        }
    }
    return schema;
}

void
sim_schema_free(struct sim_schema *schema)
{
    if (!schema) {
        return;
    }
    xmlSchemaFree(schema->compiled);
    xmlFreeDoc(schema->doc);
    free(schema);
}

static const struct sim_child *
sim_child_find(const struct sim_type *type, const char *name)
{
    for (size_t i = 0; type && i < type->count; i++) {
        if (strcmp(type->child[i].name, name) == 0) {
            return &type->child[i];
        }
    }
    return NULL;
}

static bool
sim_shape_walk(const struct sim_schema *schema, xmlNodePtr node, const struct sim_type *type,
               char *problem, size_t size)
{
    for (xmlNodePtr at = node->children; at; at = at->next) {
        if (at->type != XML_ELEMENT_NODE) {
            continue;
        }
        const char *uri = at->ns ? (const char *)at->ns->href : "";
        const struct sim_child *child = *uri ? NULL : sim_child_find(type, (const char *)at->name);
        if (!child) {
            (void)snprintf(problem, size,
                           "Unmarshalling Error: unexpected element (uri:\"%.80s\", "
                           "local:\"%.60s\").",
                           uri, (const char *)at->name);
            return false;
        }
        if (!sim_shape_walk(schema, at, *child->type ? sim_type_find(schema, child->type) : NULL,
                            problem, size)) {
            return false;
        }
    }
    return true;
}

bool
sim_schema_shape(const struct sim_schema *schema, xmlNodePtr node, char *problem, size_t size)
{
    return sim_shape_walk(schema, node, sim_type_find(schema, (const char *)node->name), problem,
                          size);
}

static bool
sim_disorder_walk(const struct sim_schema *schema, xmlNodePtr node, const struct sim_type *type,
                  char *path, size_t size)
{
    const struct sim_child *last = NULL;
    for (xmlNodePtr at = node->children; at; at = at->next) {
        const struct sim_child *child =
            at->type == XML_ELEMENT_NODE ? sim_child_find(type, (const char *)at->name) : NULL;
        if (!child) {
            continue;
        }
        if (last && child < last) {
            bool top = strcmp((const char *)node->name, "Request") == 0;
            (void)snprintf(path, size, "%.40s%s%.40s", top ? "" : (const char *)node->name,
                           top ? "" : ".", child->name);
            return true;
        }
        last = child;
        if (*child->type &&
            sim_disorder_walk(schema, at, sim_type_find(schema, child->type), path, size)) {
            return true;
        }
    }
    return false;
}

void
sim_schema_disorder(const struct sim_schema *schema, xmlNodePtr node, char *path, size_t size)
{
    path[0] = 0;
    sim_disorder_walk(schema, node, sim_type_find(schema, (const char *)node->name), path, size);
}

struct sim_complaint {
    char *text;
    size_t size;
};

static void
sim_complain(void *context, const xmlError *error)
{
    struct sim_complaint *complaint = context;
    if (complaint->text[0] || !error->message) {
        return;
    }
    size_t len = strcspn(error->message, "\n");
    (void)snprintf(complaint->text, complaint->size, "Unmarshalling Error: %.*s", (int)len,
                   error->message);
}

/* libxml2 made the error const in 2.12. */
#if LIBXML_VERSION < 21200
static void
sim_complain_old(void *context, xmlErrorPtr error)
{
    sim_complain(context, error);
}
#define SIM_COMPLAIN sim_complain_old
#else
#define SIM_COMPLAIN sim_complain
#endif

static bool
sim_has_nil(xmlNodePtr node)
{
    if (node->type != XML_ELEMENT_NODE) {
        return false;
    }
    xmlChar *nil = xmlGetNsProp(node, (const xmlChar *)"nil", (const xmlChar *)XSI);
    bool found = nil && (strcmp((char *)nil, "true") == 0 || strcmp((char *)nil, "1") == 0);
    xmlFree(nil);
    for (xmlNodePtr at = node->children; at && !found; at = at->next) {
        found = sim_has_nil(at);
    }
    return found;
}

bool
sim_schema_validate(const struct sim_schema *schema, xmlNodePtr node, char *problem, size_t size)
{
    if (sim_has_nil(node)) {
        (void)snprintf(problem, size,
                       "Unmarshalling Error: cvc-elt.3.1: Attribute 'xsi:nil' must not appear.");
        return false;
    }
    struct sim_complaint complaint = {problem, size};
    problem[0] = 0;
    xmlSchemaValidCtxtPtr valid = xmlSchemaNewValidCtxt(schema->compiled);
    if (!valid) {
        abort();
    }
    xmlSchemaSetValidStructuredErrors(valid, SIM_COMPLAIN, &complaint);
    int rc = xmlSchemaValidateOneElement(valid, node);
    xmlSchemaFreeValidCtxt(valid);
    return rc == 0;
}

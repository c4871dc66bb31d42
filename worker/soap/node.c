/*
 * The getters: by local name, blind to namespaces; nil, absent and empty are all "no value".
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "read_private.h"

/* The public type is only a name for libxml2's. */
static const xmlNode *
inner(const struct ew_soap_node *node)
{
    return (const xmlNode *)(const void *)node;
}

static const struct ew_soap_node *
outer(const xmlNode *node)
{
    return (const struct ew_soap_node *)(const void *)node;
}

bool
ew_soap_is(const xmlNode *node, const char *name)
{
    return strcmp((const char *)node->name, name) == 0;
}

static bool
is_nil(const xmlNode *node)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        const xmlNode *value = attribute->children;

        if (strcmp((const char *)attribute->name, "nil") == 0 && value && value->content &&
            (strcmp((const char *)value->content, "true") == 0 ||
             strcmp((const char *)value->content, "1") == 0))
            return true;
    }
    return false;
}

/* node itself, or the first sibling after it, of that name. */
static const xmlNode *
find(const xmlNode *node, const char *name)
{
    for (; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && ew_soap_is(node, name))
            return node;
    return NULL;
}

const struct ew_soap_node *
ew_soap_answer(const struct ew_soap_doc *doc)
{
    return outer(doc->answer);
}

const char *
ew_soap_name(const struct ew_soap_node *node)
{
    return (const char *)inner(node)->name;
}

const struct ew_soap_node *
ew_soap_first(const struct ew_soap_node *parent, const char *name)
{
    return parent ? outer(find(inner(parent)->children, name)) : NULL;
}

static const struct ew_soap_node *
only_child(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *name)
{
    const struct ew_soap_node *found = ew_soap_first(parent, name);

    if (found && ew_soap_next(found))
        doc->doubtful = true;
    return found;
}

const struct ew_soap_node *
ew_soap_child(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *name)
{
    const struct ew_soap_node *found = only_child(doc, parent, name);

    return found && !is_nil(inner(found)) ? found : NULL;
}

const struct ew_soap_node *
ew_soap_next(const struct ew_soap_node *node)
{
    return outer(find(inner(node)->next, ew_soap_name(node)));
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *
trimmed(struct ew_soap_doc *doc, const char *text)
{
    size_t len;
    char *copy;

    while (is_space(*text))
        text++;
    len = strlen(text);
    if (len == 0 || !is_space(text[len - 1]))
        return text;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    copy = ew_arena_strndup(doc->texts, text, len);
    if (copy == NULL) {
        doc->doubtful = true;
        return "";
    }
    return copy;
}

const char *
ew_soap_value(struct ew_soap_doc *doc, const struct ew_soap_node *node)
{
    const xmlNode *child;

    if (node == NULL || is_nil(inner(node)))
        return "";
    child = inner(node)->children;
    /* Comments are dropped and CDATA is text, so one value is one text node. */
    if (child == NULL || child->next || child->type != XML_TEXT_NODE || child->content == NULL)
        return "";
    return trimmed(doc, (const char *)child->content);
}

const char *
ew_soap_get(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *name)
{
    return ew_soap_value(doc, only_child(doc, parent, name));
}

bool
ew_soap_get_int(struct ew_soap_doc *doc, const struct ew_soap_node *parent, const char *name,
                int *out)
{
    const char *text = ew_soap_get(doc, parent, name);
    char *end;
    long value;

    if (*text == '\0')
        return false;
    errno = 0;
    value = strtol(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < INT_MIN || value > INT_MAX)
        return false;
    *out = (int)value;
    return true;
}

bool
ew_soap_doubtful(const struct ew_soap_doc *doc)
{
    return doc->doubtful;
}

static const char *
local_part(const char *qualified)
{
    const char *colon = strrchr(qualified, ':');

    return colon ? colon + 1 : qualified;
}

bool
ew_soap_fault(struct ew_soap_doc *doc, struct ew_soap_fault *out)
{
    const struct ew_soap_node *fault = ew_soap_answer(doc);
    const char *code, *text;

    if (strcmp(ew_soap_name(fault), "Fault") != 0)
        return false;
    code = ew_soap_get(doc, fault, "faultcode");
    text = ew_soap_get(doc, fault, "faultstring");
    if (*code == '\0') /* SOAP 1.2 */
        code = ew_soap_get(doc, ew_soap_child(doc, fault, "Code"), "Value");
    if (*text == '\0')
        text = ew_soap_get(doc, ew_soap_child(doc, fault, "Reason"), "Text");
    *out = (struct ew_soap_fault){.code = local_part(code), .text = text};
    return true;
}

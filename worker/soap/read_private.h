/*
 * The inside of a document read: libxml2's tree, and the texts handed out of it.
 */
#pragma once

#include <libxml/tree.h>

#include "base/arena.h"
#include "domain/limits.h"
#include "soap/read.h"

struct ew_soap_doc {
    xmlDocPtr xml;
    xmlNodePtr answer;
    struct ew_arena *texts;
    bool doubtful;
};

/* Is that its local name? */
bool ew_soap_is(const xmlNode *node, const char *name);

/*
 * XML from strangers: read within limits, given up at the first mistake.
 */
#pragma once

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>

/* The document, or NULL: malformed, too deep, too many attributes, or with a DTD (*dtd says so).
 * Nothing is fetched and nothing declared, so there are no entities. The caller frees it. */
xmlDocPtr sim_xml_read(const char *text, size_t len, bool *dtd);

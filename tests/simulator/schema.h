/*
 * The XSD twice: compiled by libxml2 for full validation, and as plain shapes (which type has
 * which children) for what even a server that does not validate refuses.
 */
#pragma once

#include <libxml/tree.h>
#include <libxml/xmlschemas.h>
#include <stdbool.h>
#include <stddef.h>

#define SIM_NAMESPACE "https://system.globalsign.com/cr/ws/"

/* Embedded by the build. */
extern const unsigned char sim_wsdl[];
extern const size_t sim_wsdl_len;
extern const unsigned char sim_xsd[];
extern const size_t sim_xsd_len;

struct sim_schema;

struct sim_schema *sim_schema_new(void);
void sim_schema_free(struct sim_schema *schema);

/* Every element known where it stands, and in no namespace. node is the operation's element.
 * false: problem says what was found. */
bool sim_schema_shape(const struct sim_schema *schema, xmlNodePtr node, char *problem, size_t size);

/* Writes the dotted path below Request of the first element that stands behind one that the schema
 * puts after it; "" when all is in order. node has the right shape. */
void sim_schema_disorder(const struct sim_schema *schema, xmlNodePtr node, char *path, size_t size);

/* Full validation of the operation's element; xsi:nil is refused wherever it stands. */
bool sim_schema_validate(const struct sim_schema *schema, xmlNodePtr node, char *problem,
                         size_t size);

/*
 * Reading a call: envelope, dispatch and unmarshalling as Apache CXF does them, with schema
 * validation or without. It ends in an operation and its Request element, or in a SOAP fault.
 */
#pragma once

#include "http.h"
#include "ops.h"
#include "schema.h"
#include "settings.h"

enum { SIM_SOAP_NEWER_MAX = 16 };

/* A text handed out by sim_soap_get, kept until the end of the call. */
struct sim_soap_text {
    struct sim_soap_text *next;
    char text[];
};

struct sim_soap {
    xmlDocPtr doc;
    xmlNodePtr request;
    enum sim_op op;
    char fault_code[24]; /* "soap:Client"; "" when there is no fault */
    char fault_text[320];
    char disorder[96]; /* path of the first child out of the schema's order; "": none */
    /* Elements newer than the WSDL, taken out of the document. */
    struct {
        char name[32];
        char *value;
    } newer[SIM_SOAP_NEWER_MAX];
    size_t newer_count;
    struct sim_soap_text *texts;
};

/* false: a fault. Free it in both cases. */
bool sim_soap_read(struct sim_soap *soap, const struct sim_schema *schema,
                   const struct sim_settings *settings, const struct sim_http_request *http);
void sim_soap_free(struct sim_soap *soap);

/* The text at a dotted path below Request ("DnAttributes.CommonName"). NULL when the element is
 * missing or nil. The last of several wins, as unmarshalling has it. Lives as long as soap. */
const char *sim_soap_get(struct sim_soap *soap, const char *path);

/* The n-th of several elements at that path. */
const char *sim_soap_get_at(struct sim_soap *soap, const char *path, size_t n);

/* "true" and "1" are true; anything else is not. */
bool sim_soap_flag(struct sim_soap *soap, const char *path);

/* A number, or 0 for what is none. */
long sim_soap_number(struct sim_soap *soap, const char *path);

/*
 * Every limit on what comes from outside, in one place, with its reason.
 */
#pragma once

enum {
    EW_MAX_RECORD = 256 * 1024, /* bytes of a request record's value; larger is a dead letter */
    EW_MAX_KEPT_HEADERS = 64,   /* of a record that waits or is parked, and with it EW_MAX_RECORD */
    EW_MAX_CSR = 4000,          /* characters: GlobalSign's CSR field */
    EW_MAX_RSA = 8192,          /* bits of an RSA key: our limit, GlobalSign names only 2048 */
    EW_MAX_REPLY = 4 * 1024 * 1024,     /* bytes of a SOAP reply; a larger one counts as capped */
    EW_MAX_LABELS = 64,                 /* labels of a request */
    EW_MAX_LABEL = 128,                 /* bytes of one label */
    EW_MAX_ATTRIBUTES = 64,             /* custom attributes of a request */
    EW_MAX_ATTRIBUTE_NAME = 64,         /* bytes of a custom attribute's name */
    EW_MAX_ATTRIBUTE = 1024,            /* bytes of a custom attribute's value */
    EW_MAX_FACT = 256,                  /* bytes of any other subject fact */
    EW_MAX_CONTEXT = 4096,              /* bytes of the opaque context */
    EW_MAX_REQUEST_ID = 128,            /* characters of a request id */
    EW_MAX_SETTING_NAME = 64,           /* characters of a setting's name */
    EW_MAX_RECIPIENT = 8192,            /* bytes of a recipient certificate, DER */
    EW_MAX_ORDER_ID = 64,               /* characters of a GlobalSign order id */
    EW_MAX_SERIAL = 40,                 /* hexadecimal digits of a serial (RFC 5280: 20 octets) */
    EW_MAX_ISSUER = 1024,               /* bytes of an issuer name, RFC 4514 */
    EW_MAX_CN = 64,                     /* characters: GlobalSign's CommonName */
    EW_MAX_OU = 64,                     /* characters: GlobalSign's OrganizationUnit */
    EW_MAX_OUS = 3,                     /* organisational units of an order */
    EW_MAX_EMAIL = 128,                 /* characters: GlobalSign's Email */
    EW_MAX_UPN = 64,                    /* characters: GlobalSign's UPN */
    EW_MAX_TRACE = 512,                 /* bytes of traceparent or tracestate; longer is left out */
    EW_MAX_KEY = 1024,                  /* bytes of a record key */
    EW_MAX_SETTINGS_FILE = 1024 * 1024, /* bytes of the settings file */
    EW_MAX_SETTINGS = 256,              /* settings in it */
    EW_MAX_CHAIN_FILE = 256 * 1024,     /* bytes of a PEM bundle */
    EW_MAX_PASSWORD = 30,               /* characters: GlobalSign's Password */
    EW_MAX_REDIS_VALUE = 512 * 1024,    /* bytes of one value that we read back */
    EW_MAX_ATTEMPTS = 16,               /* public keys of one request that its records keep */
    EW_MAX_FLOW_MEMORY = 1024 * 1024,   /* bytes one request may hold on to, decoded */
};

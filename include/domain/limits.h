/*
 * Every limit on what comes from outside, in one place, with its reason. Beside it stand only: the
 * range of a number of the settings file, in its row in worker/config, or for those in Redis' URL
 * in worker/store/url.c; lists of which each item may stand but once; from how many orders on a
 * reply is not believed to be whole, in worker/globalsign/ca_private.h; what an offset map may
 * hold, with its format in kafka/offset_map.h; how many turns a bootstrap scans Redis, in
 * worker/store/check.c; and what http and ops bound, which know nothing of the domain: how long a
 * reply may ask us to wait, in worker/http/http_result.c, and the connections to the admin port, in
 * worker/ops/admin.c. Heads of HTTP messages are bounded by libcurl and libmicrohttpd; a record's
 * headers by the broker, with all of the record, by max.message.bytes of its topic.
 */
#pragma once

/* Records of Kafka: requests, and what we wrote ourselves and read back. */
enum {
    EW_MAX_RECORD = 256 * 1024, /* bytes of a request record's value; larger is a dead letter */
    EW_MAX_KEY = 64 * 1024,     /* bytes of its key; a longer one makes it a dead letter, too */
    EW_MAX_KEPT_HEADERS = 64,   /* of a record that waits or is parked, and with it EW_MAX_RECORD */
    EW_MAX_TRACE = 512,         /* bytes of traceparent or tracestate; longer is left out */
    EW_MAX_OWN_KEY = 1024,      /* bytes of a key of epki.inflight; a longer one is none of ours */
    EW_MAX_FRAME_INDEXES = 8,   /* message indexes of a schema registry's frame */
    EW_MAX_NESTING = 8,         /* messages within messages */
    EW_MAX_UNKNOWN = 64,        /* fields of one message that the contract does not know */
    EW_MAX_REPEATED = 64,       /* of a repeated field of a request */
    EW_MAX_ATTEMPTS = 16,       /* public keys of one request that its records keep */
    EW_MAX_CHAIN = 8,           /* certificates above the one of an answer; more are left out */
    EW_MAX_WRAPPED = 16 * 1024, /* bytes of a wrapped key; it rests in Redis, too */
    EW_MAX_FLOW_MEMORY = 1024 * 1024, /* bytes one request may hold on to, decoded */
    EW_MAX_TOPIC = 249,               /* characters: Kafka's topic names */
};

/* A request. */
enum {
    EW_MAX_REQUEST_ID = 128,    /* characters of a request id */
    EW_MAX_SETTING_NAME = 64,   /* characters of a setting's name, or an account's */
    EW_MAX_CSR = 4000,          /* characters: GlobalSign's CSR field */
    EW_MAX_RSA = 8192,          /* bits of an RSA key: our limit, GlobalSign names only 2048 */
    EW_MAX_RECIPIENT = 8192,    /* bytes of a recipient certificate, DER */
    EW_MAX_LABELS = 64,         /* labels of a request */
    EW_MAX_LABEL = 128,         /* bytes of one label */
    EW_MAX_ATTRIBUTES = 64,     /* custom attributes of a request */
    EW_MAX_ATTRIBUTE_NAME = 64, /* bytes of a custom attribute's name */
    EW_MAX_ATTRIBUTE = 1024,    /* bytes of a custom attribute's value */
    EW_MAX_FACT = 256,          /* bytes of any other subject fact */
    EW_MAX_CONTEXT = 4096,      /* bytes of the opaque context */
    EW_MAX_ORDER_ID = 64,       /* characters of a GlobalSign order id */
    EW_MAX_LOST_ORDERS = 16, /* orders of a request whose keys were lost; older ones are left out */
    EW_MAX_LOST_TEXT = EW_MAX_LOST_ORDERS * (EW_MAX_ORDER_ID + 1), /* bytes of their list */
    EW_MAX_SERIAL = 40,   /* hexadecimal digits of a serial (RFC 5280: 20 octets) */
    EW_MAX_ISSUER = 1024, /* bytes of an issuer name, RFC 4514 */
    EW_MAX_CN = 64,       /* characters: GlobalSign's CommonName */
    EW_MAX_OU = 64,       /* characters: GlobalSign's OrganizationUnit */
    EW_MAX_OUS = 3,       /* organisational units of an order */
    EW_MAX_EMAIL = 128,   /* characters: GlobalSign's Email */
    EW_MAX_UPN = 64,      /* characters: GlobalSign's UPN */
};

/* Repeated fields of what we wrote: an event has its request's labels and its setting's. */
enum { EW_MAX_REPEATED_OURS = 2 * EW_MAX_LABELS };

/* GlobalSign's replies, and what is in them. */
enum {
    EW_MAX_REPLY = 4 * 1024 * 1024,    /* bytes of a SOAP reply; a larger one counts as capped */
    EW_MAX_SOAP_DEPTH = 32,            /* elements within elements; a real reply has about 10 */
    EW_MAX_SOAP_ELEMENTS = 200 * 1000, /* of a reply; 500 orders have about 25,000 */
    EW_MAX_SOAP_ATTRIBUTES = 16,       /* of an element, and as many namespaces */
    EW_MAX_ENTRIES = 20 * 1000,        /* orders or profiles of a reply that we take at all */
    EW_MAX_ERROR_TEXT = 1024,          /* bytes of an error's text; more is cut */
    EW_MAX_ERROR_FIELD = 256,          /* bytes of an error's field; more is cut */
    EW_MAX_CERT = 256 * 1024,          /* bytes of a certificate, as PEM, base64, PKCS#7 or DER */
    EW_MAX_CERT_NAMES = 16,            /* of one kind in a certificate; more are left out */
    EW_MAX_NAME = 4096,                /* bytes of a subject or issuer, RFC 4514; a longer is "" */
    EW_MAX_PKCS12 = 256 * 1024,        /* bytes of a PKCS#12 */
    EW_MAX_ROUNDS = 1000 * 1000,       /* over the PIN, of one part; servers do a few thousand */
    EW_MAX_ROUNDS_ALL = 4 * EW_MAX_ROUNDS, /* of all parts */
    EW_MAX_PRIVATE_KEY = 8 * 1024,         /* bytes of a private key, PKCS#8 */
};

/* Redis. */
enum {
    EW_MAX_REDIS_VALUE = 512 * 1024, /* bytes of one value that we read back */
    EW_MAX_REDIS_ITEMS = 100 * 1000, /* of one list in a reply; SCAN gives some 1,000 */
    EW_MAX_CANARY = 95,              /* characters of the canary: nonce and run id */
    EW_MAX_PROBLEM = 64,             /* characters of why an account is paused */
    EW_MAX_CURSOR = 20,              /* digits of a SCAN cursor: 64 bits */
};

/* The settings file: yaml, lists, texts. */
enum {
    EW_MAX_SETTINGS_FILE = 1024 * 1024,       /* bytes of the file */
    EW_MAX_SETTINGS_MEMORY = 8 * 1024 * 1024, /* bytes of its texts and lists, aliases unfolded */
    EW_MAX_YAML_DEPTH = 16,                   /* levels of nesting */
    EW_MAX_YAML_ANCHORS = 64,
    EW_MAX_YAML_ALIASES = 4096,
    EW_MAX_SETTINGS = 256,
    EW_MAX_ACCOUNTS = 32,
    EW_MAX_HOLD_CODES = 16,    /* of an account */
    EW_MAX_DOMAINS = 64,       /* approved e-mail domains of a setting */
    EW_MAX_DOMAIN = 253,       /* bytes of one: DNS */
    EW_MAX_TEMPLATE = 256,     /* bytes of a template */
    EW_MAX_VARIABLE = 95,      /* bytes of a variable's name in it */
    EW_MAX_PROPERTIES = 64,    /* for librdkafka; as many in the properties file */
    EW_MAX_PATH = 1024,        /* bytes of a file's path */
    EW_MAX_URL = 1024,         /* bytes of a URL, or of Kafka's list of brokers */
    EW_MAX_HOST = 255,         /* bytes of the host in Redis' URL */
    EW_MAX_GROUP = 200,        /* bytes of the consumer group's name */
    EW_MAX_INSTANCE = 100,     /* bytes of the process's name */
    EW_MAX_ADDRESS = 64,       /* bytes of the admin port's address */
    EW_MAX_REDIS_USER = 128,   /* bytes */
    EW_MAX_USER = 30,          /* characters: GlobalSign's UserName */
    EW_MAX_PROFILE = 64,       /* bytes of a profile id */
    EW_MAX_PRODUCT = 64,       /* bytes of a product code */
    EW_MAX_DESCRIPTION = 1024, /* bytes of a setting's description */
    EW_MAX_LOG_LEVEL = 8,      /* bytes */
};

/* The files that it names. */
enum {
    EW_MAX_CHAIN_FILE = 256 * 1024,     /* bytes of a PEM bundle, and of any file that it names */
    EW_MAX_BUNDLE = 64,                 /* certificates in a bundle */
    EW_MAX_PASSWORD = 30,               /* characters: GlobalSign's Password */
    EW_MAX_REDIS_PASSWORD = 1024,       /* bytes */
    EW_MAX_PROPERTIES_FILE = 16 * 1024, /* bytes */
    EW_MAX_KEK_FILE = 16 * 1024,        /* bytes */
    EW_MAX_KEK_LINE = 255,              /* bytes of a line in it, its end among them */
    EW_MAX_KEKS = 16,                   /* key-encryption keys */
    EW_MAX_KEK_ID = 16,                 /* characters of the name of one */
};

/*
 * The walk before unpacking: protobuf-c accepts invalid UTF-8 and NULs, and a map bomb of 256 KiB
 * would take it to 9 MB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "wire_private.h"

enum { FIELDS_MAX = 64 }; /* of a message of the contract */

struct cursor {
    const uint8_t *at, *end;
};

struct walk {
    char path[64];
    unsigned most;
    struct ew_err *err;
};

static enum ew_fault
refuse(const struct walk *walk, const char *problem, const char *detail)
{
    return ew_fail_field(walk->err, EW_REJECT, problem, walk->path,
                         "Send a message of the published contract.", "%s", detail);
}

static bool
varint(struct cursor *cursor, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 70 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;

        if (shift == 63 && byte > 1)
            return false;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

static size_t
utf8_sequence(const uint8_t *at, size_t left)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

    if (at[0] >= 0x80 && (at[0] < 0xc2 || at[0] > 0xf4))
        return 0;
    if (len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

static enum ew_fault
check_text(const struct walk *walk, const uint8_t *at, size_t len)
{
    while (len > 0) {
        size_t step = utf8_sequence(at, len);

        if (*at == '\0')
            return refuse(walk, "text-nul", "a text holds a NUL");
        if (step == 0)
            return refuse(walk, "text-utf8", "a text is not UTF-8");
        at += step;
        len -= step;
    }
    return EW_OK;
}

static unsigned
wire_type_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return 2;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 1;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return 5;
    default:
        return 0;
    }
}

/* The value of one field; `content` is set for length-delimited ones. */
static bool
take_value(struct cursor *cursor, unsigned wire, struct cursor *content)
{
    uint64_t number;

    switch (wire) {
    case 0:
        return varint(cursor, &number);
    case 1:
    case 5:
        if ((size_t)(cursor->end - cursor->at) < (wire == 1 ? 8u : 4u))
            return false;
        cursor->at += wire == 1 ? 8 : 4;
        return true;
    case 2:
        if (!varint(cursor, &number) || number > (uint64_t)(cursor->end - cursor->at))
            return false;
        *content = (struct cursor){cursor->at, cursor->at + number};
        cursor->at += number;
        return true;
    default:
        return false; /* groups do not exist in proto3 */
    }
}

static unsigned
index_of(const ProtobufCMessageDescriptor *descriptor, const ProtobufCFieldDescriptor *field)
{
    return (unsigned)(field - descriptor->fields);
}

static enum ew_fault
refuse_count(const struct walk *walk, bool repeated)
{
    char detail[64];

    if (!repeated)
        return refuse(walk, "field-twice", "a singular field is there twice");
    (void)snprintf(detail, sizeof(detail), "more than %u of a repeated field", walk->most);
    return refuse(walk, "too-many", detail);
}

/* Counts a field; a singular one, or another member of its oneof, must not have been there. */
static enum ew_fault
count(const struct walk *walk, const ProtobufCMessageDescriptor *descriptor,
      const ProtobufCFieldDescriptor *field, unsigned seen[FIELDS_MAX])
{
    unsigned index = index_of(descriptor, field);
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;

    if (++seen[index] > (repeated ? walk->most : 1))
        return refuse_count(walk, repeated);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return EW_OK;
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        if (i != index && seen[i] > 0 &&
            (descriptor->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            descriptor->fields[i].quantifier_offset == field->quantifier_offset)
            return refuse(walk, "oneof-twice", "two choices where one is allowed");
    return EW_OK;
}

/* Recursion ends at EW_MAX_NESTING. */
/* NOLINTBEGIN(misc-no-recursion) */
static enum ew_fault walk_message(struct walk *walk, const ProtobufCMessageDescriptor *descriptor,
                                  struct cursor cursor, int depth);

static enum ew_fault
walk_field(struct walk *walk, const ProtobufCFieldDescriptor *field, struct cursor content,
           int depth)
{
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return check_text(walk, content.at, (size_t)(content.end - content.at));
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return walk_message(walk, field->descriptor, content, depth + 1);
    return EW_OK;
}

static enum ew_fault
walk_message(struct walk *walk, const ProtobufCMessageDescriptor *descriptor, struct cursor cursor,
             int depth)
{
    unsigned seen[FIELDS_MAX] = {0}, unknown = 0;
    size_t path_len = strlen(walk->path);

    if (depth > EW_MAX_NESTING || descriptor->n_fields > FIELDS_MAX)
        return refuse(walk, "too-deep", "messages are nested too deeply");
    while (cursor.at < cursor.end) {
        struct cursor content = {NULL, NULL};
        const ProtobufCFieldDescriptor *field;
        enum ew_fault fault;
        uint64_t key;

        if (!varint(&cursor, &key) || key >> 3 == 0 || key >> 3 > 536870911)
            return refuse(walk, "malformed", "a field's tag is malformed");
        field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(key >> 3));
        if (!take_value(&cursor, (unsigned)(key & 7), &content))
            return refuse(walk, "malformed", "a field's value is cut off or malformed");
        if (field == NULL) { /* of a newer contract: carried by nobody, and harmless */
            if (++unknown > EW_MAX_UNKNOWN)
                return refuse(walk, "too-many", "more than 64 unknown fields");
            continue;
        }
        (void)snprintf(walk->path + path_len, sizeof(walk->path) - path_len, "%s%s",
                       path_len > 0 ? "." : "", field->name);
        if (wire_type_of(field) != (key & 7))
            return refuse(walk, "malformed", "a field has another wire type");
        fault = count(walk, descriptor, field, seen);
        if (fault == EW_OK)
            fault = walk_field(walk, field, content, depth);
        if (fault != EW_OK)
            return fault;
        walk->path[path_len] = '\0';
    }
    return EW_OK;
}
/* NOLINTEND(misc-no-recursion) */

enum ew_fault
ew_walk(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t len,
        unsigned most, struct ew_err *err)
{
    struct walk walk = {.path = "", .most = most, .err = err};

    if (len == 0)
        return EW_OK;
    return walk_message(&walk, descriptor, (struct cursor){data, data + len}, 0);
}

bool
ew_walk_find(const uint8_t *data, size_t len, unsigned id, const uint8_t **out, size_t *out_len)
{
    struct cursor cursor = {data, data + len};
    bool found = false;

    while (cursor.at < cursor.end) {
        struct cursor content = {NULL, NULL};
        uint64_t key;

        if (!varint(&cursor, &key) || !take_value(&cursor, (unsigned)(key & 7), &content))
            return false;
        if (key != ((uint64_t)id << 3 | 2))
            continue;
        *out = content.at; /* of several the last, as every parser takes it */
        *out_len = (size_t)(content.end - content.at);
        found = true;
    }
    return found;
}

static void *
take(void *self, size_t size)
{
    (void)self;
    return ew_malloc(size);
}

static void
give(void *self, void *memory)
{
    (void)self;
    free(memory);
}

/* protobuf-c gives NULL for a malformed message and for want of memory, and they must not be taken
 * for one another: the first is a dead letter. */
static ProtobufCAllocator allocator = {.alloc = take, .free = give};

enum ew_fault
ew_unpack(const ProtobufCMessageDescriptor *descriptor, const void *data, size_t len, unsigned most,
          ProtobufCMessage **out, struct ew_err *err)
{
    enum ew_fault fault = ew_walk(descriptor, data, len, most, err);

    if (fault != EW_OK)
        return fault;
    *out = protobuf_c_message_unpack(descriptor, &allocator, len, data);
    if (*out == NULL)
        return ew_fail(err, EW_REJECT, "malformed", "the message does not unpack");
    return EW_OK;
}

enum ew_fault
ew_pack(const ProtobufCMessage *message, struct ew_buf *out, struct ew_err *err)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes;

    if (len > out->max - out->len)
        return ew_fail(err, EW_BUG, "too-large", "%zu bytes of a message do not fit", len);
    bytes = ew_malloc(len);
    (void)protobuf_c_message_pack(message, bytes);
    ew_buf_put(out, bytes, len);
    free(bytes);
    return out->overflowed ? ew_fail(err, EW_BUG, "too-large", "packed behind an overflow") : EW_OK;
}

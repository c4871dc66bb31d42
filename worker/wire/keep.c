/*
 * Copying out of unpacked messages and lending into packed ones.
 */
#include <stdio.h>
#include <string.h>

#include "wire_private.h"

const char *
ew_keep_text(struct ew_arena *arena, const char *text, bool *failed)
{
    const char *copy;

    if (text == NULL || text[0] == '\0')
        return "";
    copy = ew_arena_strdup(arena, text);
    if (copy == NULL) {
        *failed = true;
        return "";
    }
    return copy;
}

struct ew_blob
ew_keep_blob(struct ew_arena *arena, const ProtobufCBinaryData *data, bool *failed)
{
    struct ew_blob blob = {.data = NULL, .len = data->len};

    if (data->len > 0)
        blob.data = ew_arena_memdup(arena, data->data, data->len);
    if (blob.data == NULL) {
        *failed = *failed || data->len > 0;
        blob.len = 0;
    }
    return blob;
}

void
ew_keep_source(const Epki__V1__Source *from, struct ew_source *to)
{
    memset(to, 0, sizeof(*to));
    /* A topic that Kafka cannot have is none; cut, it would be another's, or no text. */
    if (from == NULL || strlen(from->topic) >= sizeof(to->topic))
        return;
    (void)snprintf(to->topic, sizeof(to->topic), "%s", from->topic);
    to->partition = from->partition;
    to->offset = from->offset;
}

char *
ew_loan(const char *text)
{
    return (char *)(uintptr_t)(text == NULL ? "" : text);
}

ProtobufCBinaryData
ew_loan_blob(struct ew_blob blob)
{
    return (ProtobufCBinaryData){.len = blob.len, .data = (uint8_t *)(uintptr_t)blob.data};
}

void
ew_source_message(const struct ew_source *source, Epki__V1__Source *out)
{
    epki__v1__source__init(out);
    out->topic = ew_loan(source->topic);
    out->partition = source->partition;
    out->offset = source->offset;
}

/*
 * What belongs to others, copied behind a thing of ours in one allocation. The headers' arrays come
 * first in it: they need alignment, bytes do not.
 */
#include "record_private.h"

#include <string.h>

size_t
ew_headers_bytes(const struct ew_header *headers, size_t count)
{
    size_t bytes = count * sizeof(*headers);

    for (size_t i = 0; i < count; i++)
        bytes += strlen(headers[i].name) + 1 + headers[i].len;
    return bytes;
}

const void *
ew_keep(char **at, const void *data, size_t len)
{
    void *kept = *at;

    if (data == NULL)
        return NULL;
    if (len > 0)
        memcpy(kept, data, len);
    *at += len;
    return kept;
}

const struct ew_header *
ew_keep_headers(struct ew_header **room, char **at, const struct ew_header *headers, size_t count)
{
    struct ew_header *kept = *room;

    for (size_t i = 0; i < count; i++) {
        kept[i].name = ew_keep(at, headers[i].name, strlen(headers[i].name) + 1);
        kept[i].value = ew_keep(at, headers[i].value, headers[i].len);
        kept[i].len = headers[i].len;
    }
    *room += count;
    return kept;
}

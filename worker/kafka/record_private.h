/*
 * Making records; freeing them is public.
 */
#pragma once

#include "kafka/kafka.h"

/* One allocation; copies what `from` points to and counts it into the
 * partition's budget. */
struct ew_record *ew_record_new(struct ew_part *part, const struct ew_record *from);

/* Copies into one allocation behind a thing: arrays of headers first, at the room that moves on,
 * then bytes, at the place that moves on. ew_headers_bytes() counts both. */
size_t ew_headers_bytes(const struct ew_header *headers, size_t count);
const void *ew_keep(char **at, const void *data, size_t len);
const struct ew_header *ew_keep_headers(struct ew_header **room, char **at,
                                        const struct ew_header *headers, size_t count);

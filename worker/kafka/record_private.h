/*
 * Making records; freeing them is public.
 */
#pragma once

#include "kafka/kafka.h"

/* One allocation; copies what `from` points to and counts it into the
 * partition's budget. */
struct ew_record *ew_record_new(struct ew_part *part, const struct ew_record *from);

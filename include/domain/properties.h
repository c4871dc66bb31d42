/*
 * Properties of librdkafka that are not the operator's: the worker's promises hang on its own
 * values.
 */
#pragma once

#include <stdbool.h>

/* In whatever case it is written. */
bool ew_property_fixed(const char *name);

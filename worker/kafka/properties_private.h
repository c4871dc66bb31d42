/*
 * librdkafka's properties that stand in a file of their own: passwords.
 */
#pragma once

#include "kafka/kafka.h"

/* One property; what pair points to is wiped soon after. */
typedef enum ew_fault ew_property_taker(void *arg, const struct ew_pair *pair, struct ew_err *err);

/* Calls take for each line `name=value` of options->properties_file, until one fails; blank lines
 * and those that begin with # are passed over. At most 16 KiB and 64 lines; no name may be there
 * twice, here or in options->properties. No file: nothing. EW_HALT: it is not such a file. */
EW_CHECK enum ew_fault ew_properties_read(const struct ew_kafka_options *options,
                                          ew_property_taker *take, void *arg, struct ew_err *err);

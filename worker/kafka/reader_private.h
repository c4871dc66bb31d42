/*
 * The end of all readers.
 */
#pragma once

#include "kafka_private.h"

/* Makes every reader give up and waits for their threads. Not the loop's own
 * call path. */
void ew_readers_stop(struct ew_kafka *kafka);

/*
 * The story: what happens to a request from its record to its answer. Everything runs on the loop.
 * Main builds the rooms, gives them here, and feeds the intake's events in.
 */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/metric.h"
#include "config/config.h"
#include "kafka/kafka.h"
#include "loop/loop.h"
#include "store/store.h"
#include "x509/key.h"

struct ew_flow;

struct ew_flow_options {
    const struct ew_config *config; /* borrowed, outlives the flow */
    const struct ew_clock *clock;
    struct ew_loop *loop;
    struct ew_metrics *metrics;
    const struct ew_keks *keks; /* NULL = no worker-made keys */
    const char *instance;
    void (*fatal)(void *arg, const struct ew_err *err); /* the process must end */
    void *arg;
};

/* Reads the files that accounts and settings name (passwords, chains, recipients). thread: main */
EW_CHECK enum ew_fault ew_flow_new(const struct ew_flow_options *options, struct ew_flow **out,
                                   struct ew_err *err);
/* What Kafka and Redis tell; pass to ew_kafka_new() and ew_store_new(). */
struct ew_intake_events ew_flow_intake(struct ew_flow *flow);
struct ew_store_events ew_flow_store_events(struct ew_flow *flow);
/* Both are borrowed and outlive the work; then the accounts are opened. */
void ew_flow_start(struct ew_flow *flow, struct ew_kafka *kafka, struct ew_store *store);
/* No new order begins; done(arg) when nothing is in the air or time_ms is over. */
void ew_flow_drain(struct ew_flow *flow, int64_t time_ms, void (*done)(void *arg), void *arg);
/* From now on callbacks of the other rooms find nobody; before those rooms are freed. */
void ew_flow_end(struct ew_flow *flow);
void ew_flow_free(struct ew_flow *flow);

/* Redis is reachable and its canary stands, or orders are stopped and everything else goes on. */
bool ew_flow_can_order(const struct ew_flow *flow);
/* Refreshes the gauges. thread: loop */
void ew_flow_gauges(struct ew_flow *flow);

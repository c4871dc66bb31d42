/*
 * How a job ends: its answer, or the letter in its place, and their transactions; and what is told
 * before. A part of job.h, which includes it.
 */
#pragma once

#include "desk.h"

struct ew_job;

/* --- answer.c --- */
void ew_answer_issued(struct ew_job *job);
void ew_answer_rejected(struct ew_job *job); /* job->failure */
void ew_answer_revoked(struct ew_job *job);  /* job->revoke_as, rewrites job->target */
/* No event: the state record of the target says revoke_as from now on, if it does not yet. */
void ew_answer_amended(struct ew_job *job);
void ew_answer_duplicate(struct ew_job *job, const struct ew_state_record *first);
void ew_answer_nothing(struct ew_job *job, const char *why); /* done in the map only */
/* Kafka finds the answer too large: what can be had elsewhere is left out, of the event first, of
 * the state records when it is refused again. The event says so. */
void ew_answer_reduce(struct ew_job *job);
/* Not terminal, once per kind and job, not waited for. */
void ew_answer_progress(struct ew_job *job, enum ew_result result);
/* The same for a job that waits for people: why; its texts are borrowed. */
void ew_answer_held(struct ew_job *job, const struct ew_failure *why);
/* What Redis keeps beside an answer, whoever tells it (its own flow, a waiter that heals, a
 * rebuild): the keys of all attempts, and of a certificate that it brought the order id and serial
 * by which others find it. A revocation's answer names a certificate but is no way to it. Texts and
 * keys are the record's own. expire_ms may lie in the past: then nobody needs it any more. */
struct ew_done_index ew_answer_index(const struct ew_state_record *state, int64_t wall_ms);

/* --- publish.c --- */
/* The answer's transaction: event with headers, state, tombstone, rewrite; then Redis; then end. */
void ew_publish(struct ew_job *job);
void ew_publish_progress(struct ew_job *job, const struct ew_event *event);
/* Why a transaction was refused: a topic that takes nothing, or a map longer than the broker takes,
 * takes no less of an answer. */
bool ew_may_be_too_large(const struct ew_err *err);
/* What epki.inflight has of this source goes with the commit. key: lives until it is submitted. */
void ew_publish_tombstone(const struct ew_job *job, struct ew_commit *commit,
                          const char *request_id, const struct ew_source *source,
                          struct ew_buf *key);

/* --- letter.c --- */
/* Bytes unchanged, with headers that tell the story, in the transaction that marks it done. */
void ew_answer_dead_letter(struct ew_job *job, const struct ew_err *err);
/* A person decides; first: the source of the event that this one repeats, or NULL. */
void ew_answer_parked(struct ew_job *job, const char *reason, const struct ew_source *first);

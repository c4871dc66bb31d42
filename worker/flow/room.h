/*
 * What stands in epki.inflight and epki.certificate.state: read for one request, or followed by the
 * owner of the partition, with the waiting room and its STOP records.
 */
#pragma once

#include "job.h"

/* --- topics.c --- */
struct ew_topic_view {
    struct ew_blob state; /* the answer's state record, len 0 = none; not read where it waits */
    bool waiting;         /* ordering or in the waiting room */
    bool parked;
    int64_t ca_date_ms; /* GlobalSign's clock at the last intent that stands, 0 = not known */
};
typedef void ew_topics_done(void *arg, enum ew_fault fault, const struct ew_topic_view *view);
/* Reads both compacted topics for one request id; rare, and as long as they are. */
void ew_topics_look(struct ew_flow *flow, const char *request_id, ew_topics_done *done, void *arg);
/* Redis had lost this answer, and is told of it again; done: NULL = whatever comes of it. */
void ew_topics_heal(struct ew_flow *flow, const char *request_id,
                    const struct ew_state_record *state, const struct ew_blob *text,
                    ew_store_moved *done, void *arg);
/* There are as many readers as may be: who would look does so later. */
bool ew_topics_busy(const struct ew_flow *flow);

/* --- room.c: the waiting room, as the owner of its partition sees it --- */
void ew_room_open(struct ew_run *run); /* does nothing for other lanes */
void ew_room_close(struct ew_run *run);
/* False: the room is not known yet; the job is admitted again when it is. */
bool ew_room_ready(struct ew_run *run, struct ew_job *job);
/* What the job came from stands no longer: it was answered, or left again. The reader brings what
 * stands instead. */
void ew_room_forget(struct ew_job *job);
/* Whether a WAITING or PARKED record stands, and where in epki.inflight. */
bool ew_room_entry(struct ew_run *run, const char *request_id, const struct ew_source *source,
                   int64_t *offset);
/* Whether epki.inflight was read beyond this offset. */
bool ew_room_saw(const struct ew_run *run, int64_t offset);
void ew_room_publish(struct ew_flow *flow, const struct ew_resume *resume);

/* --- stops.c: STOP records of that partition --- */
struct ew_stops;
struct ew_stops *ew_stops_new(struct ew_run *run);
void ew_stops_free(struct ew_stops *stops);
/* What stands under a key (name: in hexadecimal) from this record on; record NULL = nothing. */
void ew_stops_note(struct ew_stops *stops, const char *name, const struct ew_read_record *read,
                   const struct ew_inflight_record *record);
/* Removes those past their horizon, some at a time. */
void ew_stops_look(struct ew_stops *stops, int64_t now);

/* --- leave.c --- */
void ew_room_sweep(struct ew_flow *flow); /* begins to look for jobs that wait too long */

/* --- resume.c --- */
void ew_resume_admit(struct ew_job *job);
/* Publishes the resume again, by its request id, and is done with this one. */
void ew_resume_again(struct ew_job *job);
/* A revocation asks that its target, if it waits there, ends. */
void ew_room_end(struct ew_job *job);

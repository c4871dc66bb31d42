/*
 * Kafka, played: see world.h.
 */
#pragma once

struct ew_part *
ew_part_ref(struct ew_part *part)
{
    return part;
}

void
ew_part_unref(struct ew_part *part)
{
    (void)part;
}

enum ew_lane
ew_part_lane(const struct ew_part *part)
{
    return part->lane;
}

const char *
ew_part_topic(const struct ew_part *part)
{
    return part->topic;
}

int32_t
ew_part_number(const struct ew_part *part)
{
    (void)part;
    return 0;
}

bool
ew_part_owned(const struct ew_part *part)
{
    return part->owned;
}

uint32_t
ew_part_epoch(const struct ew_part *part)
{
    (void)part;
    return 3;
}

void
ew_part_outgrow(struct ew_part *part, uint32_t epoch)
{
    part->outgrow = epoch;
}

void
ew_record_free(struct ew_record *record)
{
    free(record);
}

size_t
ew_record_bytes(const struct ew_record *record)
{
    return record->key_len + record->value_len;
}

int32_t
ew_kafka_partition_of(struct ew_kafka *kafka, enum ew_topic topic, const void *key, size_t len)
{
    (void)kafka, (void)topic, (void)key, (void)len;
    return w.home;
}

int64_t
ew_kafka_rebuild_ms(const struct ew_kafka *kafka)
{
    (void)kafka;
    return INT64_MAX;
}

static const void *
kept(const void *data, size_t len)
{
    const void *copy = data == NULL ? NULL : ew_arena_memdup(w.arena, data, len);

    assert_true(data == NULL || copy != NULL);
    return copy;
}

static void enter(struct ew_part *part, const struct ew_blob *key, const void *value, size_t len,
                  bool started);

/* What is written to the resume topic comes in again. */
static void
comes_back(const struct ew_out *out)
{
    struct ew_blob key = {.data = kept(out->key, out->key_len), .len = out->key_len};

    w.resumes_published++;
    enter(&w.resumes, &key, kept(out->value, out->value_len), out->value_len, w.resume_started);
}

static void
hear_account(const struct ew_out *out)
{
    Epki__V1__AccountEvent *event =
        epki__v1__account_event__unpack(NULL, out->value_len, out->value);

    assert_non_null(event);
    w.account_events++;
    (void)snprintf(w.account_told, sizeof(w.account_told), "%s %s %s %s", event->type,
                   event->problem, event->request_id, event->order_id);
    epki__v1__account_event__free_unpacked(event, NULL);
}

static void
note_header(const struct ew_out *out, const char *name, char *text, size_t max)
{
    text[0] = '\0';
    for (size_t i = 0; i < out->header_count; i++)
        if (strcmp(out->headers[i].name, name) == 0)
            (void)snprintf(text, max, "%s", (const char *)out->headers[i].value);
}

static void
take_out(const struct ew_out *out)
{
    struct ew_err err;

    if (out->topic == EW_TOPIC_ACCOUNT) {
        hear_account(out);
    } else if (out->topic == EW_TOPIC_EVENTS) {
        w.event_headers = out->header_count;
        assert_true(w.event_count < COMMITS);
        assert_int_equal(ew_wire_event_decode(out->value, out->value_len, w.arena,
                                              &w.events[w.event_count++], &err),
                         EW_OK);
    } else if (out->topic == EW_TOPIC_INFLIGHT) {
        assert_true(w.inflight_count < RECORDS);
        w.inflight[w.inflight_count] =
            (struct ew_read_record){.offset = (int64_t)w.inflight_count,
                                    .key = kept(out->key, out->key_len),
                                    .key_len = out->key_len,
                                    .value = kept(out->value, out->value_len),
                                    .value_len = out->value_len};
        w.inflight_count++;
    } else if (out->topic == EW_TOPIC_STATE) {
        w.state = (struct ew_blob){.data = kept(out->value, out->value_len), .len = out->value_len};
    } else if (out->topic == EW_TOPIC_RESUME) {
        comes_back(out);
    } else if (out->topic == EW_TOPIC_PARKED || out->topic == EW_TOPIC_DEAD_LETTERS) {
        note_header(out, "__connect.errors.exception.class.name", w.letter, sizeof(w.letter));
        note_header(out, "__connect.errors.exception.message", w.letter_says,
                    sizeof(w.letter_says));
        note_header(out, "x-ca-order-id", w.letter_order, sizeof(w.letter_order));
        if (out->topic == EW_TOPIC_PARKED)
            memcpy(w.parked, w.letter, sizeof(w.parked));
        else
            w.dead_letters++;
    }
}

static void
run_committed(struct later *l)
{
    struct ew_err err = {.problem = w.refusal};

    if (l->done.committed != NULL)
        l->done.committed(l->arg, l->committed, l->t0_ms, &err);
}

void
ew_kafka_commit(struct ew_kafka *kafka, const struct ew_commit *commit)
{
    struct later *l = later(run_committed, commit->arg);

    (void)kafka;
    l->done.committed = commit->done;
    l->t0_ms = w.boot_ms;
    if (CALL_FAILS("ew_kafka_commit")) {
        l->committed = EW_COMMIT_REFUSED;
    } else if (commit->mark == EW_MARK_DONE && w.refuse_done > 0) {
        l->committed = EW_COMMIT_REFUSED;
        w.refuse_done--;
    } else if (commit->mark != EW_MARK_NONE || commit->outs[0].topic == EW_TOPIC_ACCOUNT) {
        l->committed = w.commit_as;
        w.commit_as = EW_COMMITTED;
    }
    for (size_t i = 0; i < commit->out_count; i++)
        if (commit->outs[i].topic == EW_TOPIC_EVENTS && commit->outs[i].value_len > w.value_max)
            l->committed = EW_COMMIT_REFUSED;
    if (l->committed != EW_COMMITTED)
        return;
    assert_true(w.mark_count < COMMITS);
    w.marks[w.mark_count++] = commit->mark;
    for (size_t i = 0; i < commit->out_count; i++)
        take_out(&commit->outs[i]);
}

/* Account events are counted. */
void
ew_kafka_publish(struct ew_kafka *kafka, const struct ew_out *out, ew_kafka_done *done, void *arg)
{
    struct later *l = later(run_committed, arg);

    (void)kafka;
    l->done.committed = done;
    l->committed = w.publish_as;
    w.publishes++;
    if (w.publishing_stuck) {
        ew_link_remove(&l->link);
        ew_list_append(&w.stuck, &l->link);
    }
    if (w.publishing_stuck || w.publish_as != EW_COMMITTED)
        return;
    w.account_events += out->topic == EW_TOPIC_ACCOUNT;
    if (out->topic == EW_TOPIC_RESUME)
        comes_back(out);
}

/* What was stuck is answered, and then forgotten. */
static MAYBE void
publishing_goes_on(void)
{
    struct ew_link *link;

    w.publishing_stuck = false;
    while ((link = ew_list_first(&w.stuck)) != NULL) {
        ew_link_remove(link);
        ew_list_append(&w.later, link);
    }
}

static void
run_offset(struct later *l)
{
    l->done.offset(l->arg, w.offset_state);
}

void
ew_kafka_offset_state(struct ew_kafka *kafka, const struct ew_source *source,
                      void (*done)(void *, enum ew_offset_state), void *arg)
{
    (void)kafka, (void)source;
    later(run_offset, arg)->done.offset = done;
}

/* Readers of epki.inflight find what was committed to it, those of the state topic what a test laid
 * there. */
enum ew_fault
ew_reader_start(struct ew_kafka *kafka, const struct ew_reader_options *options,
                struct ew_reader **out, struct ew_err *err)
{
    size_t i = 0;
    int live = 1;

    (void)kafka;
    if (CALL_FAILS("ew_reader_start"))
        return ew_fail(err, EW_RETRY, "played", "no reader");
    w.readers_begun++;
    for (size_t r = 0; r < READERS; r++)
        live += w.readers[r].live;
    if (live > w.readers_most)
        w.readers_most = live;
    while (i < READERS && w.readers[i].live)
        i++;
    assert_true(i < READERS);
    w.readers[i] = (struct ew_reader){.options = *options, .live = true, .wants = true};
    if (options->offset > 0)
        w.readers[i].at = (size_t)options->offset;
    *out = &w.readers[i];
    return EW_OK;
}

void
ew_reader_next(struct ew_reader *reader)
{
    reader->wants = true;
}

void
ew_reader_stop(struct ew_reader *reader)
{
    if (reader != NULL)
        reader->live = false;
}

static void
give_records(void)
{
    for (size_t i = 0; i < READERS && !w.readers_wait; i++) {
        struct ew_reader *reader = &w.readers[i];
        bool inflight = reader->options.topic == EW_TOPIC_INFLIGHT;
        const struct ew_read_record *records = inflight ? w.inflight : w.states;
        size_t all = inflight ? w.inflight_count : w.state_count, from = reader->at;
        size_t count = all > from ? all - from : 0;
        size_t limit = (size_t)reader->options.limit;
        size_t most = limit > 0 ? limit : reader->options.most > 0 ? reader->options.most : BATCH;

        if (!reader->live || !reader->wants || (from > 0 && count == 0 && reader->options.follow))
            continue;
        if (count > most)
            count = most;
        reader->wants = false;
        if (CALL_FAILS("ew_reader_next")) {
            reader->options.batch(reader->options.arg, NULL, 0, false, true);
            continue;
        }
        reader->at += count;
        reader->options.batch(reader->options.arg, count == 0 ? NULL : &records[from], count,
                              limit > 0 || from + count == all, false);
    }
}

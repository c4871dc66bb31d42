/*
 * The store. A line is written with one write(2), so a killed simulator leaves whole lines; a torn
 * last one is cut off.
 */
#include "orders.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORDER_LINE_MAX = 65536 };

static const char *const moment_names[] = {"requested", "recorded",         "issued",
                                           "cancelled", "revoke_requested", "revoked"};

static struct sim_moment *
sim_order_moment(struct sim_order *order, size_t n)
{
    struct sim_moment *const moments[] = {&order->requested,        &order->recorded,
                                          &order->issued,           &order->cancelled,
                                          &order->revoke_requested, &order->revoked};
    return moments[n];
}

void
sim_order_free(struct sim_order *order)
{
    free(order->cn);
    free(order->email);
    for (size_t i = 0; i < 3; i++) {
        free(order->unit[i]);
    }
    free(order->upn);
    free(order->sid);
    free(order->surname);
    free(order->given_name);
    free(order->pseudonym);
    free(order->cert.der);
    free(order);
}

static void
sim_json_text(json_t *object, const char *name, const char *value)
{
    if (value && *value) {
        json_object_set_new(object, name, json_string(value));
    }
}

static json_t *
sim_order_moments(struct sim_order *order)
{
    json_t *object = json_object();
    for (size_t i = 0; i < 6; i++) {
        const struct sim_moment *moment = sim_order_moment(order, i);
        if (moment->real) {
            json_object_set_new(
                object, moment_names[i],
                json_pack("[I,I]", (json_int_t)moment->real, (json_int_t)moment->shown));
        }
    }
    return object;
}

static void
sim_order_facts(json_t *object, const struct sim_order *order)
{
    json_t *units = json_array();
    sim_json_text(object, "operation", sim_op_info(order->op)->name);
    sim_json_text(object, "product", order->product);
    sim_json_text(object, "profile", order->profile);
    sim_json_text(object, "licence", order->licence);
    sim_json_text(object, "cn", order->cn);
    sim_json_text(object, "email", order->email);
    sim_json_text(object, "upn", order->upn);
    sim_json_text(object, "sid", order->sid);
    sim_json_text(object, "surname", order->surname);
    sim_json_text(object, "given_name", order->given_name);
    sim_json_text(object, "pseudonym", order->pseudonym);
    sim_json_text(object, "spki_sha256", order->spki);
    sim_json_text(object, "serial", order->cert.serial);
    sim_json_text(object, "reissue_of", order->reissue_of);
    for (size_t i = 0; i < 3; i++) {
        if (order->unit[i]) {
            json_array_append_new(units, json_string(order->unit[i]));
        }
    }
    json_object_set_new(object, "ou", units);
    json_object_set_new(object, "years", json_integer(order->years));
    json_object_set_new(object, "shown_status", json_integer(order->shown_status));
    json_object_set_new(object, "efs", json_boolean(order->efs));
    json_object_set_new(object, "pickup", json_boolean(order->pickup));
    json_object_set_new(object, "reissued", json_boolean(order->reissued));
    json_object_set_new(object, "licence_returned", json_boolean(order->licence_returned));
}

static void
sim_order_cert(json_t *object, const struct sim_order *order)
{
    if (!order->cert.der) {
        return;
    }
    struct sim_buf text;
    sim_buf_init(&text, ORDER_LINE_MAX);
    sim_buf_base64(&text, order->cert.der, order->cert.len);
    json_object_set_new(object, "cert", json_string(text.data));
    json_object_set_new(object, "not_before", json_integer(order->cert.not_before_ms));
    json_object_set_new(object, "not_after", json_integer(order->cert.not_after_ms));
    sim_buf_deinit(&text);
}

json_t *
sim_order_json(const struct sim_order *order, int64_t real_ms, bool with_cert)
{
    struct sim_order copy = *order;
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(order->id));
    json_object_set_new(object, "status", json_integer(sim_order_status(order, real_ms)));
    sim_order_facts(object, order);
    json_object_set_new(object, "portal", json_boolean(order->op == SIM_OP_NONE));
    json_object_set_new(object, "moments", sim_order_moments(&copy));
    if (with_cert) {
        sim_order_cert(object, order);
    }
    return object;
}

static const char *
sim_json_get(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static char *
sim_json_copy(const json_t *object, const char *name)
{
    return sim_copy(json_string_value(json_object_get(object, name)));
}

static int64_t
sim_json_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void
sim_order_read_state(struct sim_order *order, const json_t *object)
{
    const json_t *moments = json_object_get(object, "moments");
    for (size_t i = 0; i < 6; i++) {
        const json_t *pair = json_object_get(moments, moment_names[i]);
        sim_order_moment(order, i)->real = json_integer_value(json_array_get(pair, 0));
        sim_order_moment(order, i)->shown = json_integer_value(json_array_get(pair, 1));
    }
    const char *cert = json_string_value(json_object_get(object, "cert"));
    if (cert && !order->cert.der) {
        order->cert.der = sim_unbase64(cert, &order->cert.len);
        order->cert.not_before_ms = sim_json_number(object, "not_before");
        order->cert.not_after_ms = sim_json_number(object, "not_after");
        sim_put(order->cert.serial, sizeof(order->cert.serial), sim_json_get(object, "serial"));
        sim_put(order->spki, sizeof(order->spki), sim_json_get(object, "spki_sha256"));
    }
    order->shown_status = (int)sim_json_number(object, "shown_status");
    order->pickup = json_is_true(json_object_get(object, "pickup"));
    order->reissued = json_is_true(json_object_get(object, "reissued"));
    order->licence_returned = json_is_true(json_object_get(object, "licence_returned"));
}

static struct sim_order *
sim_order_read(const json_t *object)
{
    struct sim_order *order = sim_alloc(sizeof(*order));
    sim_put(order->id, sizeof(order->id), sim_json_get(object, "id"));
    order->op = sim_op_find(sim_json_get(object, "operation"));
    sim_put(order->product, sizeof(order->product), sim_json_get(object, "product"));
    sim_put(order->profile, sizeof(order->profile), sim_json_get(object, "profile"));
    sim_put(order->licence, sizeof(order->licence), sim_json_get(object, "licence"));
    sim_put(order->spki, sizeof(order->spki), sim_json_get(object, "spki_sha256"));
    sim_put(order->reissue_of, sizeof(order->reissue_of), sim_json_get(object, "reissue_of"));
    order->cn = sim_json_copy(object, "cn");
    order->email = sim_json_copy(object, "email");
    order->upn = sim_json_copy(object, "upn");
    order->sid = sim_json_copy(object, "sid");
    order->surname = sim_json_copy(object, "surname");
    order->given_name = sim_json_copy(object, "given_name");
    order->pseudonym = sim_json_copy(object, "pseudonym");
    const json_t *units = json_object_get(object, "ou");
    for (size_t i = 0; i < 3; i++) {
        order->unit[i] = sim_copy(json_string_value(json_array_get(units, i)));
    }
    order->years = (int)sim_json_number(object, "years");
    order->efs = json_is_true(json_object_get(object, "efs"));
    sim_order_read_state(order, object);
    return order;
}

/* Makes an order known by its id and key. */
static void
sim_order_index(struct sim_orders *orders, struct sim_order *order)
{
    if (orders->count == orders->size) {
        orders->size = orders->size ? orders->size * 2 : 1024;
        orders->list = sim_realloc(orders->list, orders->size * sizeof(*orders->list));
        orders->latest = sim_realloc(orders->latest, orders->size * sizeof(*orders->latest));
    }
    orders->latest[orders->count] = order->requested.shown;
    if (orders->count > 0 && orders->latest[orders->count - 1] > order->requested.shown) {
        orders->latest[orders->count] = orders->latest[orders->count - 1];
    }
    orders->list[orders->count++] = order;
    order->saved = true;
    sim_map_put(&orders->by_id, order->id, order);
    if (order->cn) {
        order->same_cn = sim_map_get(&orders->by_cn, order->cn);
        sim_map_put(&orders->by_cn, order->cn, order);
    }
}

static void
sim_order_index_key(struct sim_orders *orders, struct sim_order *order)
{
    if (!order->spki[0]) {
        return;
    }
    struct sim_order *last = sim_map_get(&orders->by_key, order->spki);
    for (struct sim_order *at = last; at; at = at->same_key) {
        if (at == order) {
            return;
        }
    }
    order->same_key = last;
    sim_map_put(&orders->by_key, order->spki, order);
}

static void
sim_orders_line(struct sim_orders *orders, const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, 0, NULL);
    const char *id = json_string_value(json_object_get(object, "id"));
    if (id) {
        struct sim_order *order = sim_order_find(orders, id);
        if (order) {
            sim_order_read_state(order, object);
        } else {
            order = sim_order_read(object);
            sim_order_index(orders, order);
        }
        sim_order_index_key(orders, order);
        orders->changed = order;
        orders->picked_up = orders->picked_up || order->pickup;
    }
    json_decref(object);
}

bool
sim_orders_open(struct sim_orders *orders, const char *dir)
{
    char path[4096];
    struct sim_buf text;
    memset(orders, 0, sizeof(*orders));
    (void)snprintf(path, sizeof(path), "%s/orders.jsonl", dir);
    sim_buf_init(&text, SIZE_MAX / 4);
    size_t used = 0;
    if (sim_read_file(path, &text)) {
        char *end = NULL;
        while (used < text.len && (end = memchr(text.data + used, '\n', text.len - used))) {
            sim_orders_line(orders, text.data + used, (size_t)(end - text.data) - used);
            used = (size_t)(end - text.data) + 1;
        }
    }
    sim_buf_deinit(&text);
    orders->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (orders->fd < 0 || ftruncate(orders->fd, (off_t)used)) {
        perror(path);
        return false;
    }
    return true;
}

void
sim_orders_close(struct sim_orders *orders)
{
    for (size_t i = 0; i < orders->count; i++) {
        sim_order_free(orders->list[i]);
    }
    free(orders->list);
    free(orders->latest);
    sim_map_deinit(&orders->by_id);
    sim_map_deinit(&orders->by_key);
    sim_map_deinit(&orders->by_cn);
    if (orders->fd >= 0) {
        close(orders->fd);
    }
    memset(orders, 0, sizeof(*orders));
    orders->fd = -1;
}

struct sim_order *
sim_order_new(struct sim_orders *orders, int64_t shown_ms)
{
    struct sim_order *order = sim_alloc(sizeof(*order));
    char day[40];
    sim_time_iso(shown_ms, 0, day);
    (void)snprintf(order->id, sizeof(order->id), "CEPS%.2s%.2s%.2s%06zu", day + 2, day + 5, day + 8,
                   orders->count + 1);
    order->requested.shown = shown_ms;
    return order;
}

void
sim_order_save(struct sim_orders *orders, struct sim_order *order)
{
    if (!order->saved) {
        sim_order_index(orders, order);
    }
    sim_order_index_key(orders, order);
    orders->picked_up = orders->picked_up || order->pickup;
    json_t *object = sim_order_json(order, 0, true);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    struct sim_buf line;
    sim_buf_init(&line, ORDER_LINE_MAX);
    sim_buf_printf(&line, "%s\n", text);
    free(text);
    if (line.full || write(orders->fd, line.data, line.len) != (ssize_t)line.len) {
        perror("epki-simulator: orders.jsonl");
        abort(); /* a CA that forgets its orders proves nothing */
    }
    sim_buf_deinit(&line);
}

struct sim_order *
sim_order_find(const struct sim_orders *orders, const char *id)
{
    return sim_map_get(&orders->by_id, id);
}

struct sim_order *
sim_order_with_key(const struct sim_orders *orders, const char *spki)
{
    return sim_map_get(&orders->by_key, spki);
}

struct sim_order *
sim_order_with_cn(const struct sim_orders *orders, const char *cn)
{
    return sim_map_get(&orders->by_cn, cn);
}

size_t
sim_orders_from(const struct sim_orders *orders, int64_t shown_ms)
{
    size_t low = 0;
    size_t high = orders->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (orders->latest[middle] >= shown_ms) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static bool
sim_reached(const struct sim_moment *moment, int64_t real_ms)
{
    return moment->real && moment->real <= real_ms;
}

int
sim_order_status(const struct sim_order *order, int64_t real_ms)
{
    if (!sim_reached(&order->recorded, real_ms)) {
        return 0;
    }
    if (order->shown_status) {
        return order->shown_status;
    }
    if (sim_reached(&order->revoked, real_ms)) {
        return SIM_STATUS_REVOKED;
    }
    if (sim_reached(&order->revoke_requested, real_ms)) {
        return SIM_STATUS_REVOKING;
    }
    if (sim_reached(&order->cancelled, real_ms)) {
        return sim_reached(&order->issued, order->cancelled.real) ? SIM_STATUS_CANCELLED_ISSUED
                                                                  : SIM_STATUS_CANCELLED;
    }
    return sim_reached(&order->issued, real_ms) ? SIM_STATUS_ISSUED : SIM_STATUS_INITIAL;
}

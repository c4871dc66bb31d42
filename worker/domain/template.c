/*
 * Templates over subject facts, in two spellings: ${first_name} and MobileIron's $FIRST_NAME$.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "domain/rules.h"

static const struct {
    const char *name;   /* ${name} */
    const char *legacy; /* $LEGACY$, NULL = none */
    size_t offset;
} facts[] = {
    {"user_id", "USERID", offsetof(struct ew_subject, user_id)},
    {"first_name", "FIRST_NAME", offsetof(struct ew_subject, first_name)},
    {"last_name", "LAST_NAME", offsetof(struct ew_subject, last_name)},
    {"display_name", "DISPLAY_NAME", offsetof(struct ew_subject, display_name)},
    {"email", "EMAIL", offsetof(struct ew_subject, email)},
    {"upn", "USER_UPN", offsetof(struct ew_subject, upn)},
    {"device_id", "DEVICE_ID", offsetof(struct ew_subject, device_id)},
    {"device_serial", "DEVICE_SN", offsetof(struct ew_subject, device_serial)},
    {"platform", "PLATFORM", offsetof(struct ew_subject, platform)},
    {"platform_version", NULL, offsetof(struct ew_subject, platform_version)},
    {"ownership", NULL, offsetof(struct ew_subject, ownership)},
};

/* One placeholder: its name, and whether it is a custom attribute, empty on purpose, or a dollar.
 */
struct place {
    char name[EW_MAX_VARIABLE + 1];
    bool attribute, null, dollar;
    size_t fact;
};

static const char *
close_of(const char *at, char closing, char name[EW_MAX_VARIABLE + 1])
{
    const char *end = strchr(at, closing);

    if (end == NULL || end == at || (size_t)(end - at) > EW_MAX_VARIABLE)
        return NULL;
    memcpy(name, at, (size_t)(end - at));
    name[end - at] = '\0';
    return end + 1;
}

static bool
known(struct place *place, bool legacy)
{
    if (legacy && strcmp(place->name, "NULL") == 0) {
        place->null = true;
        return true;
    }
    if (!legacy && strncmp(place->name, "attributes.", 11) == 0 && place->name[11] != '\0') {
        place->attribute = true;
        return true;
    }
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const char *name = legacy ? facts[i].legacy : facts[i].name;

        if (name != NULL && strcmp(name, place->name) == 0) {
            place->fact = i;
            return true;
        }
    }
    return false;
}

/* Reads the placeholder whose dollar stands at `at`; returns what follows it, NULL if malformed. */
static const char *
read_place(const char *at, struct place *place)
{
    bool legacy = at[1] != '{';
    const char *next;

    memset(place, 0, sizeof(*place));
    if (at[1] == '$') {
        place->dollar = true;
        return at + 2;
    }
    next = close_of(at + (legacy ? 1 : 2), legacy ? '$' : '}', place->name);
    return next != NULL && known(place, legacy) ? next : NULL;
}

static const char *
value_of(const struct place *place, const struct ew_subject *subject)
{
    const char *value = NULL;

    if (place->dollar)
        return "$";
    if (place->attribute) {
        for (size_t i = 0; i < subject->attribute_count; i++)
            if (strcmp(subject->attributes[i].name, place->name + 11) == 0)
                value = subject->attributes[i].value;
        return value;
    }
    memcpy(&value, (const char *)subject + facts[place->fact].offset, sizeof(value));
    return value;
}

enum ew_fault
ew_template_check(const char *template_text, struct ew_err *err)
{
    struct place place;

    for (const char *at = template_text; *at != '\0';) {
        if (*at != '$') {
            at++;
            continue;
        }
        at = read_place(at, &place);
        if (at == NULL)
            return ew_fail_field(err, EW_REJECT, "template", "",
                                 "Use ${first_name} and the like, ${attributes.NAME}, or $$ for a "
                                 "dollar; see the README for the names.",
                                 "unknown or unfinished variable%s%s",
                                 place.name[0] != '\0' ? ": " : "", place.name);
    }
    return EW_OK;
}

static enum ew_fault
render(const char *at, const struct ew_subject *subject, struct ew_buf *text, struct ew_err *err)
{
    struct place place;
    char field[128];

    while (*at != '\0') {
        const char *value;

        if (*at != '$') {
            ew_buf_putc(text, *at++);
            continue;
        }
        at = read_place(at, &place);
        if (at == NULL)
            return ew_fail(err, EW_REJECT, "template", "the setting's template is malformed");
        if (place.null)
            continue;
        value = value_of(&place, subject);
        if (value == NULL || value[0] == '\0') {
            (void)snprintf(field, sizeof(field), "subject.%s",
                           place.attribute ? place.name : facts[place.fact].name);
            return ew_fail_field(err, EW_REJECT, "fact-missing", field,
                                 "Send the fact that the setting's template names.",
                                 "the template needs it and it is empty");
        }
        ew_buf_puts(text, value);
    }
    return EW_OK;
}

enum ew_fault
ew_template_render(const char *template_text, const struct ew_subject *subject, size_t max,
                   struct ew_arena *arena, const char **out, struct ew_err *err)
{
    struct ew_buf text;
    enum ew_fault fault;
    const char *copy;

    ew_buf_init(&text, max);
    fault = render(template_text, subject, &text, err);
    if (fault == EW_OK && text.overflowed)
        fault = ew_fail(err, EW_REJECT, "too-long", "a name of more than %zu bytes", max);
    if (fault == EW_OK) {
        copy = ew_arena_strndup(arena, ew_buf_text(&text), text.len);
        if (copy == NULL)
            fault = ew_fail(err, EW_RETRY, "out-of-memory", "a name");
        else
            *out = copy;
    }
    ew_buf_deinit(&text);
    return fault;
}

/*
 * What an event and a setting come to.
 */
#include "domain/rules.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool
ew_request_id_valid(const char *id)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)id[i]) && strchr("._:-", id[i]) == NULL)
            return false;
    return len >= 1 && len <= EW_MAX_REQUEST_ID;
}

enum ew_rate_class
ew_rules_rate_class(enum ew_lane lane, bool bulk_hint)
{
    if (lane == EW_LANE_BULK || bulk_hint)
        return EW_RATE_BULK;
    return lane == EW_LANE_RENEWAL ? EW_RATE_RENEWAL : EW_RATE_ENROLLMENT;
}

/* --- names --- */

/* Characters, not bytes; no control characters. */
static enum ew_fault
check_text(const char *text, size_t max, const char *field, struct ew_err *err)
{
    size_t characters = 0;

    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f)
            return ew_fail_field(err, EW_REJECT, "name-characters", field,
                                 "Send facts without control characters.", "a control character");
        characters += (*at & 0xc0) != 0x80;
    }
    if (characters > max)
        return ew_fail_field(err, EW_REJECT, "too-long", field,
                             "Shorten the facts or the template.", "%zu characters, more than %zu",
                             characters, max);
    return EW_OK;
}

static enum ew_fault
check_email(const struct ew_setting *setting, const char *email, struct ew_err *err)
{
    const char *at = strchr(email, '@');

    if (at == NULL || at == email || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
        strpbrk(email, " \t<>,;\"") != NULL || strchr(at + 1, '.') == NULL)
        return ew_fail_field(err, EW_REJECT, "email-malformed", "subject.email",
                             "Send an address of the form local@domain.", "not an e-mail address");
    for (size_t i = 0; i < setting->email_domain_count; i++)
        if (strcasecmp(setting->email_domains[i], at + 1) == 0)
            return EW_OK;
    if (setting->email_domain_count == 0)
        return EW_OK;
    return ew_fail_field(err, EW_REJECT, "email-domain", "subject.email",
                         "Have the domain approved at GlobalSign and add it to the setting.",
                         "the domain is not approved for this setting");
}

/* Without blanks at its ends, and with single ones: as the CA may write a name, so that one that
 * comes back is known. NULL without memory. */
static const char *
tidy(const char *text, struct ew_arena *arena)
{
    char *copy = ew_arena_strndup(arena, text, strlen(text)), *to = copy;

    if (copy == NULL)
        return NULL;
    for (const char *at = text; *at != '\0'; at++)
        if (*at != ' ' || (to > copy && to[-1] != ' '))
            *to++ = *at;
    if (to > copy && to[-1] == ' ')
        to--;
    *to = '\0';
    return copy;
}

static enum ew_fault
tidy_all(struct ew_names *names, struct ew_arena *arena, struct ew_err *err)
{
    bool whole = (names->cn = tidy(names->cn, arena)) != NULL &&
                 (names->upn = tidy(names->upn, arena)) != NULL;

    for (size_t i = 0; whole && i < names->ou_count; i++)
        whole = (names->ous[i] = tidy(names->ous[i], arena)) != NULL;
    return whole ? EW_OK : ew_fail(err, EW_RETRY, "out-of-memory", "the names");
}

static enum ew_fault
is_empty(const char *field, const char *detail, struct ew_err *err)
{
    return ew_fail_field(err, EW_REJECT, "name-empty", field,
                         "Send the facts that the setting's template names.", "%s", detail);
}

/* The names that follow the first have parents that were rendered: none is left out silently. */
static enum ew_fault
render_all(const struct ew_setting *setting, const struct ew_subject *subject,
           struct ew_arena *arena, struct ew_names *out, struct ew_err *err)
{
    enum { ROOM = 64 * 1024 }; /* more than a template comes to: check_text names the field */
    enum ew_fault fault =
        ew_template_render(setting->cn_template, subject, ROOM, arena, &out->cn, err);

    out->email = out->upn = "";
    if (fault == EW_OK && setting->email_template != NULL)
        fault = ew_template_render(setting->email_template, subject, ROOM, arena, &out->email, err);
    if (fault == EW_OK && setting->upn_template != NULL)
        fault = ew_template_render(setting->upn_template, subject, ROOM, arena, &out->upn, err);
    for (size_t i = 0; fault == EW_OK && i < setting->ou_count; i++) {
        const char *ou = "";

        fault = ew_template_render(setting->ou_templates[i], subject, ROOM, arena, &ou, err);
        if (fault == EW_OK && ou[0] != '\0')
            out->ous[out->ou_count++] = ou;
    }
    return fault;
}

enum ew_fault
ew_rules_names(const struct ew_setting *setting, const struct ew_subject *subject,
               struct ew_arena *arena, struct ew_names *out, struct ew_err *err)
{
    enum ew_fault fault;

    memset(out, 0, sizeof(*out));
    if ((fault = render_all(setting, subject, arena, out, err)) != EW_OK ||
        (fault = tidy_all(out, arena, err)) != EW_OK)
        return fault;
    return ew_rules_judge_names(setting, out, err);
}

enum ew_fault
ew_rules_judge_names(const struct ew_setting *setting, const struct ew_names *names,
                     struct ew_err *err)
{
    enum ew_fault fault;

    if (names->cn[0] == '\0')
        return is_empty("cn", "the common name is empty", err);
    if ((fault = check_text(names->cn, EW_MAX_CN, "cn", err)) != EW_OK ||
        (fault = check_text(names->email, EW_MAX_EMAIL, "email", err)) != EW_OK ||
        (fault = check_text(names->upn, EW_MAX_UPN, "upn", err)) != EW_OK)
        return fault;
    for (size_t i = 0; i < names->ou_count; i++) {
        if (names->ous[i][0] == '\0')
            return is_empty("ou", "an organisational unit is nothing but blanks", err);
        if ((fault = check_text(names->ous[i], EW_MAX_OU, "ou", err)) != EW_OK)
            return fault;
    }
    if (setting->smime && names->email[0] == '\0')
        return ew_fail_field(err, EW_REJECT, "email-missing", "subject.email",
                             "An S/MIME setting needs an e-mail address.", "it is empty");
    if (setting->smime && names->ou_count > 0)
        return ew_fail_field(err, EW_REJECT, "ou-forbidden", "ou",
                             "Remove the OU templates, or renew with the facts: S/MIME profiles "
                             "forbid them.",
                             "an organisational unit on an S/MIME profile");
    return names->email[0] == '\0' ? EW_OK : check_email(setting, names->email, err);
}

/* --- key choice and deadline --- */

enum ew_fault
ew_rules_request(const struct ew_setting *setting, const struct ew_request *request, int64_t now_ms,
                 struct ew_err *err)
{
    if (request->deadline_ms > 0 && request->deadline_ms < now_ms)
        return ew_fail_field(err, EW_REJECT, "deadline-passed", "deadline_ms",
                             "Send the request again with a later deadline.",
                             "the deadline has passed");
    switch (request->key) {
    case EW_KEY_CSR:
        if (!setting->csr_allowed)
            return ew_fail_field(err, EW_REJECT, "key-policy", "key.csr", "Ask for a key.",
                                 "the setting takes no CSR");
        return EW_OK;
    case EW_KEY_WORKER:
        if (!setting->worker_key_allowed)
            return ew_fail_field(err, EW_REJECT, "key-policy", "key.worker_key",
                                 "Send a CSR of the device's own key.",
                                 "the setting makes no keys");
        if (request->key_type_given && (setting->key_types & 1u << request->key_type) == 0)
            return ew_fail_field(err, EW_REJECT, "key-policy", "key.worker_key.type",
                                 "Use a key type that the setting lists.",
                                 "the setting does not allow this key type");
        return EW_OK;
    case EW_KEY_GLOBALSIGN:
        if (!setting->globalsign_key_allowed)
            return ew_fail_field(err, EW_REJECT, "key-policy", "key.globalsign_key",
                                 "Use a key choice that the setting lists.",
                                 "the setting has no keys made by GlobalSign");
        return EW_OK;
    default:
        return ew_fail_field(err, EW_REJECT, "missing", "key", "Send a CSR, or ask for a key.",
                             "no key choice");
    }
}

enum ew_key_type
ew_rules_key_type(const struct ew_setting *setting, const struct ew_request *request)
{
    enum ew_key_type type = EW_KEY_RSA_2048;

    if (request->key_type_given)
        return request->key_type;
    while (type < EW_KEY_EC_P384 && (setting->key_types & 1u << type) == 0)
        type++;
    return type;
}

bool
ew_rules_seals(const struct ew_request *request)
{
    return request->key == EW_KEY_WORKER || request->key == EW_KEY_GLOBALSIGN;
}

const char *
ew_rules_recipient_field(const struct ew_request *request)
{
    return request->key == EW_KEY_GLOBALSIGN ? "key.globalsign_key.recipient_certificate"
                                             : "key.worker_key.recipient_certificate";
}

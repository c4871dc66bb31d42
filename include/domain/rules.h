/*
 * Pure rules: what an event and a setting come to, before anything is spent.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "domain/request.h"
#include "domain/setting.h"

/* Renders a template over subject facts: ${user_id} ${first_name} ${last_name} ${display_name}
 * ${email} ${upn} ${device_id} ${device_serial} ${platform} ${platform_version} ${ownership}
 * ${attributes.NAME}, and the MobileIron spelling $USERID$ $FIRST_NAME$ $LAST_NAME$ $DISPLAY_NAME$
 * $EMAIL$ $USER_UPN$ $DEVICE_ID$ $DEVICE_SN$ $PLATFORM$ $NULL$ (empty on purpose) $$ (a dollar). A
 * fact that is missing or empty is EW_REJECT, naming it; so is a result of more than max bytes. */
EW_CHECK enum ew_fault ew_template_render(const char *template_text,
                                          const struct ew_subject *subject, size_t max,
                                          struct ew_arena *arena, const char **out,
                                          struct ew_err *err);
/* Whether the template is well-formed: for the settings file. */
EW_CHECK enum ew_fault ew_template_check(const char *template_text, struct ew_err *err);

/* Names of an order: renders the setting's templates, without blanks at the ends and with single
 * ones between; then judges them. */
EW_CHECK enum ew_fault ew_rules_names(const struct ew_setting *setting,
                                      const struct ew_subject *subject, struct ew_arena *arena,
                                      struct ew_names *out, struct ew_err *err);
/* Names that were rendered, be it under another setting: lengths, characters, CN present, e-mail
 * shape and approved domain, S/MIME needs e-mail and has no OU. */
EW_CHECK enum ew_fault ew_rules_judge_names(const struct ew_setting *setting,
                                            const struct ew_names *names, struct ew_err *err);
/* Key choice, key type and recipient against the setting's key policy; deadline not passed at
 * now_ms, 0 = that is not known yet. */
EW_CHECK enum ew_fault ew_rules_request(const struct ew_setting *setting,
                                        const struct ew_request *request, int64_t now_ms,
                                        struct ew_err *err);
/* The type of a worker-made key: the request's, else the first that the setting allows. */
enum ew_key_type ew_rules_key_type(const struct ew_setting *setting,
                                   const struct ew_request *request);
/* Whether the key comes with the certificate, sealed to the request's recipient. */
bool ew_rules_seals(const struct ew_request *request);
/* The path of that recipient in the request. */
const char *ew_rules_recipient_field(const struct ew_request *request);
/* 1-128 characters of [A-Za-z0-9._:-]. */
bool ew_request_id_valid(const char *id);
/* The class of an order's rate: by lane, lowered by the bulk hint. */
enum ew_rate_class ew_rules_rate_class(enum ew_lane lane, bool bulk_hint);

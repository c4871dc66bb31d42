/*
 * Who calls: user and password, the lock after wrong ones, and the addresses a profile allows.
 */
#include "sim.h"

#include <string.h>

enum {
    MISSING = -102,
    LOGIN_FAILED = -4001,
    ADDRESS_REFUSED = -4201,
    ACCOUNT_LOCKED = -9939,
};

static bool
sim_account_login(struct sim *sim, const char *user, const char *password)
{
    const char *expected = sim->settings.password[0] ? sim->settings.password : sim->password;
    return strcmp(user, sim->settings.username) == 0 && strcmp(password, expected) == 0;
}

/* Two paths below Request: the header's name differs between orders and queries. */
static const char *
sim_account_get(struct sim_call *call, const char *name)
{
    char path[80];
    (void)snprintf(path, sizeof(path), "%s.AuthToken.%s", sim_op_info(call->op)->auth, name);
    const char *text = sim_soap_get(&call->soap, path);
    if (!text || !*text) {
        sim_errors_add(&call->errors, MISSING, path);
        return NULL;
    }
    return text;
}

static void
sim_account_failed(struct sim_call *call)
{
    struct sim *sim = call->sim;
    sim->failed_logins++;
    if (sim->settings.lockout && sim->failed_logins >= sim->settings.lockout) {
        sim->settings.locked = true;
        sim->failed_logins = 0;
    }
    sim_errors_add(&call->errors, LOGIN_FAILED, NULL);
}

void
sim_account_check(struct sim_call *call)
{
    struct sim *sim = call->sim;
    const char *user = sim_account_get(call, "UserName");
    const char *password = sim_account_get(call, "Password");
    if (!user || !password) {
        return;
    }
    if (sim->settings.locked) {
        sim_errors_add(&call->errors, ACCOUNT_LOCKED, NULL);
        return;
    }
    if (!sim_account_login(sim, user, password)) {
        sim_account_failed(call);
        return;
    }
    sim->failed_logins = 0;
    const struct sim_profile *profile = sim_profile_find(&sim->profiles, call->profile_id);
    if (profile && !sim_profile_address(profile, call->peer)) {
        sim_errors_add(&call->errors, ADDRESS_REFUSED, NULL);
    }
}

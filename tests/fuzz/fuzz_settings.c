/*
 * The settings file. Either problems are told, each whole, or what was loaded keeps to every row of
 * the table that it was read by. The files that settings name are all one: SOME_FILE.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_private.h"
#include "domain/rules.h"
#include "fuzz.h"

/* /proc/self/fd/100 in the seeds: a readable, regular, short file. */
enum { SOME_FILE = 100, SETTINGS_FILE = 101 };

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int fd = memfd_create("some-file", MFD_CLOEXEC);

    (void)argc, (void)argv;
    MUST(fd >= 0 && write(fd, "x\n", 2) == 2 && dup2(fd, SOME_FILE) == SOME_FILE);
    MUST(close(fd) == 0);
    fd = memfd_create("settings", MFD_CLOEXEC);
    MUST(fd >= 0 && dup2(fd, SETTINGS_FILE) == SETTINGS_FILE && close(fd) == 0);
    return 0;
}

static void
on_problem(void *arg, const struct ew_err *err)
{
    int *told = arg;

    (*told)++;
    MUST(err->fault == EW_HALT && strcmp(err->problem, "settings") == 0);
    MUST(err->detail[0] != '\0' && strlen(err->field) < sizeof(err->field));
}

/* --- what a row promises --- */

static void
check_number(const struct ew_key_row *row, int64_t number)
{
    MUST(number >= row->min && number <= row->max);
}

static void
check_value(const struct ew_key_row *row, const char *section)
{
    const void *at = section + row->offset;
    const char *text;

    if (row->kind == EW_CONF_INT)
        check_number(row, *(const int *)at);
    else if (row->kind == EW_CONF_INT64)
        check_number(row, *(const int64_t *)at);
    if (row->kind != EW_CONF_TEXT && row->kind != EW_CONF_FILE && row->kind != EW_CONF_TEMPLATE)
        return;
    text = *(const char *const *)at;
    MUST(text != NULL || (!row->required && row->preset == NULL));
    MUST(text == NULL || strlen(text) <= (size_t)row->max);
    MUST(text == NULL || text[0] != '\0' || !row->required);
    if (row->kind == EW_CONF_TEMPLATE && text != NULL)
        MUST(ew_template_check(text, NULL) == EW_OK);
}

static void
check_section(const struct ew_section *section, const void *values)
{
    for (size_t i = 0; i < section->count; i++)
        if (section->rows[i].kind != EW_CONF_SPECIAL)
            check_value(&section->rows[i], values);
}

/* --- what rows together promise --- */

static void
check_account(const struct ew_config *config, const struct ew_account *account)
{
    int sum = 0;

    check_section(&ew_section_account, account);
    MUST(strncmp(account->url, "https://", 8) == 0);
    MUST(account->connect_ms <= config->time.send_window_ms - 1000);
    MUST(account->hold_code_count <= EW_MAX_HOLD_CODES);
    for (int i = 0; i < EW_RATE_COUNT; i++) {
        MUST(account->share[i] >= 1);
        sum += account->share[i];
    }
    MUST(sum <= 100);
}

static void
check_setting(const struct ew_config *config, const struct ew_setting *setting)
{
    bool seals = setting->worker_key_allowed || setting->globalsign_key_allowed;

    check_section(&ew_section_setting, setting);
    MUST(setting->account >= config->accounts &&
         setting->account < config->accounts + config->account_count);
    MUST(setting->csr_allowed || seals);
    MUST(!seals || (setting->recipients_file != NULL && config->kek_file != NULL));
    MUST(!setting->worker_key_allowed || setting->key_types != 0);
    MUST(!setting->smime || (setting->email_template != NULL && setting->ou_count == 0));
    MUST(setting->ou_count <= EW_MAX_OUS && setting->email_domain_count <= EW_MAX_DOMAINS &&
         setting->label_count <= EW_MAX_LABELS);
    MUST(ew_config_setting(config, setting->name) == setting);
}

static void
check_config(const struct ew_config *config)
{
    check_section(&ew_section_top, config);
    check_section(&ew_section_kafka, config);
    check_section(&ew_section_redis, config);
    check_section(&ew_section_time, config);
    check_section(&ew_section_admin, config);
    MUST(config->account_count >= 1 && config->account_count <= EW_MAX_ACCOUNTS);
    MUST(config->setting_count >= 1 && config->setting_count <= EW_MAX_SETTINGS);
    for (size_t i = 0; i < config->account_count; i++)
        check_account(config, &config->accounts[i]);
    for (size_t i = 0; i < config->setting_count; i++)
        check_setting(config, &config->settings[i]);
    for (size_t i = 0; i < EW_LANE_COUNT; i++)
        MUST(config->kafka.in[i] != NULL && config->kafka.in[i][0] != '\0');
    for (size_t i = 0; i < sizeof(config->kafka.out) / sizeof(config->kafka.out[0]); i++)
        MUST(config->kafka.out[i] != NULL && config->kafka.out[i][0] != '\0');
    MUST(config->kafka.property_count == 0 || config->kafka.properties != NULL);
    MUST(ew_config_quiet_ms(config) > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ew_config config;
    int told = 0, problems;

    MUST(ftruncate(SETTINGS_FILE, 0) == 0);
    MUST(pwrite(SETTINGS_FILE, data, size, 0) == (ssize_t)size);
    problems = ew_config_load("/proc/self/fd/101", &config, on_problem, &told);
    MUST(problems == told);
    if (problems == 0) {
        check_config(&config);
        ew_config_free(&config);
    }
    return 0;
}

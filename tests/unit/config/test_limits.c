/*
 * The lists and texts of the settings file, at their limits and one beyond; and one problem for one
 * mistake, whatever would follow from it.
 */
#include "settings_file.h"

#include "config_private.h"

#define REDIS "  url: redis://localhost:6379/0\n"

static struct ew_buf text;

static int
begin(void **state)
{
    (void)state;
    ew_buf_init(&text, 60000);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    ew_buf_deinit(&text);
    return 0;
}

static void
is_taken(const char *file)
{
    struct ew_config config;

    if (load_text(file, &config) != 0)
        fail_msg("%s", all_problems());
    ew_config_free(&config);
}

/* And nothing else is said. */
static void
is_refused(const char *file, const char *field, const char *detail)
{
    struct ew_config config;

    if (load_text(file, &config) != 1 || found.heard != 1 || problem_at(field, detail) == NULL)
        fail_msg("%s %s:%s", field, detail, all_problems());
}

/* A file that is at a limit is taken, one beyond it refused; freed here. */
static void
is_limit(int over, char *file, const char *field, const char *detail)
{
    if (over == 0)
        is_taken(file);
    else
        is_refused(file, field, detail);
    free(file);
}

/* --- lists of plain values --- */

static char *
with_list(const char *mark, const char *key, const char *item, size_t count)
{
    ew_buf_clear(&text);
    ew_buf_printf(&text, "  %s: [", key);
    for (size_t i = 0; i < count; i++)
        ew_buf_printf(&text, "%s%s", i == 0 ? "" : ", ", item);
    ew_buf_puts(&text, "]\n");
    return replaced(good_file, mark, ew_buf_text(&text));
}

static void
test_lists(void **state)
{
    static const struct {
        const char *mark, *key, *item, *field, *detail;
        size_t max;
    } rows[] = {
        {"#at-account\n", "hold_codes", "-6102", "accounts[0].hold_codes", "more than 16 entries",
         EW_MAX_HOLD_CODES},
        {"#at-setting\n", "labels", "l", "settings[0].labels", "more than 64 entries",
         EW_MAX_LABELS},
        {"#at-setting\n", "email_domains", "a.de", "settings[0].email_domains",
         "more than 64 entries", EW_MAX_DOMAINS},
        {"#at-setting\n", "ous", "o", "settings[0].ous", "more than 3 entries", EW_MAX_OUS},
        {"#at-setting\n", "keys", "csr", "settings[0].keys", "more than 3 entries", 3},
        {"#at-setting\n", "key_types", "ec-p256", "settings[0].key_types", "more than 4 entries",
         4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int over = 0; over <= 1; over++) {
            char *file =
                with_list(rows[i].mark, rows[i].key, rows[i].item, rows[i].max + (size_t)over);

            is_limit(over, file, rows[i].field, rows[i].detail);
        }
    }
}

static void
test_what_stands_in_lists(void **state)
{
    static const struct {
        const char *key, *field, *detail;
        size_t max;
    } rows[] = {
        {"labels", "settings[0].labels", "more than 128 bytes", EW_MAX_LABEL},
        {"email_domains", "settings[0].email_domains", "more than 253 bytes", EW_MAX_DOMAIN},
        {"ous", "settings[0].ous", "more than 256 bytes", EW_MAX_TEMPLATE},
    };
    char item[EW_MAX_TEMPLATE + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int over = 0; over <= 1; over++) {
            char *file;

            memset(item, 'a', sizeof(item));
            item[rows[i].max + (size_t)over] = '\0';
            file = with_list("#at-setting\n", rows[i].key, item, 1);
            is_limit(over, file, rows[i].field, rows[i].detail);
        }
    }
}

/* --- lists of entries --- */

/* The good file with this in place of its accounts. */
static char *
with_accounts(const char *accounts)
{
    const char *from = strstr(good_file, "accounts:"), *to = strstr(good_file, "settings:");
    struct ew_buf file;
    size_t len;

    ew_buf_init(&file, 60000);
    ew_buf_put(&file, good_file, (size_t)(from - good_file));
    ew_buf_puts(&file, accounts);
    ew_buf_puts(&file, to);
    return (char *)ew_buf_take(&file, &len);
}

#define ACCOUNT ", url: https://h, user: PAR1_a, password_file: DIR/password}\n"

/* The last of them is the one that the setting names. */
static char *
with_account_count(int count)
{
    ew_buf_clear(&text);
    ew_buf_puts(&text, "accounts:\n");
    for (int i = 1; i < count; i++)
        ew_buf_printf(&text, "- {name: a%d" ACCOUNT, i);
    ew_buf_puts(&text, "- {name: main" ACCOUNT);
    return with_accounts(ew_buf_text(&text));
}

static void
test_accounts(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++)
        is_limit(over, with_account_count(EW_MAX_ACCOUNTS + over), "accounts",
                 "more than 32 entries");
}

static char *
with_setting_count(int count)
{
    ew_buf_clear(&text);
    for (int i = 2; i <= count; i++)
        ew_buf_printf(
            &text, "- {name: s%d, account: main, profile: P, chain_file: DIR/chain.pem, cn: x}\n",
            i);
    return replaced(good_file, "#at-setting\n", ew_buf_text(&text));
}

static void
test_settings(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++)
        is_limit(over, with_setting_count(EW_MAX_SETTINGS + over), "settings",
                 "more than 256 entries");
}

static void
test_properties(void **state)
{
    char *file;

    (void)state;
    for (int over = 0; over <= 1; over++) {
        ew_buf_clear(&text);
        ew_buf_puts(&text, "  properties:\n");
        for (int i = 0; i < EW_MAX_PROPERTIES + over; i++)
            ew_buf_printf(&text, "    p%d: x\n", i);
        file = replaced(good_file, "#at-kafka\n", ew_buf_text(&text));
        is_limit(over, file, "kafka.properties", "more than 64 properties");
    }
}

/* --- texts --- */

static const struct {
    const struct ew_section *section;
    const char *head, *path;
} sections[] = {
    {&ew_section_kafka, "kafka:\n  ", "kafka."},
    {&ew_section_redis, "redis:\n  ", "redis."},
    {&ew_section_admin, "admin:\n  ", "admin."},
    {&ew_section_top, "", ""},
    {&ew_section_account, "accounts:\n- ", "accounts[0]."},
    {&ew_section_setting, "settings:\n- ", "settings[0]."},
};

/* In a file with nothing else: what that lacks is said at other paths. */
static bool
is_too_long(size_t section, const struct ew_key_row *row, size_t len)
{
    struct ew_config config;
    char path[80], limit[64];

    ew_buf_clear(&text);
    ew_buf_printf(&text, "%s%s: ", sections[section].head, row->name);
    for (size_t i = 0; i < len; i++)
        ew_buf_putc(&text, 'a');
    ew_buf_putc(&text, '\n');
    (void)snprintf(path, sizeof(path), "%s%s", sections[section].path, row->name);
    (void)snprintf(limit, sizeof(limit), "more than %lld characters", (long long)row->max);
    assert_true(load_text(ew_buf_text(&text), &config) > 0);
    return problem_at(path, limit) != NULL;
}

static void
test_texts(void **state)
{
    int texts = 0;

    (void)state;
    for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
        for (size_t r = 0; r < sections[s].section->count; r++) {
            const struct ew_key_row *row = &sections[s].section->rows[r];

            if (row->kind != EW_CONF_TEXT && row->kind != EW_CONF_FILE &&
                row->kind != EW_CONF_SECRET && row->kind != EW_CONF_TEMPLATE)
                continue;
            texts++;
            assert_true(row->max > 0);
            if (is_too_long(s, row, (size_t)row->max) || !is_too_long(s, row, (size_t)row->max + 1))
                fail_msg("%s%s does not end at %lld", sections[s].path, row->name,
                         (long long)row->max);
        }
    }
    assert_true(texts > 20);
}

static void
test_topics(void **state)
{
    char name[EW_MAX_TOPIC + 2], *file;

    (void)state;
    for (int over = 0; over <= 1; over++) {
        memset(name, 'a', sizeof(name));
        name[EW_MAX_TOPIC + over] = '\0';
        ew_buf_clear(&text);
        ew_buf_printf(&text, "  topics: {events: %s}\n", name);
        file = replaced(good_file, "#at-kafka\n", ew_buf_text(&text));
        is_limit(over, file, "kafka.topics", "the name of events");
    }
}

/* --- one mistake --- */

/* Keys that are delivered need more than their list. */
#define SEALS "  keys: [worker]\n  recipients_file: DIR/chain.pem\n"
#define KEKS "kek_file: DIR/password\n"

static void
test_what_follows_is_not_said(void **state)
{
    static const struct {
        const char *lines, *field, *detail;
    } rows[] = {
        {"  keys: worker\n", "settings[0].keys", "not a list"},
        {"  keys: [device]\n", "settings[0].keys", "unknown"},
        {"  keys: []\n", "settings[0]", "no key policy"},
        {SEALS "  key_types: ec-p256\n" KEKS, "settings[0].key_types", "not a list"},
        {SEALS "  key_types: [rsa-1024]\n" KEKS, "settings[0].key_types", "unknown"},
        {SEALS "  key_types: []\n" KEKS, "settings[0]", "of no type"},
        {"  keys: [worker]\n  recipients_file: DIR/none\n" KEKS, "settings[0].recipients_file",
         "No such file"},
        {"  smime: true\n  email: $FIRST$\n", "settings[0].email", "variable: FIRST"},
        {"  labels: a\n", "settings[0].labels", "not a list"},
    };

    char *file;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        file = replaced(good_file, "#at-setting\n", rows[i].lines);
        is_refused(file, rows[i].field, rows[i].detail);
        free(file);
    }
    file = replaced(good_file, REDIS, REDIS "  user: u\n  password_file: /none/at/all\n");
    is_refused(file, "redis.password_file", "No such file");
    free(file);
}

/* Whom a setting names cannot be known then. */
static void
test_no_accounts(void **state)
{
    static const char *const rows[][2] = {
        {"accounts: 5\n", "not a list"},
        {"accounts: {name: main}\n", "not a list"},
        {"accounts: []\n", "no account"},
        {"", "it is missing"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *file = with_accounts(rows[i][0]);

        is_refused(file, "accounts", rows[i][1]);
        free(file);
    }
    is_refused("kafka: {bootstrap: b}\nredis: {url: redis://h}\nsettings: 5\n"
               "accounts: [{name: a, url: https://h, user: PAR1_a, password_file: DIR/password}]\n",
               "settings", "not a list");
}

int
main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        ROW(test_lists),       ROW(test_what_stands_in_lists),
        ROW(test_accounts),    ROW(test_settings),
        ROW(test_properties),  ROW(test_texts),
        ROW(test_topics),      ROW(test_what_follows_is_not_said),
        ROW(test_no_accounts),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

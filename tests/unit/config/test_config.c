/*
 * The settings file: what a good one comes to, every number at and beyond its limits, and every
 * problem found, all of them at once, by the path of its key.
 */
#include "settings_file.h"

#include <sys/stat.h>

#include "config_private.h"

/* --- good files --- */

static void
test_defaults(void **state)
{
    struct ew_config config;
    const struct ew_setting *setting;

    (void)state;
    if (load_text(good_file, &config) != 0)
        fail_msg("%s", all_problems());
    assert_int_equal(found.heard, 0);
    assert_string_equal(config.kafka.group, "epki-worker");
    assert_int_equal(config.kafka.partition_items, 1000);
    assert_string_equal(config.kafka.in[EW_LANE_BULK], "epki.enrollment.bulk.requests");
    assert_string_equal(config.kafka.in[EW_LANE_RESUME], "epki.resume");
    assert_string_equal(config.kafka.out[0], "epki.certificate.events");
    assert_string_equal(config.kafka.out[6], "epki.dead-letters");
    assert_null(config.redis.password_file);
    assert_null(config.redis.user);
    assert_int_equal(config.time.send_window_ms, 5000);
    assert_true(config.time.horizon_ms == 2592000000); /* 30 days */
    assert_int_equal(config.time.surplus_interval_ms, 3600000);
    assert_true(config.time.surplus_window_ms == 172800000); /* 2 days */
    assert_int_equal(ew_config_quiet_ms(&config), 5000 + 15000 + 120000 + 30000 + 10000);
    assert_string_equal(config.admin_address, "127.0.0.1");
    assert_int_equal(config.admin_port, 9090);
    assert_string_equal(config.log_level, "info");
    assert_int_equal(config.account_count, 1);
    assert_false(config.accounts[0].test);
    assert_int_equal(config.accounts[0].orders_in_flight, 20);
    assert_int_equal(config.accounts[0].share[EW_RATE_BULK], 5);
    assert_false(config.accounts[0].throttle_is_unsent);
    setting = ew_config_setting(&config, "vpn");
    assert_non_null(setting);
    assert_ptr_equal(setting->account, &config.accounts[0]);
    assert_true(setting->csr_allowed);
    assert_false(setting->worker_key_allowed);
    assert_false(setting->globalsign_key_allowed);
    assert_int_equal(setting->key_types, 0xf);
    assert_int_equal(setting->years, 1);
    assert_string_equal(setting->product, "EPKIPSPersonal");
    assert_null(ew_config_setting(&config, "vp"));
    ew_config_free(&config);
}

static void
test_what_is_written_is_taken(void **state)
{
    static const char *const lines[][2] = {
        {"#at-kafka\n", "  topics: {events: my.events, resume: my.resume, bulk: b_1}\n"
                        "  properties: {security.protocol: ssl, debug: \"\"}\n"
                        "  properties_file: DIR/password\n"},
        {"#at-redis\n", "  user: worker\n  password_file: DIR/password\n"},
        {"#at-top\n", "kek_file: DIR/password\nlog_level: debug\n"
                      "admin: {address: 0.0.0.0, port: 0}\n"},
        {"#at-account\n",
         "  environment: test\n  share: {enrollment: 50, query: 5, revocation: 5}\n"
         "  hold_codes: [-6102, -99999]\n  throttle_is_unsent: true\n"},
        {"#at-setting\n", "  keys: [worker, globalsign]\n  key_types: [ec-p256, rsa-3072]\n"
                          "  recipients_file: DIR/chain.pem\n  email: $EMAIL$\n"
                          "  ous: [Sales, \"${device_id}\"]\n"
                          "  email_domains: [example.com]\n  labels: [a, b]\n  efs: true\n"},
    };
    struct ew_config config;
    char *text = strdup(good_file);

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char *next = replaced(text, lines[i][0], lines[i][1]);

        free(text);
        text = next;
    }
    if (load_text(text, &config) != 0)
        fail_msg("%s", all_problems());
    free(text);
    assert_string_equal(config.kafka.out[0], "my.events");
    assert_string_equal(config.kafka.in[EW_LANE_RESUME], "my.resume");
    assert_string_equal(config.kafka.out[3], "my.resume"); /* one topic, read and written */
    assert_string_equal(config.kafka.in[EW_LANE_BULK], "b_1");
    assert_int_equal(config.kafka.property_count, 2);
    assert_string_equal(config.kafka.properties[0].value, "ssl");
    assert_non_null(strstr(config.kafka.properties_file, "/password"));
    assert_string_equal(config.redis.user, "worker");
    assert_int_equal(config.admin_port, 0);
    assert_true(config.accounts[0].test);
    assert_int_equal(config.accounts[0].share[EW_RATE_ENROLLMENT], 50);
    assert_int_equal(config.accounts[0].share[EW_RATE_RENEWAL], 10);
    assert_int_equal(config.accounts[0].hold_code_count, 2);
    assert_int_equal(config.accounts[0].hold_codes[1], -99999);
    assert_true(config.accounts[0].throttle_is_unsent);
    assert_false(config.settings[0].csr_allowed);
    assert_true(config.settings[0].worker_key_allowed);
    assert_true(config.settings[0].globalsign_key_allowed);
    assert_int_equal(config.settings[0].key_types, 1u << EW_KEY_EC_P256 | 1u << EW_KEY_RSA_3072);
    assert_int_equal(config.settings[0].ou_count, 2);
    assert_int_equal(config.settings[0].label_count, 2);
    assert_true(config.settings[0].efs);
    ew_config_free(&config);
}

/* Anchors are for sharing lines between settings. */
static void
test_anchors_are_allowed(void **state)
{
    struct ew_config config;

    (void)state;
    if (load_with("#at-setting\n",
                  "  labels: &l [a, b]\n- name: two\n  account: main\n  profile: MP2\n"
                  "  chain_file: DIR/chain.pem\n  cn: x\n  labels: *l\n",
                  &config) != 0)
        fail_msg("%s", all_problems());
    assert_string_equal(ew_config_setting(&config, "two")->labels[1], "b");
    ew_config_free(&config);
}

/* The file that the local stack fills in is a good one. */
static void
test_the_local_stacks_file(void **state)
{
    static const char *const words[][2] = {{"@KAFKA_BOOTSTRAP@", "localhost:1"},
                                           {"@INSTANCE@", "w"},
                                           {"@REDIS_URL@", "redis://localhost:2"},
                                           {"@ADMIN_PORT@", "3"},
                                           {"@KEK_FILE@", "DIR/chain.pem"},
                                           {"@EPKI_URL@", "https://localhost:4/"},
                                           {"@EPKI_USER@", "PAR1_a"},
                                           {"@EPKI_PASSWORD_FILE@", "DIR/password"},
                                           {"@EPKI_CA_FILE@", "DIR/chain.pem"},
                                           {"@EPKI_PROFILE@", "MP1"},
                                           {"@RECIPIENTS_FILE@", "DIR/chain.pem"},
                                           {"@EPKI_CHAIN_FILE@", "DIR/chain.pem"}};
    char *text = calloc(1, 32768);
    FILE *file = fopen(EW_SOURCE_DIR "/deploy/local/worker.yaml.in", "r");
    struct ew_config config;

    (void)state;
    assert_non_null(file);
    assert_true(fread(text, 1, 32767, file) > 0);
    (void)fclose(file);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char *next = replaced(text, words[i][0], words[i][1]);

        free(text);
        text = next;
    }
    if (load_text(text, &config) != 0)
        fail_msg("%s", all_problems());
    free(text);
    assert_true(config.setting_count >= 3);
    ew_config_free(&config);
}

/* `epki-worker settings` prints the table that reads the file: no key without its words. */
static void
test_help_explains_every_key(void **state)
{
    const struct ew_section *all[] = {&ew_section_top,    &ew_section_kafka, &ew_section_redis,
                                      &ew_section_time,   &ew_section_admin, &ew_section_account,
                                      &ew_section_setting};
    char *text = NULL, line[400];
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    ew_config_help(out);
    (void)fclose(out);
    for (size_t s = 0; s < sizeof(all) / sizeof(all[0]); s++) {
        for (size_t r = 0; r < all[s]->count; r++) {
            const struct ew_key_row *row = &all[s]->rows[r];
            const bool number = row->kind == EW_CONF_INT || row->kind == EW_CONF_INT64;
            int used = snprintf(line, sizeof(line), "  %-20s %s", row->name, row->help);

            assert_true(strlen(row->help) > 2);
            if (number)
                used +=
                    snprintf(line + used, sizeof(line) - (size_t)used, " [%lld-%lld] (default %s)",
                             (long long)row->min, (long long)row->max, row->preset);
            if (strstr(text, line) == NULL)
                fail_msg("the help does not say:%s", line);
        }
    }
    assert_non_null(strstr(text, "    events             (default epki.certificate.events)\n"));
    free(text);
}

/* --- numbers --- */

static const struct {
    const struct ew_section *section;
    const char *mark, *head, *indent, *path;
} sections[] = {
    {&ew_section_kafka, "#at-kafka\n", "", "  ", "kafka."},
    {&ew_section_redis, "#at-redis\n", "", "  ", "redis."},
    {&ew_section_time, "#at-top\n", "time:\n", "  ", "time."},
    {&ew_section_admin, "#at-top\n", "admin:\n", "  ", "admin."},
    {&ew_section_account, "#at-account\n", "", "  ", "accounts[0]."},
    {&ew_section_setting, "#at-setting\n", "", "  ", "settings[0]."},
};

/* Whether the value was refused as a number out of its range. */
static bool
number_refused(size_t section, const struct ew_key_row *row, const char *value)
{
    struct ew_config config;
    char line[160], path[80];

    (void)snprintf(line, sizeof(line), "%s%s%s: %s\n", sections[section].head,
                   sections[section].indent, row->name, value);
    (void)snprintf(path, sizeof(path), "%s%s", sections[section].path, row->name);
    if (load_with(sections[section].mark, line, &config) == 0)
        ew_config_free(&config);
    return problem_at(path, "is not a number of") != NULL;
}

static void
test_every_number_has_its_limits(void **state)
{
    static const char *const words[] = {
        "\"\"",   "five",   "1.5",      "0x10", "1e3",
        "\"1 \"", "\" 1\"", "\"\\t1\"", "+1",   "99999999999999999999"};
    int numbers = 0;

    (void)state;
    for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
        for (size_t r = 0; r < sections[s].section->count; r++) {
            const struct ew_key_row *row = &sections[s].section->rows[r];
            char text[32];

            if (row->kind != EW_CONF_INT && row->kind != EW_CONF_INT64)
                continue;
            numbers++;
            for (int64_t step = -1; step <= 1; step++) {
                (void)snprintf(text, sizeof(text), "%lld", (long long)(row->min + step));
                if (number_refused(s, row, text) !=
                    (row->min + step < row->min || row->min + step > row->max))
                    fail_msg("%s%s: %s", sections[s].path, row->name, text);
                (void)snprintf(text, sizeof(text), "%lld", (long long)(row->max + step));
                if (number_refused(s, row, text) !=
                    (row->max + step > row->max || row->max + step < row->min))
                    fail_msg("%s%s: %s", sections[s].path, row->name, text);
            }
        }
    }
    assert_true(numbers > 30);
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
        if (!number_refused(0, &(struct ew_key_row){.name = "session_ms"}, words[w]))
            fail_msg("%s was taken for a number", words[w]);
}

/* --- one problem each --- */

static const struct {
    const char *from, *to, *field, *detail;
} problems[] = {
    {"#at-top", "colour: red", "colour", "unknown key"},
    {"#at-kafka", "  Group: x", "kafka.Group", "unknown key"},
    {"#at-setting", "  years_: 1", "settings[0].years_", "unknown key"},
    {"#at-account", "  <<: {user: x}", "accounts[0].<<", "unknown key"},
    {"#at-top", "kafka: {bootstrap: b}", "kafka", "twice"},
    {"#at-setting", "  cn: other", "settings[0].cn", "twice"},
    {"  bootstrap: localhost:9092", "  group: x", "kafka.bootstrap", "missing"},
    {"  profile: MP1\n", "", "settings[0].profile", "missing"},
    {"#at-top", "time: 5", "time", "not a mapping"},
    {"#at-top", "admin: [1]", "admin", "not a mapping"},
    {"bootstrap: localhost:9092", "bootstrap: [a]", "kafka.bootstrap", "not a plain value"},
    {"bootstrap: localhost:9092", "bootstrap: \"\"", "kafka.bootstrap", "empty"},
    {"#at-kafka", "  group: \"\"", "kafka.group", "empty"},
    {"bootstrap: localhost:9092", "bootstrap: \"a\\0b\"", "kafka.bootstrap", "NUL"},
    {"#at-kafka", "  topics: {event: x}", "kafka.topics", "unknown topic event"},
    {"#at-kafka", "  topics: {events: \"a b\"}", "kafka.topics", "name of events"},
    {"#at-kafka", "  topics: {events: ..}", "kafka.topics", "name of events"},
    {"#at-kafka", "  topics: {events: \"\"}", "kafka.topics", "name of events"},
    {"#at-kafka", "  topics: {events: a, events: b}", "kafka.topics", "twice"},
    {"#at-kafka", "  topics: {events: epki.parked}", "kafka.topics", "two of them"},
    {"#at-kafka", "  topics: {bulk: epki.enrollment.requests}", "kafka.topics", "two of them"},
    {"#at-kafka", "  topics: [a]", "kafka.topics", "not a mapping"},
    {"#at-kafka", "  properties: {isolation.level: read_uncommitted}", "kafka.properties",
     "isolation.level cannot be set"},
    {"#at-kafka", "  properties: {sasl.password: hunter2}", "kafka.properties",
     "sasl.password is a secret"},
    {"#at-kafka", "  properties_file: DIR/nowhere", "kafka.properties_file", "No such file"},
    {"#at-kafka", "  properties: {debug: a, ACKS: 1}", "kafka.properties", "ACKS cannot be set"},
    {"#at-kafka", "  properties: {queue.buffering.max.ms: 5}", "kafka.properties",
     "queue.buffering.max.ms cannot be set"},
    {"#at-kafka", "  properties: {debug: a, debug: b}", "kafka.properties", "twice"},
    {"#at-kafka", "  properties: {debug: {a: b}}", "kafka.properties", "not a plain value"},
    {"redis://localhost", "http://localhost", "redis.url", "redis://"},
    {"redis://localhost", "redis://u:hunter2@localhost", "redis.url", "user or password"},
    {"#at-redis", "  user: u", "redis.user", "no password"},
    {"#at-top", "admin: {address: localhost}", "admin.address", "localhost"},
    {"#at-top", "admin: {address: \"::1\"}", "admin.address", "::1"},
    {"#at-top", "log_level: loud", "log_level", "loud"},
    {"#at-top", "kek_file: DIR/nowhere", "kek_file", "No such file"},
    {"#at-top", "time: {surplus_window_ms: 180000}", "time.surplus_window_ms", "quiet period"},
    {"#at-top", "time: {horizon_ms: 170000}", "time.surplus_window_ms", "170000 is not longer"},
    {"#at-top", "time: {retry_first_ms: 9000, retry_max_ms: 8000}", "time.retry_first_ms",
     "longer than"},
    {"https://test.", "http://test.", "accounts[0].url", "https://"},
    {"https://test.", "https://PAR1:hunter2@test.", "accounts[0].url", "user or password"},
    {"https://test.example.com", "https://", "accounts[0].url", "no host"},
    {"user: PAR12345_api", "user: api", "accounts[0].user", "API user"},
    {"user: PAR12345_api", "user: PAR_api", "accounts[0].user", "API user"},
    {"user: PAR12345_api", "user: PAR12345_", "accounts[0].user", "API user"},
    {"user: PAR12345_api", "user: PAR12345_aaaaaaaaaaaaaaaaaaaaaa", "accounts[0].user", "30"},
    {"DIR/password", "DIR/nowhere", "accounts[0].password_file", "No such file"},
    {"DIR/password", "DIR", "accounts[0].password_file", "no file"},
    {"#at-account", "  environment: staging", "accounts[0].environment", "staging"},
    {"#at-account", "  share: {bulk: 80}", "accounts[0].share", "sum to 150"},
    {"#at-account", "  share: {bulk: 0}", "accounts[0].share", "bulk: 0"},
    {"#at-account", "  share: {all: 5}", "accounts[0].share", "unknown class"},
    {"#at-account", "  share: {bulk: 5, bulk: 6}", "accounts[0].share", "twice"},
    {"#at-account", "  hold_codes: [6101]", "accounts[0].hold_codes", "6101"},
    {"#at-account", "  throttle_is_unsent: yes", "accounts[0].throttle_is_unsent", "neither"},
    {"#at-account", "  connect_ms: 4001", "accounts[0].connect_ms", "send window"},
    {"#at-account", "- {name: main, url: https://h, user: PAR1_a, password_file: DIR/password}",
     "accounts[1].name", "used before"},
    {"account: main", "account: other", "settings[0].account", "no account other"},
    {"chain_file: DIR/chain.pem", "chain_file: DIR/nowhere", "settings[0].chain_file",
     "No such file"},
    {"cn: \"${first_name} ${last_name}\"", "cn: $FIRST$", "settings[0].cn", "variable: FIRST"},
    {"#at-setting", "  ous: [\"${x}\"]", "settings[0].ous", "variable: x"},
    {"#at-setting", "  ous: [a, b, c, d]", "settings[0].ous", "more than 3"},
    {"#at-setting", "  ous: a", "settings[0].ous", "not a list"},
    {"#at-setting", "  keys: []", "settings[0]", "no key policy"},
    {"#at-setting", "  keys: [device]", "settings[0].keys", "device"},
    {"#at-setting", "  keys: [csr, worker]", "settings[0]", "without a list of recipients"},
    {"#at-setting", "  keys: [worker]", "settings[0]", "key-encryption keys"},
    {"#at-setting", "  keys: [csr, globalsign]", "settings[0]", "without a list of recipients"},
    {"#at-setting", "  keys: [globalsign]", "settings[0]", "key-encryption keys"},
    {"#at-setting", "  keys: [worker]\n  key_types: []", "settings[0]", "of no type"},
    {"#at-setting", "  key_types: [rsa-1024]", "settings[0].key_types", "rsa-1024"},
    {"#at-setting", "  smime: true", "settings[0]", "without an e-mail"},
    {"#at-setting", "  smime: true\n  email: $EMAIL$\n  ous: [a]", "settings[0]",
     "organisational units"},
    {"#at-setting", "  labels: [\"\"]", "settings[0].labels", "empty"},
    {"#at-setting", "- {name: vpn, account: main, profile: P, chain_file: DIR/chain.pem, cn: x}",
     "settings[1]", "vpn was used before"},
};

static void
test_each_problem_by_its_path(void **state)
{
    struct ew_config config;

    (void)state;
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        const struct ew_err *err;

        if (load_with(problems[i].from, problems[i].to, &config) == 0)
            fail_msg("%s was taken", problems[i].to);
        err = problem_at(problems[i].field, problems[i].detail);
        if (err == NULL)
            fail_msg("%s gave:%s", problems[i].to, all_problems());
        assert_true(err->advice != NULL && err->advice[0] != '\0');
        assert_int_equal(found.heard, found.returned);
        assert_null(strstr(all_problems(), "hunter2"));
    }
}

/* The cause is said, not what follows from it for each setting. */
static void
test_keks_that_cannot_be_read_are_one_problem(void **state)
{
    char *setting =
        replaced(good_file, "#at-setting", "  keys: [worker]\n  recipients_file: DIR/chain.pem");
    char *text = replaced(setting, "#at-top", "kek_file: DIR/nowhere");
    struct ew_config config;

    (void)state;
    assert_int_equal(load_text(text, &config), 1);
    assert_non_null(problem_at("kek_file", "No such file"));
    free(text);
    free(setting);
}

/* A test account must never reach the production host, however its URL is written. */
static void
test_production_host(void **state)
{
    static const struct {
        const char *url;
        bool production;
    } rows[] = {
        {"https://system.globalsign.com/cr/ws/GasOrderService", true},
        {"https://SYSTEM.GlobalSign.com/", true},
        {"https://system.globalsign.com", true},
        {"https://system.globalsign.com:443/x", true},
        {"https://system.globalsign.com./x", true},
        {"https://system.globalsign.com?x", true},
        {"https://system.globalsign.com#x", true},
        {"https://test-gcc.globalsign.com/cr/ws/GasOrderService", false},
        {"https://system.globalsign.com.example.org/", false},
        {"https://example.org/system.globalsign.com", false},
    };
    struct ew_config config;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text =
            replaced(good_file, "https://test.example.com/cr/ws/GasOrderService", rows[i].url);
        char *test = replaced(text, "#at-account", "  environment: test");

        if ((load_text(test, &config) != 0) != rows[i].production)
            fail_msg("%s:%s", rows[i].url, all_problems());
        if (rows[i].production)
            assert_non_null(problem_at("accounts[0].url", "test account"));
        else
            ew_config_free(&config);
        if (load_text(text, &config) != 0) /* environment: prod may go anywhere */
            fail_msg("%s:%s", rows[i].url, all_problems());
        ew_config_free(&config);
        free(test);
        free(text);
    }
}

/* --- all at once --- */

static void
test_all_problems_at_once(void **state)
{
    static const char text[] =
        "kafka:\n"
        "  group: g\n"
        "  session_ms: 1\n"
        "  colour: red\n"
        "redis:\n"
        "  url: mysql://x\n"
        "accounts:\n"
        "- url: http://x\n" /* no name: what refers to it must not fall over */
        "  user: me\n"
        "  password_file: DIR/nowhere\n"
        "- name: second\n"
        "  url: https://system.globalsign.com/\n"
        "  environment: test\n"
        "  user: PAR1_a\n"
        "  password_file: DIR/password\n"
        "settings:\n"
        "- name: a\n"
        "  account: first\n"
        "  profile: MP1\n"
        "  chain_file: DIR/nowhere\n"
        "  cn: ${nobody}\n"
        "  years: 4\n"
        "- cn: x\n"
        "  account: second\n"
        "unknown: 1\n";
    static const char *const fields[] = {"unknown",
                                         "kafka.bootstrap",
                                         "kafka.session_ms",
                                         "kafka.colour",
                                         "redis.url",
                                         "accounts[0].name",
                                         "accounts[0].url",
                                         "accounts[0].user",
                                         "accounts[0].password_file",
                                         "accounts[1].url",
                                         "settings[0].account",
                                         "settings[0].chain_file",
                                         "settings[0].cn",
                                         "settings[0].years",
                                         "settings[1].name",
                                         "settings[1].profile",
                                         "settings[1].chain_file"};
    struct ew_config config;

    (void)state;
    assert_true(load_text(text, &config) > 0);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (problem_at(fields[i], "") == NULL)
            fail_msg("%s is not among:%s", fields[i], all_problems());
    assert_int_equal(found.returned, sizeof(fields) / sizeof(fields[0]));
    assert_int_equal(found.heard, found.returned);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_what_is_written_is_taken),
        cmocka_unit_test(test_anchors_are_allowed),
        cmocka_unit_test(test_the_local_stacks_file),
        cmocka_unit_test(test_help_explains_every_key),
        cmocka_unit_test(test_every_number_has_its_limits),
        cmocka_unit_test(test_each_problem_by_its_path),
        cmocka_unit_test(test_keks_that_cannot_be_read_are_one_problem),
        cmocka_unit_test(test_production_host),
        cmocka_unit_test(test_all_problems_at_once),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

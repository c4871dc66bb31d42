/*
 * Which protections a test build goes without: read once, asked by any thread.
 */
#include "base/without.h"

#ifdef EW_FAILPOINTS

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ROW(id, name, text) {name, text},
static const struct {
    const char *name, *text;
} table[EW_WITHOUT_COUNT] = {EW_PROTECTIONS_TABLE(ROW)};
#undef ROW

static bool without[EW_WITHOUT_COUNT];
static atomic_bool told[EW_WITHOUT_COUNT];

static bool
read_name(const char *name)
{
    for (int i = 0; i < EW_WITHOUT_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return without[i] = true;
    return false;
}

enum ew_fault
ew_without_arm(struct ew_err *err)
{
    const char *given = getenv("EPKI_WITHOUT");
    char text[512], *rest = text, *name;

    if (given == NULL || given[0] == '\0')
        return EW_OK;
    if (snprintf(text, sizeof(text), "%s", given) >= (int)sizeof(text))
        return ew_fail(err, EW_REJECT, "without", "EPKI_WITHOUT: more than 511 characters");
    while ((name = strsep(&rest, ",")) != NULL)
        if (!read_name(name))
            return ew_fail_field(err, EW_REJECT, "without", "EPKI_WITHOUT",
                                 "`epki-worker protections` lists the names.",
                                 "no such protection: %s", name);
    return EW_OK;
}

void
ew_without_list(void)
{
    for (int i = 0; i < EW_WITHOUT_COUNT; i++)
        (void)printf("%s\t%s\n", table[i].name, table[i].text);
}

bool
ew_without(enum ew_protection protection)
{
    if (without[protection] && !atomic_exchange(&told[protection], true))
        EW_LOG(EW_LOG_WARN, "base", "without a protection", EW_STR("name", table[protection].name));
    return without[protection];
}

#else

typedef int ew_all_protections; /* ISO C wants a declaration */

#endif

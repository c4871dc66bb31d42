/*
 * Prints the worker's table of states for the models: the numbers of the states, and which move may
 * follow which. So a model cannot make a move that the worker's own table does not know.
 */
#include <ctype.h>
#include <stdio.h>

#include "domain/state.h"

static void
print_upper(const char *name)
{
    for (; *name != '\0'; name++)
        putchar(toupper((unsigned char)*name));
}

int
main(void)
{
    for (int state = 0; state < EW_ST_COUNT; state++) {
        printf("#define EW_ST_");
        print_upper(ew_state_name((enum ew_state)state));
        printf(" %d\n", state);
    }
    printf("#define EW_STATE_MAY(from, to) (0");
    for (int from = 0; from < EW_ST_COUNT; from++) {
        printf(" \\\n || (from == %d && (0", from);
        for (int to = 0; to < EW_ST_COUNT; to++)
            if (ew_state_may((enum ew_state)from, (enum ew_state)to))
                printf(" || to == %d", to);
        printf("))");
    }
    puts(")");
    return 0;
}

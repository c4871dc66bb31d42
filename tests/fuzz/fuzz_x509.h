/*
 * How a target that uses OpenSSL begins: as main() does.
 */
#pragma once

#include "fuzz.h"
#include "x509/library.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct ew_err err;

    (void)argc, (void)argv;
    MUST(ew_x509_init_library(&err) == EW_OK);
    return 0;
}

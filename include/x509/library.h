/*
 * OpenSSL's global state, once in the process, before anything else uses it.
 */
#pragma once

#include "base/err.h"

/* OpenSSL takes its memory from us from now on, so that a certificate, a CSR or a key that it had
 * no room for is not taken for a bad one. EW_BUG: it has memory already. thread: main, first */
EW_CHECK enum ew_fault ew_x509_init_library(struct ew_err *err);

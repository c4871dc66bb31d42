/*
 * Named places where a worker built for tests dies, stops, waits or fails when it is told to. Only
 * with EW_FAILPOINTS (CMake option, off): the shipped binary holds neither the code nor the names.
 *
 * Told by the environment variable EPKI_FAILPOINTS: plans separated by commas, each
 * NAME=ACTION[:MS][@NTH][/REQUEST], for example `intent-committed=die@2,gate-passed=stop/r-17`.
 *   die    _exit(137) at once, as a kill would; with :MS after that time, which only this thread
 *          spends waiting
 *   stop   SIGSTOP to the whole process; whoever wants it to go on sends SIGCONT
 *   delay  this thread waits MS, which must be said
 *   fail   as if the step that the place follows had failed; only where the code has a way for that
 * Once, on the NTH passing (1 where nothing is said), of the request named, or of any. A plan that
 * its place cannot follow is refused: the table says where something may fail, and where it is
 * known whose passing it is.
 *
 * Or EPKI_FAILPOINTS=@DIRECTORY: a file there, called NAME, says ACTION[:MS][@NTH][/REQUEST]. The
 * first process at which it strikes takes it away, so that any of several workers may be hit, and
 * one is. A file that is not whole at once must be made under another name and renamed; one that
 * says what a place cannot follow ends the process that comes there, with code 2.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Each with whether something may fail there, whether it is known of which request, and what is
 * durable there, or what the place is for. */
#define EW_FAILPOINTS_TABLE(X)                                                                     \
    X(REQUEST_DECODED, "request-decoded", EW_FP_REQUEST, "a record is read, nothing is claimed")   \
    X(REQUEST_CLAIMED, "request-claimed", EW_FP_BOTH,                                              \
      "Redis knows the claim, Kafka no intent; fail: no answer")                                   \
    X(INTENT_BEGUN, "intent-begun", EW_FP_BOTH, "an intent's transaction begins")                  \
    X(INTENT_PRODUCED, "intent-produced", EW_FP_BOTH,                                              \
      "its ORDERING record is produced, offsets are not sent")                                     \
    X(INTENT_SENT, "intent-sent", EW_FP_BOTH, "its offsets are sent, EndTxn is not")               \
    X(INTENT_COMMITTED, "intent-committed", EW_FP_BOTH,                                            \
      "committed, and nobody was told; fail: no answer")                                           \
    X(INTENT_KNOWN, "intent-known", EW_FP_REQUEST,                                                 \
      "the flow knows the intent, Redis not that it is CALLING")                                   \
    X(CALLING_KNOWN, "calling-known", EW_FP_BOTH,                                                  \
      "Redis knows CALLING, no connection is open; fail: no answer")                               \
    X(GATE_REACHED, "gate-reached", EW_FP_BOTH,                                                    \
      "connected, the send gate has not looked at anything; fail: refused")                        \
    X(GATE_PASSED, "gate-passed", EW_FP_REQUEST,                                                   \
      "the send gate said yes, no byte of the order is written")                                   \
    X(REPLY_BEGUN, "reply-begun", EW_FP_NEITHER, "the CA has processed; first bytes of its reply") \
    X(REPLY_READ, "reply-read", EW_FP_REQUEST, "the reply is whole, nothing of it is used")        \
    X(OUTCOME_SENT, "outcome-sent", EW_FP_REQUEST,                                                 \
      "Redis was sent the outcome, nothing is verified")                                           \
    X(MISFIT_KEPT, "misfit-kept", EW_FP_REQUEST,                                                   \
      "Redis keeps that an order does not fit, nobody was told")                                   \
    X(MISFIT_TOLD, "misfit-told", EW_FP_REQUEST,                                                   \
      "that is told and in Kafka, Redis was not asked again, nothing is ended")                    \
    X(ANSWER_BEGUN, "answer-begun", EW_FP_BOTH, "an answer's transaction begins")                  \
    X(ANSWER_PRODUCED, "answer-produced", EW_FP_BOTH,                                              \
      "the event is produced, offsets are not sent")                                               \
    X(ANSWER_SENT, "answer-sent", EW_FP_BOTH, "its offsets are sent, EndTxn is not")               \
    X(ANSWER_COMMITTED, "answer-committed", EW_FP_BOTH,                                            \
      "committed, and nobody was told; fail: no answer")                                           \
    X(ANSWER_KNOWN, "answer-known", EW_FP_REQUEST, "the flow knows the commit, Redis does not")    \
    X(PARKING, "parking", EW_FP_REQUEST,                                                           \
      "a parked record or a dead letter is about to be committed")                                 \
    X(LEAVING, "leaving", EW_FP_REQUEST, "a record for the waiting room is about to be committed") \
    X(ADOPTION_BEGUN, "adoption-begun", EW_FP_FAIL,                                                \
      "a map was read, its new epoch is not committed")                                            \
    X(ADOPTION_SENT, "adoption-sent", EW_FP_FAIL,                                                  \
      "the new epoch's offsets are sent, EndTxn is not")                                           \
    X(ADOPTION_COMMITTED, "adoption-committed", EW_FP_FAIL,                                        \
      "committed, and nobody was told; fail: no answer")

#ifdef EW_FAILPOINTS

enum ew_failpoint_use { EW_FP_NEITHER, EW_FP_FAIL, EW_FP_REQUEST, EW_FP_BOTH }; /* bits */

#define EW_FAILPOINT_NAME(id, name, use, text) EW_FP_##id,
enum ew_failpoint { EW_FAILPOINTS_TABLE(EW_FAILPOINT_NAME) EW_FP_COUNT };
#undef EW_FAILPOINT_NAME

/* Reads EPKI_FAILPOINTS, and forgets what it said before; EW_REJECT says what is wrong with it.
 * Before threads start. */
EW_CHECK enum ew_fault ew_failpoints_arm(struct ew_err *err);
/* A line for each: name, actions, "request" where one can be named ("-" elsewhere), text, with tabs
 * between. On standard output. */
void ew_failpoints_list(void);
/* Any thread. request_id may be NULL: then plans for one request do not fit. True: fail, which is
 * never so at a place where nothing may. */
bool ew_failpoint(enum ew_failpoint point, const char *request_id);
/* The request that a point's plan is for; "" = any, or no plan. */
enum { EW_FAILPOINT_REQUEST = 129 };
void ew_failpoint_request(enum ew_failpoint point, char request_id[EW_FAILPOINT_REQUEST]);

#define EW_FAILPOINT(id, request_id) ew_failpoint(EW_FP_##id, (request_id))

#else

#define EW_FAILPOINT(id, request_id) ((void)(request_id), false)

#endif

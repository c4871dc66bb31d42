/*
 * The CA. It recognises no attempt as a second one, answers, stays silent though it accepted, or
 * never gets the request; some time later its lists show the order. It takes what libcurl sends again
 * when a connection died under it.
 */
inline ca_accept(s)
{
    attempt[s] = ACCEPTED;
    orders[request[s]]++;
    assert(orders[request[s]] <= 1);
    BEFORE_ACCEPT(request[s]);
#ifdef LAG_IGNORED
    for (n : 0 .. FLOWS - 1) { quiet[n] = quiet[n] & (255 - (1 << s)) };
    skip
#endif
}

/* The job that waits for this attempt's reply, FLOWS if nobody does. */
inline ca_caller(s)
{
    caller = FLOWS;
    for (n : 0 .. FLOWS - 1) {
        if
        :: slot[n] == s && state[n] == EW_ST_ORDER -> caller = n
        :: else
        fi
    };
    skip
}

inline ca_reply(s)
{
    ca_caller(s);
    if
    :: caller < FLOWS -> slot[caller] = NO_SLOT; ew_verify_begin(caller)
    :: else
    fi
}

inline ca_silence(s)
{
    ca_caller(s);
    if
    :: caller < FLOWS -> slot[caller] = NO_SLOT; ew_reconcile_begin(caller)
    :: else
    fi
}

#ifdef NO_SENT_ONCE
#define MAY_REPEAT (losses < LOSSES)
#else
#define MAY_REPEAT (0)
#endif
#define CA_OF(s) \
    :: d_step { attempt[s] == SENT && MAY_REPEAT -> losses++; ca_accept(s); attempt[s] = SENT } \
    :: d_step { attempt[s] == SENT -> ca_accept(s); ca_reply(s) } \
    :: d_step { attempt[s] == SENT && losses < LOSSES -> losses++; ca_accept(s); ca_silence(s) } \
    :: d_step { attempt[s] == SENT && losses < LOSSES -> losses++; attempt_over(s); ca_silence(s) } \
    :: d_step { attempt[s] == ACCEPTED -> shown[request[s]] = 1; attempt_over(s) }

proctype CA()
{
end:
    do
    CA_OF(0)
    CA_OF(1)
#if ATTEMPTS > 2
    CA_OF(2)
#endif
    od
}

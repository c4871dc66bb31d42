"""One run with the times of production: sessions of 30 s, transactions of 10 s, a quiet period of minutes."""

import time

from kit import messages, wait
from epki.v1 import certificate_event_pb2 as events

ISSUED = events.RESULT_ISSUED
TIMES = {"session_ms": 30000, "transaction_ms": 10000}
SETTINGS = {"kafka": TIMES,
            "time": {"send_window_ms": 5000, "tcp_ms": 15000, "processing_ms": 120000, "visibility_ms": 30000,
                     "margin_ms": 10000, "hold_max_ms": 900000, "revocation_wait_ms": 900000, "poll_first_ms": 30000,
                     "poll_max_ms": 600000, "retry_first_ms": 500, "retry_max_ms": 60000,
                     "reconcile_first_ms": 2000, "reconcile_max_ms": 60000, "drain_ms": 60000,
                     "account_retest_ms": 300000},
            "accounts": {"main": {"connect_ms": 3500, "order_ms": 120000, "query_ms": 60000}}}


def test_killed_worker_is_succeeded_and_its_order_found(system):
    assert system.issue(messages.enroll(messages.name())).result == ISSUED
    system.ca.fault("hold_reply", cn="Patient Person", count=1)
    request = messages.name()
    placed = system.send(messages.enroll(request, cn="Patient Person"))
    system.ca.await_journal(cn="Patient Person", recorded=True)
    victim = next(w for w in system.running() if w.log(request_id=request))
    began = time.monotonic()
    victim.kill()
    event = system.results.answer_to(placed, 90)
    assert event.result == ISSUED and list(system.orders_of("Patient Person")) == [event.certificate.order_id]
    assert 10 < time.monotonic() - began < 75  # the session first ran out; "found" needs no quiet period
    system.workers.start()
    wait.until(lambda: all(w.get("/readyz").status_code == 200 for w in system.running()), 60, "both ready")

"""One run with the settings that hold where nothing is said: sessions of 30 s, transactions of 10 s, a quiet period of minutes,
20 orders at once."""

import time

import yaml

from kit import TOP, messages, wait
from epki.v1 import certificate_event_pb2 as events

ISSUED = events.RESULT_ISSUED
LOCAL = yaml.safe_load((TOP / "deploy/local/worker.yaml.in").read_text().replace("@", ""))


def unsaid(tree):
    """Times, numbers and rates of the local settings: none of them is said here."""
    return {key: None for key, value in tree.items() if isinstance(value, int)}


SETTINGS = {name: unsaid(LOCAL[name]) for name in ("kafka", "redis", "time")} | {
    "accounts": {"main": unsaid(LOCAL["accounts"][0])}}


def test_nothing_is_said(system):
    said = yaml.safe_load(system.running()[0].settings_path.read_text())
    assert "time" not in said or said["time"] == {}
    assert set(said["kafka"]) == {"bootstrap", "group", "instance"} and set(said["redis"]) == {"url"}
    assert not [key for key in said["accounts"][0] if key.endswith(("_ms", "_flight", "_minute")) or key == "burst"]


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

"""The journal: one line for each call decided. It and the orders outlive the process, however it ends."""
import json
import re
import signal

import pytest

from harness import (NIL, OPERATIONS, ORDERS, PLAIN, QUERIES, SMIME, Wire, csr_of, new_key,
                     spki_sha256, wait_for)

ISSUE = "OrderAndIssueCertificate"
MEMBERS = ["time", "seq", "operation", "profile", "cn", "email", "order_id", "spki_sha256", "result", "code",
           "fault", "recorded"]


def test_a_line_of_an_order(sim):
    sim.call("GetProfiles")
    key, before = new_key(), sim.last()["seq"]
    answer = sim.issue(cn="Line One", profile=SMIME, email="l@example.com", san="l@example.com", CSR=csr_of(key))
    line = sim.last()
    assert list(line) == MEMBERS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {"seq": before + 1, "operation": ISSUE, "profile": SMIME, "cn": "Line One",
                    "email": "l@example.com", "order_id": answer.order_id,
                    "spki_sha256": spki_sha256(key.public_key()), "result": "ok", "code": 0, "fault": "",
                    "recorded": True}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_call_has_one_line(sim, operation):
    request = sim.target(operation)
    before = len(sim.journal())
    answer = sim.post(request)
    lines = sim.journal()[before:]
    assert [line["operation"] for line in lines] == [operation]
    assert lines[0]["result"] == "ok" and lines[0]["recorded"] == (operation not in QUERIES)
    if operation in ORDERS or operation in ("Cancel", "Revoke", "GetOrderByOrderId"):
        assert lines[0]["order_id"] == answer.order_id and lines[0]["profile"] == PLAIN
    assert (lines[0]["spki_sha256"] != "") == (
        operation not in ("OrderCertificate", "Reissue", "GetOrders", "GetProfiles"))


def test_refusals_and_faults_have_a_line_too(sim):
    key = new_key()
    sim.call(ISSUE, cn="Line Two", Year=3, CSR=csr_of(key))
    line = sim.last()
    assert (line["result"], line["code"], line["recorded"], line["order_id"]) == ("error", -9933, False, "")
    sim.call(ISSUE, cn="Line Two", profile="MP202601150003", CSR=csr_of(key))
    assert sim.last()["code"] == -4005
    sim.call(ISSUE, UPN=NIL)
    assert (sim.last()["operation"], sim.last()["result"]) == (ISSUE, "fault")
    sim.session.post(sim.url, data=b"nonsense")
    assert (sim.last()["operation"], sim.last()["result"]) == ("unknown", "fault")


def test_no_secret_is_written(sim):
    sim.issue("OrderPkcs12", PKCS12PIN="PinPinPin77")
    sim.issue("OrderCertificate", PickupPassword="PickPick77")
    for path in ("journal.jsonl", "orders.jsonl", "profiles.json"):
        text = (sim.dir / path).read_text()
        for secret in ("PinPinPin77", "PickPick77", sim.password):
            assert secret not in text
    assert (sim.dir / "password").stat().st_mode & 0o777 == 0o600
    assert (sim.dir / "orders.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_line_is_there_before_the_answer(sim):
    for _ in range(20):
        order = sim.issue(cn="Prompt").order_id
        assert sim.last()["order_id"] == order


def test_hostile_text_stays_on_one_line(sim):
    sim.call(ISSUE, cn='"},{"\\u0041 \u2028 x')
    assert sim.last()["cn"] == '"},{"\\u0041 \u2028 x'
    sim.call(ISSUE, cn="a\nb")
    assert sim.last()["cn"] == "a\nb" and sim.last()["code"] == -104


def test_a_refusal_made_up_names_the_key(sim):
    key = new_key()
    sim.fault("error_code", operation=ISSUE, code=-9934, count=1)
    sim.call(ISSUE, cn="Made Up", CSR=csr_of(key))
    line = sim.last()
    assert (line["fault"], line["code"], line["cn"]) == ("error_code", -9934, "Made Up")
    assert line["spki_sha256"] == spki_sha256(key.public_key())


# --- what the control port changed ---


def changes(sim, count):
    def read():
        lines = (sim.dir / "control.jsonl").read_text().splitlines()
        return lines if len(lines) >= count else None
    return [json.loads(line) for line in wait_for(read)]


def test_each_change_has_a_line_with_what_it_led_to(start):
    sim = start()
    sim.issue(cn="Before")
    sim.profile(PLAIN, state="suspended")
    sim.set(licences=7, password="SecretSecret1")
    sim.fault("reset", count=2)
    sim.control("GET", "/settings")
    first, profile, settings, fault = changes(sim, 4)
    assert (first["method"], first["after"]) == ("start", 0) and first["faults"] == []
    assert (profile["method"], profile["path"], profile["after"]) == ("POST", f"/profiles/{PLAIN}", 1)
    states = [{p["id"]: p["state"] for p in line["profiles"]}[PLAIN] for line in (first, profile)]
    assert states == ["validated", "suspended"]
    assert settings["licences"][0]["remaining"] == 7 and "SecretSecret1" not in json.dumps(settings)
    assert [f["fault"] for f in fault["faults"]] == ["reset"]
    sim.restart()
    assert [line["method"] for line in changes(sim, 5)] == ["start", "POST", "POST", "POST", "start"]


# --- restarts ---


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_all_is_there_after_a_restart(start, how):
    sim = start(settings={"revoke_delay_ms": 0})
    plain = sim.issue(cn="Kept", ou=["A"], email="k@example.com")
    revoked, cancelled = sim.issue(cn="Kept").order_id, sim.issue(cn="Kept").order_id
    pending = sim.issue("OrderCertificate", cn="Kept").order_id
    sim.call("Revoke", OrderID=revoked)
    sim.call("Cancel", OrderID=cancelled)
    sim.profile("MPKEPT", state="suspended", domains=["kept.example"], addresses=["10.0.0.0/8"])
    sim.set(cap=3)
    sim.fault("reset")
    before, chain, password = sim.state(), sim.chain(), sim.password
    text = sim.control("GET", f"/orders/{plain.order_id}")["cert"]
    journal = sim.journal()
    assert sim.stop(how) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    sim.start()
    after = sim.state()
    for part in ("orders", "order_count", "licences", "profiles"):
        assert after[part] == before[part]
    assert sim.journal() == journal and sim.chain() == chain and sim.password == password
    assert sim.control("GET", f"/orders/{plain.order_id}")["cert"] == text
    assert [sim.status(o) for o in (plain.order_id, revoked, cancelled, pending)] == [4, 7, 5, 1]
    assert sim.crl().is_signature_valid(chain[0].public_key()) and len(list(sim.crl())) == 2
    assert sim.control("GET", "/settings")["cap"] == 500 and sim.control("GET", "/faults") == {"faults": []}
    new = sim.issue(cn="Kept").order_id
    assert new not in (o["id"] for o in before["orders"]) and sim.last()["seq"] == len(sim.journal())
    sim.control("POST", f"/orders/{pending}/pickup")
    assert sim.status(pending) == 4


def test_an_order_in_the_air_is_issued_after_the_restart(start):
    sim = start(settings={"order_min_ms": 1500, "order_max_ms": 1500})
    wire = Wire(sim)
    wire.send(sim.raw(ISSUE, cn="In The Air"))
    order = wait_for(lambda: sim.orders("In The Air"))[0]["id"]
    sim.restart(signal.SIGKILL)
    assert wire.drain()[0] == b""
    assert sim.status(order) in (1, 4)
    wait_for(lambda: sim.status(order) == 4)
    assert [line["order_id"] for line in sim.journal() if line["recorded"]] == [order]


def test_killed_between_the_order_and_its_line(start):
    """The order is written first; the line that a kill prevented is made good at the next start."""
    sim = start()
    first, second = sim.issue(cn="Mend").order_id, sim.issue(cn="Mend").order_id
    sim.stop(signal.SIGKILL)
    path = sim.dir / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["order_id"] == second
    path.write_text("".join(lines[:-1]) + lines[-1][:20])  # and a torn one
    sim.start()
    journal = sim.journal()
    assert [line["order_id"] for line in journal] == [first, second]
    assert journal[-1]["fault"] == "recovered" and journal[-1]["recorded"]
    assert journal[-1]["spki_sha256"] == sim.orders("Mend")[1]["spki_sha256"]
    sim.restart()
    assert sim.journal() == journal


@pytest.mark.parametrize("how", ["Cancel", "Revoke"])
def test_killed_between_an_order_s_end_and_its_line(start, how):
    sim = start()
    first, second = sim.issue(cn="Ended").order_id, sim.issue(cn="Stays").order_id
    assert sim.call(how, OrderID=first).success == 0
    sim.stop(signal.SIGKILL)
    path = sim.dir / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["operation"] == how
    path.write_text("".join(lines[:-1]))
    sim.start()
    journal = sim.journal()
    assert [(line["operation"], line["order_id"], line["recorded"]) for line in journal[2:]] == [(how, first, True)]
    sim.restart()
    assert sim.journal() == journal and sim.status(second) == 4


def test_a_torn_order_never_was(start):
    sim = start()
    first = sim.issue(cn="Torn").order_id
    sim.stop(signal.SIGKILL)
    with open(sim.dir / "orders.jsonl", "a", encoding="ascii") as file:
        file.write('{"id":"CEPS26')
    sim.start()
    assert [o["id"] for o in sim.orders("Torn")] == [first]
    second = sim.issue(cn="Torn").order_id
    sim.restart()
    assert [o["id"] for o in sim.orders("Torn")] == [first, second]


def test_killed_under_load_orders_and_journal_agree(start):
    sim = start(settings={"order_min_ms": 50, "order_max_ms": 400, "key_reuse": "allow"})
    request = sim.raw(ISSUE, cn="Load")
    for _ in range(3):
        wires = [Wire(sim) for _ in range(10)]
        for wire in wires:
            wire.send(request * 3)
        wait_for(lambda: sim.state("?orders=0")["in_flight"] >= 5)
        sim.restart(signal.SIGKILL)
        for wire in wires:
            wire.raw.close()
        booked = [line["order_id"] for line in sim.journal() if line["recorded"]]
        known = [o["id"] for o in sim.orders("Load")]
        assert booked == known and len(set(known)) == len(known) >= 5
        assert [line["seq"] for line in sim.journal()] == list(range(1, len(sim.journal()) + 1))
    assert sim.issue(cn="After").order_id

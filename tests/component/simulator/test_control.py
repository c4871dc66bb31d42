"""The control port and the command line: on loopback, and clear about what is wrong."""
import json
import socket
import subprocess
import time

import pytest

from harness import BINARY, LICENCE, QUICK, TOP


def test_only_loopback_listens(sim):
    table = ""
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{sim.process.pid}/net/{name}", encoding="ascii") as file:
            table += file.read()
    listening = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == "0A":
            address, port = words[1].split(":")
            if int(port, 16) in (sim.port, sim.control_port):
                listening.add(address)
    assert "0100007F" in listening
    assert listening <= {"0100007F", "00000000000000000000000001000000"}


def test_health_and_routes(sim):
    assert sim.control("GET", "/health") == {"status": "ok"}
    assert sim.control("GET", "/nothing", status=404)["error"] == "no such route"
    assert sim.control("PUT", "/state", status=405)["what"] == "/state"
    assert sim.control("GET", "/healthy", status=404)
    assert sim.control("GET", "/orders/CEPS000000000000", status=404)["error"] == "no such order"
    assert sim.control("DELETE", "/faults/999", status=404)["error"] == "no such fault"


@pytest.mark.parametrize("raw", ["{", "nonsense", '"text"', "5", '{"a":1,"a":2}', "\xff"])
def test_bodies_that_are_no_json(sim, raw):
    for path in ("/settings", "/faults", "/licences", "/orders", "/profiles/MPX"):
        answer = sim.control("POST", path, raw=raw.encode("latin-1"), status=400)
        assert "JSON" in answer["error"]


@pytest.mark.parametrize("body,what,error", [
    ({"no_such": 1}, "no_such", "no such setting"),
    ({"order_min_ms": "fast"}, "order_min_ms", "a number from 0 to 3600000 is expected"),
    ({"order_min_ms": -1}, "order_min_ms", "a number from 0 to 3600000 is expected"),
    ({"order_min_ms": 1.5}, "order_min_ms", "a number, a boolean or a text is expected"),
    ({"order_min_ms": None}, "order_min_ms", "a number, a boolean or a text is expected"),
    ({"validation": "maybe"}, "validation", "on or off is expected"),
    ({"empty": "nothing"}, "empty", "one of nil|absent|empty is expected"),
    ({"username": "x" * 40}, "username", "the text is too long"),
    ([], "", "an object of settings is expected"),
], ids=str)
def test_settings_that_are_wrong(sim, body, what, error):
    before = sim.control("GET", "/settings")
    answer = sim.control("POST", "/settings", {"cap": 7, **body} if body else body, status=400)
    assert answer == {"error": error, "what": what}
    assert sim.control("GET", "/settings") == before  # all or nothing


@pytest.mark.parametrize("body,error", [
    ({}, "no such fault"),
    ({"fault": "unheard"}, "no such fault"),
    ({"fault": 5}, "fault: a text of 1 to 40 bytes is expected"),
    ({"fault": "reset", "count": "3"}, "count: a whole number from -1 to 2147483647 is expected"),
    ({"fault": "reset", "count": 1.0}, "count: a whole number from -1 to 2147483647 is expected"),
    ({"fault": "reset", "skip": -1}, "skip: a whole number from 0 to 2147483647 is expected"),
    ({"fault": "reset", "probability": 2}, "probability: a number from 0 to 1 is expected"),
    ({"fault": "reset", "probability": "0.5"}, "probability: a number from 0 to 1 is expected"),
    ({"fault": "reset", "record": 1}, "record: true or false is expected"),
    ({"fault": "reset", "operation": "Order"}, "no such operation"),
    ({"fault": "reset", "operation": None}, "operation: a text of 1 to 31 bytes is expected"),
    ({"fault": "reset", "often": 1}, "often: no such member"),
    ({"fault": "http_status", "code": 99}, "code: an HTTP status from 200 to 599 is expected"),
    ({"fault": "wrong_key", "operation": "Revoke"}, "this fault has nothing to strike in that operation"),
    ({"fault": "wrong_key", "operation": "OrderPkcs12"}, "this fault has nothing to strike in that operation"),
    ({"fault": "other_order", "operation": "OrderPkcs12"}, "this fault has nothing to strike in that operation"),
    ({"fault": "wrong_pin", "operation": "OrderDS"}, "this fault has nothing to strike in that operation"),
    ({"fault": "late_view", "operation": "Cancel"}, "this fault has nothing to strike in that operation"),
    ({"fault": "duplicate_order", "operation": "Reissue"}, "this fault has nothing to strike in that operation"),
    ({"fault": "tls_stall", "operation": "Revoke"},
     "this fault strikes connections: it knows no operation, cn or profile"),
    ({"fault": "connection_drop", "cn": "x"},
     "this fault strikes connections: it knows no operation, cn or profile"),
], ids=str)
def test_faults_that_are_wrong(sim, body, error):
    assert sim.control("POST", "/faults", body, status=400)["error"] == error
    # A script is taken whole or not at all.
    answer = sim.control("POST", "/faults", [{"fault": "reset"}, body, {"fault": "html"}], status=400)
    assert answer == {"error": error, "what": "1"}
    assert sim.control("GET", "/faults") == {"faults": []}


def test_faults_are_listed_and_removed(sim):
    ids = sim.control("POST", "/faults", [{"fault": "reset", "cn": "x"}, {"fault": "http_429", "retry_after_s": 3}])
    first, second = sim.control("GET", "/faults")["faults"]
    assert [first["id"], second["id"]] == ids["ids"]
    assert (first["fault"], first["cn"], first["count"], first["probability"]) == ("reset", "x", -1, 1.0)
    assert second["retry_after_s"] == 3
    left = sim.control("DELETE", f"/faults/{first['id']}")["faults"]
    assert [f["id"] for f in left] == [second["id"]]
    assert sim.control("DELETE", "/faults") == {"faults": []}


@pytest.mark.parametrize("path,body,error", [
    ("/profiles/MPNEW", {"state": "great"}, "state: vetting, validated or suspended is expected"),
    ("/profiles/MPNEW", {"state": 5}, "state: a text of 1 to 16 bytes is expected"),
    ("/profiles/MPNEW", {"smime": "yes"}, "smime: true or false is expected"),
    ("/profiles/MPNEW", {"country": "USA"}, "country: a text of 2 to 2 bytes is expected"),
    ("/profiles/MPNEW", {"organization": "x" * 65}, "organization: a text of 0 to 64 bytes is expected"),
    ("/profiles/MPNEW", {"addresses": ["10.0.0.0/33"]}, "addresses: up to 16 texts like 10.0.0.0/8 or ::1 are expected"),
    ("/profiles/MPNEW", {"addresses": [5]}, "addresses: up to 16 texts like 10.0.0.0/8 or ::1 are expected"),
    ("/profiles/MPNEW", {"addresses": "10.0.0.1"}, "addresses: a list is expected"),
    ("/profiles/MPNEW", {"domains": [{"approved": True}]}, "domains: up to 16 names or {name, approved} are expected"),
    ("/profiles/MPNEW", {"domain": []}, "domain: no such member"),
    ("/profiles/MPNEW", [], "an object is expected"),
    ("/profiles/MPNEW", None, "an object is expected"),
    ("/profiles", {}, "an id of 1 to 14 characters is expected, and room for the profile"),
    ("/profiles/MP2026011500012", {}, "an id of 1 to 14 characters is expected, and room for the profile"),
    ("/licences", {}, "an id is expected, and room for the pack (32)"),
    ("/licences", {"id": LICENCE, "total": "many"}, "total: a whole number from 0 to 2147483647 is expected"),
    ("/licences", {"id": LICENCE, "used": 0}, "used: no such member"),
    ("/licences", None, "an object is expected"),
    ("/orders", {"cn": ""}, "cn: a text of 1 to 64 bytes is expected"),
    ("/orders", {"cn": "x", "profile": "MP0"}, "cn and a known profile are expected"),
    ("/orders", {"cn": "x", "issued": 0}, "issued: true or false is expected"),
    ("/orders", None, "an object is expected"),
], ids=str)
def test_what_the_ca_keeps_is_not_set_wrongly(sim, path, body, error):
    before = sim.state()
    assert sim.control("POST", path, body, status=400)["error"] == error
    assert sim.state() == before


def test_a_status_that_is_none(sim):
    order = sim.issue().order_id
    assert sim.control("POST", f"/orders/{order}/status", {"status": "4"}, status=400)["error"].startswith("status:")
    assert sim.control("POST", f"/orders/{order}/burn", status=404)["error"] == "no such route"
    assert sim.control("POST", f"/orders/{order}/pickup", status=404)["error"] == "it waits for no pick-up"


def test_state(sim):
    order = sim.issue(cn="State & Co").order_id
    (found,) = sim.orders("State & Co")
    assert found["id"] == order and found["profile"] == "MP202601150001"
    assert sim.state("?profile=MP0")["orders"] == [] and sim.state("?orders=0")["orders"] == []
    assert "cert" not in found and sim.control("GET", f"/orders/{order}")["cert"]
    counters = sim.state()["counters"]
    sim.call("OrderAndIssueCertificate", CSR="nonsense")
    sim.session.post(sim.url, data=b"nonsense")
    after = sim.state()["counters"]
    assert after["OrderAndIssueCertificate"]["errors"] == counters["OrderAndIssueCertificate"]["errors"] + 1
    assert after["unknown"]["faults"] == counters["unknown"]["faults"] + 1


def test_reset(sim):
    sim.set(cap=3, password="another1", locked=True)
    sim.fault("reset")
    settings = sim.control("POST", "/reset")
    assert (settings["cap"], settings["password"], settings["locked"]) == (500, "", False)
    assert settings["order_min_ms"] == QUICK["order_min_ms"]
    assert sim.call("GetProfiles").success == 0


def test_nobody_locks_himself_out(sim):
    sim.set(idle_ms=1, max_body=1024)
    big = {"fault": "reset", "cn": "x" * 1000}
    with socket.create_connection(("127.0.0.1", sim.control_port)) as sock:
        body = json.dumps([big] * 3).encode()
        head = f"POST /faults HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        sock.sendall(head)
        time.sleep(0.1)
        sock.sendall(body)
        assert b"200 OK" in sock.recv(65536)


# --- the command line ---


def run(*argv):
    return subprocess.run([BINARY, *argv], capture_output=True, text=True, timeout=20)


def test_help_names_everything(sim):
    text = run("--help").stdout
    for name in sim.control("GET", "/settings"):
        assert f"\n  {name}=" in text, name
    for option in ("--dir", "--port", "--control-port", "--faults", "--set"):
        assert option in text
    for path in ("/health", "/state", "/settings", "/faults", "/release", "/reset", "/orders", "/profiles",
                 "/licences", "/crl", "/issuing-ca"):
        assert f" {path} " in text, path
    section = text.split("\nFaults:\n")[1].split("\n\n")[0]
    for line in section.splitlines():
        sim.control("POST", "/faults", {"fault": line.split()[0]})
        assert len(line.split()) > 1


def test_the_readme_says_the_same():
    text = run("--help").stdout
    readme = (TOP / "tests" / "simulator" / "README.md").read_text()
    for line in text.split("\nFaults:\n")[1].split("\n\n")[0].splitlines():
        assert f"`{line.split()[0]}`" in readme, line
    for line in text.split("\nControl port:\n")[1].split("\n\n")[0].splitlines():
        assert line.split()[1] in readme, line


@pytest.mark.parametrize("argv,error", [
    ([], "--dir, --port and --control-port are needed"),
    (["--dir", "x", "--port", "70000", "--control-port", "0"], "--port"),
    (["--dir", "x", "--port", "1x", "--control-port", "0"], "--port"),
    (["--dir", "x", "--port", "0", "--control-port", "0", "--set", "nonsense"], "KEY=VALUE is expected"),
    (["--dir", "x", "--port", "0", "--control-port", "0", "--set", "cap=0"], "a number from 1 to 100000 is expected"),
    (["--dir", "x", "--port", "0", "--control-port", "0", "--set", "nope=1"], "no such setting"),
    (["--dir", "x", "--port", "0", "--control-port", "0", "extra"], "needed"),
    (["--what"], "what"),
], ids=str)
def test_command_lines_that_are_wrong(argv, error):
    done = run(*argv)
    assert done.returncode == 2 and error in done.stderr and not done.stdout


def test_what_stops_it_from_starting(sim, tmp_path):
    both = ["--port", "0", "--control-port", "0"]
    taken = run("--dir", str(tmp_path / "a"), "--port", str(sim.port), "--control-port", "0")
    assert taken.returncode == 1 and str(sim.port) in taken.stderr and "in use" in taken.stderr
    nowhere = run("--dir", "/proc/nowhere", *both)
    assert nowhere.returncode == 1 and "/proc/nowhere" in nowhere.stderr
    faults = tmp_path / "faults.json"
    for text, error in (('[{"fault": "unheard"}]', "no such fault"), ("{}", "a list is expected"), ("[", "expected")):
        faults.write_text(text)
        bad = run("--dir", str(tmp_path / "b"), *both, "--faults", str(faults))
        assert bad.returncode == 1 and error in bad.stderr, bad.stderr
    broken = tmp_path / "c"
    broken.mkdir()
    (broken / "profiles.json").write_text("{")
    bad = run("--dir", str(broken), *both)
    assert bad.returncode == 1 and "profiles.json" in bad.stderr

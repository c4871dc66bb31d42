"""After the others: every failpoint there is has struck, and where something may fail it did; a plan that its place
cannot follow is refused. The shipped worker knows of none."""

import json
import os
import re
import subprocess

import pytest

from kit import BUILD, TOP
from kit.worker import worker_binary


def table():
    """{name: (actions, whether a request can be named)}"""
    listed = subprocess.run([worker_binary(), "failpoints"], check=True, capture_output=True, text=True).stdout
    lines = [line.split("\t") for line in listed.splitlines()]
    return {name: (actions.split(), request == "request") for name, actions, request, _ in lines}


def struck():
    """(name, action) of all that workers did at failpoints."""
    found = set()
    for log in (BUILD / "crash").glob("*/workers/*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if '"msg":"failpoint"' in line:
                found.add((json.loads(line)["name"], json.loads(line)["action"]))
    return found


def test_every_failpoint_struck():
    assert len(table()) > 20 and set(table()) == {name for name, _ in struck()}


def test_every_step_that_may_fail_failed():
    may = {name for name, (actions, _) in table().items() if "fail" in actions}
    assert len(may) > 10 and may == {name for name, action in struck() if action == "fail"}


def test_where_nothing_may_fail_nothing_is_heeded():
    """And elsewhere it is: but for a transaction's, which are in one table."""
    heeded, cast = set(), set()
    for source in (TOP / "worker").rglob("*.c"):
        for void, name in re.findall(r"(\(void\))?EW_FAILPOINT\((\w+),", source.read_text()):
            (cast if void else heeded).add(name.lower().replace("_", "-"))
    assert heeded and cast and not heeded & cast
    for name in heeded | cast:
        assert ("fail" in table()[name][0]) == (name in heeded), name


@pytest.mark.parametrize("name", table())
def test_plan_that_its_place_cannot_follow_is_refused(name):
    actions, request = table()[name]
    for plan, fits in (("fail", "fail" in actions), ("die/r-17", request), ("delay", False)):
        told = dict(os.environ, EPKI_FAILPOINTS=f"{name}={plan}")
        done = subprocess.run([worker_binary(), "run"], capture_output=True, text=True, env=told)
        assert done.returncode == 2 and (f"{name}={plan}: " in done.stderr) == (not fits), done.stderr


@pytest.mark.parametrize("name", ["EPKI_FAILPOINTS", *table()])
def test_shipped_worker_has_none(name):
    assert f"\0{name}\0".encode() in open(worker_binary(), "rb").read()  # so it would be found
    assert f"\0{name}\0".encode() not in (BUILD / "epki-worker").read_bytes()


def test_shipped_worker_does_not_list_them():
    done = subprocess.run([BUILD / "epki-worker", "failpoints"], capture_output=True, text=True)
    assert done.returncode == 2 and "failpoint" not in done.stdout

"""After the others: every failpoint there is has struck, and the shipped worker knows of none."""

import json
import subprocess

import pytest

from kit import BUILD
from kit.worker import worker_binary


def names():
    listed = subprocess.run([worker_binary(), "failpoints"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t")[0] for line in listed.splitlines()]


def struck():
    found = set()
    for log in (BUILD / "crash").glob("*/workers/*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if '"msg":"failpoint"' in line:
                found.add(json.loads(line)["name"])
    return found


def test_every_failpoint_struck():
    assert len(names()) > 20 and set(names()) == struck()


@pytest.mark.parametrize("name", ["EPKI_FAILPOINTS", *names()])
def test_shipped_worker_has_none(name):
    assert f"\0{name}\0".encode() in open(worker_binary(), "rb").read()  # so it would be found
    assert f"\0{name}\0".encode() not in (BUILD / "epki-worker").read_bytes()


def test_shipped_worker_does_not_list_them():
    done = subprocess.run([BUILD / "epki-worker", "failpoints"], capture_output=True, text=True)
    assert done.returncode == 2 and "failpoint" not in done.stdout

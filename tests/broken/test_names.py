"""After the others: they did without every protection that there is to do without, each where it mattered; and the shipped
worker does without none."""

import json
import subprocess

import pytest

from kit import BUILD
from kit.worker import worker_binary


def listed():
    done = subprocess.run([worker_binary(), "protections"], check=True, capture_output=True, text=True)
    return dict(line.split("\t") for line in done.stdout.splitlines())


def missed():
    """Those that a worker came to and did not have."""
    found = set()
    for log in (BUILD / "broken").glob("*/workers/*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if '"msg":"without a protection"' in line:
                found.add(json.loads(line)["name"])
    return found


def test_every_protection_was_missed():
    assert len(listed()) > 5 and set(listed()) == missed()


@pytest.mark.parametrize("words", ["EPKI_WITHOUT", *listed().values()])
def test_shipped_worker_has_none(words):
    assert f"\0{words}\0".encode() in open(worker_binary(), "rb").read()  # so it would be found
    assert f"\0{words}\0".encode() not in (BUILD / "epki-worker").read_bytes()


def test_shipped_worker_does_not_list_them():
    done = subprocess.run([BUILD / "epki-worker", "protections"], capture_output=True, text=True)
    assert done.returncode == 2 and "protection" not in done.stdout


def test_unknown_protection_is_refused():
    """A test that misspells one would otherwise prove nothing."""
    done = subprocess.run([worker_binary(), "run", "--config", "none"], capture_output=True, text=True,
                          env={"EPKI_WITHOUT": "canary,armour"})
    assert done.returncode == 2 and "armour" in done.stderr

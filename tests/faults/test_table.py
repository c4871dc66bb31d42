"""The table of faults tells the truth: it is whole, what it names is there, and nothing here is left out of it."""

import os
import re
import subprocess
import sys

import pytest

import faults
from kit import TOP

TESTS = TOP / "tests"
NAMED = [test for fault in faults.TABLE for test in fault.tests]


def collected(*paths):
    """Node ids below tests/ of the pytest tests in these places, without their parameters."""
    line = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *paths]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(line, cwd=TESTS, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-2000:]
    nodes = [line.split("[")[0].removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line]
    return set(nodes)


@pytest.fixture(scope="module")
def python_tests():
    return collected(*sorted({test.split("::")[0] for test in NAMED if ".py::" in test}))


def test_every_fault_is_there_once():
    assert [fault.number for fault in faults.TABLE] == list(range(1, 42))


@pytest.mark.parametrize("fault", faults.TABLE, ids=lambda fault: str(fault.number))
def test_fault_has_tests(fault):
    assert fault.tests


@pytest.mark.parametrize("test", sorted(set(NAMED)))
def test_named_test_exists(test, python_tests):
    file, _, function = test.partition("::")
    if file.endswith(".py"):
        assert test in python_tests
    else:
        assert re.search(rf"^{function}\(void \*\*state\)$", (TESTS / file).read_text(), re.MULTILINE)


def test_every_test_here_is_named():
    here = collected("faults", "--ignore", "faults/test_table.py")
    assert here == {test for test in NAMED if test.startswith("faults/")}


def test_readme_shows_the_table():
    assert faults.markdown() in (TOP / "README.md").read_text(), "tests/faults/table --markdown prints it"

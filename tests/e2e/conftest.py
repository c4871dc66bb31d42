"""A stack for each test file, two workers on it, a publisher and a read_committed reader."""

import os
import pathlib

import pytest

from kit import BUILD
from kit.system import System, own_port


@pytest.fixture(scope="module")
def system(request):
    """What a file says in SETTINGS is merged into the workers' settings; WORKERS is how many there are. GROUPS: several of
    them read its topics."""
    name = pathlib.Path(request.module.__file__).stem
    top = BUILD / os.environ.get("EPKI_TEST_DIR", "e2e")
    made = System(top / name, own_port(), **getattr(request.module, "SETTINGS", {}))
    made.answers_once = not getattr(request.module, "GROUPS", False)
    try:
        yield made.begin(getattr(request.module, "WORKERS", 2))
    finally:
        made.end()


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, pause or odd switch outlives its test."""
    yield
    if "system" in request.fixturenames:
        request.getfixturevalue("system").calm()

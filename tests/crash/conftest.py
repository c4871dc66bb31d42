"""A stack for each test file, whose workers pass failpoints."""

import pathlib

import pytest

pytest.register_assert_rewrite("kit.cases", "kit.crashing")

from kit import BUILD
from kit.crashing import Crashing


@pytest.fixture(scope="module")
def system(request):
    module = request.module
    made = Crashing(BUILD / "crash" / pathlib.Path(module.__file__).stem, getattr(module, "WORKERS", 2),
                    getattr(module, "SETTINGS", {}))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def nobody(system):
    """No worker, for a test that starts its own with other settings; as it was afterwards."""
    for worker in system.running():
        assert worker.terminate(40) == 0
    yield
    for worker in system.running():
        assert worker.terminate(40) == 0


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, pause, plan or odd switch outlives its test, and the workers are complete again."""
    yield
    if "system" in request.fixturenames:
        request.getfixturevalue("system").mend()

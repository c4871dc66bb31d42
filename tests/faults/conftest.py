"""A stack for each test file, whose workers pass failpoints. EPKI_WORKER is a worker built with them."""

import pathlib

import pytest
from confluent_kafka.admin import AdminClient

pytest.register_assert_rewrite("kit.cases", "kit.crashing", "kit.crowd")

from kit import BUILD, topics
from kit.crashing import Crashing


@pytest.fixture(scope="module")
def system(request):
    """BROKERS and WORKERS of a file are how many there are; its SETTINGS are merged into the workers' settings."""
    module = request.module
    made = Crashing(BUILD / "faults" / pathlib.Path(module.__file__).stem, getattr(module, "WORKERS", 2),
                    getattr(module, "SETTINGS", {}), getattr(module, "BROKERS", 1))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def admin(system):
    return AdminClient({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], **topics.QUIET})


@pytest.fixture(autouse=True)
def clean_faults(request):
    """No fault, pause, plan or odd switch outlives its test, and the workers are complete again."""
    yield
    if "system" in request.fixturenames:
        request.getfixturevalue("system").mend()

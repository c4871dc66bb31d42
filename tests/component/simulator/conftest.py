import pytest

from harness import Simulator


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    sim = Simulator(tmp_path_factory.mktemp("epki") / "sim")
    yield sim
    assert sim.stop() == 0, sim.stderr()
    assert sim.stderr() == ""


@pytest.fixture
def sim(shared):
    """One simulator for a whole file, with its settings and faults put back after each test."""
    yield shared
    assert shared.process.poll() is None, shared.stderr()
    shared.reset()


@pytest.fixture
def start(tmp_path):
    """Starts simulators of a test's own."""
    running = []

    def launch(name="sim", **options):
        running.append(Simulator(tmp_path / name, **options))
        return running[-1]

    yield launch
    for one in running:
        if one.process.poll() is None:
            one.stop()

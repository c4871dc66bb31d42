"""deploy/local/stack: what it starts, what it says, what it leaves alone."""

import os
import pathlib
import socket
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
NAMES = ["KAFKA_BOOTSTRAP", "KAFKA_SASL", "REDIS_URL", "EPKI_URL", "EPKI_CA_FILE", "EPKI_USER", "EPKI_PASSWORD_FILE",
         "EPKI_PROFILE", "EPKI_CHAIN_FILE", "EPKI_CONTROL_URL", "EPKI_JOURNAL"]
PORT = int(os.environ.get("EW_COMPONENT_PORT", "22000")) + 200


def stack(command, directory, port=PORT, *more):
    return subprocess.run([TOP / "deploy/local/stack", command, "--dir", directory, "--base-port", str(port), *more],
                          capture_output=True, text=True, timeout=120)


def pids(directory):
    return {path.stem: int(path.read_text().split()[0]) for path in directory.glob("*.pid")}


def alive(pid):
    """One that ended and that nobody has buried yet is not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def directory(tmp_path):
    yield tmp_path
    stack("down", tmp_path)


def test_three_brokers_come_up_and_exactly_they_go_down(directory):
    assert stack("up", directory, PORT, "--brokers", "3").returncode == 0
    started = pids(directory)
    assert sorted(started) == ["kafka-1", "kafka-2", "kafka-3", "redis", "simulator"]
    assert all(alive(pid) for pid in started.values())
    assert stack("status", directory).returncode == 0
    again = stack("up", directory)
    assert again.returncode != 0 and "runs in" in again.stderr
    env = dict(line.split("=", 1) for line in stack("env", directory).stdout.splitlines())
    assert list(env) == NAMES and env["KAFKA_BOOTSTRAP"].count(":") == 3
    assert all("127.0.0.1" in env[n] or "localhost" in env[n] for n in ("KAFKA_BOOTSTRAP", "REDIS_URL", "EPKI_URL"))
    assert all(pathlib.Path(env[n]).exists() for n in ("EPKI_CA_FILE", "EPKI_PASSWORD_FILE", "EPKI_CHAIN_FILE"))
    (directory / "redis.pid").replace(directory / "redis.keep")
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        (directory / "redis.pid").write_text(f"{stranger.pid} 1\n")  # given to somebody else meanwhile
        assert stack("status", directory).returncode != 0
        assert stack("down", directory).returncode == 0
        assert stranger.poll() is None
        assert [name for name, pid in started.items() if alive(pid)] == ["redis"] and pids(directory) == {}
    finally:
        stranger.kill()
        stranger.wait()
        (directory / "redis.keep").replace(directory / "redis.pid")
    assert stack("down", directory).returncode == 0
    assert not alive(started["redis"]) and pids(directory) == {}
    assert stack("down", directory).returncode == 0


def test_a_port_in_use_is_said_and_not_fought_over(directory):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT + 101))
        listener.listen()
        done = stack("up", directory, PORT + 100)
        assert done.returncode != 0 and str(PORT + 101) in done.stderr and "--base-port" in done.stderr
    assert pids(directory) == {}


def test_another_up_goes_by_its_own_options(directory):
    (directory / "ports").write_text(f"base={PORT + 200} brokers=1 partitions=4\n")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT + 301))
        listener.listen()
        done = stack("up", directory, PORT + 300, "--brokers", "3")
        assert done.returncode != 0 and f"port {PORT + 301} is in use" in done.stderr
        assert "--base-port" in done.stderr
        (directory / "kafka-1").mkdir()
        done = stack("up", directory, PORT + 300, "--brokers", "3")  # one broker's files cannot serve three
        assert done.returncode != 0 and "--brokers 1 --partitions 4" in done.stderr
        done = stack("up", directory, PORT + 300)
        assert done.returncode != 0 and f"port {PORT + 301} is in use" in done.stderr
    assert pids(directory) == {}


@pytest.mark.parametrize("words", [["sideways"], ["up", "--brokers", "2"], ["up", "--base-port", "x"], ["up", "--dir"]])
def test_bad_usage_says_what_is_expected(words):
    done = subprocess.run([TOP / "deploy/local/stack", *words], capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr

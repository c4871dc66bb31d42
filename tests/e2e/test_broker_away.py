"""Kafka hangs for longer than a liveness probe bears: the workers say that they are alive, and go on afterwards."""

import subprocess
import time

from kit import messages
from epki.v1 import certificate_event_pb2 as events

WORKERS = 1
AWAY_S = 40  # twice the age at which a thread counts as stuck


def test_workers_stay_alive(system):
    system.ca.settings(order_min_ms=2000, order_max_ms=2000)
    placed = [system.send(messages.enroll(messages.name(), cn=f"Broker Away {i}")) for i in range(5)]
    system.ca.await_journal(cn="Broker Away 0", recorded=True)
    pid, (worker,) = system.ca.pid("kafka-1"), system.running()
    subprocess.run(["kill", "-STOP", str(pid)], check=True)  # accepts, never answers
    try:
        dead, until = [], time.monotonic() + AWAY_S
        while time.monotonic() < until:
            answer = worker.get("/livez")
            if answer.status_code != 200:
                dead.append(answer.text)
            time.sleep(0.5)
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True)
    assert not dead
    for index, where in enumerate(placed):
        assert system.results.answer_to(where, 90).result == events.RESULT_ISSUED
        assert len(system.orders_of(f"Broker Away {index}")) == 1

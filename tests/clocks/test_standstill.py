"""A loop that stands still, a processor that hardly ever turns to the workers, and a machine that is paused: all longer than
a session, and longer than the quiet period."""

import os
import signal
import threading
import time

import pytest

from kit import cases, messages, topics, wait
from kit.servers import Server
from epki.v1 import certificate_event_pb2 as events

SESSION_S, QUIET_S = 1.5, 5  # of the settings for local stacks
STALL_MS = 4000

STALLS = [  # where the loop's thread stands still, and the kind of request
    ("request-decoded", "worker-key"),
    ("calling-known", "renewal"),
    ("gate-reached", "csr"),        # looked at after the stall: refused
    ("gate-passed", "worker-key"),  # sent late, within the quiet period
    ("reply-begun", "csr"),
    ("reply-read", "globalsign-key"),
    ("outcome-sent", "csr"),
    ("answer-known", "revocation"),
]


@pytest.fixture(scope="module", autouse=True)
def workers(system):
    system.only(0, 0)
    system.accepted()


@pytest.mark.parametrize("point,kind", STALLS, ids=[f"{p}-{k}" for p, k in STALLS])
def test_loop_stands_still(system, point, kind):
    """Membership, transactions and the other worker go on meanwhile."""
    case = cases.Case(system, kind, messages.name(point))
    system.tell(point, f"delay:{STALL_MS}")
    case.send(partition=0)
    case.send_twin(1)
    system.struck(point)
    case.check(120, 1)
    if point == "gate-reached":
        assert [line for w in system.running() for line in w.log(msg="send gate refused", request_id=case.request)]


class Throttle:
    """Lets processes run for one twentieth of the time."""

    RUN_S, REST_S = 0.01, 0.19

    def __init__(self, pids):
        self.pids, self.ended = pids, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _send(self, number):
        for pid in self.pids:
            os.kill(pid, number)

    def _run(self):
        while not self.ended.wait(self.RUN_S):
            self._send(signal.SIGSTOP)
            time.sleep(self.REST_S)
            self._send(signal.SIGCONT)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self._send(signal.SIGCONT)


def check_all_live(system, made):
    """As ever; but a key of GlobalSign's comes once, in the reply, and whoever waited for it may have lost its partition:
    then that order was ended and told of, and there is one more."""
    system.check_all([case for case in made if case.kind != "globalsign-key"], lost_tokens=2)
    for sent in (sent for case in made if case.kind == "globalsign-key" for sent in case.sent):
        event = system.results.answer_to(sent.placed, 90)
        orders = {order: str(system.ca.control("GET", f"/orders/{order}")).lower() for order in system.orders_of(sent.cn)}
        assert event.result == events.RESULT_ISSUED
        assert [order for order, text in orders.items() if "cancel" not in text] == [event.certificate.order_id]
        wait.until(lambda: set(orders) - {event.certificate.order_id} <= {
            e.order_id for e in list(system.results.account_events) if e.type == "compensated"}, 20, "the word of each")


def lose_replies(system):
    for fault in ("accept_then_drop", "close_before_record"):
        system.ca.fault(fault, count=2)


def test_starved_of_the_processor(system):
    """Every worker gets five per cent, under requests of every kind and replies that are lost."""
    made = system.one_of_each("starved")
    lose_replies(system)
    with Throttle([w.process.pid for w in system.running()]):
        system.send_all(made)
        done = {(p.topic, p.partition, p.offset) for case in made for p in [s.placed for s in case.sent] + case.twins}

        def answered():
            return [e for e in list(system.results.events) if e.result in topics.ANSWERS and
                    (e.source.topic, e.source.partition, e.source.offset) in done]
        wait.until(lambda: len(answered()) >= len(done) / 2, 120, "half of the answers")
    check_all_live(system, made)


def test_machine_is_paused(system):
    """Workers, Redis and the CA stop in the middle of everything, and the brokers go on: sessions end, transactions are
    aborted, partitions belong to nobody. Then the machine goes on."""
    adopted = {"msg": "partition adopted", "logger": "kafka"}
    made, before = system.one_of_each("paused"), len(system.log(**adopted))
    lose_replies(system)
    system.send_all(made)
    wait.until(lambda: system.ca.journal(cn=made[0].sent[0].cn), 30, "the first order")
    servers = [Server(system.ca, name) for name in ("redis", "simulator")]
    pids = [w.process.pid for w in system.running()] + [server.pid for server in servers]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(SESSION_S + QUIET_S + 2)  # the pause itself: nothing happens in it that could be waited for
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    check_all_live(system, made)
    assert len(system.log(**adopted)) > before

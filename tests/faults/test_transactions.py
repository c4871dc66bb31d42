"""Transactions that end badly: beyond their time in the middle of a batch, and by another process with the same
transactional id."""

import pytest
from confluent_kafka import Producer

import coordinators
from kit import cases, messages, topics, wait
from kit.crowd import Crowd

TOO_LONG_MS = 4500  # beyond a transaction's time and the broker's look for such
WORKERS = 1
BATCH = 12
MADE_ANEW = "the producer is made anew"


# --- a transaction that outlives its time ---

@pytest.mark.parametrize("point", ["answer-produced", "answer-sent"])
def test_answers_in_a_transaction_beyond_its_time(system, point):
    """A dozen answers are in it. The broker has aborted it when the worker comes to the next step: the handle is dead,
    and what became of the transaction is read from the maps."""
    worker, = system.running()
    crowd = Crowd(system, point).hold(BATCH)
    made = len(worker.log(msg=MADE_ANEW))
    system.tell("answer-begun", "delay:1500")  # the others gather behind the first
    system.tell(point, f"delay:{TOO_LONG_MS}/{list(crowd.placed)[-1]}")
    system.ca.control("POST", "/release", {})
    system.struck(point)
    crowd.check()
    assert len(worker.log(msg=MADE_ANEW)) > made and worker.running()


@pytest.mark.parametrize("point", ["intent-produced", "intent-sent"])
def test_intent_in_a_transaction_beyond_its_time(system, point):
    case = cases.Case(system, "worker-key", messages.name(point))
    worker, = system.running()
    made = len(worker.log(msg=MADE_ANEW))
    system.tell(point, f"delay:{TOO_LONG_MS}/{case.request}")
    case.send(partition=1)
    system.struck(point)
    assert case.check(lost_tokens=1).attempts == 1
    assert len(worker.log(msg=MADE_ANEW)) > made and worker.running()


# --- another process with the same transactional id ---

def take_over(system, transactional_id):
    """What a second process with this id does: it initialises transactions, and the first one is fenced."""
    rival = Producer({"bootstrap.servers": system.ca["KAFKA_BOOTSTRAP"], "transactional.id": transactional_id,
                      **topics.QUIET})
    rival.init_transactions(30)
    return rival


@pytest.fixture
def fresh(system):
    """A worker that nobody has fenced yet: twice in a minute is too often."""
    for worker in system.running():
        assert worker.terminate(40) == 0
    system.complete()
    yield system.running()[0]


@pytest.mark.parametrize("point", ["intent-produced", "intent-sent", "answer-produced", "answer-sent"])
def test_another_process_with_our_transactional_id(system, fresh, point):
    """It comes in the middle of our transaction. The worker goes on under another id; nothing is lost or repeated."""
    case = cases.Case(system, "csr", messages.name(point))
    ours = coordinators.id_of(system, fresh)
    system.tell(point, f"delay:1200/{case.request}")
    case.send(partition=2)
    system.struck(point)
    take_over(system, ours)
    case.check(lost_tokens=1)
    system.issue(messages.enroll(messages.name()))  # if it was through before it was fenced, it finds out now
    assert fresh.running() and len(fresh.log(msg=MADE_ANEW)) == 1
    assert coordinators.id_of(system, fresh) != ours


def test_twice_in_a_minute_ends_the_process(system, fresh):
    """It says why, and another worker does what is left."""
    crowd = Crowd(system, "twice").hold(BATCH)
    ours = coordinators.id_of(system, fresh)
    take_over(system, ours)
    crowd.send(1)
    # Its next id is there later than the word that it needs one: to take over the old one again would fence nobody.
    another = wait.until(lambda: coordinators.other_id_of(system, fresh, ours), 40, "another id")
    take_over(system, another)
    crowd.send(1)
    assert fresh.await_end(60) != 0
    assert fresh.log(problem="producer-fenced")
    system.ca.control("POST", "/release", {})
    system.complete()
    crowd.check()

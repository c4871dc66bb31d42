"""Without what keeps an event from being answered twice, not at all, or before its time."""

import signal

import pytest

from kit import wait


@pytest.mark.parametrize("without", ["snapshot", "membership"])
def test_zombie(stage, without):
    """A worker is stopped with an answer in its hands, until another has answered in its place. What it commits then
    belongs to nobody: Kafka asks for a member of today, not for the owner of the partition, and lets a commit in nobody's
    name pass altogether. Who takes his membership from elsewhere than from the moment in which he owned the partition
    answers once more."""
    def schedule(stage):
        zombie = stage.start_mortal(transaction_ms=60000)
        stage.tell("answer-begun", "stop")
        asked = stage.ask()
        assert stage.stopped("answer-begun") is zombie
        before = adoptions(zombie)
        stage.start()
        stage.answered(asked)
        stage.all_done()
        zombie.signal(signal.SIGCONT)
        # It adopts again only when it is done with what it was at.
        wait.until(lambda: adoptions(zombie) > before, 90, "the zombie among the living")
        return asked

    def adoptions(worker):
        """As the committer tells: the flow may hear of earlier ones only when it is woken."""
        return len(worker.log(msg="partition adopted", logger="kafka"))

    stage.prove(schedule, without, double_answers=1)


def test_reread(stage):
    """The answer to a commit is lost, and the commit was made. Who does not ask the committed maps before he answers again
    from memory answers twice."""
    def schedule(stage):
        stage.start()
        stage.tell("answer-committed", "fail")
        asked = stage.ask()
        stage.struck("answer-committed")
        stage.answered(asked)
        stage.all_done()
        return asked

    stage.prove(schedule, "reread", double_answers=1)


def test_together(stage):
    """A worker dies when its answer is produced and the offset's mark is not. In one transaction neither is there; where
    the answer is committed first, the next worker finds the offset open and answers again."""
    def schedule(stage):
        stage.start_mortal()
        stage.tell("answer-produced", "die")
        asked = stage.ask()
        stage.died("answer-produced")
        stage.start()
        stage.answered(asked)
        stage.all_done()
        return asked

    stage.prove(schedule, "together", double_answers=1)


def test_open_offsets(stage):
    """A worker dies while one order is at the CA and a later event of its partition is answered. Who commits as consumers
    do, behind the last that is done, leaves nobody to answer the first."""
    def schedule(stage):
        worker = stage.start_mortal()
        number = stage.ca.fault("hold_reply", count=1)
        asked = stage.ask()
        wait.until(lambda: stage.ca.fault_hits(number), 90, "a held reply")
        stage.answered(stage.ask())
        worker.kill()
        stage.start()
        stage.all_done()
        return asked

    stage.prove(schedule, "open-offsets", lost=1)


def test_key_lane(stage):
    """The order of one event is at the CA when the next of its key comes. Who begins with that at once answers it first:
    whoever follows the key's answers ends with the older of the two."""
    def schedule(stage):
        worker = stage.start()
        number = stage.ca.fault("hold_reply", count=1)
        first = stage.ask(key="one key")
        wait.until(lambda: stage.ca.fault_hits(number), 90, "a held reply")
        second = stage.ask(key="one key")
        stage.answered(stage.ask())  # the partition was read beyond the second
        if worker.log(request_id=second.id):
            stage.answered(second)
        stage.ca.control("POST", "/release", {})
        for asked in (first, second):
            stage.answered(asked)
        stage.all_done()
        return second

    stage.prove(schedule, "key-lane", unexplained=1)

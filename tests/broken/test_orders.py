"""Without what keeps a request from being ordered twice."""

import signal

from kit import cases, wait


def lose_redis(stage):
    cases.store(stage).flushall()


def rebuilt(stage, before):
    wait.until(lambda: cases.store(stage).get("epki:v1:canary") not in (None, before), 60, "a rebuilt Redis")


def canary(stage):
    return cases.store(stage).get("epki:v1:canary")


def in_the_air(stage):
    """A request whose order is at the CA, and the worker that waits for the reply."""
    worker = stage.start_mortal()
    number = stage.ca.fault("hold_reply", count=1)
    asked = stage.ask()
    wait.until(lambda: stage.ca.fault_hits(number), 90, "a held reply")
    stage.ordered(asked)
    return asked, worker


def test_intent(stage):
    """A worker dies while its order is at the CA, and Redis is lost with it. Kafka then is all that knows: without an
    intent the next worker takes the request for a new one and orders again."""
    def schedule(stage):
        asked, worker = in_the_air(stage)
        worker.kill()
        lose_redis(stage)
        stage.start()
        stage.answered(asked)
        stage.all_done()
        return asked

    stage.prove(schedule, "intent", double_orders=1)


def test_ordering_record(stage):
    """Redis is lost while an order is at the CA, and the same event comes in another partition. The mark in the offset
    map says nothing of request ids: without the record in epki.inflight nobody can tell the rebuilt Redis, and the
    repetition is ordered as if it were the first."""
    def schedule(stage):
        asked, worker = in_the_air(stage)
        lose_redis(stage)
        again = stage.again(asked)
        wait.until(lambda: len(stage.orders_of(asked.cn)) > 1 or
                   worker.log(state="wait_other", partition=again.placed.partition, request_id=asked.id), 90,
                   "the repetition waits, or is ordered")
        stage.ca.control("POST", "/release", {})
        for one in (asked, again):
            stage.answered(one)
        stage.all_done()
        return asked

    stage.prove(schedule, "ordering-record", double_orders=1, unexplained=1)


def test_awaited_calling(stage):
    """A worker is stopped between its claim and its intent, Redis is lost and rebuilt without either, and the same event
    in another partition is ordered and answered by another worker. Woken, the first one is still a member with its
    partition, and its intent is taken: only Redis, asked once more before the order is sent, says that the claim is gone."""
    def schedule(stage):
        first, second = stage.start(), stage.start()
        theirs = moved(second)
        mine = next(number for number in range(stage.ca.partitions) if number not in theirs)
        base = stage.ask()
        stage.answered(base)
        stage.tell("intent-begun", "stop")
        asked = stage.ask_renewal(base, mine)
        assert stage.stopped("intent-begun") is first
        before = canary(stage)
        lose_redis(stage)
        rebuilt(stage, before)
        again = stage.again(asked, theirs[0])
        stage.answered(again)
        first.signal(signal.SIGCONT)
        stage.answered(asked)
        stage.all_done()
        return asked

    def moved(second):
        """Partitions of renewals that the second worker took over from the first: some, in the middle of all topics."""
        where = {"topic": "epki.renewal.requests"}
        wait.until(lambda: second.log(msg="partition assigned", **where), 60, "partitions of its own")
        theirs = [line["partition"] for line in second.log(msg="partition assigned", **where)]
        second.await_log(60, msg="partition adopted", partition=theirs[0], **where)
        return theirs

    stage.prove(schedule, "awaited-calling", double_orders=1, unexplained=1)


def test_quiet_period(stage):
    """A worker is stopped between the send gate and the first byte. Its partition's next owner asks the CA and sees no
    order, because there is none yet. Who believes that at once orders, and the first order comes after it."""
    def schedule(stage):
        stage.start_mortal()
        stage.tell("gate-passed", "stop")
        asked = stage.ask()
        zombie = stage.stopped("gate-passed")
        stage.start()
        wait.until(lambda: stage.ordered_or_missed(asked), 90, "it was looked for twice, or ordered again")
        late = len(stage.orders_of(asked.cn)) + 1
        zombie.signal(signal.SIGCONT)
        stage.ordered(asked, late)
        stage.answered(asked)
        stage.all_done()
        return asked

    stage.prove(schedule, "quiet-period", double_orders=1)


def test_canary(stage):
    """Redis is lost after a request was answered, and its event comes again. An empty Redis knows neither: who takes it
    for a whole one orders again. Whether it is whole is what the canary says, written when a rebuild is over."""
    def schedule(stage):
        stage.start()
        asked = stage.ask()
        stage.answered(asked)
        wait.until(lambda: cases.store(stage).hget(f"epki:v1:request:{asked.id}", "st") == "done", 60, "Redis knows")
        lose_redis(stage)
        stage.answered(stage.again(asked))
        stage.all_done()
        return asked

    stage.prove(schedule, "canary", double_orders=1, unexplained=1)


def test_sent_once(stage):
    """The CA records an order and closes the connection without a reply. On a connection that had served before, libcurl
    takes that for a connection that had grown old, and by itself sends the order again on another."""
    def schedule(stage):
        stage.start()
        stage.answered(stage.ask())
        stage.ca.fault("close_after_record", count=1)
        asked = stage.ask()
        stage.answered(asked)
        stage.all_done()
        return asked

    stage.prove(schedule, "sent-once", double_orders=1)

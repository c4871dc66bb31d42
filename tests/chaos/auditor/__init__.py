"""The auditor. It shares no code with the workers, the kit or the harness: it reads what was asked for (the request
topics), what was answered (the result topics, read_committed) and what the CA did (the simulator's journals), and works
out for itself what should have come of each event.

    facts     what was read, as plain data
    topics    reads Kafka (kafka-python)      journal   reads the simulator's journals and the harness's list of deeds
    content   what a request says             settings  what the settings file allows
    orders    whose an order is, and what became of it
    theirs    what may have cost a key that the CA made, and what follows from that
    expect    the outcomes that would be right for an event
    judge     compares; every finding is one line      report    tables, the last line, the exit code
"""

"""Which fault when: the same seed, the same schedule. Each kind comes once before any comes again. Kinds that take the
same thing away never overlap, and leave it alone for a while: otherwise nothing would ever get done. No kind overlaps
itself: the end of one act would be that of the other."""

import dataclasses
import json
import random

REST_S = {"broker": 10.0}  # a broker takes its time to come up
GROUP_REST_S, OWN_REST_S = 3.0, 0.1


@dataclasses.dataclass(frozen=True)
class Act:
    at_s: float
    for_s: float
    kind: str
    draw: float  # decides what the kind leaves open: which worker, which broker

    def line(self):
        return json.dumps(dataclasses.asdict(self))


def bags(rng, kinds):
    """The kinds in ever new orders."""
    while True:
        bag = sorted(kinds)
        rng.shuffle(bag)
        yield from bag


def steady(seed, duration_s, kind, every_s):
    """Acts of one kind at a steady pace."""
    rng = random.Random(f"steady {kind} {seed}")
    return [Act(round(number * every_s, 3), 0.0, kind, rng.random()) for number in
            range(1, int(duration_s / every_s))]


def plan(seed, duration_s, kinds, gap_s):
    """kinds: {name: (group or "", shortest, longest)}. Returns acts by time; all have ended when the duration has."""
    rng = random.Random(f"schedule {seed}")
    acts, at, free = [], 0.0, {}
    names = bags(rng, kinds) if kinds else iter(())
    for name in names:
        group, shortest, longest = kinds[name]
        at += rng.uniform(0.5, 1.5) * gap_s
        for_s, draw = rng.uniform(shortest, longest), rng.random()
        line = group or name
        begin = max(at, free.get(line, 0.0))
        if at >= duration_s:
            break
        if begin + for_s < duration_s:
            acts.append(Act(round(begin, 3), round(for_s, 3), name, draw))
            free[line] = begin + for_s + (REST_S.get(group, GROUP_REST_S) if group else OWN_REST_S)
    return sorted(acts, key=lambda act: act.at_s)

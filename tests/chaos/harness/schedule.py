"""Which fault when: the same seed, the same schedule. Each kind comes once before any comes again. Kinds that take the
same thing away never overlap, and leave it alone for a while: otherwise nothing would ever get done."""

import dataclasses
import json
import random

REST_S = {"broker": 10.0}  # a broker takes its time to come up


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


def plan(seed, duration_s, kinds, gap_s):
    """kinds: {name: (group or "", shortest, longest)}. Returns acts by time; all have ended when the duration has."""
    rng = random.Random(f"schedule {seed}")
    acts, at, free = [], 0.0, {}
    names = bags(rng, kinds) if kinds else iter(())
    for name in names:
        group, shortest, longest = kinds[name]
        at += rng.uniform(0.5, 1.5) * gap_s
        for_s, draw = rng.uniform(shortest, longest), rng.random()
        begin = max(at, free.get(group, 0.0)) if group else at
        if at >= duration_s:
            break
        if begin + for_s < duration_s:
            acts.append(Act(round(begin, 3), round(for_s, 3), name, draw))
            free[group] = begin + for_s + REST_S.get(group, 3.0)
    return sorted(acts, key=lambda act: act.at_s)

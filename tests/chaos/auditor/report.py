"""What is printed, and whether it is good."""

import collections

from chaos.auditor import judge
from chaos.auditor.world import result_of

SHOWN = 40  # findings of one kind
WORST = 5
FATAL = (judge.LOST, judge.DOUBLE_ANSWER, judge.DOUBLE_ORDER, judge.UNEXPLAINED)
INSIDE = (judge.PARKED, judge.COMPENSATED)  # none of these within the assumptions, unless excused


def counts(world, findings):
    """The numbers of the last line."""
    about = collections.defaultdict(set)
    for finding in findings:
        about[finding.kind].add(finding.about)
    answered = sum(1 for place in world.requests if world.answers[place] or
                   any(letter.kind == "dead" for letter in world.letters[place]))
    orders = sum(1 for order in world.orders.values() if not order.portal)
    return {"requests": len(world.by_id), "events": len(world.requests), "answered": answered,
            "parked": len(about[judge.PARKED]), "lost": len(about[judge.LOST]),
            "double-answers": len(about[judge.DOUBLE_ANSWER]), "orders": orders,
            "double-orders": len(about[judge.DOUBLE_ORDER]), "compensated": len(about[judge.COMPENSATED]),
            "unexplained": len(about[judge.UNEXPLAINED])}


def is_wrong(finding, beyond):
    return finding.kind in (FATAL if beyond else FATAL + INSIDE) and not finding.excused


def good(findings, beyond):
    return not any(is_wrong(finding, beyond) for finding in findings)


def show_findings(findings, beyond, say):
    """What is wrong comes last, and is found by its first word."""
    shown = collections.Counter()
    for wrong, finding in sorted(((is_wrong(finding, beyond), finding) for finding in findings), key=lambda each: each[0]):
        shown[wrong, finding.kind] += 1
        if shown[wrong, finding.kind] <= SHOWN:
            say(f"WRONG: {finding}" if wrong else str(finding))
    for (wrong, kind), count in shown.items():
        if count > SHOWN:
            say(f"{'WRONG: ' if wrong else ''}{kind}: and {count - SHOWN} more")


def show_table(title, counted, say):
    say(title)
    for name, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        say(f"  {count:>8}  {name}")


def tables(world):
    """Counted, by their titles."""
    return {"what was done to workers and servers": collections.Counter(deed.kind for deed in world.history.deeds),
            "what the CA did wrong": world.history.faults, "what was answered": results(world)}


def results(world):
    counted = collections.Counter()
    for place, request in world.requests.items():
        for answer in world.answers[place]:
            again = " again" if answer.first is not None else ""
            counted[f"{request.op if request else '?'}: {result_of(answer)}{again}"] += 1
        counted.update(letter.kind for letter in world.letters[place])
    return counted


def delays_of(world):
    """(seconds from publication to answer, request), the worst first."""
    return sorted((((world.answers[place][0].time_ms - request.time_ms) / 1000, request) for place, request in
                   world.requests.items() if request is not None and world.answers[place]), key=lambda d: -d[0])


def quantiles(delays):
    return {name: delays[int(len(delays) * part)][0] for name, part in
            (("half", 0.5), ("90 %", 0.1), ("99 %", 0.01), ("all", 0))} if delays else {}


def show_delays(delays, say):
    within = ", ".join(f"{name} within {delay:.1f} s" for name, delay in quantiles(delays).items())
    say(f"delays, publication to answer: {within}; the worst:")
    for delay, request in delays[:WORST]:
        say(f"  {delay:8.1f} s  {request.op} {request.id}, {request.place}")


def show(world, findings, beyond=False, say=print):
    for title, counted in tables(world).items():
        show_table(title, counted, say)
    show_delays(delays_of(world), say)
    show_findings(findings, beyond, say)
    say(" ".join(f"{name} {number}" for name, number in counts(world, findings).items()))


# --- the same for a page ---

def rows(head, lines):
    return [f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *lines)] + [""]


def markdown(world, findings):
    """The tables in Markdown."""
    numbers = counts(world, findings)
    within = quantiles(delays_of(world))
    text = rows(numbers, [numbers.values()])
    text += rows([f"answered within, {name}" for name in within], [[f"{delay:.1f} s" for delay in within.values()]])
    for title, counted in tables(world).items():
        text += rows((title, "times"), sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    return "\n".join(text)

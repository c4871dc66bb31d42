"""Reads the simulator's two journals, and the harness's list of deeds. A line that cannot be read is an error: an audit
that skips one is worse than none."""

import datetime
import json
import pathlib
import sys

from chaos.auditor.facts import Call, Change, Deed
from chaos.auditor.orders import ENDS, ORDERS, PORTAL

KEPT = ORDERS + ENDS + (PORTAL,)


class Unreadable(Exception):
    pass


def milliseconds(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def lines_of(path):
    with pathlib.Path(path).open() as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                raise Unreadable(f"{path}: the last line is torn; is somebody still writing?")
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise Unreadable(f"{path}:{number}: {error}") from error


def read_calls(path, history):
    """Every call that the CA decided, in its order, none left out. Kept are orders and what ends them."""
    for number, line in lines_of(path):
        if line["seq"] != number:
            raise Unreadable(f"{path}:{number}: number {line['seq']} follows {number - 1}")
        if line["fault"]:
            history.faults[f"{line['fault']} on {line['operation']}"] += 1
        if line["operation"] in KEPT:
            history.calls.append(call_of(number, line))


def call_of(number, line):
    same = {name: sys.intern(line[name]) for name in ("operation", "profile", "result", "fault")}
    own = {name: line[name] for name in ("cn", "email", "order_id", "code", "recorded")}
    return Call(time_ms=milliseconds(line["time"]), seq=number, spki=line["spki_sha256"], **same, **own)


def changes_of(path):
    return [Change(after=line["after"], profiles={profile["id"]: profile["state"] for profile in line["profiles"]})
            for _, line in lines_of(path)]


def deeds_of(path):
    return [Deed(time_ms=line["time_ms"], kind=line["kind"], what=line["what"]) for _, line in lines_of(path)]

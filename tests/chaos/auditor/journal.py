"""Reads the simulator's two journals, and the harness's list of deeds. A line that cannot be read is an error: an audit
that skips one is worse than none."""

import datetime
import json
import pathlib

from chaos.auditor.facts import Call, Change, Deed


class Unreadable(Exception):
    pass


def milliseconds(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def lines_of(path):
    text = pathlib.Path(path).read_text()
    if text and not text.endswith("\n"):
        raise Unreadable(f"{path}: the last line is torn; is somebody still writing?")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise Unreadable(f"{path}:{number}: {error}") from error


def calls_of(path):
    """Every call that the CA decided, in its order, none left out."""
    calls = []
    for number, line in lines_of(path):
        if line["seq"] != number:
            raise Unreadable(f"{path}:{number}: number {line['seq']} follows {number - 1}")
        calls.append(Call(time_ms=milliseconds(line["time"]), seq=number, spki=line["spki_sha256"],
                          **{name: line[name] for name in ("operation", "profile", "cn", "email", "order_id", "result",
                                                           "code", "fault", "recorded")}))
    return calls


def changes_of(path):
    return [Change(after=line["after"], settings=line["settings"],
                   profiles={profile["id"]: profile["state"] for profile in line["profiles"]})
            for _, line in lines_of(path)]


def deeds_of(path):
    return [Deed(time_ms=line["time_ms"], kind=line["kind"], what=line["what"]) for _, line in lines_of(path)]

"""The runbook has a word on whatever calls for an operator."""

import pathlib
import re

import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
RUNBOOK = (TOP / "deploy/RUNBOOK.md").read_text()


def alerts():
    rules = yaml.safe_load((TOP / "deploy/k8s/overlays/prometheus/rules.yaml").read_text())
    return [rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]]


def told(room, pattern):
    """What the code of a room says, by a pattern with one group."""
    return sorted({found for path in (TOP / "worker" / room).glob("*.[ch]") for found in re.findall(pattern, path.read_text())})


def parked_reasons():
    named = told("flow", r'ew_answer_parked\(job, [^;]*?"([a-z-]+)"[^;]*;') + told("flow", r'cannot_look\(job, "([a-z-]+)"\)')
    return named + told("flow", r'#define EW_CANCELLED_REASON "([a-z-]+)"') + ["duplicate-of-parked", "first-has-no-answer"]


def left_alone():
    return told("kafka", r'leave_alone\(kafka, adoption, "([a-z-]+)"') + [
        "map-newer", "map-broken", "base-before-log-start", "base-after-log-end", "topic-unknown", "topic-closed",
        "map-too-long"]


def test_there_is_something_to_look_for():
    assert len(alerts()) > 10 and len(set(parked_reasons())) > 12 and len(set(left_alone())) > 7


@pytest.mark.parametrize("name", sorted({*alerts(), *parked_reasons(), *left_alone()}))
def test_runbook_knows(name):
    assert f"`{name}`" in RUNBOOK


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", RUNBOOK))))
def test_runbook_names_what_there_is(name):
    """A problem, reason or message of the code, a command of it, or a file's name."""
    sources = (path.read_text() for path in (TOP / "worker").rglob("*.[ch]"))
    assert any(f'"{name}"' in text for text in sources) or name == "epki-worker"

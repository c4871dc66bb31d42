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


def said_in(room, call):
    """The texts with a hyphen in a call's statements: reasons and problems, in whichever branch."""
    statements = (s for path in (TOP / "worker" / room).glob("*.c")
                  for s in re.findall(rf"\b{call}\(.*?\);", path.read_text(), re.S))
    return {text for s in statements for text in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', s)}


def parked_reasons():
    calls = ("ew_answer_parked", "cannot_look", "ew_reconcile_unfindable")
    named = set().union(*(said_in("flow", call) for call in calls))
    return named | set(told("flow", r'#define EW_CANCELLED_REASON "([a-z-]+)"'))


def left_alone():
    """Those of a refused adoption, and of a log that was replaced, are chosen elsewhere than where they are said."""
    chosen = told("kafka", r'problem = part->cut \? "([a-z-]+)"') + told("kafka", r'part->cut \? "[a-z-]+" : "([a-z-]+)"')
    refused = told("kafka", r'\? "([a-z-]+)"\n\s+: ew_txn_may_last') + told("kafka", r'ew_txn_may_last\(code\)\s+\? "([a-z-]+)"')
    assert len(chosen) == 2 and len(refused) == 2
    return said_in("kafka", "leave_alone") | {*chosen, *refused}


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

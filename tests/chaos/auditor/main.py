"""The command: reads everything, judges, prints, and says by its exit code whether both promises were kept."""

import argparse
import pathlib
import sys

import kafka.errors

from chaos.auditor import journal, judge, report, settings, topics
from chaos.auditor.facts import History
from chaos.auditor.world import World


def read(options):
    """The history that the topics and journals tell."""
    reader = topics.Reader(options.bootstrap, options.patience)
    history = History(events=reader.events(), answers=reader.answers(), letters=reader.letters(),
                      notices=reader.notices(), settings=settings.read(options.settings),
                      hold_ms=settings.hold_ms(options.settings))
    journal.read_calls(options.epki / "journal.jsonl", history)
    history.changes = journal.changes_of(options.epki / "control.jsonl")
    if options.deeds is not None and options.deeds.exists():
        history.deeds = journal.deeds_of(options.deeds)
    return history


def parse(argv):
    parser = argparse.ArgumentParser(prog="tests/chaos/audit", description="Compares what was asked for, answered and "
                                     "ordered. Exit code 0: nothing is wrong; 1: something is; 2: not everything could "
                                     "be read.")
    parser.add_argument("--bootstrap", required=True, help="Kafka")
    parser.add_argument("--epki", required=True, type=pathlib.Path, help="directory of the simulator, with its journals")
    parser.add_argument("--settings", required=True, type=pathlib.Path, help="a settings file of the workers")
    parser.add_argument("--deeds", type=pathlib.Path, help="what the harness did, one JSON object a line")
    parser.add_argument("--patience", type=float, default=60, help="seconds until a topic's end must be readable "
                        "(%(default)s)")
    parser.add_argument("--beyond", action="store_true", help="faults beyond the assumptions were among them: what is "
                        "compensated and reported, or parked, is no failure")
    parser.add_argument("--table", type=pathlib.Path, help="a file for the tables in Markdown")
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    try:
        world = World(read(options))
    except (topics.Unfinished, journal.Unreadable, OSError, kafka.errors.KafkaError) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    findings = judge.judge(world)
    report.show(world, findings, options.beyond)
    if options.table is not None:
        options.table.write_text(report.markdown(world, findings))
    return 0 if report.good(findings, options.beyond) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the end-to-end tests, the demo and the benchmark share: a stack, workers, messages, topics, the journal."""

import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"

subprocess.run([TOP / "tests/support/protos"], check=True)
sys.path.insert(0, str(BUILD / "python"))

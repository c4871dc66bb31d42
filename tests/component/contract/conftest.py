"""Makes the contract's Python modules before any test imports them."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
subprocess.run([ROOT / "tests/support/protos"], check=True)
for folder in (ROOT / "build/python", pathlib.Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

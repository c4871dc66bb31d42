"""Waiting with a bound."""

import os
import time

# How many times longer than usual everything may take: for workers that a sanitizer slows down.
PATIENCE = float(os.environ.get("EPKI_PATIENCE", "1"))


def until(look, timeout, what, pause=0.05):
    """Calls look() until it is true, and returns what it returned."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout * PATIENCE:g} s")
        time.sleep(pause)

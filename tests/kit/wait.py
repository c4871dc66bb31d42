"""Waiting with a bound."""

import time


def until(look, timeout, what, pause=0.05):
    """Calls look() until it is true, and returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(pause)

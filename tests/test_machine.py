"""The end of a process: nothing that was promised is lost, and nothing is searched for that nobody needs."""

from __future__ import annotations

import subprocess
import sys

from waiting import LONGEST

PROGRAM = """
import atexit, sys, threading, time
from couloir.machine import leave

class Circle:
    def __init__(self): self.itself = self
    def __del__(self): print("searched for garbage")

def late():
    time.sleep(0.1)
    print("the thread has ended")

Circle()
atexit.register(print, "what was registered is called")
threading.Thread(target=late).start()
print("written", end="\\n", flush=False)
{end}
"""


def ended(end: str) -> tuple[int, list[str]]:
    """The exit code of a process that ends by some line, and the lines that it has printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)], capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_process_that_leaves_keeps_its_promises_and_searches_for_no_garbage() -> None:
    kept = ["written", "the thread has ended", "what was registered is called"]
    assert ended("leave(3)") == (3, kept)
    assert ended("sys.exit(3)") == (3, [*kept, "searched for garbage"]), "the search is what `leave` leaves out"

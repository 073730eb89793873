"""The lock of a run folder: one process has it, and its death, however it came, gives it back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.lock import NAME, RunLock, is_alive
from waiting import wait_until

HOLD = """
import os, sys, time
from pathlib import Path
from couloir.record.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:  # as a worker process, which may outlive the one that is killed
    time.sleep(3600)
    os._exit(0)
print("held", flush=True)
time.sleep(3600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of tmp_path, and has a child."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_living_run_is_refused_by_name_and_a_killed_ones_lock_is_stale(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    try:
        assert is_alive(tmp_path)
        with pytest.raises(CouloirError, match=f"still running: process {holder.pid} on .*since") as refusal:
            RunLock(tmp_path)
        assert f"kill {holder.pid}" in str(refusal.value)
        holder.kill()
        holder.wait()
        wait_until(lambda: not is_alive(tmp_path))  # though its child lives, and the file is there
        assert (tmp_path / NAME).exists()
        lock = RunLock(tmp_path)
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
        lock.release()
        assert not (tmp_path / NAME).exists()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def test_a_folder_without_a_lock_is_nobodys(tmp_path: Path) -> None:
    assert not is_alive(tmp_path)
    assert not (tmp_path / NAME).exists()

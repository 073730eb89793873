"""A disk that fills up and a folder that can no longer be written end a run in a sentence, and cost nothing.

The whole runs with COULOIR_ALL_FAULTS=1 (`make faults`), a full disk otherwise. Disks are made by `mount`, which takes
root on Linux.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from couloir.errors import causes
from couloir.record.checkpoint import is_sealed
from faults import places
from faults.runs import ALL, FIRST, WholeOf
from interruption import assert_same
from victims import Ended, Victims, alive

SIZE = 24 << 20
"""Bytes of the disk; a checkpoint takes one million of them."""
MOMENTS = {
    "in a step": (places.STEP, 10),
    "in the validation": (places.VALIDATION, 3),
    "in a checkpoint": (places.CHECKPOINT, 1000),
    "before best.ckpt is replaced": (places.before("best.ckpt"), 2),
    "before metrics.csv is replaced": (places.before("metrics.csv"), 2),
    "before curves.png is drawn": (places.CURVES, 1),
    "in a TensorBoard record": (places.EVENTS, 20),
    "in the test": (places.TEST, 2),
    "before result.json is replaced": (places.before("result.json"), 1),
}
ROOM = {"nothing": 0, "one block": 4096, "half a checkpoint": 500_000}
"""Bytes that are left on the disk."""


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[None]:
    """Mount something for the length of a block."""
    at.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    at = tmp_path / "disk"
    if os.name != "posix" or not Path("/proc/mounts").exists():
        pytest.skip("needs Linux's tmpfs")
    with mounted("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", at=at):
        yield at


@contextmanager
def full(disk: Path, room: int) -> Iterator[None]:
    """Leave so many bytes on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb") as stream:
        while True:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            with suppress(OSError):  # the run's other thread has written meanwhile
                os.posix_fallocate(stream.fileno(), 0, free - room)
                break
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the permission to write into a folder; file modes do not keep root from writing."""
    with mounted("--bind", str(folder), at=folder):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


def assert_told(ended: Ended, run: Path, sentence: str) -> None:
    """The run ended in one sentence, with exit code 1 and its checkpoints whole."""
    assert not ended.hung, ended.output
    assert ended.code == 1, ended.output
    errors = [line for line in ended.output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, ended.output
    assert sentence in errors[0], ended.output
    for noise in ("Traceback", "Logging error", "Exception ignored", "COULOIR_TRACEBACK"):
        assert noise not in ended.output, ended.output
    for name in ("last", "best", "previous"):
        file = run / f"checkpoints/{name}.ckpt"
        assert not file.exists() or is_sealed(file), name


def assert_goes_on(victims: Victims, disk: Path, run: Path, whole: Path) -> None:
    """With the disk mended, the run comes to the same end as one that was never disturbed."""
    ended = victims.run(["resume", str(run)], disk)
    assert ended.code == 0, ended.output
    assert_same(run, whole)
    assert json.loads((run / "status.json").read_text())["status"] == "completed"
    assert not [file for file in run.rglob(".*") if file.is_file()]


@pytest.mark.parametrize("room", list(ROOM) if ALL else ["nothing"])
@pytest.mark.parametrize("moment", list(MOMENTS) if ALL else ["in a checkpoint"])
def test_a_full_disk_ends_a_run_in_a_sentence(
    moment: str,
    room: str,
    disk: Path,
    victims: Victims,
    whole: WholeOf,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("fault", "a disk that fills up: exit 1, one sentence, checkpoints whole, status, `couloir resume`")
    victim = victims.start(["train", *whole(FIRST).words], disk, *MOMENTS[moment])
    assert victim.reached
    (run,) = (folder.resolve() for folder in (disk / "outputs/train").iterdir())
    with full(disk, ROOM[room]):
        ended = victim.finish()
        status = json.loads((run / "status.json").read_text())
    if ended.code == 0:  # what was still to be written found its place
        assert status["status"] == "completed"
        assert_same(run, whole(FIRST).run)
        return
    assert_told(ended, run, "the disk is full")
    assert status["status"] == "failed"
    assert "the disk is full" in status["error"]
    assert not alive([victim.group])
    assert_goes_on(victims, disk, run, whole(FIRST).run)


@pytest.mark.parametrize("folder", [".", "checkpoints", "tensorboard"])
@pytest.mark.parametrize("moment", list(MOMENTS))
@pytest.mark.skipif(not ALL, reason="only with COULOIR_ALL_FAULTS=1")
def test_a_folder_that_can_no_longer_be_written_ends_a_run_in_a_sentence(
    moment: str,
    folder: str,
    disk: Path,
    victims: Victims,
    whole: WholeOf,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("fault", "a folder that turns read-only: exit 1, one sentence, checkpoints whole, `couloir resume`")
    victim = victims.start(["train", *whole(FIRST).words], disk, *MOMENTS[moment])
    (run,) = (folder.resolve() for folder in (disk / "outputs/train").iterdir())
    with read_only(run / folder):
        ended = victim.finish()
    if ended.code == 0 and folder != ".":  # nothing was written there any more
        assert_same(run, whole(FIRST).run)
        return
    assert_told(ended, run, "cannot be written to")
    if folder != ".":
        assert json.loads((run / "status.json").read_text())["status"] == "failed"
    assert_goes_on(victims, disk, run, whole(FIRST).run)


@pytest.mark.skipif(not ALL, reason="only with COULOIR_ALL_FAULTS=1")
def test_a_disk_that_is_full_or_read_only_from_the_beginning_is_said_before_anything_is_trained(
    disk: Path, victims: Victims, whole: WholeOf
) -> None:
    for spoilt in (lambda: full(disk, 0), lambda: read_only(disk)):
        with ExitStack() as stack:
            stack.enter_context(spoilt())
            ended = victims.run(["train", *whole(FIRST).words], disk)
        assert ended.code in (1, 2), ended.output
        assert ended.output.count("error:") == 1
        assert "Traceback" not in ended.output
        assert "epoch" not in ended.output


def test_errors_that_name_each_other_as_their_cause_are_read_once() -> None:
    first, second = OSError("the disk"), RuntimeError("the writer")
    first.__cause__, second.__context__ = second, first
    assert list(causes(first)) == [first, second]

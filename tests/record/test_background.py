"""What is written in the background is written in order, before anybody says so, and its failures are heard of."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from couloir.record.background import Background
from couloir.record.folder import RunFolder
from waiting import LONGEST


def test_work_is_done_in_order_while_others_go_on() -> None:
    background, done, free = Background(), list[int](), threading.Event()
    background.do(lambda: done.append(int(free.wait(LONGEST))))
    for number in (2, 3):
        background.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == []
    free.set()
    background.wait()
    assert done == [1, 2, 3]
    background.close()
    background.do(lambda: done.append(4)).result()
    background.close()
    assert done == [1, 2, 3, 4]


def test_a_failure_is_raised_once_and_what_comes_after_it_is_done() -> None:
    background, done = Background(), list[int]()

    def fail() -> None:
        raise OSError("No space left on device")

    background.do(fail)
    background._pending[0].exception()
    with pytest.raises(OSError, match="No space"):
        background.do(lambda: done.append(1))
    background.wait()
    background.do(fail)
    with pytest.raises(OSError, match="No space"):
        background.wait()
    background.do(lambda: done.append(2))
    background.wait()
    assert done == [2]
    background.close()


def test_where_no_thread_can_be_started_the_work_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    background, done = Background(), list[int]()
    background.do(lambda: done.append(1))
    assert done == [1]
    background.wait()


def test_a_run_folders_own_writes_come_after_those_in_the_background(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", None)
    free = threading.Event()
    folder.background.do(lambda: (free.wait(LONGEST), folder.write_status("running", step=1))[1])
    threading.Timer(0.05, free.set).start()
    folder.write_status("completed", epoch=2)
    status = folder.status()
    assert (status["status"], status["step"], status["epoch"]) == ("completed", 1, 2)
    assert pickle.loads(pickle.dumps(RunFolder(folder.path))) == RunFolder(folder.path), "other processes get one"
    folder.release()

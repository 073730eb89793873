"""What all tests share: real data, where there is some, cheap runs, processes that start in a moment, a browser."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

gc.disable()  # until everything is collected

from browsing import browser, show  # noqa: E402
from couloir.artifacts.labelled_tiles import labelled_tiles, tile_grid  # noqa: E402
from finished_runs import FinishedRuns  # noqa: E402
from victims import Victims  # noqa: E402

__all__ = ["browser", "show"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `slow` runs with COULOIR_ALL_FAULTS=1 alone."""
    if os.environ.get("COULOIR_ALL_FAULTS") == "1":
        return
    skip = pytest.mark.skip(reason="slow: make faults runs it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """What the imports have made stays: looking through a million objects again and again takes 5% of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def light_runs() -> Iterator[None]:
    """Runs within the tests' own process draw no pictures and wait for no disk; those in others do.

    What is drawn, tests/run and tests/logger look at; what a disk has when the power fails, tests/faults.
    """

    def blank(_rows: list[dict[str, float]], file: Path, **_: Any) -> None:
        file.touch()

    def blank_tiles(tiles: Any, words: Any, columns: int, least: int, _heading: str, layer: str = "") -> Any:
        return b"", tile_grid(tiles, len(words[0]), columns, least, layer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("couloir.callbacks.epoch_record.draw_curves", blank)
        patch.setattr("couloir.artifacts.tested.labelled_tiles", blank_tiles)
        patch.setattr("couloir.artifacts.tested.draw_maps", lambda *of: of[-1].touch())
        patch.setattr("couloir.artifacts.board.PICTURES", {})
        patch.setattr("couloir.run.conclusion.draw_checkerboard", lambda *_: None)
        patch.setattr(os, "fsync", lambda _stream: None)
        yield


@pytest.fixture(scope="module")
def drawn_tiles(light_runs: None) -> Iterator[None]:
    """`mistakes.png` and `filters.png` as they are, for tests that look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("couloir.artifacts.tested.labelled_tiles", labelled_tiles)
        yield


@pytest.fixture(autouse=True)
def own_modules_forgotten() -> Iterator[None]:
    """What one test makes importable, a project that a verb runs in, is not found by the next."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    """No test leaves worker processes: in a later test the garbage collector waits ten seconds for each loader's."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before, "close the loader"


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    """Forks real processes of the command line, a moment each, that can be struck at a chosen place."""
    forking = Victims(tmp_path_factory.mktemp("output"))
    yield forking
    forking.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    """Tiny runs by name, each trained when it is first asked for, without their data."""
    return FinishedRuns(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def couloir_data() -> Path:
    """The folder with MNIST, CIFAR-10 and photographs; tests that need it are skipped where COULOIR_DATA is not set."""
    folder = os.environ.get("COULOIR_DATA")
    if not folder:
        pytest.skip("COULOIR_DATA is not set: it names the folder with mnist/, cifar10/ and hymenoptera/")
    return Path(folder)

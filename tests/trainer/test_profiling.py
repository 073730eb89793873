"""A profiler's report is in the run folder, says where a training step's time goes, and changes no number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import couloir
from couloir.cli.main import run
from couloir.config.world import World
from couloir.trainer.profiling import profiler
from interruption import rows, stopped

POINTS = [
    "data=moons",
    "data.subset=60",
    "data.batch_size=8",
    "model.hidden=[4]",
    "logger=none",
    "trainer.max_epochs=2",
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without a profiler."""
    outputs = tmp_path_factory.mktemp("plain")
    return couloir.train(couloir.compose([*POINTS, f"output_dir={outputs}"])).dir


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("simple", ["run_training_batch", "SingleDeviceStrategy.backward", "Callback]Checkpoint"]),
        ("advanced", ["run_training_batch", "classification.py", "cumtime"]),
        ("pytorch", ["run_training_batch", "aten::addmm", "training steps 4 to 6"]),
    ],
)
def test_a_profiler_says_where_a_training_step_spends_its_time_and_changes_no_number(
    kind: str, named: list[str], plain: Path, tmp_path: Path
) -> None:
    profiled = couloir.train(couloir.compose([*POINTS, f"trainer.profiler={kind}", f"output_dir={tmp_path}"])).dir
    report = (profiled / "fit-profile.txt").read_text()
    assert [name for name in named if name not in report] == []
    assert rows(profiled) == rows(plain)
    tested = profiled / "test-profile.txt"
    assert tested.exists() == (kind != "pytorch")
    assert not tested.exists() or "run_training_batch" not in tested.read_text()
    if kind == "pytorch":
        trace = json.loads((profiled / "fit-profile.trace.json").read_text())
        assert sum(event.get("name") == "run_training_batch" for event in trace["traceEvents"]) == 3
        assert [file.name for file in profiled.glob("*.trace.json")] == ["fit-profile.trace.json"]


def test_a_run_that_goes_on_keeps_the_report_of_its_first_part(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*POINTS, "trainer.profiler=pytorch", f"output_dir={tmp_path}"]
    folder = stopped(words, "train", 5, monkeypatch)
    assert (folder / "fit-profile.txt").read_text().count("training steps 4 to 5") == 1
    assert run(["resume", str(folder)]) == 0
    report = (folder / "fit-profile.txt").read_text()
    assert [report.count(steps) for steps in ("training steps 4 to 5", "training steps 4 to 6")] == [1, 1]
    assert {file.name for file in folder.glob("*.trace.json")} == {
        "fit-profile.trace.json",
        "fit-profile-part2.trace.json",
    }
    assert rows(folder) == rows(plain)


def test_a_run_of_few_steps_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    words = [*POINTS, "trainer=debug", "trainer.max_epochs=1", "trainer.profiler=pytorch", f"output_dir={tmp_path}"]
    debug = couloir.train(couloir.compose(words)).dir
    assert (debug / "fit-profile.txt").read_text() == (
        "The training ended after step 1; the recording begins with step 4.\n"
    )


def test_processes_write_files_of_their_own(tmp_path: Path) -> None:
    names = []
    for rank in range(4):
        world = World(rank=rank, size=4, local_rank=rank % 2, local_size=2, node=rank // 2)
        measuring: Any = profiler("simple", tmp_path, world)
        measuring.setup("fit", world.local_rank)
        with measuring.profile("a step"):
            names.append(rank)
        measuring.describe()
    assert {file.name for file in tmp_path.iterdir()} == {
        "fit-profile-0.txt",
        "fit-profile-1.txt",
        "fit-profile-node1-0.txt",
        "fit-profile-node1-1.txt",
    }

"""Which runs and sweeps there are below a folder."""

from __future__ import annotations

import os
from pathlib import Path

from couloir.record.find import DEEPEST, runs_and_sweeps_below
from recorded_runs import write_run


def test_the_newest_comes_first_and_neither_links_nor_the_insides_of_a_run_are_searched(tmp_path: Path) -> None:
    for age, name in enumerate(("train/b", "train/a", "sweep/s/3/1")):
        run = write_run(tmp_path / name)
        os.utime(run / "config.yaml", (1000 - age, 1000 - age))
    (tmp_path / "sweep" / "s" / "sweep.yaml").write_text("study: s\n")
    (tmp_path / "latest").symlink_to("train/b", target_is_directory=True)
    (tmp_path / "linked").symlink_to("train", target_is_directory=True)
    write_run(tmp_path / "train" / "a" / "checkpoints" / "copy")
    write_run(tmp_path / "train" / "a" / "inside")
    write_run(tmp_path / ".hidden" / "run")
    write_run(tmp_path.joinpath(*["deep"] * (DEEPEST + 1)))
    (tmp_path / "empty").mkdir()
    runs, sweeps = runs_and_sweeps_below(tmp_path)
    assert [str(run.relative_to(tmp_path)) for run in runs] == ["train/b", "train/a", "sweep/s/3/1"]
    assert sweeps == [tmp_path / "sweep" / "s"]
    assert runs_and_sweeps_below(runs[0]) == ([runs[0]], []), "the folder itself may be one"
    assert runs_and_sweeps_below(tmp_path / "nowhere") == ([], [])

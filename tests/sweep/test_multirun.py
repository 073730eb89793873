"""The door to a sweep: what its words mean before its first run begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.sweep.multirun import past_latest_run


def test_the_latest_run_is_that_of_before_the_sweep_in_each_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs/train/2026_a"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").touch()
    (run / "status.json").write_text("{}")
    (tmp_path / "outputs/latest").symlink_to("train/2026_a")
    words = ["model.weights=latest,imagenet", "+initializer.run=latest", "seed=1,2", "model=lenet5"]
    best = "model.weights=outputs/latest/checkpoints/best.ckpt"
    assert past_latest_run([*words, best]) == [
        f'model.weights="{run}","imagenet"', f'+initializer.run="{run}"', "seed=1,2", "model=lenet5",
        f'model.weights="{run}/checkpoints/best.ckpt"',
    ]  # fmt: skip
    (tmp_path / "outputs/latest").unlink()
    with pytest.raises(CouloirError, match=r"There is no run 'latest'|No run in outputs"):
        past_latest_run(words)

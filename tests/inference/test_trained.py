"""A finished run without its data: the same network, preparation and units as with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from couloir.config.finished import run_config
from couloir.data.decode import read_frame
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from finished_runs import FinishedRuns, own_module_run, told


def trained(run: Path) -> Trained:
    return Trained(run_config(run), run)


@pytest.mark.parametrize("name", ["digits", "points", "several values"])
def test_raw_samples_become_the_batches_and_the_answers_of_the_runs_own_test(finished: FinishedRuns, name: str) -> None:
    run = finished(name)
    alone, with_data = trained(run), Predictor(run_config(run), run)
    split = with_data.data.splits["test"]
    batch = next(with_data.batches())
    count = len(batch[with_data.task.input])
    raw = split.source.fetch(torch.from_numpy(split.indices[:count]))
    made = alone.prepare(raw, split.targets[:count])
    for field in alone.data.fields:
        assert torch.equal(made[field], batch[field]), field
    assert torch.equal(alone.prepare(raw)[alone.task.input], batch[alone.task.input])
    assert torch.equal(alone.answer(made), with_data.answer(batch))
    assert not any(module.training for module in alone.net.modules())


def test_photographs_answer_as_predictions_csv_says_once_their_folder_is_gone(finished: FinishedRuns) -> None:
    run = trained(finished("photographs"))
    rows = told(run.run)[:4]
    frames = [read_frame(finished.photographs() / row["file"], 20) for row in rows]
    middles = []
    for frame in frames:
        top, left = (frame.shape[0] - 16) // 2, (frame.shape[1] - 16) // 2
        middles.append(frame[top : top + 16, left : left + 16])
    p = run.answer(run.prepare(torch.stack(middles).movedim(-1, -3))).numpy()
    expected = np.array([[row["p(a)"], row["p(b)"]] for row in rows], dtype=np.float32)
    np.testing.assert_array_equal(p, expected)
    assert run.classes == ["a", "b"]
    assert (run.data.channels, run.data.image_size) == (3, 16)


def test_a_table_is_known_by_its_columns_and_values_have_the_datas_units(finished: FinishedRuns) -> None:
    run = trained(finished("values of a table"))
    assert [feature.name for feature in run.data.encoding.features] == ["size", "city", "built", "garden"]
    assert run.data.targets == ["price"]
    assert run.data.target_offset > 100_000
    rows = torch.full((2, run.data.encoding.width), float("nan"))
    assert (run.answer(run.prepare(rows)).squeeze() > 100_000).all(), "gaps are filled, and values scaled back"


def test_several_values_keep_their_names(finished: FinishedRuns) -> None:
    assert trained(finished("several values")).data.targets == ["weight", "waist", "pulse"]


def test_asking_a_run_draws_no_random_number(finished: FinishedRuns) -> None:
    run = finished("points")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained(run)
    assert torch.equal(torch.rand(1), expected)


def test_a_data_module_of_ones_own_needs_no_module_to_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = own_module_run(tmp_path, monkeypatch, "known_by_its_folder")
    (tmp_path / "known_by_its_folder.py").unlink()
    alone = trained(run)
    x = torch.linspace(-1, 1, 40).reshape(20, 2)
    expected = np.array([[row["p(low)"], row["p(high)"]] for row in told(run)], dtype=np.float32)
    np.testing.assert_array_equal(torch.cat([alone.answer(alone.prepare(part)) for part in x.split(10)]), expected)

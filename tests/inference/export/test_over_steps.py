"""A run over steps as a file: of any length where the network takes any, checked, and with what it needs to be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from couloir.config.finished import run_config
from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.stretches import Stretch, Stretches
from couloir.data.source import Loaded
from couloir.inference.export import over_steps
from couloir.inference.export.agreement import BATCHES
from couloir.inference.export.exporting import export_graph
from couloir.inference.export.graph import PreparedSteps
from finished_runs import FinishedRuns


@pytest.mark.slow
def test_an_onnx_file_takes_digits_row_by_row_and_fewer_rows_too(finished: FinishedRuns, tmp_path: Path) -> None:
    """It prepares its input itself; onnxruntime answers as the run does."""
    pytest.importorskip("onnxscript")
    import onnxruntime

    run = finished("steps")
    facts = export_graph(run_config(run), run, "onnx", tmp_path / "steps.onnx", with_preprocessing=True)
    assert facts["input"]["shape"] == ["batch", "steps", 8]
    assert facts["agreement"]["batch_sizes"] == [*BATCHES, BATCHES[-1]], "once more, with half the steps"
    session = onnxruntime.InferenceSession(str(tmp_path / "steps.onnx"))
    for steps in (8, 3):
        (found,) = session.run(None, {"series": np.zeros((2, steps, 8), np.float32)})
        assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_a_program_takes_digits_row_by_row_and_fewer_rows_too(finished: FinishedRuns, tmp_path: Path) -> None:
    run = finished("steps")
    facts = export_graph(run_config(run), run, "torch", tmp_path / "steps.pt2", with_preprocessing=True)
    assert facts["input"]["shape"] == ["batch", "steps", 8]
    program = torch.export.load(tmp_path / "steps.pt2").module()
    for steps in (8, 3):
        assert torch.allclose(program(torch.zeros(2, steps, 8)).sum(dim=1), torch.ones(2))


class OneLength(nn.Module):
    """A network that takes eight steps and no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x.reshape(x.shape[0], 64))
        return out


def test_a_network_for_one_length_is_written_for_that_one(
    finished: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("steps")
    net = OneLength().requires_grad_(False)
    monkeypatch.setattr(over_steps, "looped", lambda _: net)
    monkeypatch.setattr(over_steps, "_answers", lambda _, prepared, __: net(prepared))
    facts = export_graph(run_config(run), run, "torch", tmp_path / "steps.pt2", with_preprocessing=False)
    assert facts["input"]["shape"] == ["batch", 8, 8]


def unequal() -> Sequences:
    """Series of two to seven steps."""
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(steps, 2)).astype(np.float32) for steps in rng.integers(2, 8, 40)]
    labels = np.arange(40) % 2
    data = Sequences(
        lambda: Loaded(Stretches({"series": Stretch.of(series)}, labels), classes=["a", "b"]),
        task="sequence_classification", fields={"series": "series", "label": "label"}, num_classes=2, batch_size=8,
        channels=2, val_fraction=0.5, test_fraction=0.2, seed=0,
    )  # fmt: skip
    data.prepare_data()
    data.setup()
    return data


def test_batches_of_unequal_sequences_are_cut_to_their_shortest_and_not_padded() -> None:
    data = unequal()
    found = over_steps._batches(data)
    assert [len(each.raw) for each in found] == list(BATCHES)
    lengths = data.splits["val"].source.lengths[data.splits["val"].indices]
    assert [each.raw.shape[1] for each in found] == [
        int(part.min()) for part in np.split(lengths[np.arange(16) % len(lengths)], np.cumsum(BATCHES)[:-1])
    ]
    assert len({each.raw.shape[1] for each in found}) > 1


def test_steps_are_prepared_in_the_graph_as_the_data_prepares_them() -> None:
    data = unequal()
    raw = torch.randn(3, 4, 2)
    prepare = PreparedSteps(data.mean, data.std, video=False, raw=torch.float32)
    assert torch.equal(prepare(raw), data.as_batch(raw)["series"])
    frames = PreparedSteps([0.5], [0.25], video=True, raw=torch.uint8)
    made = frames(torch.full((1, 2, 1, 3, 3), 255, dtype=torch.uint8))
    assert made.shape == (1, 1, 2, 3, 3)
    assert torch.equal(made, torch.full_like(made, 2.0))

"""The features of a run are those of its last hidden layer, and the embedded classifier knows its digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from couloir.config.finished import run_config
from couloir.data.mnist import read_idx
from couloir.errors import CouloirError
from couloir.inference.trained import Trained
from couloir.metric.features import Classifier, classifier
from finished_runs import FinishedRuns


def test_the_features_of_a_run_are_what_its_last_layer_takes(finished: FinishedRuns) -> None:
    run = finished("digits")
    trained = Trained(run_config(run), run)
    raw = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    by = classifier(str(run))
    seen = by(raw)
    assert torch.equal(torch.get_rng_state(), before), "training draws from this generator"
    answer = trained.answer(trained.prepare(raw))
    assert torch.allclose(seen.probabilities, answer, atol=1e-6)
    last = [module for module in by.net.modules() if isinstance(module, nn.Linear)][-1]
    assert seen.features.shape == (5, last.in_features)
    assert torch.allclose(torch.softmax(last(seen.features), dim=1), answer, atol=1e-6)
    larger = by(nn.functional.interpolate(raw, (16, 16), mode="nearest"))
    assert torch.allclose(larger.probabilities, answer, atol=0.1), "images of another size are resized"
    assert classifier(str(run)) is by, "read once for all metrics"


def test_the_embedded_lenet_errs_in_at_most_one_percent_of_mnist(couloir_data: Path) -> None:
    digits = torch.tensor(read_idx(couloir_data / "mnist/t10k-images-idx3-ubyte.gz", 3))
    labels = torch.tensor(read_idx(couloir_data / "mnist/t10k-labels-idx1-ubyte.gz", 1))
    by = classifier(None)
    assert (by.num_features, by.num_classes) == (84, 10)
    assert sum(parameter.numel() for parameter in by.net.parameters()) == 61_706
    wrong = by(digits[:, None] / 255).probabilities.argmax(dim=1) != labels
    assert wrong[:1_000].sum() <= 10
    assert wrong.sum() <= 70, "66, if all machines rounded alike"


def test_a_network_without_layers_has_no_features() -> None:
    with pytest.raises(CouloirError, match="no last hidden layer"):
        Classifier(nn.Flatten(), (2, 3), [0.0], [1.0])

"""Features computed once: the same numbers as without, a whole network in the checkpoints, and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
from couloir.cli.main import run as couloir_main
from couloir.errors import CouloirError
from interruption import assert_same, stopped
from photographs import make_photographs

WORDS = [
    "finetune=head", "data.subset=120", "data.batch_size=16", "trainer.max_epochs=3", "trainer.threads=1",
    "optimizer.lr=0.01", "logger=csv",
]  # fmt: skip


def trained(words: list[str]) -> Path:
    return couloir.train(couloir.compose(words)).dir


def train(folder: Path, *words: str) -> Path:
    return trained([*WORDS, *words, f"output_dir={folder}"])


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").open()))


def network(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, Any] = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {key.removeprefix("net."): value for key, value in state.items() if key.startswith("net.")}


def log(run: Path) -> str:
    return (run / "train.log").read_text()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned from features which were computed once."""
    return train(tmp_path_factory.mktemp("kept"))


def test_the_numbers_are_those_without_the_cache(kept: Path, tmp_path: Path) -> None:
    plain = train(tmp_path, "finetune.cache_features=false")
    assert "features: what enters drop6 is computed once for 102 training and 18 validation samples" in log(kept)
    assert "is computed once" not in log(plain)
    for one, other in zip(rows(kept), rows(plain), strict=True):
        for name in ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "lr"):
            assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-4), name
    for name, value in network(plain).items():
        torch.testing.assert_close(network(kept)[name], value, rtol=1e-3, atol=1e-5)
    one, other = (json.loads((run / "result.json").read_text()) for run in (kept, plain))
    assert one["test/loss"] == pytest.approx(other["test/loss"], rel=1e-4)


def test_checkpoints_hold_the_whole_network_and_only_the_head_has_moved(kept: Path, tmp_path: Path) -> None:
    begin = network(train(tmp_path, "optimizer.lr=0.001", "trainer.max_steps=1"))
    end = network(kept)
    assert set(begin) == set(end)
    moved = {name for name in end if not torch.equal(begin[name], end[name])}
    assert moved == {"output_layer.weight", "output_layer.bias"}


def test_an_evaluation_of_the_run_on_samples_gives_its_own_numbers(kept: Path, tmp_path: Path) -> None:
    assert couloir_main(["evaluate", str(kept), f"output_dir={tmp_path}"]) == 0
    answer = json.loads(next((tmp_path / "evaluate").glob("*/result.json")).read_text())
    assert answer["test/loss"] == pytest.approx(json.loads((kept / "result.json").read_text())["test/loss"], rel=1e-6)


@pytest.mark.parametrize(("where", "number"), [("train", 9), pytest.param("val", 3, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_to_the_bit(
    where: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*WORDS[:-1], "averaging=ema", f"output_dir={tmp_path}"]
    whole = trained(words)
    run = stopped(words, where, number, monkeypatch)
    assert couloir_main(["resume", str(run)]) == 0
    assert_same(run, whole)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("augmentation=shift", "augmentation"),
        pytest.param("callbacks.signals.every_n_epochs=1", "signals", marks=pytest.mark.slow),
        pytest.param("optimizer=sdlm", "optimizer looks at samples", marks=pytest.mark.slow),
        ("finetune.feature_memory=0.00001", "more than the"),
    ],
)
def test_where_the_numbers_would_be_others_there_is_no_cache_and_asking_for_it_is_refused(
    words: str, reason: str, tmp_path: Path
) -> None:
    sentence = [word for word in WORDS if not word.startswith("optimizer.lr") or "optimizer=" not in words]
    sentence += [*words.split(), "trainer.max_epochs=1", f"output_dir={tmp_path}"]
    run = trained(sentence)
    assert "is computed once" not in log(run)
    with pytest.raises(CouloirError, match=reason) as refused:
        trained([*sentence, "finetune.cache_features=true"])
    assert refused.value.next_step
    if "feature_memory" in words:
        assert reason in log(run), "whoever has too little memory is told"


def test_with_augmentation_it_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune=head", "finetune.cache_features=true", "augmentation=flip_crop", f"output_dir={tmp_path}"]
    assert couloir_main(["train", *words]) == 2
    said = capsys.readouterr().err
    assert "augmentation=flip_crop changes" in said
    assert "augmentation=none, or finetune.cache_features=false" in said
    assert not (tmp_path / "train").exists()


def test_photographs_and_features_of_a_run_serve_the_next_and_a_spoilt_file_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COULOIR_CACHE", str(tmp_path / "cache"))
    words = [
        "finetune=head", "data=image_folder", f"data.root={make_photographs(tmp_path / 'photos')}", "model=squeezenet",
        "data.image_size=32", "data.batch_size=4", "trainer.max_epochs=1", "trainer.threads=1", "logger=csv",
        "data.cache=true", f"output_dir={tmp_path / 'out'}",
    ]  # fmt: skip
    runs = [trained(words)]
    sets = {file.parent for file in (tmp_path / "cache").rglob("frames") if len(file.parent.name) == 32}
    kept = [each for each in sets if (each / "index").read_bytes()[:1] == b"{"]
    assert len(kept) == 2, "of the training and of the validation samples"
    runs.append(trained(words))
    content = bytearray((kept[0] / "frames").read_bytes())
    content[0] ^= 255
    (kept[0] / "frames").write_bytes(content)
    runs.append(trained(words))
    assert [log(run).count("are those of an earlier run") for run in runs] == [0, 2, 1]
    for run in runs[1:]:
        assert network(run).keys() == network(runs[0]).keys()
        assert all(torch.equal(value, network(runs[0])[name]) for name, value in network(run).items())
    other = trained([*words, "seed=1"])
    assert "are those of an earlier run" not in log(other), "other weights"


@pytest.mark.slow
def test_stochastic_weight_averaging_leaves_the_fixed_statistics_alone(tmp_path: Path) -> None:
    words = ["averaging=swa", "model=convnet", "model.batch_norm=true", "trainer.max_epochs=4"]
    kept, plain = (train(tmp_path / on, f"finetune.cache_features={on}", *words) for on in ("true", "false"))
    assert "is computed once" in log(kept)
    for name, value in network(plain).items():
        if "running" in name:
            assert torch.equal(network(kept)[name], value), name
        torch.testing.assert_close(network(kept)[name], value, rtol=1e-3, atol=1e-5)

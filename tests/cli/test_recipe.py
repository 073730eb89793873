"""`couloir recipe`: what it takes and refuses, and the completion of paths of experiment files."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.cli.main import run
from couloir.cli.train import _of_a_list, _past_latest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "No run is named."),
        (["a", "b"], "couloir recipe takes one run, not 2."),
        (["nix"], "There is no run 'nix'."),
        (["nix", "optimizer.lr=1"], "couloir recipe takes a run as it was, not 'optimizer.lr=1'."),
        (["nix", "--output=x"], "There is no flag '--output=x'."),
    ],
)
def test_what_is_no_run_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recipe", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}\n")


def test_a_path_of_an_experiment_file_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/train").mkdir(parents=True)
    for name in ("recipe.yaml", "config.yaml", "result.json"):
        (tmp_path / "outputs/train" / name).touch()
    line = "train seed=1 experiment="
    assert _of_a_list(f"{line}outputs/t") == ["experiment=outputs/train/"]
    assert _of_a_list(f"{line}outputs/train/r") == ["experiment=outputs/train/recipe.yaml"]
    assert _of_a_list(f"{line}./o") == ["experiment=./outputs/"]
    assert _of_a_list(f"{line}toy") == []  # a choice: Hydra completes it


def test_a_file_is_shown_as_a_choice_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text("# @package _global_\n# Mine.\nseed: 5\n")
    assert run(["list", "experiment", "good.yaml"]) == 0
    assert capsys.readouterr().out.startswith("# good.yaml\n# @package _global_\n# Mine.\nseed: 5\n")
    assert run(["list", "experiment", "good.yaml", "--json"]) == 0
    assert '"description": "Mine."' in capsys.readouterr().out


def test_a_sweep_that_begins_with_the_latest_run_stays_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/train/a").mkdir(parents=True)
    (tmp_path / "outputs/train/a/config.yaml").touch()
    (tmp_path / "outputs/latest").symlink_to("train/a")
    words = ["experiment=outputs/latest/recipe.yaml,toy_mlp", "seed=1,2", "model.weights=outputs/latest/x"]
    assert _past_latest(words) == ["experiment=outputs/train/a/recipe.yaml,toy_mlp", *words[1:]]

"""A finished run as an experiment file: trained again, its result is the same to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import couloir
from couloir.compare.recipe import recipe_file
from couloir.compare.rerun import compare_runs
from couloir.errors import CouloirError

WORDS = [
    "experiment=toy_mlp", "model.hidden=[6]", "data.subset=60", "trainer.max_epochs=2", "optimizer=sgd", "seed=4",
    "metric=[f1]", "trainer=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        return couloir.train(couloir.compose(WORDS)).dir


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "run"))


@pytest.mark.parametrize("by_path", [True, False])
def test_a_recipe_trains_to_the_same_bits(
    by_path: bool, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    word = f"experiment={original}/recipe.yaml"
    if not by_path:
        (tmp_path / "conf/experiment").mkdir(parents=True)
        (tmp_path / "conf/experiment/good.yaml").write_text(recipe_file(original)[0])
        word = "experiment=good"
    again = couloir.train(couloir.compose([word])).dir
    compared = compare_runs(original, again)
    assert compared.differ == []
    assert compared.counts["checkpoints/best.ckpt"] > 2
    assert recipe_file(again)[0].partition("defaults:")[2] == recipe_file(original)[0].partition("defaults:")[2]


def test_its_header_says_what_the_run_has_measured(original: Path) -> None:
    text, notes = recipe_file(original)
    numbers = json.loads((original / "result.json").read_text())
    assert notes == []
    lines = text.splitlines()
    assert lines[:2] == ["# @package _global_", "# mlp on moons, as a run trained it."]
    assert f"{100 * numbers['test/accuracy']:.1f}% test accuracy" in text
    assert f"validation accuracy in epoch {numbers['best/epoch']} of 2, seed 4; {numbers['seconds']:.0f} s on" in text
    assert yaml.safe_load(text)["seed"] == 4


def test_a_run_without_its_recipe_is_made_of_its_words(run: Path) -> None:
    whole = recipe_file(run)
    (run / "recipe.yaml").unlink()
    assert recipe_file(run) == whole


def test_what_has_changed_since_is_written_down(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["optimizer"]["weight_decay"] = 0.125  # as if today's default were another one
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    text, notes = recipe_file(run)
    assert yaml.safe_load(text)["optimizer"]["weight_decay"] == 0.125
    assert notes == ["not as the words say today, and so written down: optimizer.weight_decay"]


def test_another_part_than_the_words_name_is_refused(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"]["_target_"] = "couloir.model.linear.linear"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CouloirError, match=r"No experiment file makes .*model\._target_ was couloir\.model\.linear"):
        recipe_file(run)


def test_a_run_whose_data_has_moved_has_a_recipe_that_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(f"{n},{n * 7 % 5},{n % 2}" for n in range(40)))
    run = couloir.train(couloir.compose(["data=csv", "data.path=t.csv", "data.target=y", "trainer.max_epochs=1"])).dir
    whole, notes = recipe_file(run)
    assert notes == []
    (tmp_path / "t.csv").unlink()
    assert recipe_file(run) == (whole, ["not compared with the run's configuration: There is no file t.csv."])


def test_an_unfinished_run_has_no_result_to_repeat(run: Path) -> None:
    (run / "status.json").write_text(json.dumps({"format": 1, "status": "interrupted"}))
    with pytest.raises(CouloirError, match="is not finished: it is interrupted"):
        recipe_file(run)


def test_a_torn_recipe_is_named(run: Path) -> None:
    (run / "recipe.yaml").write_text("defaults: [")
    with pytest.raises(CouloirError, match=r"recipe\.yaml is no experiment file"):
        recipe_file(run)


def test_a_run_that_went_on_with_other_values_says_so(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from couloir.cli.main import run as couloir_run

    monkeypatch.chdir(run.parent)
    assert couloir_run(["resume", str(run), "trainer.max_epochs=3", "callbacks.signals.every_n_epochs=1"]) == 0
    text, notes = recipe_file(run)
    assert yaml.safe_load(text)["trainer"]["max_epochs"] == 3
    assert "# Resumed: on the way, with trainer.max_epochs=3 callbacks.signals.every_n_epochs=1." in text
    assert notes == ["the run went on with other values on the way; the recipe has them from its first epoch on"]
    capsys.readouterr()
    assert couloir_run(["recipe", str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.out == text
    assert printed.err == f"note: {notes[0]}\n"


def test_a_configuration_of_python_has_no_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = couloir.compose([*WORDS, "trainer.max_epochs=1"]).cfg
    cfg.model.hidden = [4]
    run = couloir.train(cfg).dir
    assert not (run / "recipe.yaml").exists()
    with pytest.raises(CouloirError, match="No experiment file makes"):
        recipe_file(run)

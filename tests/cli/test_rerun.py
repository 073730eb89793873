"""`couloir rerun`: identical where it is, a sentence where it is not, and what it refuses or warns of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import couloir
from couloir.cli.main import run as command
from couloir.compare.rerun import compare_runs
from couloir.errors import Diverged
from couloir.record.find import find_run

WORDS = ["data=moons", "data.subset=120", "model.dropout=0.2", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    return couloir.train(couloir.compose([*WORDS, "trainer=cpu", "deterministic=true", f"output_dir={outputs}"])).dir


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def again(run: Path, tmp_path: Path, *words: str) -> tuple[int, Path]:
    """The exit code of a rerun, and its folder."""
    code = command(["rerun", str(run), f"output_dir={tmp_path}", *words])
    folders = sorted((tmp_path / "rerun").glob("*"), key=lambda path: path.stat().st_mtime_ns)
    return code, folders[-1] if folders else tmp_path


def verdict(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "rerun.json").read_text())
    return content


def edit(file: Path, **facts: Any) -> None:
    content = json.loads(file.read_text())
    for name, value in facts.items():
        node = content
        *path, last = name.split("__")
        for part in path:
            node = node[part]
        node[last] = value
    file.write_text(json.dumps(content))


def test_an_unchanged_run_is_identical_and_its_repetition_is_a_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = again(run, tmp_path)
    said = capsys.readouterr().out
    assert code == 0
    assert "identical: " in said
    assert "warning" not in said
    assert verdict(folder)["compared"]["checkpoints/best.ckpt"] > 0
    assert find_run(folder.name, tmp_path) == find_run("latest", tmp_path) == folder
    assert "identical: " in (folder / "train.log").read_text()
    assert command(["evaluate", folder.name, f"output_dir={tmp_path}"]) == 0
    assert json.loads((folder / "provenance.json").read_text())["command"][:2] == ["couloir", "rerun"]
    typed = [yaml.safe_load((path / "overrides.yaml").read_text()) for path in (run, folder)]
    assert typed[1] == [*typed[0], f"output_dir={tmp_path}"]
    assert typed[0][: len(WORDS)] == WORDS


def test_a_number_that_differs_is_said_with_both_values(run: Path, tmp_path: Path, capsys: Any) -> None:
    edit(run / "result.json", **{"test/accuracy": 2.5})
    code, folder = again(run, tmp_path)
    assert code == 1
    assert verdict(folder)["verdict"] == "differs"
    now = json.loads((folder / "result.json").read_text())["test/accuracy"]
    assert f"differs, first in test/accuracy: 2.5 and {now} (result.json)" in capsys.readouterr().out


def test_other_data_is_refused_before_training(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run / "provenance.json", data__fingerprint="sha256:" + "0" * 64)
    code, folder = again(run, tmp_path)
    assert code == 2
    assert "has changed: fingerprint: sha256:000000000000, now sha256:" in capsys.readouterr().err
    assert json.loads((folder / "status.json").read_text())["status"] == "failed"
    assert not (folder / "metrics.csv").exists()
    assert verdict(folder)["verdict"] == "refused"


def test_other_packages_and_code_are_warned_about_by_name_and_refused_when_strict(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run / "provenance.json", packages__torch="1.0", packages__pytest="1.0", hardware__threads=64)
    edit(run / "provenance.json", git={"commit": "abc", "dirty": False, "changed": [], "diff": None})
    code, folder = again(run, tmp_path)
    said = capsys.readouterr().out
    assert code == 0
    for part in (
        "torch 1.0, now ",
        "code, commit: abc, now ",
        "threads 64, now ",
        "trainer.threads=64",
        "differences that change no number: 1",
    ):
        assert part in said
    assert "pytest 1.0" not in said
    assert {entry["name"] for entry in verdict(folder)["environment"]} >= {"torch", "pytest", "commit", "threads"}
    assert again(run, tmp_path, "--strict") == (2, folder), "refused before there is a folder"
    assert "torch 1.0, now " in capsys.readouterr().err


def test_a_divergence_comes_again_at_the_same_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=line", "optimizer=sgd", "optimizer.lr=1e6", "trainer=cpu", f"output_dir={tmp_path}"]
    with pytest.raises(Diverged):
        couloir.train(couloir.compose(words))
    run = find_run("latest", tmp_path)
    code, folder = again(run, tmp_path)
    assert code == 3
    assert "identical: " in capsys.readouterr().out
    assert verdict(folder)["verdict"] == "identical"
    edit(run / "status.json", error="Diverged: The loss became nan at step 99.")
    end = compare_runs(run, folder).first()
    assert end is not None
    assert (end.name, end.then) == ("end", "Diverged: The loss became nan at step 99.")


def test_a_run_without_numbers_is_not_called_identical(run: Path, tmp_path: Path, capsys: Any) -> None:
    for name in ("metrics.csv", "result.json", "provenance.json"):
        (run / name).unlink()
    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(run / name)
    edit(run / "status.json", status="failed")
    assert again(run, tmp_path)[0] == 1
    said = capsys.readouterr().out
    assert "nothing to compare" in said
    assert "has no provenance.json" in said


def test_keys_that_came_after_the_run_take_their_defaults_and_are_named(run: Path, tmp_path: Path, capsys: Any) -> None:
    cfg = yaml.safe_load((run / "config.yaml").read_text())
    del cfg["tta"], cfg["averaging"], cfg["trainer"]["short_steps"], cfg["callbacks"]["signals"]["samples"]
    (run / "config.yaml").write_text(yaml.safe_dump(cfg, sort_keys=False))
    assert again(run, tmp_path)[0] == 0
    said = capsys.readouterr().out
    for part in ("tta=None", "averaging=None", "trainer.short_steps=True", "callbacks.signals.samples=256"):
        assert part in said


def test_a_scaled_rate_is_not_scaled_again_and_a_schedule_by_steps_keeps_its_length(tmp_path: Path) -> None:
    words = ["data=moons", "data.subset=60", "optimizer.scale_lr=linear", "optimizer.base_batch_size=8", "trainer=cpu"]
    words += ["scheduler=one_cycle", "trainer.max_epochs=1", "logger=csv", f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose(words)).dir
    code, folder = again(run, tmp_path)
    assert code == 0
    assert (folder / "config.yaml").read_text() == (run / "config.yaml").read_text()


def test_classes_that_are_not_numbered_from_zero_are_read_again(tmp_path: Path) -> None:
    rows = "\n".join(f"{x % 5},{x % 7},{3 + 2 * (x % 2)}" for x in range(40))
    (tmp_path / "table.csv").write_text("a,b,kind\n" + rows)
    words = ["data=csv", f"data.path={tmp_path / 'table.csv'}", "data.target=kind", "trainer=cpu", "logger=csv"]
    run = couloir.train(couloir.compose([*words, "trainer.max_epochs=1", f"output_dir={tmp_path}"])).dir
    (tmp_path / "table.csv").rename(tmp_path / "moved.csv")
    assert again(run, tmp_path)[0] == 2, "the table is not where it was"
    assert again(run, tmp_path, f"data.path={tmp_path / 'moved.csv'}")[0] == 0
    (tmp_path / "moved.csv").write_text("a,b,kind\n" + rows.replace(",5\n", ",9\n"))
    assert again(run, tmp_path, f"data.path={tmp_path / 'moved.csv'}")[0] == 2


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([], "No run is named."),
        (["latest", "latest"], "couloir rerun takes one run, not 2."),
        (["nothing"], "There is no run 'nothing'."),
        (["{run}", "--stric"], "did you mean --strict?"),
        (["{run}", "seed=3"], "'seed' would change the run that is repeated."),
        (["{run}", "model=mlp"], "'model' would change the run that is repeated."),
        (["{run}", "data.worker=2"], "did you mean data.workers=2?"),
        (["{run}", "data.workers=-1"], "data.workers takes an integer >= 0"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], fact: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["rerun", *(word.format(run=run) for word in words)]) == 2
    assert fact in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json", "metrics.csv", "result.json", "status.json"])
def test_a_torn_record_is_named_before_training(name: str, run: Path, tmp_path: Path, capsys: Any) -> None:
    content = (run / name).read_text()
    (run / name).write_text("seed: [1" if name == "config.yaml" else content[: len(content) // 2 - 3])
    assert again(run, tmp_path) == (2, tmp_path)
    assert name in capsys.readouterr().err

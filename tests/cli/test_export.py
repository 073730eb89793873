"""`couloir export`: what is typed, what is printed, what is refused, and the script that docs/using.md shows."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import couloir
from couloir.cli.main import run as command
from couloir.record.predictions import read_predictions
from photographs import smooth

SCRIPT = re.search(
    r"```python\n(# classify\.py\n.*?)```", (Path(__file__).parents[2] / "docs/using.md").read_text(), re.S
)
WITHOUT = """
import runpy, sys
for name in ("torch", "couloir"):
    sys.modules[name] = None  # importing it is an ImportError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs without loss, dark ones and bright ones, so that decoders agree and a network tells them apart."""
    root = tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 12), ("val", 8), ("test", 6)):
        for number in range(count):
            folder = root / split / ("bright", "dark")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            sides = (75, 50) if number % 3 else (50, 61)
            photo = smooth(*sides, seed=1000 * len(split) + number)
            photo.point(lambda value, at=number % 2: value // 2 + 60 * (1 - at)).save(folder / f"{number:03}.png")
    return root


@pytest.fixture(scope="module")
def run(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [
        "data=image_folder", f"data.root={photographs}", "data.image_size=[24,28]", "data.resize=[30,32]",
        "data.batch_size=4", "data.workers=0", "model=convnet", "model.channels=3",
        "trainer.max_epochs=2", "optimizer.lr=0.0002",
        "logger=csv", "trainer=cpu", f"output_dir={tmp_path_factory.mktemp('outputs')}",
    ]  # fmt: skip
    return couloir.train(couloir.compose(words)).dir


def export(*words: Any) -> int:
    return command(["export", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert export(*words) == 2
    return capsys.readouterr().err


def test_the_script_of_the_documentation_answers_as_the_run_does_without_torch_and_couloir(
    run: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "net.onnx"
    assert export(run, "--to", "onnx", "--with-preprocessing", "--output", file) == 0
    assert "checked: 8 validation samples, in batches of 1, 3, 5, 7; largest difference" in capsys.readouterr().out
    assert SCRIPT is not None
    (tmp_path / "classify.py").write_text(SCRIPT[1])
    told = list(read_predictions(run))
    probabilities = [max(float(row["p(bright)"]), float(row["p(dark)"])) for row in told]
    assert max(probabilities) - min(probabilities) > 0.01, "answers that are all the same show nothing"
    for row, p in list(zip(told, probabilities, strict=True))[::4]:
        photo = photographs / row["file"]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, "classify.py", file.name, str(photo)],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        name, said = done.stdout.split()
        assert name == row["prediction"]
        assert float(said) == pytest.approx(p, abs=2e-4)


def test_the_answer_for_programs_has_the_file_and_the_facts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run / "checkpoints" / "last.ckpt", "--to=torch", f"--output={tmp_path}/", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert Path(answer["file"]) == tmp_path / "convnet.pt2"
    assert (answer["checkpoint"], answer["classes"]) == ("last.ckpt", ["bright", "dark"])
    assert answer["resize"]["covers"] == [30, 32]
    assert answer["resize"]["middle"] == answer["image_size"] == [24, 28]
    assert answer["input"]["shape"] == ["batch", 3, 24, 28]


def test_an_export_goes_into_the_run_and_overwrites_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(run.name, "--to", "safetensors", f"output_dir={run.parents[1]}") == 0
    out = capsys.readouterr().out
    file = run / "export" / "convnet.safetensors"
    assert file.is_file()
    assert "the same to the bit" in out
    before = file.stat().st_mtime_ns
    assert "convnet.safetensors exists already" in refused(capsys, run, "--to", "safetensors")
    assert file.stat().st_mtime_ns == before
    assert export(run, "--to", "safetensors", "--force") == 0
    assert file.stat().st_mtime_ns > before


def test_weights_are_taken_back_by_another_sentence(run: Path, photographs: Path, tmp_path: Path) -> None:
    file = tmp_path / "convnet.safetensors"
    assert export(run, "--to", "safetensors", "--output", file) == 0
    words = [
        "data=image_folder", f"data.root={photographs}", "data.image_size=[24,28]", "data.resize=[30,32]",
        "data.batch_size=4", "data.workers=0", "model=convnet", "model.channels=3", f"model.weights={file}",
        "trainer.max_epochs=1", "optimizer.lr=1e-12", "logger=csv", "trainer=cpu", f"output_dir={tmp_path}",
    ]  # fmt: skip
    again = couloir.train(couloir.compose(words))
    then = json.loads((run / "result.json").read_text())
    assert again.metrics["test/loss"] == pytest.approx(then["test/loss"], abs=1e-4)


def test_the_data_may_be_elsewhere_now(
    run: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = photographs.with_name("moved")
    photographs.rename(moved)
    try:
        message = refused(capsys, run, "--to", "torch", "--output", tmp_path / "net.pt2")
        assert "checked on samples of the run's validation split" in message
        assert "data.root=... says where they are now" in message
        assert export(run, "--to", "torch", "--output", tmp_path / "net.pt2", f"data.root={moved}") == 0
    finally:
        moved.rename(photographs)


def test_a_program_looks_at_the_image_as_it_is_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    viewed = shutil.copytree(run, tmp_path / "viewed", ignore=shutil.ignore_patterns("export"))
    cfg = (viewed / "config.yaml").read_text()
    assert "\ntta: null\n" in cfg
    (viewed / "config.yaml").write_text(cfg.replace("\ntta: null\n", "\ntta: {_target_: couloir.tta.views.Mirror}\n"))
    assert export(viewed, "--to", "torch", "--with-preprocessing") == 0
    assert "the run looks at several of each image, the program at the image as it is" in capsys.readouterr().out


def test_what_is_typed_wrongly_is_answered_with_what_to_type(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "No format is named" in refused(capsys, run)
    assert "did you mean --to onnx?" in refused(capsys, run, "--to", "onyx")
    assert "next:  --to torch" in refused(capsys, run, "--to", "pt2")
    assert "did you mean --with-preprocessing?" in refused(capsys, run, "--to", "onnx", "--preprocessing")
    assert "--to needs a FORMAT" in refused(capsys, run, "--to")
    assert "No run is named" in refused(capsys, "--to", "onnx")
    assert "There is no run 'nowhere'" in refused(capsys, "nowhere", "--to", "onnx")
    assert "One run is exported at a time, not 2" in refused(capsys, run, run, "--to", "onnx")
    assert "no checkpoint epoch_0001.ckpt" in refused(capsys, run / "checkpoints/epoch_0001.ckpt", "--to", "onnx")
    assert "ends in .pt2, not .onnx" in refused(capsys, run, "--to", "torch", "--output", "net.onnx")
    assert "leave --with-preprocessing out" in refused(capsys, run, "--to", "safetensors", "--with-preprocessing")
    assert "'model.dropout' cannot change after" in refused(capsys, run, "--to", "onnx", "model.dropout=0")
    assert "'data.mean' cannot change after" in refused(capsys, run, "--to", "onnx", "data.mean=[0,0,0]")
    (tmp_path / "file").touch()
    assert "cannot be made" in refused(capsys, run, "--to", "onnx", "--output", "file/net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_run_without_a_checkpoint_has_nothing_to_export(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_text((run / "config.yaml").read_text())
    for to in ("safetensors", "torch", "onnx", "card"):
        said = refused(capsys, tmp_path / "bare", "--to", to)
        assert "The run bare has no checkpoint" in said
        assert "next:  one is written after the first epoch" in said


def test_onnx_without_its_packages_says_what_to_install(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("couloir.cli.export.find_spec", lambda name: None if "onnx" in name else found(name))
    message = refused(capsys, run, "--to", "onnx", "--output", tmp_path / "net.onnx")
    assert "--to onnx needs the packages onnx, onnxscript, onnxruntime" in message
    assert "pip install 'couloir[export]'" in message

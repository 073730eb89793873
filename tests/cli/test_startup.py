"""Start-up stays cheap: nothing heavy is imported before a sentence has been composed and checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import LONGEST

HEAVY = {
    "torch",
    "pytorch_lightning",
    "lightning_fabric",
    "torchmetrics",
    "sklearn",
    "scipy",
    "matplotlib",
    "tensorboard",
    "pandas",
}

PROGRAM = """
import contextlib, io, json, sys
from couloir.cli.main import run
with contextlib.redirect_stdout(io.StringIO()) as out:
    try:
        code = run(sys.argv[1:])
    except SystemExit as leaving:  # Hydra answers some of its own flags so
        code = leaving.code or 0
modules = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"code": code, "modules": modules, "out": out.getvalue()}))
"""


def modules_of(words: list[str], directory: Path) -> tuple[int, set[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    result = json.loads(done.stdout)
    return result["code"], set(result["modules"]), result["out"]


def test_help_loads_nothing_beyond_the_standard_library(tmp_path: Path) -> None:
    code, modules, text = modules_of(["train", "--help"], tmp_path)
    assert code == 0
    third_party = (
        modules - set(sys.stdlib_module_names) - {"__main__", "couloir", "_virtualenv", "distutils-precedence"}
    )
    third_party = {name for name in third_party if not name.startswith(("_", "a1_coverage", "sitecustomize"))}
    assert third_party <= {"google", "mpl_toolkits"}, "only namespace packages that an installer's .pth files announce"
    assert "resnet50" in text, "the help lists the choices"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--cfg", "job"],
        ["train", "--cfg", "job", "--resolve"],
        ["train", "--hydra-help"],
        ["list"],
        ["list", "model"],
        ["--help"],
        ["summary", "--help"],
        ["data", "--help"],
        ["init", "--help"],
        ["recipe", "--help"],
        ["find-lr", "--help"],
        ["find-batch-size", "--help"],
        ["board", "--help"],
        ["diagnose", "--help"],
        ["diagnose", str(Path(__file__).parents[1] / "diagnosis" / "runs" / "overfitting_cifar10")],
        ["report", "--help"],
        ["export", "--help"],
    ],
    ids=lambda words: " ".join(words[:2] if words[-1].startswith("-") else [Path(word).name for word in words]),
)
def test_answers_about_the_configuration_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code, modules, text = modules_of(words, tmp_path)
    assert code == 0
    assert not modules & HEAVY
    assert text.strip()


def test_tab_completion_answers_without_torch(tmp_path: Path) -> None:
    program = "import sys; from couloir.cli.main import run; run(sys.argv[1:]); print('torch' in sys.modules)"

    def complete(line: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, "train", "-sc", "query=bash"],
            cwd=tmp_path,
            env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith("False"), "torch was imported for a TAB"
        return done.stdout

    assert "model=resnet50" in complete("train model=resnet5")
    assert "optimizer.lr=" in complete("train optimizer.l")
    listed = complete("train model=mlp metric=[f1,au").split()
    assert listed[:-1] == ["metric=[f1,auroc"]
    assert complete("train --js").split()[0] == "--json"
    assert "model=resnet50" in complete("train -m --json model=resnet5")
    assert "metric=[f1,f1" not in complete("train metric=[f1,")

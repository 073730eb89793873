"""Start-up stays cheap: nothing heavy is imported before a sentence has been composed and checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from couloir.cli.main import VERBS
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


RUNS = Path(__file__).parents[1] / "diagnosis" / "runs"
ANSWERS = (
    ["--help"],
    *([verb, "--help"] for verb in VERBS),
    ["list"],
    ["list", "model"],
    ["train", "--cfg", "job"],
    ["train", "--cfg", "job", "--resolve"],
    ["diagnose", str(RUNS / "overfitting_cifar10")],
    ["diff", str(RUNS / "overfitting_cifar10"), str(RUNS / "dead_lenet5")],
    ["report", str(RUNS / "overfitting_cifar10"), "--out", "page.html"],
    ["report", str(RUNS / "overfitting_cifar10"), str(RUNS / "dead_lenet5"), "--out", "pages.html"],
    ["init", "project"],
    ["train", "--hydra-help"],
)
"""What is answered without a run, cheap things first: a module is loaded by the first that needs it."""
ONE_BY_ONE = """
import contextlib, io, json, sys
from couloir.cli.main import run
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = run(words)
        except SystemExit as leaving:  # Hydra answers some of its own flags so
            code = leaving.code or 0
    modules = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps({"code": code, "modules": modules, "out": out.getvalue()}))
"""


def test_answers_about_the_configuration_load_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(ANSWERS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(ANSWERS)
    wrong = [
        " ".join(words)
        for words, result in zip(ANSWERS, results, strict=True)
        if result["code"] != 0 or set(result["modules"]) & HEAVY or not result["out"].strip()
    ]
    assert wrong == []


COMPLETE = """
import contextlib, io, json, os, sys
from couloir.cli.main import run
for line in json.loads(sys.argv[1]):
    os.environ |= {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        run(["train", "-sc", "query=bash"])
    print(json.dumps([out.getvalue().split(), "torch" in sys.modules]))
"""


def test_tab_completion_answers_without_torch(tmp_path: Path) -> None:
    lines = {
        "model": "train model=resnet5",
        "key": "train optimizer.l",
        "list": "train model=mlp metric=[f1,au",
        "flag": "train --js",
        "multirun": "train -m --json model=resnet5",
        "listed": "train metric=[f1,",
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE, json.dumps([*lines.values()])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert not any(torch for _, torch in answers), "torch was imported for a TAB"
    found = dict(zip(lines, (words for words, _ in answers), strict=True))
    assert "model=resnet50" in found["model"]
    assert "optimizer.lr=" in found["key"]
    assert found["list"] == ["metric=[f1,auroc"]
    assert found["flag"] == ["--json"]
    assert "model=resnet50" in found["multirun"]
    assert "metric=[f1,f1" not in found["listed"]
    assert "metric=[f1,auroc" in found["listed"]

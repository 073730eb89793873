"""Systems that are no Linux with UTF-8: what they lack has its counterpart. Run here with what they lack taken away."""

from __future__ import annotations

import ast
import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch.utils._python_dispatch import TorchDispatchMode

import couloir
from couloir import machine
from couloir.cli.main import run
from couloir.config.compose import compose_sentence
from couloir.errors import CouloirError, as_typed, in_quotes
from couloir.metric.classification import ClassificationMetrics
from couloir.metric.gathered import Gathered
from couloir.metric.precision import widest
from couloir.metric.regression import RegressionMetrics
from couloir.record import files, lock
from couloir.record.find import find_run, past_latest
from couloir.record.folder import RunFolder
from photographs import make_photographs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LIKE_WINDOWS = ROOT / "tests" / "like_windows"
POORER = {
    name: ast.literal_eval(node.value)
    for node in ast.parse((LIKE_WINDOWS / "sitecustomize.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.Assign) and (name := ast.unparse(node.targets[0])) in ("UNIX", "LACKS")
}
COLUMNS = ("epoch", "step", "train/loss", "val/loss", "train/accuracy", "val/accuracy", "lr")
SENTENCE = ["data=csv", r"data.path='C:\my data\t.csv'", "data.target=y", "model=mlp", "model.hidden=[4]", "logger=csv"]
OUTPUTS = r"output_dir='C:\my runs'"
POOREST = """
import sys
from pathlib import Path

def main():
    import couloir
    from couloir.cli.main import run
    from couloir.config.build import build
    sentence, outputs = sys.argv[2:], sys.argv[1]
    for words in (
        ["train", *sentence, outputs, "trainer.max_epochs=1"],
        ["resume", "latest", "trainer.max_epochs=2", outputs],
        ["report", "latest", outputs],
        ["diagnose", "latest", outputs],
        ["diff", "latest", "latest", outputs],
        ["train", "-m", *sentence, outputs, "optimizer.lr=0.01", "trainer.max_epochs=1"],
        ["report", "latest", outputs],
        ["train", "--help"],
    ):
        assert_that(run(words) == 0, words)
    photographs = ["data=image_folder", "data.root=photos", "data.image_size=16", "data.batch_size=4"]
    data = build(couloir.compose([*photographs, "data.workers=1", "data.memory_budget=0"]).cfg, "data")
    data.setup()
    assert_that(len([batch for batch in data.train_dataloader()]) == 2, "photographs")
    data.teardown("fit")

def assert_that(fact, what):  # `assert` does nothing here
    if not fact:
        sys.exit(f"failed: {what}")

if __name__ == "__main__":
    main()
"""


def around(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while (parent := parents.get(node)) is not None:
        yield parent
        node = parent


def catches(node: ast.AST, error: str) -> bool:
    return isinstance(node, ast.Try) and any(
        error in ast.unparse(handler.type) for handler in node.handlers if handler.type
    )


def lacking(file: Path) -> Iterator[str]:
    """What a file uses of Unix without asking whether it is there."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        outside = list(around(node, parents))
        names: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            if any(name.partition(".")[0] in POORER["UNIX"] for name in names):
                inside = any(isinstance(parent, ast.FunctionDef) for parent in outside)
                if not inside or not any(catches(parent, "ImportError") for parent in outside):
                    yield f"{file.name}:{node.lineno} {names}"
        elif isinstance(node, ast.Attribute) and node.attr in POORER["LACKS"].get(ast.unparse(node.value), ()):
            place = next((parent for parent in outside if isinstance(parent, ast.FunctionDef)), tree)
            asked = f"hasattr({ast.unparse(node.value)}, '{node.attr}')" in ast.unparse(place)
            if not asked and not any(catches(parent, "AttributeError") for parent in outside):
                yield f"{file.name}:{node.lineno} {ast.unparse(node)}"


def test_nothing_is_used_that_a_system_lacks_without_asking_for_it(tmp_path: Path) -> None:
    assert [use for file in sorted(SOURCE.rglob("*.py")) for use in lacking(file)] == []
    careless = tmp_path / "careless.py"
    careless.write_text(
        "import fcntl\nimport os\nos.fork()\nif hasattr(os, 'getuid'):\n    os.getuid()\n", encoding="utf-8"
    )
    assert list(lacking(careless)) == ["careless.py:1 ['fcntl']", "careless.py:3 os.fork"]


def test_every_text_file_is_opened_in_the_encoding_that_it_has() -> None:
    # The rule is one of those that ruff is still trying; `preview` in pyproject.toml would change the others as well.
    rule = ["check", "--preview", "--select", "PLW1514", "--no-cache", str(SOURCE), str(ROOT / "benchmarks")]
    checked = subprocess.run([sys.executable, "-m", "ruff", *rule], capture_output=True, encoding="utf-8")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_a_run_trains_resumes_sweeps_and_reports_where_the_system_is_poor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photographs(tmp_path / "photos", train=8, other=2)
    rows = [f"{(7 * n) % 13},{(5 * n) % 11},{n % 2}\r\n" for n in range(40)]
    Path(r"C:\my data\t.csv").write_text("x,z,y\r\n" + "".join(rows), encoding="utf-8", newline="")
    Path("poorest.py").write_text(POOREST, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in ("LANG", "COULOIR_TRACEBACK")}
    poor = {
        "PYTHONPATH": str(LIKE_WINDOWS), "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0",
        "PYTHONOPTIMIZE": "2", "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "poorest.py", OUTPUTS, *SENTENCE],
        env={**kept, **poor}, capture_output=True, encoding="ascii",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    outputs = Path(r"C:\my runs")
    assert (outputs / "latest").is_file()
    assert find_run("0", find_run("latest/0", outputs).parent) == find_run("latest/0", outputs)
    (poorest,) = outputs.glob("train/*")
    assert (poorest / "report.html").is_file()
    usual = couloir.train(couloir.compose([*SENTENCE, "trainer.max_epochs=2", f"output_dir={tmp_path / 'usual'}"])).dir
    assert numbers(poorest / "metrics.csv") == numbers(usual / "metrics.csv"), "to the last digit"


def numbers(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [[row[name] for name in COLUMNS if name in row] for row in csv.DictReader(stream)]


def without_links(*_: Any, **__: Any) -> None:
    raise OSError(1314, "A required privilege is not held by the client")


def test_latest_is_a_text_file_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", without_links)
    for name in ("one", "two"):
        folder = RunFolder.create(tmp_path / "train" / name, tmp_path)
        folder.trained()
        folder.write_text("config.yaml", "seed: 0\n")
        folder.release()
    assert (tmp_path / "latest").read_text(encoding="utf-8").splitlines()[0] == "train/two"
    assert find_run("latest", tmp_path) == find_run(str(tmp_path / "latest")) == tmp_path / "train" / "two"
    assert past_latest(f"{tmp_path}/latest/checkpoints/best.ckpt") == str(tmp_path / "train/two/checkpoints/best.ckpt")
    monkeypatch.undo()
    RunFolder.create(tmp_path / "train" / "three", tmp_path).trained()
    assert (tmp_path / "latest").resolve() == tmp_path / "train" / "three", "the disk came to a system with links"


def test_a_file_of_the_users_called_latest_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", without_links)
    (tmp_path / "latest").write_text("my notes\n", encoding="utf-8")
    RunFolder.create(tmp_path / "train" / "one", tmp_path).trained()
    assert (tmp_path / "latest").read_text(encoding="utf-8") == "my notes\n"


def test_a_file_that_somebody_reads_is_replaced_as_soon_as_he_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").write_text("new", encoding="utf-8")
    refusals = iter([PermissionError, PermissionError])
    usual = os.replace

    def replace(source: Any, to: Any) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal(13, "Access is denied")
        usual(source, to)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError):  # where that means what it says
        files.rename(tmp_path / "new", tmp_path / "name")
    monkeypatch.setattr(files, "os", SimpleNamespace(name="nt"))
    files.rename(tmp_path / "new", tmp_path / "name")
    assert (tmp_path / "name").read_text(encoding="utf-8") == "new"


def test_a_run_is_locked_where_locks_belong_to_handles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def locking(handle: int, _mode: int, count: int) -> None:
        assert (os.lseek(handle, 0, os.SEEK_CUR), count) == (lock.LOCKED_BYTE, 1), "the content can be read by all"
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    held = lock.RunLock(tmp_path)
    assert not lock.is_alive(tmp_path), "by another process than this one"
    with pytest.raises(CouloirError, match="still running"):
        lock.RunLock(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 0)
    assert lock.is_alive(tmp_path)
    held.release()
    assert not lock.is_alive(tmp_path)


def test_a_signal_to_oneself_is_heard_where_kill_ends_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    heard: list[int] = []
    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it ends the process"))
    with machine.taken([signal.SIGTERM], lambda number, _: heard.append(number)):
        machine.signal_this_process(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize("value", [
    r"C:\a(b)", "C:\\a(b)\\", r"\\server\photos", "it's", 'a "b"', r"C:\it's", "x=y", "ä ф", "a, b", "C:\\'\\", "",
    "{a}",
])  # fmt: skip
@pytest.mark.parametrize("system", ["posix", "nt"])
def test_a_path_in_quotes_is_read_as_it_stands(value: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("couloir.errors.os", SimpleNamespace(name=system))
    assert OverridesParser.create().parse_override(f"data.root={in_quotes(value)}").value() == value


def test_words_are_shown_as_the_systems_shell_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", "data=csv", r"data.path='C:\my data\t(1).csv'", "data.target=a&b"]
    assert as_typed(words).startswith("train data=csv 'data.path=") or os.name == "nt"
    monkeypatch.setattr("couloir.errors.os", SimpleNamespace(name="nt"))
    assert as_typed(words) == r'''train "data=csv" "data.path='C:\my data\t(1).csv'" "data.target=a&b"'''


@pytest.mark.parametrize("word", [r"data.root=C:\a(b)", r"data.root=\\server\photos", r"data.root='C:\photos\'"])
def test_the_sentence_to_type_for_a_path_works(word: str) -> None:
    import shlex

    with pytest.raises(CouloirError) as caught:
        compose_sentence(["data=image_folder", word])
    (typed,) = shlex.split(str(caught.value.next_step).partition(": ")[2])
    assert compose_sentence(["data=image_folder", typed]).cfg.data.root == word.partition("=")[2].strip("'")


def test_a_terminal_that_lacks_a_character_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", shown)
    machine.print_any_character()
    print("ä ф", flush=True)
    assert shown.buffer.getvalue() == b"\xe4 \\u0444\n"  # type: ignore[attr-defined]


def test_a_word_that_the_systems_settings_do_not_let_python_read_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    assert run(["train", "data=csv", "data.path=caf\udce9.csv"]) == 2
    assert "PYTHONUTF8=1" in capsys.readouterr().err


def test_files_of_windows_lines_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/optimizer").mkdir(parents=True)
    lines = [
        "# Mine.",
        "# Source: none.",
        "_target_: torch.optim.SGD",
        "_partial_: true",
        "lr: 0.1  # > 0; the rate",
        "",
    ]
    (tmp_path / "conf/optimizer/mine.yaml").write_bytes("\r\n".join(lines).encode())
    assert couloir.compose(["optimizer=mine"]).cfg.optimizer.lr == 0.1
    with pytest.raises(CouloirError, match=r"takes a number > 0, not -1") as caught:
        couloir.compose(["optimizer=mine", "optimizer.lr=-1"])
    assert "mine.yaml, line 5" in str(caught.value)


class NoDoubles(TorchDispatchMode):
    """A device without float64, as Apple's: torch's device without memory stands for it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, list | tuple) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "meta":
                assert tensor.dtype != torch.float64, func
        return made


def test_sums_stay_in_float32_on_a_device_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (widest(apple_gpu=False), widest(apple_gpu=True)) == (torch.float64, torch.float32)
    for module in ("gathered", "regression", "classification"):
        monkeypatch.setattr(f"couloir.metric.{module}.WIDE", widest(apple_gpu=True))
    values, labels = torch.rand(4, 3, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
    for metric, tensors in ((RegressionMetrics(2.0), (values, values)), (ClassificationMetrics(3), (values, labels))):
        gathered = Gathered(["loss"], {"own": metric})
        gathered.metrics.to("meta")
        with NoDoubles():
            gathered.add(4, (values.sum(),), tensors)
            assert all(value.dtype != torch.float64 for value in gathered.compute().values())
    with pytest.raises(AssertionError), NoDoubles():
        values.double()

"""The keywords of a target are read from its source: what Python says of it, without an import."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from couloir.config import contract, tree
from couloir.config.signatures import takes

LIBRARIES = (
    "torch.optim.Adamax", "torch.optim.SGD", "torch.nn.Linear", "torch.nn.CrossEntropyLoss", "torch.nn.ReLU",
    "pytorch_lightning.Trainer", "pytorch_lightning.callbacks.EarlyStopping", "pytorch_lightning.loggers.CSVLogger",
)  # fmt: skip


def packaged_targets() -> dict[str, set[str]]:
    """The targets of the packaged tree, and the keys that stand beside each."""
    found: dict[str, set[str]] = {}
    for file in tree.packaged_conf().rglob("*.yaml"):
        keys = contract.read_keys(file)
        for target in (key for key in keys if key.path.endswith("_target_")):
            beside = target.path.removesuffix("_target_")
            names = {key.path.removeprefix(beside) for key in keys if key.path.startswith(beside)}
            found.setdefault(str(target.default), set()).update(name for name in names if "." not in name)
    return found


def imported(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_a_target_takes_what_python_says_that_it_takes() -> None:
    for target in (*LIBRARIES, *packaged_targets()):
        if target.startswith("hydra_plugins") or target.rpartition(".")[2] in ("WandbLogger", "MLFlowLogger"):
            continue  # its package may not be there
        parameters = inspect.signature(imported(target)).parameters.values()
        named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        taken = takes(target)
        if any(each.kind is each.VAR_KEYWORD for each in parameters):
            assert taken is None or named <= taken, target
        else:
            assert taken == named, target


def test_every_key_of_every_packaged_file_is_taken_by_its_target() -> None:
    stated = {
        "answers",
        "evaluated",
        "facts",
        "loss",
        "metrics",
        "model",
        "monitor",
    }  # of tasks and metrics, read by the check
    for target, names in packaged_targets().items():
        taken = takes(target)
        if taken is not None:
            assert {name for name in names if not name.startswith("_")} - taken - stated == set(), target


def test_what_a_constructor_hands_on_is_followed_to_where_it_ends() -> None:
    of_lightning = takes("couloir.trainer.build.trainer")
    assert of_lightning is not None
    assert {"max_time", "profiler", "threads"} <= of_lightning
    assert not {"max_epoch", "enable_progress_bar", "plugins"} & of_lightning  # unknown, or set by the trainer itself
    of_samples = takes("couloir.data.toy.moons")
    assert of_samples is not None
    assert {"noise", "subset"} <= of_samples
    assert "load" not in of_samples
    of_metric = takes("torchmetrics.classification.MulticlassF1Score")
    assert of_metric is not None
    assert {"num_classes", "compute_on_cpu"} <= of_metric
    assert "beta" not in of_metric  # F1 fixes it


OWN = """
from torch import nn
import functools


def plain(a, b=1, *, c=2): ...


def open_to_all(a, **rest): ...


def hands_on(a, **rest):
    return plain(a, **rest)


def hands_on_to_itself(**rest):
    return hands_on_to_itself(**rest)


def picks(**rest):
    if rest:
        raise TypeError(sorted(rest))
    return rest.pop("size", 3)


@functools.wraps(plain)
def decorated(*given): ...


class Net(nn.Module):
    def __init__(self, width): ...


class Wider(Net):
    def __init__(self, factor, **rest):
        super().__init__(**rest)


class Same(Wider): ...


class Bare(nn.Module): ...


class Odd(metaclass=type):
    def __init__(self, a): ...


Other = Net
curried = functools.partial(plain, 1)
"""


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("plain", {"a", "b", "c"}), ("open_to_all", None), ("hands_on", {"a", "b", "c"}),
        ("hands_on_to_itself", None), ("picks", {"size"}), ("decorated", None), ("Net", {"width"}),
        ("Wider", {"factor", "width"}), ("Same", {"factor", "width"}), ("Bare", set()), ("Odd", None),
        ("Other", {"width"}), ("curried", None), ("missing", None),
    ],
)  # fmt: skip
def test_code_of_ones_own_is_read_and_not_run(
    name: str, names: set[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_parts.py").write_text(OWN + "\nraise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert takes(f"own_parts.{name}") == names
    assert "own_parts" not in sys.modules


def test_a_module_that_is_no_python_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_parts.py").write_text("def (")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert takes("torn_parts.f") is None
    assert takes("nowhere_at_all.f") is None
    assert takes("math.sqrt") is None


def test_reading_signatures_imports_no_torch() -> None:
    script = (
        "import sys; from couloir.config.signatures import takes; "
        "takes('torch.optim.Adamax'); takes('pytorch_lightning.Trainer'); "
        "assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

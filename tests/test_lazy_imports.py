"""What is put off is loaded when it is asked for, whole and once; what cannot be put off is imported as ever."""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from couloir import lazy_imports
from couloir.cli import main
from couloir.lazy_imports import SWITCH, Deferred, defer, loaded, uncollected
from waiting import LONGEST

FILES = {
    "__init__.py": "import heavy.inner\nfrom heavy.part import Thing\nLOADED = True\ndef speak(): return Thing.word\n",
    "part.py": "class Thing:\n    word = 'part'\n",
    "inner.py": "times = []\ntimes.append(1)\n",
}


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts a small package off: `heavy(Deferred(...), {file: another content})`."""
    (tmp_path / "heavy").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    others = [finder for finder in sys.meta_path if type(finder).__module__ != lazy_imports.__name__]
    monkeypatch.setattr(sys, "meta_path", others)  # a run in this process may have put another before
    monkeypatch.delenv(SWITCH, raising=False)

    def make(deferred: Deferred, changed: Mapping[str, str] | None = None) -> None:
        for name, text in {**FILES, **(changed or {})}.items():
            (tmp_path / "heavy" / name).write_text(text)
        importlib.invalidate_caches()
        monkeypatch.setattr(lazy_imports, "DEFERRED", {"heavy": deferred})
        defer()

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "heavy"]:
        del sys.modules[name]


def stood_in() -> str:
    return "stand-in"


def test_a_name_that_is_given_loads_nothing_and_any_other_loads_the_module(heavy: Callable[..., None]) -> None:
    heavy(Deferred(given={"speak": stood_in}))
    from heavy import speak  # type: ignore[import-not-found]

    module = sys.modules["heavy"]
    assert speak() == "stand-in"
    assert "LOADED" not in vars(module)
    assert module.LOADED
    assert module.speak() == "part"
    assert sys.modules["heavy"] is module, "loaded in place"
    assert importlib.reload(module).speak() == "part"


def test_a_submodule_loads_the_package_first_and_is_itself_loaded_once(heavy: Callable[..., None]) -> None:
    heavy(Deferred(given={"speak": stood_in}))
    import heavy as package

    assert "LOADED" not in vars(package)
    inner = importlib.import_module("heavy.inner")
    assert package.LOADED
    assert inner is package.inner
    assert inner.times == [1]
    assert inner.__spec__.origin == inner.__file__


def test_a_package_in_parts_gives_a_part_alone_and_knows_where_a_name_is(heavy: Callable[..., None]) -> None:
    heavy(Deferred(found={"Thing": "heavy.part"}, parts="all", first=("heavy.part",)))
    from heavy import Thing

    assert Thing is sys.modules["heavy.part"].Thing
    assert "heavy.inner" not in sys.modules
    assert "LOADED" not in vars(sys.modules["heavy"])
    assert loaded("heavy").Thing is Thing
    assert "heavy.inner" in sys.modules


def test_of_a_package_some_parts_can_be_had_alone(heavy: Callable[..., None]) -> None:
    heavy(Deferred(parts=("inner",)))
    inner = importlib.import_module("heavy.inner")
    assert "LOADED" not in vars(sys.modules["heavy"])
    part = importlib.import_module("heavy.part")
    assert vars(sys.modules["heavy"])["LOADED"]
    assert sys.modules["heavy"].inner is inner
    assert sys.modules["heavy"].part is part
    assert inner.times == [1]


def test_a_package_that_cannot_be_had_in_parts_is_imported_whole(heavy: Callable[..., None]) -> None:
    alone = "import heavy\nif not hasattr(heavy, 'BEGUN'): raise ImportError('not alone')\n" + FILES["part.py"]
    whole = {"__init__.py": "BEGUN = True\n" + FILES["__init__.py"], "part.py": alone}
    heavy(Deferred(parts="all", first=("heavy.inner", "heavy.part")), whole)
    import heavy as package

    assert vars(package)["LOADED"]
    assert package.speak() == "part"


def test_what_breaks_all_the_same_is_done_again_with_plain_imports(tmp_path: Path) -> None:
    broken = """
import sys
from couloir import lazy_imports
from couloir.lazy_imports import SWITCH, Deferred
lazy_imports.DEFERRED = {"heavy": Deferred(parts="all")}
sys.path.insert(0, ".")
from couloir.cli import list as verb
from couloir.cli.main import run
verb.main = lambda words: __import__("heavy.part") and 0
sys.exit(run(["list"]))
"""
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("BEGUN = True\nimport heavy.part\n")
    (tmp_path / "heavy" / "part.py").write_text(
        "import heavy\nif 'BEGUN' not in vars(heavy): raise ImportError('early')\n"
    )
    command = [sys.executable, "-c", broken]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0
    assert f"warning: early; once more with {SWITCH}=1" in done.stderr
    assert "resnet50" in done.stdout, "`couloir list`, in another process"


def test_what_the_loading_itself_asks_for_is_no_name_yet(heavy: Callable[..., None]) -> None:
    circular = {"part.py": "import heavy\nearly = hasattr(heavy, 'speak')\n" + FILES["part.py"]}
    heavy(Deferred(given={"speak": stood_in}), circular)
    import heavy as package

    assert package.LOADED
    assert sys.modules["heavy.part"].early is False, "as in a plain import"
    assert not hasattr(package, "nothing")


def test_the_switch_leaves_imports_to_python(heavy: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")
    heavy(Deferred(given={"speak": stood_in}))
    import heavy as package

    assert vars(package)["LOADED"]


@pytest.mark.parametrize(
    ("words", "put_off"),
    [(["train"], True), (["export", "latest", "--to", "onnx"], False), (["train", "trainer.compile=true"], False)],
)
def test_nothing_is_put_off_where_the_compiler_is_asked_for(
    words: list[str], put_off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[bool] = []
    monkeypatch.setattr(main, "defer", lambda: called.append(True))
    monkeypatch.setattr(main, "_dispatch", lambda _words: 0)
    assert main.run(words) == 0
    assert called == [True] * put_off


def test_the_collector_rests_while_something_large_is_imported() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled(), "the outer one wakes it"
    assert gc.isenabled()


TRAIN = """
import json, sys
from couloir.cli.main import run
told = {"code": run(["train", "trainer=debug", "+callbacks.names._target_=names.Names", "--quiet"])}
"""
COMPILE = """
import torch, lightning_fabric.wrappers as fabric
plain = torch.nn.Linear(1, 1)
before = isinstance(plain, fabric.OptimizedModule), "torch._dynamo.config" in sys.modules
compiled = torch.compile(plain, backend="eager")
after = isinstance(plain, fabric.OptimizedModule), isinstance(compiled, fabric.OptimizedModule)
weight = torch.nn.Parameter(torch.ones(1))
optimizer = torch.optim.SGD([weight], lr=1.0)
weight.grad = torch.ones(1)
torch.compile(optimizer.step, backend="eager")()
told |= {"before": before, "after": after, "weight": weight.item()}
"""
NAMES = """
import json, sys
from pathlib import Path
from pytorch_lightning import Callback
class Names(Callback):
    def on_train_batch_end(self, trainer, *arguments):
        if trainer.global_step == 1:
            Path("names.json").write_text(json.dumps(sorted(sys.modules)))
"""
FIRST_STEP = {
    "PIL", "absl", "antlr4", "attr", "charset_normalizer", "filelock", "fsspec", "google", "hydra", "hydra_plugins",
    "lightning_fabric", "lightning_utilities", "numpy", "omegaconf", "packaging", "pytorch_lightning", "rich",
    "simplejpeg", "tensorboard", "torch", "torchgen", "torchmetrics", "tqdm", "typing_extensions", "yaml",
}  # fmt: skip
"""The packages that the first step on the digits waits for, and no others."""
NOT_YET = (
    "torch._dynamo.", "torch._inductor.compile_fx", "torch._inductor.standalone_compile", "torch.distributed.fsdp",
    "torch.distributed.tensor", "torchmetrics.audio", "torchmetrics.functional.audio", "torchmetrics.image",
    "torchmetrics.text",
)  # fmt: skip
"""Parts of these packages that it does not wait for."""


def trained(directory: Path, then: str = "", **variables: str) -> tuple[dict[str, Any], list[str], Path]:
    (directory / "names.py").write_text(NAMES)
    done = subprocess.run(
        [sys.executable, "-c", f"{TRAIN}{then}print(json.dumps(told))"],
        cwd=directory,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    run = next((directory / "outputs" / "train").iterdir())
    return json.loads(done.stdout.splitlines()[-1]), json.loads((directory / "names.json").read_text()), run


def third_party(names: list[str]) -> set[str]:
    tops = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    return {top for top in tops if not top.startswith(("_", "a1_coverage", "couloir", "distutils-precedence"))}


def test_the_first_step_waits_for_these_packages_alone(tmp_path: Path) -> None:
    told, names, _ = trained(tmp_path)
    assert third_party(names) <= FIRST_STEP | {"names", "sitecustomize", "mpl_toolkits", "cython_runtime"}
    assert [name for name in names if name.startswith(NOT_YET)] == []
    assert told == {"code": 0}


@pytest.mark.slow
def test_what_is_compiled_later_is_known_to_what_was_imported_before(tmp_path: Path) -> None:
    told, _, _ = trained(tmp_path, COMPILE)
    assert told == {"code": 0, "before": [False, False], "after": [False, True], "weight": 0.0}


@pytest.mark.slow
def test_results_are_those_of_plain_imports_to_the_bit(tmp_path: Path) -> None:
    runs = []
    for name, variables in {"lazy": {}, "eager": {SWITCH: "1"}}.items():
        (tmp_path / name).mkdir()
        _, names, run = trained(tmp_path / name, **variables)
        assert ("scipy.signal" in names) is (name == "eager")
        runs.append({**json.loads((run / "result.json").read_text()), "seconds": 0, "train/samples_per_second": 0})
    assert runs[0] == runs[1]

"""What a configuration may call: nothing but parts of couloir, torch and the like, and the user's own modules."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import couloir
from couloir.cli.main import run as command
from couloir.config import tree
from couloir.config.build import build
from couloir.config.finished import run_config
from couloir.config.targets import refused
from couloir.errors import CouloirError
from waiting import LONGEST

ALLOWED = [
    "couloir.model.lenet.lenet5", "couloir.loss.classification.CrossEntropy", "torch.nn.Identity", "torch.nn.Linear",
    "torch.optim.lr_scheduler.StepLR", "torch.nn.functional.relu", "torch.tanh", "torch.device",
    "torchmetrics.classification.MulticlassAccuracy", "pytorch_lightning.callbacks.LearningRateMonitor",
    "pytorch_lightning.plugins.TorchCheckpointIO",
    "torch.optim.AdamW", "torch.nn.init.kaiming_normal_", "pytorch_lightning.Trainer",
]  # fmt: skip
FORBIDDEN_BY_NAME = [
    "os.system", "subprocess.run", "builtins.exec", "eval", "posix.system", "torch.os.system", "torch.hub.load",
    "torch.load", "torch.save", "torch.serialization.load", "torch.jit.load", "torch.package.PackageImporter",
    "torch.utils.cpp_extension.load", "torch.ops.load_library", "torch.utils.collect_env.run", "torch.from_file",
    "torch.distributed.run.main", "torch._C._rename_privateuse1_backend", "torch.nn.Module.__init__.__globals__",
    "couloir.record.provenance.subprocess.run", "couloir.cli.main.run", "couloir.download.download",
    "couloir.train",
    "pytorch_lightning.callbacks.checkpoint.os.system", "pytorch_lightning.Trainer.load_from_checkpoint",
    "numpy.load", "sklearn.datasets.fetch_openml", "hydra.utils.instantiate", "yaml.unsafe_load", "", 7, None, "a..b",
    "torch nn", "../evil.run",
]  # fmt: skip
FORBIDDEN_BY_OBJECT = [
    "torch.nn.modules.module.torch.hub.load",  # a module that another one has imported
    "couloir.model.weights.torch.load",
    "torchmetrics.metric.torch.nn.Linear",
    "torch.compile",  # of torch itself, but no function on tensors
    "torch.PyTorchFileWriter",
]


@pytest.mark.parametrize("target", ALLOWED)
def test_parts_of_the_stack_can_be_named(target: str) -> None:
    assert refused(target) is None
    node = OmegaConf.create({"x": {"_target_": target, "_partial_": True}})
    assert callable(build(node, "x"))


@pytest.mark.parametrize("target", FORBIDDEN_BY_NAME)
def test_what_runs_code_or_reaches_elsewhere_is_refused_by_its_name(target: object) -> None:
    assert refused(target) is not None
    with pytest.raises(CouloirError):
        build(OmegaConf.create({"x": {"y": [{"_target_": target}], "_target_": "torch.nn.Identity"}}), "x")


@pytest.mark.parametrize("target", FORBIDDEN_BY_OBJECT)
def test_a_name_that_leads_to_something_else_is_refused_when_it_is_built(target: str) -> None:
    with pytest.raises(CouloirError, match=r"x\._target_ names"):
        build(OmegaConf.create({"x": {"_target_": target}}), "x")


def test_every_target_of_the_packaged_tree_is_allowed() -> None:
    files = [file for file in tree.packaged_conf().rglob("*.yaml") if "hydra" not in file.parts[-3:]]  # Hydra's own
    found = [line for file in files for line in file.read_text().splitlines()]
    named = {re.split("[#,}]", line.partition("_target_:")[2])[0].strip() for line in found if "_target_:" in line}
    assert len(named) > 100
    assert {target for target in named if refused(target) is not None} == set()


EVIL = "{_target_: os.system, command: touch appeared}"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["loss=evil"], "conf/loss/evil.yaml, line 4"),
        (["loss=listed"], "conf/loss/listed.yaml, line 3"),
        (["loss=referring"], "os.system"),
        (["data=evil"], "conf/data/evil.yaml, line 2"),
        (["experiment=evil"], "conf/experiment/evil.yaml, line 6"),
        (["+model.deep.deeper=" + EVIL], "+model.deep.deeper="),
        (["+callbacks.x._target_=os.system"], "+callbacks.x._target_=os.system"),
        (["+trainer.plugins=[" + EVIL + "]"], "+trainer.plugins="),
        (["initializer=custom", "initializer.function=os.system"], "initializer.function=os.system"),
        (["data._target_=os.system"], "data._target_=os.system"),
        (["trainer._target_=torch.hub.load"], "trainer._target_=torch.hub.load"),
        (["-m", "seed=1,2", "+hydra.callbacks.x._target_=os.system"], "hydra.callbacks.x._target_"),
        (["-m", "experiment=launch,none"], "hydra.callbacks.x._target_"),
        (["-m", "seed=1,2", "hydra.launcher._target_=subprocess.run"], "hydra.launcher._target_"),
        (["-m", "seed=1,2", "+hydra.job_logging.handlers.x.class=os.system"], "hydra.job_logging.handlers.x.class"),
        (["-m", "experiment=environment,none"], "hydra.job.env_set"),
        (["experiment=allowing"], "allow_targets is set in a file"),
        (["allow_targets=[os]"], "allow_targets names os"),
        (["allow_targets=[torch]"], "allow_targets names torch"),
        (["allow_targets=7"], "allow_targets takes a list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_configuration_that_would_run_a_command_ends_with_exit_2_and_its_place(
    words: list[str],
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {
        "loss/evil": f"# Evil.\n_target_: torch.nn.Identity\ninner:\n  x: {EVIL}\n",
        "loss/listed": f"# Evil.\n_target_: torch.nn.Identity\nparts: [[1, {{y: {EVIL}}}]]\n",
        "loss/referring": "# Evil.\n_target_: ${loss.a}.${loss.b}\na: os\nb: system\ncommand: touch appeared\n",
        "data/evil": "# Evil.\n_target_: antigravity.geohash\nnum_classes: ${inspect:num_classes}\n"
        "task: classification\nchannels: 1\nimage_size: 8\n",
        "experiment/evil": "# @package _global_\n# Evil.\nmodel:\n  dropout: 0.5\nscheduler:\n  _target_: os.system\n"
        "  command: touch appeared\n",
        "experiment/launch": f"# @package _global_\n# Evil.\nhydra:\n  callbacks:\n    x: {EVIL}\n",
        "experiment/environment": "# @package _global_\n# Evil.\nhydra:\n  job:\n    env_set: {GIT_EXTERNAL_DIFF: x}\n",
        "experiment/none": "# @package _global_\n# Nothing.\n",
        "experiment/allowing": "# @package _global_\n# Evil.\nallow_targets: [sklearn]\n",
    }
    for name, text in files.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"conf/{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert command(["train", *words]) == 2
    message = capsys.readouterr().err
    assert where in message
    assert message.count("\n") <= 4
    assert not (tmp_path / "appeared").exists()
    assert not (tmp_path / "outputs").exists()
    assert "antigravity" not in sys.modules


def test_it_is_refused_before_torch_and_before_the_targets_module(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/foreign.py").write_text("import pathlib\npathlib.Path('appeared').touch()\n")
    (tmp_path / "work").mkdir()
    program = (
        "import sys; from couloir.cli.main import run; code = run(sys.argv[1:]);"
        "print('torch' in sys.modules, 'foreign' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "+loss.x._target_=foreign.run"],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])},
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.split() == ["False", "False"]
    assert "allow_targets=[foreign]" in done.stderr
    assert not (tmp_path / "work/appeared").exists()


NET = """from torch import nn
import subprocess as sp


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
"""


def test_the_users_own_module_is_allowed_and_another_package_once_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, site = tmp_path / "here", tmp_path / "site"
    (here / "conf/model").mkdir(parents=True)
    site.mkdir()
    (here / "mine_of_safe.py").write_text(NET)
    (site / "foreign_of_safe.py").write_text(NET)
    for name in ("mine_of_safe", "foreign_of_safe"):
        (here / f"conf/model/{name}.yaml").write_text(f"# Net.\n_target_: {name}.Net\n")
    (here / "conf/model/alias.yaml").write_text("# Net.\n_target_: mine_of_safe.sp.run\nargs: [touch, appeared]\n")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(here)
    words = ["train", "trainer=debug", "logger=csv"]
    assert command([*words, "model=foreign_of_safe"]) == 2
    assert "allow_targets=[foreign_of_safe]" in capsys.readouterr().err
    assert command([*words, "model=alias"]) == 2
    assert "the module subprocess" in capsys.readouterr().err
    assert not (here / "appeared").exists()
    assert command([*words, "model=mine_of_safe"]) == 0
    assert command([*words, "model=foreign_of_safe", "allow_targets=[foreign_of_safe]"]) == 0
    run = (here / "outputs/latest").resolve()
    capsys.readouterr()
    assert command(["evaluate", str(run)]) == 2, "what the run's own file allows is void"
    assert "allow_targets=[foreign_of_safe]" in capsys.readouterr().err
    assert command(["evaluate", str(run), "allow_targets=[foreign_of_safe]"]) == 0


def test_an_environment_below_the_working_directory_is_not_the_users_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / ".venv/lib/site-packages"
    site.mkdir(parents=True)
    (site / "installed_of_safe.py").write_text("")
    (tmp_path / "mine_of_safe_too.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(tmp_path)
    assert refused("installed_of_safe.run") is not None
    assert refused("installed_of_safe.run", ["installed_of_safe"]) is None
    assert refused("mine_of_safe_too.run") is None


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (
            "model:\n  _target_: os.system\n  command: touch appeared\ndata: {}\nloss: {}\ntrainer: {}\n",
            "config.yaml, line 2",
        ),
        ("model: {}\nallow_targets: [sklearn]\nloss:\n  _target_: sklearn.svm.SVC\ndata: {}\ntrainer: {}\n", "line 4"),
        ("model: !!python/object/apply:os.system ['touch appeared']\n", "cannot be read"),
        ("model: {}\ndata: {}\nloss: {}\ntrainer: ${oc.create:{_target_:os.system}}\n", "os.system"),
        ("model: [\n", "cannot be read"),
        ("[]\n", "not the configuration of a run"),
        ("model: ${model}\n", "cannot be read"),
        ("model:\n  x: ${model}\n", "cannot be read"),
        ("model: {}\n", "not the configuration of a run"),
    ],
)
def test_the_configuration_of_a_downloaded_run_calls_nothing_else_either(
    text: str, fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(CouloirError, match=fragment):
        run_config(tmp_path)
    assert not (tmp_path / "appeared").exists()


def test_python_objects_in_yaml_and_at_the_prompt_stay_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    tag = "!!python/object/apply:os.system [touch appeared]"
    (tmp_path / "conf/model/tagged.yaml").write_text(f"# Evil.\n_target_: torch.nn.Identity\nx: {tag}\n")
    monkeypatch.chdir(tmp_path)
    assert command(["train", "model=tagged"]) == 2
    assert "YAML" in capsys.readouterr().err
    assert command(["train", f"output_dir={tag}"]) == 2
    assert not (tmp_path / "appeared").exists()


def test_references_read_variables_and_run_nothing() -> None:
    from omegaconf.basecontainer import BaseContainer

    couloir.compose([])
    known = {
        "oc.create", "oc.decode", "oc.deprecated", "oc.env", "oc.select", "oc.dict.keys", "oc.dict.values",
        "now", "hydra", "python_version", "inspect", "by_scale", "in_proportion", "chosen", "couloir.run_name",
    }  # fmt: skip
    assert set(BaseContainer._resolvers) <= known, "a new resolver: does it run code at a configuration's word?"


def test_a_configuration_made_by_hand_is_guarded_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = couloir.compose(["trainer=debug", "logger=csv"]).cfg
    cfg.averaging = {"_target_": "os.system", "command": "touch appeared"}
    with pytest.raises(CouloirError, match=r"averaging\._target_ names os\.system"):
        couloir.train(cfg)
    assert not (tmp_path / "appeared").exists()

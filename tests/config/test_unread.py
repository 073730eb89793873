"""Every key of a file or of the prompt is read by something, or refused with its place and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.config import tree
from couloir.config.check import check_sweep_values, checked
from couloir.config.compose import check_sweep, compose_sweep
from couloir.errors import CouloirError

GLOBAL = "# @package _global_\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project in the working directory, with an experiment folder."""
    (tmp_path / "conf/experiment").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(project: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")


def refusal(words: list[str]) -> str:
    with pytest.raises(CouloirError) as caught:
        checked(words)
    assert caught.value.exit_code == 2
    return " ".join(filter(None, (caught.value.fact, caught.value.place, caught.value.next_step)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GLOBAL + "lr: 0.5\n", ["'lr'", "line 2", "optimizer.lr"]),
        (GLOBAL + "seed: 1\nmax_epochs: 1\nepochs: 3\n", ["'max_epochs', 'epochs'", "line 3", "trainer.max_epochs"]),
        (GLOBAL + "optimiser:\n  lr: 0.5\n", ["'optimiser'", "line 2", "did you mean optimizer?"]),
        (GLOBAL + "trainer:\n  max_epoch: 3\n", ["'trainer.max_epoch'", "line 3", "trainer.max_epochs"]),
        (GLOBAL + "optimizer.lr: 0.5\n", ["'optimizer.lr'", "line 2", "nests"]),
        (GLOBAL + "data:\n  substet: 5\n", ["'data.substet'", "line 3", "data.subset"]),
        (GLOBAL + "scheduler:\n  gamma: 0.5\n", ["'scheduler.gamma'", "line 3", "scheduler=exponential"]),
        (GLOBAL + "model:\n  growth_rate: 3\n", ["'model.growth_rate'", "line 3", "model=densenet"]),
        (GLOBAL + "callbacks:\n  early_stoping:\n    patience: 3\n", ["'callbacks.early_stoping'", "line 3", "pping?"]),
        (GLOBAL + "callbacks:\n  progres: null\n", ["'callbacks.progres'", "line 3", "callbacks.progress"]),
        (GLOBAL + "callbacks:\n  checkpoint:\n    montor: x\n", ["checkpoint.montor'", "line 4", "int.monitor"]),
        (GLOBAL + "sweep:\n  n_trails: 3\n", ["'sweep.n_trails'", "line 3", "sweep.n_trials"]),
        (GLOBAL + "sweep:\n  sampler:\n    n_startup: 3\n", ["'sweep.sampler.n_startup'", "line 4"]),
        (GLOBAL + "hydra:\n  sweeper:\n    n_trials: 4\n", ["'hydra.sweeper.n_trials'", "line 4", "sweep.n_trials"]),
        (GLOBAL + "hydra:\n  job:\n    nam: x\n", ["'hydra.job.nam'", "line 4"]),
        (GLOBAL + "defaults:\n  - override /hydra/sweeper: optuna\n", ["optuna", "line 3", "/sweep: tpe"]),
        (GLOBAL + "defaults:\n  - overide /model: mlp\n", ["'overide'", "line 3", "did you mean override?"]),
        (GLOBAL + "width: 3\nheight: ${width}\n", ["'width', 'height'"]),
        (GLOBAL + "my: {size: 3, sise: 4}\nmodel: {activation: '${my.size}'}\n", ["'my.sise'"]),
        ("data:\n  subset: 60\n", ["@package _global_", "line 1"]),
        ("defaults:\n  - override /model: mlp\n", ["@package _global_", "line 1"]),
    ],
)  # fmt: skip
def test_a_key_of_a_recipe_that_nothing_reads_is_refused(text: str, said: list[str], project: Path) -> None:
    write(project, {"conf/experiment/mine.yaml": text})
    answer = refusal(["experiment=mine"])
    for words in [*said, "conf/experiment/mine.yaml"]:
        assert words in answer, answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+foo.bar=1"], ["'foo'", "+foo.bar=1"]),
        (["+lr=0.5"], ["'lr'", "optimizer.lr"]),
        (["++trainer.max_epoch=3"], ["trainer.max_epochs"]),
        (["+trainer.logger=false"], ["the run sets it itself"]),
        (["+trainer.enable_progress_bar=true"], ["trainer.enable_progress_bar"]),
        (["+optimizer.foreach=true"], ["optimizer.foreach"]),
        (["+hydra.foo=1"], ["hydra.foo"]),
        (["hydra/launcher=joblib"], ["is only for sweeps"]),
        (["+metric.f2.average=micro"], ["metric.f2"]),
        (["metric=f1", "+metric.f1.averge=micro"], ["metric.f1.averge", "metric.f1.average"]),
        (
            ["augmentation=cutout", "+augmentation.hole.pixls=1"],
            ["augmentation.hole.pixls", "augmentation.hole.pixels"],
        ),
        (["augmentation=none", "+augmentation.foo=1"], ["augmentation.foo"]),
    ],
)
def test_a_key_of_the_prompt_that_nothing_reads_is_refused(words: list[str], said: list[str], project: Path) -> None:
    answer = refusal(words)
    for part in said:
        assert part in answer, answer


def test_a_sweep_refuses_what_its_parts_do_not_take(project: Path) -> None:
    for words, said in ((["+sweep.n_trails=3"], "sweep.n_trials"), (["+sweep.sampler.foo=3"], "sweep.sampler.foo")):
        with pytest.raises(CouloirError) as caught:
            check_sweep_values(compose_sweep(words))
        assert said in f"{caught.value.fact} {caught.value.next_step}"
    for words, said in (
        (["hydra/sweeper=basic"], "hydra/sweeper=basic"),
        (["+hydra.sweeper.n_trials=3"], "hydra.sweeper.n_trials"),
        (["+hydra.launcher.n_jobs=3"], "hydra.launcher.n_jobs"),
    ):
        with pytest.raises(CouloirError) as caught:
            check_sweep([*words, "seed=1,2"])
        assert said in caught.value.fact


OWN = {
    "parts.py": '''
from torch import nn, optim
from couloir.data.toy import moons


class Net(nn.Module):
    def __init__(self, channels, num_classes, width, blocks=(), **rest): ...


class Block(nn.Module):
    def __init__(self, size): ...


def strict(parameters, lr, rho): ...
''',
    "conf/model/mine.yaml": (
        "# Mine.\n_target_: parts.Net\nchannels: ${data.channels}\nnum_classes: ${data.num_classes}\n"
        "width: ${backbone.width}\nblocks:\n  - _target_: parts.Block\n    size: 3\nanything: 1\n"
    ),
    "conf/optimizer/mine.yaml": "# Mine.\n_target_: parts.strict\n_partial_: true\nlr: 0.1\nrho: 0.9\n",
    "conf/optimizer/adamax.yaml": "# Adamax.\n_target_: torch.optim.Adamax\n_partial_: true\nlr: 0.1\nforeach: null\n",
    "conf/backbone/small.yaml": "# Small.\nwidth: 3\n",
    "conf/experiment/mine.yaml": (
        GLOBAL + "defaults:\n  - /backbone@_global_.backbone: small\n  - override /model: mine\n  - _self_\n"
        "rates: {mine: 0.2}\nname: mine\nscaled: ${rates.${name}}\noptimizer:\n  lr: ${scaled}\n"
        "helper: [1, 2]\ncopy: ${helper}\nsweep:\n  space:\n    optimizer.lr: interval(0.1, ${copy[1]})\n"
    ),
    "conf/callbacks/mine.yaml": (
        "# Mine.\ndefaults: [default, _self_]\nmine: {_target_: pytorch_lightning.callbacks.DeviceStatsMonitor}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=mine"],
        ["experiment=mine", "optimizer.lr=0.5"],  # what is typed now was the reader of the recipe's keys
        ["model=mine", "+backbone=small"],
        ["model=mine", "+backbone.width=3", "+model.anything_else=2"],  # **rest takes what it is given
        ["optimizer=mine", "optimizer.rho=0.5"],
        ["optimizer=adamax", "+optimizer.maximize=true"],
        ["+trainer.reload_dataloaders_every_n_epochs=1", "++trainer.min_epochs=1"],
        ["callbacks=mine", "callbacks.mine=null"],
        ["callbacks=mine", "+callbacks.mine.cpu_stats=true"],
        ["+size=32", "model=mlp", "model.hidden=['${size}']"],
        ["metric=[f1,auroc]", "+metric.f1.compute_on_cpu=true"],
        ["hydra.run.dir=here/${name}", "+name=mine"],
        ["optimizer.scale_lr=linear"],
        ["loss=mse", "data=line"],
        ["scheduler=none", "tta=none", "logger=csv", "averaging=none", "~callbacks.progress"],
    ],
)
def test_what_is_read_is_taken(words: list[str], project: Path) -> None:
    write(project, OWN)
    checked(words)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("conf/optimizer/mine.yaml", "rho", "roh", ["optimizer.roh", "line 5", "optimizer.rho"]),
        ("conf/optimizer/adamax.yaml", "foreach", "fused", ["optimizer.fused", "line 5"]),
        ("conf/model/mine.yaml", "size: 3", "sise: 3", ["model.blocks[0].sise", "model.blocks[0].size"]),
        ("conf/backbone/small.yaml", "width: 3", "width: 3\nheight: 4", ["backbone.height", "line 3"]),
        ("conf/callbacks/mine.yaml", "Monitor}", "Monitor, foo: 1}", ["callbacks.mine.foo", "line 3"]),
        ("conf/experiment/mine.yaml", "mine: 0.2", "other: 0.2", []),
    ],
)
def test_a_key_of_ones_own_part_that_it_does_not_take_is_refused(
    name: str, old: str, new: str, said: list[str], project: Path
) -> None:
    write(project, {**OWN, name: OWN[name].replace(old, new)})
    words = {
        "optimizer": [f"optimizer={Path(name).stem}"],
        "callbacks": ["callbacks=mine"],
    }.get(Path(name).parent.name, ["experiment=mine"])
    answer = refusal(words)
    for part in said:
        assert part in answer, answer


def test_a_root_file_of_ones_own_is_checked_as_well(project: Path) -> None:
    root = (tree.packaged_conf() / "train.yaml").read_text(encoding="utf-8")
    write(project, {"conf/train.yaml": root + "\nsead: 1\n"})
    answer = refusal([])
    assert "'sead'" in answer
    assert "did you mean seed" in answer
    assert f"conf/train.yaml, line {len(root.splitlines()) + 2}" in answer

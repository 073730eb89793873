"""What a file may have a launcher do, and launchers whose package is not there."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from couloir.config.compose import check_sweep
from couloir.config.launch import LAUNCHERS
from couloir.errors import CouloirError
from couloir.sweep.engine.choice import SLURM


@pytest.mark.parametrize("name", ["joblib", "submitit_local", "submitit_slurm", "ray"])
def test_a_launcher_without_its_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, extra = LAUNCHERS[name]
    find = importlib.util.find_spec

    def without(wanted: str, *rest: Any) -> ModuleSpec | None:
        return None if wanted == package else find(wanted, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(CouloirError, match=rf"(?s)hydra/launcher={name} needs .*couloir\[{extra}\]"):
        check_sweep([f"hydra/launcher={name}", "seed=1,2"])


def test_a_launcher_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(CouloirError, match=r"(?s)no launcher called 'jobllib'.*did you mean hydra/launcher=joblib"):
        check_sweep(["hydra/launcher=jobllib", "seed=1,2"])


def test_slurm_where_there_is_none_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CouloirError, match="no sbatch"):
        check_sweep(["hydra/launcher=submitit_slurm", "seed=1,2"])


SHELL = {
    "setup: [touch appeared]": "hydra.launcher.setup",
    "additional_parameters: {wrap: touch appeared}": "hydra.launcher.additional_parameters.wrap",
    "python: touch appeared &&": "hydra.launcher.python",
    "srun_args: [--task-prolog, ./evil]": "hydra.launcher.srun_args",
    'comment: "a\\ntouch appeared #"': "hydra.launcher.comment",
    "address: far.away:6379": "hydra.launcher.address",
}


@pytest.mark.parametrize("line", SHELL)
def test_a_file_has_no_launcher_run_commands(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/hydra/launcher").mkdir(parents=True)
    (tmp_path / "conf/hydra/launcher/evil.yaml").write_text(f"# Evil.\n_target_: {SLURM}\n{line}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CouloirError, match="is set in a file") as refused:
        check_sweep(["hydra/launcher=evil", "seed=1,2"])
    assert refused.value.fact.startswith(SHELL[line])


def test_what_is_typed_goes_to_the_shell_and_what_is_harmless_may_stand_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    (tmp_path / "conf/experiment").mkdir(parents=True)
    file = tmp_path / "conf/experiment/cluster.yaml"
    head = "# @package _global_\n# Mine.\ndefaults:\n  - override /hydra/launcher: submitit_slurm\n  - _self_\n"
    file.write_text(head + "hydra:\n  launcher:\n    partition: gpu\n    timeout_min: 60\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sbatch").write_text("#!/bin/sh\n")
    (tmp_path / "bin/sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    setup = "hydra.launcher.setup=['module load cuda']"
    more = "+hydra.launcher.additional_parameters={reservation: mine}"
    check_sweep(["experiment=cluster", "seed=1,2", setup, more])
    file.write_text(file.read_text() + "    additional_parameters: {wrap: touch appeared}\n")
    with pytest.raises(CouloirError, match=r"additional_parameters\.wrap is set in a file"):
        check_sweep(["experiment=cluster", "seed=1,2", setup, more])

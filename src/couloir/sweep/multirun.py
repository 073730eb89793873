"""The door from the command line to a sweep: Hydra's multirun, without its own way of reporting what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from couloir.config import tree
from couloir.config.compose import check_sweep, prepare_hydra


def multirun(words: list[str], command: list[str]) -> int:
    """Make the sweep that some words ask for, through the sweeper and the launcher that they name.

    Args:
        words: what was typed after `-m`.
        command: the whole command line, for the record.

    Returns:
        the exit code.

    Raises:
        CouloirError: it cannot be done as it was typed.
    """
    check_sweep(words)
    prepare_hydra()  # what composed the words for their check has set Hydra back to what it was before
    typed, sys.argv = sys.argv, command
    try:
        with initialize_config_dir(str(tree.packaged_conf()), version_base="1.3", job_name=tree.ROOT_CONFIG):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            return int(hydra.multirun(tree.ROOT_CONFIG, launched, words) or 0)
    finally:
        sys.argv = typed


def launched(_: DictConfig) -> int:
    """What a launcher of Hydra's calls for one job, on whatever machine: the run, in a process of its own.

    Returns:
        the exit code of that process.
    """
    from couloir.sweep.engine.launcher import run_alone

    node = HydraConfig.get()
    overrides = OmegaConf.to_container(node.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return run_alone(Path(str(node.runtime.output_dir)), [str(word) for word in overrides])

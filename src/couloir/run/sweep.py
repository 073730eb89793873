"""One job of a multirun: a sentence of its own, whose failure does not end the sweep."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import ListConfig, OmegaConf

from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.errors import CouloirError, is_shortage, out_of_memory
from couloir.run.folder import RunFolder
from couloir.run.train import train_sentence


def train_job(arguments: list[str]) -> tuple[int, float | None]:
    """Train the job that Hydra has just composed.

    Args:
        arguments: the command line of the whole multirun, for the record.

    Returns:
        The exit code that the job alone would have had, and the best value of the monitored metric (for a sweeper
        that searches).
    """
    hydra_cfg = HydraConfig.get()
    typed = OmegaConf.to_container(cast(ListConfig, hydra_cfg.overrides.task), resolve=False)  # with its references
    overrides = [str(word) for word in typed] if isinstance(typed, list) else []
    try:
        sentence = compose_sentence(overrides)
        check(sentence)
        folder = RunFolder.create(Path(hydra_cfg.runtime.output_dir), Path(sentence.cfg.output_dir))
        result = train_sentence(sentence, folder, command=["train", *arguments])
    except CouloirError as error:
        print(f"job {hydra_cfg.job.num} ({' '.join(overrides)}): {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code, None
    except Exception as error:  # noqa: BLE001  a job is a process boundary: the others go on
        if os.environ.get("COULOIR_TRACEBACK") == "1":
            traceback.print_exc()
        known = out_of_memory(error) if is_shortage(error) else None
        reason = known or f"{type(error).__name__}: {error}"
        print(f"job {hydra_cfg.job.num} ({' '.join(overrides)}): {reason}", file=sys.stderr)  # noqa: T201
        return 1 if known is None else known.exit_code, None
    monitor = sentence.cfg.callbacks.checkpoint.monitor.replace("val/", "best/")
    return 0, result.metrics.get(monitor)


def job_folder() -> Path | None:
    """The folder of the present job of a multirun; None outside of one."""
    hydra_cfg = HydraConfig.get()
    return Path(hydra_cfg.runtime.output_dir) if hydra_cfg.mode == RunMode.MULTIRUN else None


def sweep_folder(job: Path) -> Path:
    """The folder of the multirun that a job's folder belongs to: the next above that holds Hydra's `multirun.yaml`.

    `hydra.sweep.dir` itself cannot be asked for within a job: it refers to keys that Hydra's own node does not have.
    """
    return next((folder for folder in job.parents if (folder / "multirun.yaml").exists()), job.parent)

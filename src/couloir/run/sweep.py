"""One job of a multirun: a sentence of its own, whose failure does not end the sweep."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from couloir.config.check import check
from couloir.config.compose import compose_sentence
from couloir.errors import CouloirError
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
    overrides = list(hydra_cfg.overrides.task)
    try:
        sentence = compose_sentence(overrides)
        check(sentence)
        folder = RunFolder.create(Path(hydra_cfg.runtime.output_dir), Path(sentence.cfg.output_dir))
        result = train_sentence(sentence, folder, command=["train", *arguments])
    except CouloirError as error:
        print(f"job {hydra_cfg.job.num} ({' '.join(overrides)}): {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code, None
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

"""What the words of `couloir predict` ask of maps. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couloir.config.metrics import SALIENCY, SEGMENTATION, task_of
from couloir.errors import CouloirError
from couloir.inference.inputs import learns_maps

MOST = 255
"""Classes that a mask's file can name."""


@dataclass(frozen=True)
class Wanted:
    """What is written of each sample besides its map.

    Attributes:
        overlay: the image with the map laid over it.
        probabilities: of a segmentation all of them, of a saliency map its exact values.
        probability: the class whose probability is written as a picture; None: of none.
    """

    overlay: bool = False
    probabilities: bool = False
    probability: str | None = None


NOTHING = Wanted()


def check_maps(cfg: Any, wanted: Wanted, output: Path | None, as_lines: bool) -> None:
    """Whether a run's answers can be written so.

    Args:
        cfg: the run's configuration.
        wanted: what is asked for besides the maps.
        output: where the answers go.
        as_lines: JSON on standard output.

    Raises:
        CouloirError: they cannot.
    """
    task = task_of(cfg)
    for flag, asked, fitting in (
        ("--overlay", wanted.overlay, (SEGMENTATION, SALIENCY)),
        ("--probabilities", wanted.probabilities, (SEGMENTATION, SALIENCY)),
        ("--probability", wanted.probability is not None, (SEGMENTATION,)),
    ):
        if asked and task not in fitting:
            raise CouloirError(
                f"{flag} is for task={' and task='.join(fitting)}; the task of this run is {task}.",
                next_step=f"leave {flag} out",
            )
    if not learns_maps(cfg):
        return
    if as_lines:
        raise CouloirError(
            "--json writes rows, and the answers of this run are pictures.",
            next_step="--output FOLDER; answers.csv in it has a row for each sample",
        )
    if output is None or output.suffix.lower() in (".csv", ".jsonl"):
        raise CouloirError(
            "The answers of this run are pictures, and go into a file each.", next_step="--output FOLDER"
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CouloirError(
            f"--output {output} is there already, and is not an empty folder.", next_step="name another folder"
        )
    classes = int(cfg.data.get("num_classes") or 0)
    if task == SEGMENTATION and classes > MOST:
        raise CouloirError(
            f"The run has {classes} classes, and the pixels of a PNG with a palette can name {MOST}.",
            next_step="couloir.load(RUN)(image).map gives them in Python",
        )

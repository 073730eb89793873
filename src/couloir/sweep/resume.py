"""`couloir resume SWEEP`: the same words once more, over the study that is there. Nothing here imports torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from couloir.errors import CouloirError, did_you_mean
from couloir.record.find import SWEEP_FILE
from couloir.sweep.multirun import multirun
from couloir.sweep.sweep import FINISHED, alive

OPEN = (
    "sweep.n_trials", "sweep.workers", "sweep.isolation", "sweep.max_failures", "hydra/launcher", "output_dir",
    "allow_targets",
)  # fmt: skip
"""What may be another when a sweep goes on, besides the keys of the launcher."""


def go_on_with(folder: Path, overrides: list[str], command: list[str]) -> int:
    """Finish what is missing of a sweep.

    Args:
        folder: of the sweep.
        overrides: what is to be another from now on.
        command: the whole command line.

    Returns:
        the exit code.

    Raises:
        CouloirError: a process is at work on it, its file cannot be read, or what is to change is settled.
    """
    content = _read(folder)
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key not in OPEN and not key.startswith("hydra.launcher."):
            hint = did_you_mean(key, OPEN, form="{}=...")
            raise CouloirError(
                f"'{key}' is settled once a sweep has begun.",
                next_step=hint or f"a sweep can go on with another {', '.join(OPEN[:4])}",
            )
    if alive(folder):
        raise CouloirError(
            f"The sweep {folder.name} is still going on.",
            place=str(folder),
            next_step="wait for it or stop it; the same `train -m` command takes part in a study with sweep.storage",
        )
    directory = Path(str(content.get("directory", ".")))
    if directory.is_dir():
        os.chdir(directory)  # its own `./conf`, modules and relative paths are those of where it was typed
    keys = {override.partition("=")[0] for override in overrides}
    words = [str(word) for word in content["words"] if str(word).partition("=")[0] not in keys]
    words = [word for word in words if not word.lstrip("+").startswith(("hydra.sweep.dir=", "sweep.name="))]
    asked = [override for override in overrides if not override.startswith("output_dir=")]
    return multirun([*words, *asked, f"sweep.name={content['study']}", f"hydra.sweep.dir='{folder}'"], command)


def begun(words: list[str]) -> Path | None:
    """The newest sweep of the very same words that is not finished, and that no process is at work on: what
    `auto_resume=true` goes on with.

    Args:
        words: what was typed after `-m`.
    """
    outputs = next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "outputs")
    for file in sorted(Path(outputs).glob(f"sweep/*/{SWEEP_FILE}"), reverse=True):
        if (
            sorted(_read(file.parent)["words"]) == sorted(words)
            and not alive(file.parent)
            and not _finished(file.parent)
        ):
            return file.parent.resolve()
    return None


def _finished(folder: Path) -> bool:
    """Whether a sweep has said at its end that all of its trials are there and none was left over."""
    return (folder / FINISHED).exists()


def _read(folder: Path) -> dict[str, Any]:
    file = folder / SWEEP_FILE
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CouloirError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("words"), list) or "study" not in content:
        raise CouloirError(f"{file} does not say what the sweep was.", next_step="begin it anew: train -m ...")
    return content

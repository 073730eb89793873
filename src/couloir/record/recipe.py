"""`recipe.yaml`: the words of a run as an experiment file. Nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from couloir.record.files import unreadable
from couloir.record.folder import RunFolder

FILE = "recipe.yaml"


def write_recipe(folder: RunFolder, text: str) -> None:
    """Write the experiment file of a run."""
    folder.write_text(FILE, text)


def read_recipe(run: Path, strict: bool = True) -> str | None:
    """The text of a run's experiment file; None where there is none.

    Raises:
        CouloirError: it cannot be read; only where strict.
    """
    try:
        return (run / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if strict:
            raise unreadable(run / FILE, error) from error
        return None

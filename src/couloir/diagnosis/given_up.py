"""Classes that a network has given up: it never says them, though there are samples. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from couloir.config.fields import learns_map
from couloir.record.run_files import RunFiles
from couloir.record.tested import read_confusion

NAMED = 5
"""Classes that are named; the others are counted."""
LARGE = 1.5
"""Times the mean number of samples of a class, from which on one class is so large that it may hide the others."""


def given_up_by(run: Path) -> str:
    """What a run's test says of classes that its network never says; "" where there are none, or was no test."""
    confusion = read_confusion(run)
    if confusion is None:
        return ""
    there, said = (
        [sum(row) for row in confusion.counts],
        [sum(column) for column in zip(*confusion.counts, strict=True)],
    )
    return given_up(said, there, confusion.classes, "test", RunFiles(run, strict=False).flat)


def given_up(
    said: Sequence[int], there: Sequence[int], classes: Sequence[str], split: str, keys: Mapping[str, Any]
) -> str:
    """A sentence about classes that have samples and that a network never says; "" where there are none.

    Args:
        said: how often it says each class.
        there: how many samples each class has; of maps, how many pixels.
        classes: their names.
        split: what the split is called.
        keys: the run's configuration by dotted keys.
    """
    never = [place for place, count in enumerate(there) if count and not said[place]]
    if not never:
        return ""
    counted = "pixels" if learns_map(keys) else "samples"
    total, spoken = sum(there), [place for place, count in enumerate(said) if count]
    if len(spoken) == 1:
        (only,) = spoken
        right = f"{there[only] / total:.1%} of them are of that class"
        fact = f"The network says {classes[only]} for all {total:,} {split} {counted}; {right}."
    else:
        first = sorted(never, key=lambda place: -there[place])[:NAMED]
        named = ", ".join(f"{classes[place]} ({there[place]:,} {counted})" for place in first)
        more = f" and {len(never) - NAMED} more" if len(never) > NAMED else ""
        share = sum(there[place] for place in never) / total
        fact = (
            f"The network never says {len(never)} of the {len(there)} classes, {share:.1%} of the {split} {counted}: "
            f"{named}{more}."
        )
    words = _words(keys) if max(there) >= LARGE * total / len(there) else []
    if not words:
        return f"{fact} It may not have learned enough: `couloir diagnose` says what to try."
    measured = learns_map(keys) or any(key.startswith("metric.balanced_accuracy.") for key in keys)
    measure = "" if measured else "; metric=balanced_accuracy counts each class the same"
    return f"{fact} Try {' or '.join(words)}{measure}."


def _words(keys: Mapping[str, Any]) -> list[str]:
    """What can be typed against unequal classes; none where the run has done something already."""
    if keys.get("loss.class_weights") is not None or keys.get("data.sampler") == "balanced":
        return []
    weights = "loss.class_weights" in keys
    sampler = keys.get("data.sampler") == "shuffled" and not learns_map(keys)  # an image has pixels of many classes
    return ["loss.class_weights=balanced"] * weights + ["data.sampler=balanced"] * sampler

"""The classifier that samples are measured by: `metric.features`, the run of one, or the one that comes with Couloir.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from couloir.config.fields import fields_of
from couloir.config.metrics import CLASSIFICATION, chosen_metrics, task_of
from couloir.errors import CouloirError
from couloir.record.checkpoint import best_weights
from couloir.record.configuration import read_configuration
from couloir.record.find import find_run

CLASSIFIER = "couloir.metric.features.classifier"
"""The target of the part of a metric that is such a classifier."""
KEY = "metric.features"


def settle_classifier(cfg: DictConfig) -> None:
    """The folder of the run whose classifier measures: `latest` will soon be another one.

    Args:
        cfg: the configuration; it is changed.

    Raises:
        CouloirError: there is no such run.
    """
    node = cfg.get("metric")
    if _measures(cfg) and OmegaConf.is_dict(node) and isinstance(node.get("features"), str):
        node.features = str(_found(node.features, cfg))


def check_classifier(cfg: DictConfig) -> None:
    """Whether there is a classifier for the images that are to be measured; it only reads.

    Raises:
        CouloirError: the run is gone, has no checkpoint, is no classification of images, or one of images with other
            channels; or there is none, and the embedded one does not know such images.
    """
    if not _measures(cfg):
        return
    word, channels = (cfg.get("metric") or {}).get("features"), cfg.data.get("channels")
    if word is None:
        if channels != 1:
            raise CouloirError(
                f"The classifier that comes with Couloir knows grey images alone, and the data has {channels} "
                "channels.",
                place=KEY,
                next_step=f"{KEY}=RUN, the run of a classification of such images, or leave metric=samples out",
            )
        return
    run = _found(str(word), cfg)
    try:
        best_weights(run)
    except CouloirError as error:
        raise _told(error, word) from error
    theirs = OmegaConf.create(read_configuration(run) or {})
    another = f"{KEY}=RUN, the run of a classification of images"
    if not (isinstance(theirs, DictConfig) and OmegaConf.is_dict(theirs.get("data"))):
        raise CouloirError(f"{run.name} has no configuration of a run.", place=f"{KEY}={word}", next_step=another)
    task, size, given = task_of(theirs), theirs.data.get("image_size"), theirs.data.get("channels")
    if task != CLASSIFICATION or size is None or "image" not in fields_of(theirs.data).values():
        what = f"a {task.replace('_', ' ')}" + ("" if task != CLASSIFICATION else " of rows")
        raise CouloirError(
            f"{run.name} is {what}, and samples are measured by a classifier of images.",
            place=f"{KEY}={word}",
            next_step=another,
        )
    if given != channels:
        raise CouloirError(
            f"{run.name} classifies images with {_of(given)}, and the data has {_of(channels)}.",
            place=f"{KEY}={word}",
            next_step=f"{another} with {_of(channels)}",
        )


def classifier_file(cfg: DictConfig) -> Path | None:
    """The checkpoint of the run whose classifier measures; None: there is no such metric, or it is the embedded one.

    Args:
        cfg: a settled configuration.

    Raises:
        CouloirError: the run is gone, or has no checkpoint.
    """
    word = (cfg.get("metric") or {}).get("features")
    return best_weights(_found(str(word), cfg)) if word is not None and _measures(cfg) else None


def _measures(cfg: DictConfig) -> bool:
    """Whether a chosen metric asks a classifier."""
    return any(
        isinstance(part, Mapping) and part.get("_target_") == CLASSIFIER
        for node in chosen_metrics(cfg).values()
        for part in (node.values() if isinstance(node, Mapping) else ())
    )


def _found(word: str, cfg: DictConfig) -> Path:
    try:
        return find_run(word, cfg.output_dir)
    except CouloirError as error:
        raise _told(error, word) from error


def _told(error: CouloirError, word: Any) -> CouloirError:
    """What is wrong with a run, and which key names it."""
    return CouloirError(error.fact, place=f"{KEY}={word}", next_step=error.next_step)


def _of(channels: Any) -> str:
    return "one channel" if channels == 1 else f"{channels} channels"

"""The images of a sentence's data as tar shards: what can be written is known before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from couloir.config.compose import Sentence
from couloir.config.fields import KINDS
from couloir.data.shards.naming import SPLITS
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.shards.writing import Written


def check_images(cfg: DictConfig, folder: Path) -> None:
    """Whether the data is of images with one class each, and nothing is in the folder.

    Raises:
        CouloirError: it is not; something is.
    """
    fields = dict(cfg.data.get("fields") or {})
    if sorted(fields.values()) != ["image", "label"]:
        held = " and ".join(KINDS.get(str(kind), str(kind)) for kind in fields.values())
        raise CouloirError(
            f"Shards hold images of one class each, and this data has {held or 'fields of its own'}.",
            next_step="data=image_folder, data=imagenet, data=mnist or another set of images with classes",
        )
    if cfg.data.get("label_noise"):
        raise CouloirError(
            "data.label_noise belongs to a training, and shards hold the true labels.",
            next_step="leave it out here, and add it where you train on the shards",
        )
    if folder.is_file():
        raise CouloirError(f"{folder} is a file.", next_step="--to-shards FOLDER names a new folder")
    first = next(folder.iterdir(), None) if folder.is_dir() else None
    if first is not None:
        raise CouloirError(
            f"The folder {folder} is not empty: it holds {first.name}.",
            next_step="--to-shards FOLDER names a new folder; nothing that is there is replaced",
        )


def write(sentence: Sentence, folder: Path, megabytes: float) -> Written:
    """Write the splits of a sentence's data as shards.

    Args:
        sentence: a checked sentence.
        folder: a new or empty one.
        megabytes: after so many the next shard begins.

    Raises:
        CouloirError: the data cannot be read or written.
    """
    from couloir.data.samples import Samples
    from couloir.data.shards.writing import MB, write_shards
    from couloir.inspect.dataset.facts import spared
    from couloir.run.assemble import load_data

    cfg = spared(sentence.cfg)
    if "on_error" in cfg.data:
        cfg.data.on_error = sentence.cfg.data.on_error  # what cannot be decoded is not written
    data = load_data(cfg, reports=False)
    if not isinstance(data, Samples):
        raise CouloirError(
            "Your own data module hands out batches, and shards are written from a set's samples.",
            next_step=f"shards of your own need KEY.jpg and KEY.cls in {SPLITS[0]}-000000.tar",
        )
    return write_shards(data, folder, int(megabytes * MB))

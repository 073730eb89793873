"""Which photographs a folder holds: `root/train/<class>/*.jpg`, with `val/` and `test/` or without them.

Nothing here imports torch.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from couloir.errors import CouloirError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass
class Listing:
    """The files of a folder of classes: paths and labels of each split that there is."""

    classes: list[str]
    splits: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)


def list_images(root: Path) -> Listing:
    """The images below a root, sorted, so that labels and order are the same on every machine.

    Raises:
        CouloirError: there are no class folders, a class has no image to train on, or a split has no image, or a class
            that the training lacks.
    """
    train = root / "train" if (root / "train").is_dir() else root
    classes = _folders(train) if train != root else [name for name in _folders(root) if name not in ("val", "test")]
    if not classes:
        raise CouloirError(
            f"{train} has no class folders.", next_step="put the images into data.root/train/<class>/, a folder a class"
        )
    listing = Listing(classes)
    for split, folder in {"train": train, "val": root / "val", "test": root / "test"}.items():
        if not folder.is_dir():
            continue
        unknown = sorted(set(_folders(folder)) - set(classes)) if folder != root else []
        if unknown:
            raise CouloirError(f"The class '{unknown[0]}' is in {split} but not in train.", place=str(folder))
        listing.splits[split] = list(
            itertools.chain.from_iterable(_files(folder, name, label, split) for label, name in enumerate(classes))
        )
        if not listing.splits[split]:
            raise CouloirError(
                f"{folder} has no images in class folders.",
                next_step="add images, or remove the folder: then a part of the training images is held out",
            )
    return listing


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path, name: str, label: int, split: str) -> list[tuple[Path, int]]:
    found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in ENDINGS)
    if not found and split == "train":
        raise CouloirError(
            f"The class folder '{name}' has no images ({', '.join(ENDINGS)}).",
            place=str(folder / name),
            next_step="add images, or remove the folder",
        )
    return [(path, label) for path in found]

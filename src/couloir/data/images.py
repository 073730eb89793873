"""Photographs in folders, a folder a class: `root/train/<class>/*.jpg`, with `val/` and `test/` or a seeded split."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from couloir.data.roots import data_root
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM")
LOOKED_AT = 2000
"""Files whose first bytes are looked at before training, evenly spaced; all are looked at when they are decoded."""


@dataclass
class Listing:
    """The files of a folder of classes: paths and labels of each split that there is."""

    classes: list[str]
    splits: dict[str, list[tuple[Path, int]]] = field(default_factory=dict)


def image_folder(
    root: str | None,
    memory_budget: float,
    resize: int | None = None,
    cache: bool = False,
    cache_size: float = 50.0,
    cache_dir: str | None = None,
    on_error: str = "raise",
    max_pixels: int | None = None,
    **keys: Any,
) -> Samples:
    """The folder as `Samples`; what fits into `memory_budget` GiB once decoded is decoded once.

    Args:
        root: the folder.
        memory_budget: GiB of decoded images that may stay in memory.
        resize: pixels that the shorter side of each photograph is scaled to, before squares or random windows are cut
        out of it; None: the images' size.
        cache: whether decoded photographs are kept on disk, for later epochs and runs.
        cache_size: GiB that the caches of all sets may take together.
        cache_dir: the folder of the caches; None: `$COULOIR_CACHE` or `~/.cache/couloir`.
        on_error: `raise` or `skip`: whether a photograph that cannot be decoded ends the run, or is left out from the
            beginning (see `couloir.data.unreadable`).
        max_pixels: photographs of more pixels are refused; None: `couloir.data.decode.MAX_PIXELS`.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB, cache_folder
    from couloir.data.decode import MAX_PIXELS
    from couloir.data.folder import load_folder
    from couloir.data.samples import Samples
    from couloir.data.unreadable import leave_out_unreadable
    from couloir.data.windows import windows_first

    def load() -> Any:
        folder = data_root(root, "images")
        listing, skipped = list_images(folder), []
        if on_error == "skip":
            frames = resize or keys["image_size"]
            skipped = leave_out_unreadable(
                listing, folder, frames, keys["channels"], cache_folder(cache_dir), max_pixels or MAX_PIXELS
            )
        loaded = load_folder(
            listing.splits,
            listing.classes,
            keys["image_size"],
            keys["channels"],
            memory_budget,
            resize=resize,
            windows=windows_first(samples.augmentation)[0] is not None,
            cache=(cache_folder(cache_dir), cache_size * GIB) if cache else None,
            max_pixels=max_pixels or MAX_PIXELS,
        )
        loaded.skipped = skipped
        return loaded

    samples = Samples(load, **keys)
    return samples


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Count the classes and look at the first bytes of the files.

    Raises:
        CouloirError: no folder, no classes, an empty class, a file that is not an image, or another number of classes
        than stated.
    """
    stated_root = keys.get("root")
    if stated_root is None:
        raise CouloirError("The folder of the images is not stated.", next_step="add data.root=FOLDER")
    resize, size = keys.get("resize"), keys.get("image_size")
    if resize is not None and size is not None and resize < size:
        raise CouloirError(
            f"data.resize={resize} is smaller than data.image_size={size}: there is no such square in the photographs.",
            next_step=f"data.resize={size} or more, or null",
        )
    listing = list_images(data_root(stated_root, "images"))
    stated = keys.get("num_classes")
    if stated is not None and stated != len(listing.classes):
        raise CouloirError(
            f"There are {len(listing.classes)} class folders, not {stated}: {', '.join(listing.classes[:12])}.",
            place=str(stated_root),
            next_step="leave data.num_classes out to have the folders counted",
        )
    if keys.get("on_error") != "skip":
        files = [path for samples in listing.splits.values() for path, _ in samples]
        for path in files[:: -(-len(files) // LOOKED_AT)]:
            _check_signature(path)
    return {"num_classes": len(listing.classes), "classes": listing.classes}


def _check_signature(path: Path) -> None:
    next_step = "remove or mend it; data.on_error=skip leaves out what cannot be decoded when a run begins"
    try:
        if path.exists() and not path.is_file():
            raise CouloirError(f"{path.name} is not a file.", place=str(path), next_step=next_step)
        with path.open("rb") as stream:
            start = stream.read(12)
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror}.", place=str(path), next_step=next_step
        ) from error
    if not start.startswith(SIGNATURES) and not (start[:4] == b"RIFF" and start[8:] == b"WEBP"):
        raise CouloirError(
            f"{path.name} is not an image: it begins with {start[:4].hex(' ') or 'nothing'}.",
            place=str(path),
            next_step=next_step,
        )


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
                next_step="add images, or remove the folder to have a share of the others held out",
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

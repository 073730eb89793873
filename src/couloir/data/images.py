"""Photographs in folders, a folder a class: `root/train/<class>/*.jpg`, with `val/` and `test/` or a seeded split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import ImageColor

from couloir.config.image_size import ImageSize, covering, is_square, size_of, typed
from couloir.data.headers import START, recognised, refuse_format
from couloir.data.listing import list_images
from couloir.data.roots import data_root
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples

LOOKED_AT = 2000
"""Files whose first bytes are looked at before training, evenly spaced; all are looked at when they are decoded."""


def image_folder(
    root: str | None,
    memory_budget: float,
    resize: ImageSize | None = None,
    cache: bool = False,
    cache_size: float = 50.0,
    cache_dir: str | None = None,
    on_error: str = "raise",
    max_pixels: int | None = None,
    background: str | list[int] = "white",
    bits: int | None = None,
    **keys: Any,
) -> Samples:
    """The folder as `Samples`; what fits into `memory_budget` GiB once decoded is decoded once.

    Args:
        root: the folder.
        memory_budget: GiB of decoded images that may stay in memory.
        resize: pixels that the shorter side of each photograph is scaled to, before its middle or random windows are
            cut out of it; or `[height, width]`, which it then just covers; None: the images' size.
        cache: whether decoded photographs are kept on disk, for later epochs and runs.
        cache_size: GiB that the caches of all sets may take together.
        cache_dir: the folder of the caches; None: `$COULOIR_CACHE` or `~/.cache/couloir`.
        on_error: `raise` or `skip`: whether a photograph that cannot be decoded ends the run, or is left out from the
            beginning (see `couloir.data.unreadable`).
        max_pixels: photographs of more pixels are refused; None: `couloir.data.decode.MAX_PIXELS`.
        background: the colour that shows where a photograph is transparent: a name, `#rrggbb`, or red, green and blue.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB, cache_folder
    from couloir.data.decode import MAX_PIXELS, Reading
    from couloir.data.folder import load_folder
    from couloir.data.samples import Samples
    from couloir.data.unreadable import leave_out_unreadable
    from couloir.data.windows import windows_first

    reading = Reading(keys["channels"], max_pixels or MAX_PIXELS, colour(background), bits)

    def load() -> Any:
        folder = data_root(root, "images")
        listing, skipped = list_images(folder), []
        if on_error == "skip":
            frames = resize or keys["image_size"]
            skipped = leave_out_unreadable(listing, folder, frames, reading, cache_folder(cache_dir))
        loaded = load_folder(
            listing.splits,
            listing.classes,
            keys["image_size"],
            memory_budget,
            reading,
            resize=resize,
            windows=windows_first(samples.augmentation)[0] is not None,
            cache=(cache_folder(cache_dir), cache_size * GIB) if cache else None,
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
        raise CouloirError("The folder of the images is missing.", next_step="add data.root=FOLDER")
    resize, size = keys.get("resize"), keys.get("image_size")
    if resize is not None and size is not None and size_of(covering(resize, size)) != size_of(resize):
        shape = "square" if is_square(size) else "rectangle"
        raise CouloirError(
            f"data.resize={typed(resize)} is smaller than data.image_size={typed(size)}: there is no such {shape} in "
            "the photographs.",
            next_step=f"data.resize={typed(covering(resize, size))} or more, or null",
        )
    colour(keys.get("background", "white"))
    listing = list_images(data_root(stated_root, "images"))
    stated = keys.get("num_classes")
    if stated is not None and stated != len(listing.classes):
        raise CouloirError(
            f"There are {len(listing.classes)} class folders, not {stated}: {', '.join(listing.classes[:12])}.",
            place=str(stated_root),
            next_step="leave data.num_classes out: Couloir counts the folders",
        )
    if keys.get("on_error") != "skip":
        files = [path for samples in listing.splits.values() for path, _ in samples]
        for path in files[:: -(-len(files) // LOOKED_AT)]:
            _check_signature(path)
    return {"num_classes": len(listing.classes), "classes": listing.classes}


def colour(stated: str | list[int]) -> tuple[int, int, int]:
    """A colour by its name, as `#rrggbb`, or as red, green and blue from 0 to 255.

    Raises:
        CouloirError: it is none of these.
    """
    try:
        values = ImageColor.getrgb(stated)[:3] if isinstance(stated, str) else tuple(stated)
        red, green, blue = values
        if all(isinstance(value, int) and 0 <= value <= 255 for value in values):
            return red, green, blue
    except (ValueError, TypeError):
        pass
    raise CouloirError(
        f"data.background={stated} is no colour.",
        next_step="data.background=white, data.background='#808080' or data.background=[128,128,128]",
    )


def _check_signature(path: Path) -> None:
    next_step = "remove or repair the file; data.on_error=skip leaves out, at the start, what cannot be decoded"
    try:
        if path.exists() and not path.is_file():
            raise CouloirError(f"{path.name} is not a file.", place=str(path), next_step=next_step)
        with path.open("rb") as stream:
            start = stream.read(START)
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror}.", place=str(path), next_step=next_step
        ) from error
    name = recognised(start)
    if name is None:
        raise CouloirError(
            f"{path.name} is not an image: its first bytes are {start[:4].hex(' ') or 'missing'}.",
            place=str(path),
            next_step=next_step,
        )
    refuse_format(path, name)

"""Photographs in folders, a folder a class: `root/train/<class>/*.jpg`, with `val/` and `test/` or a seeded split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from PIL import ImageColor

from couloir.config.image_size import ImageSize, covering, is_square, size_of, typed
from couloir.data.classes import check_choice, only
from couloir.data.groups import counted, groups_of_files
from couloir.data.headers import REPAIR, START, recognised, refuse_format
from couloir.data.labels import list_labelled, usual_table
from couloir.data.listing import Listing, list_images
from couloir.data.roots import data_root
from couloir.data.targets import in_two_cases
from couloir.errors import CouloirError
from couloir.machine import cache_folder

if TYPE_CHECKING:
    from couloir.data.decode import Reading
    from couloir.data.samples import Samples

TASKS = {"label": "classification", "labels": "multi_label", "value": "regression"}
"""What is learned of each kind of target."""
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
    group_pattern: str | None = None,
    max_pixels: int | None = None,
    background: str | list[int] = "white",
    bits: int | None = None,
    labels: str | None = None,
    label_columns: Mapping[str, Any] | None = None,
    label_separator: str | None = None,
    classes: Sequence[str | int] | None = None,
    find: Callable[[], Listing] | None = None,
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
        group_pattern: a regular expression that finds the group of each photograph in its path below the root; None:
            there are no groups.
        max_pixels: photographs of more pixels are refused; None: `couloir.data.decode.MAX_PIXELS`.
        background: the colour that shows where a photograph is transparent: a name, `#rrggbb`, or red, green and blue.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        labels: a table of labels below the folder; None: the folders are the classes.
        label_columns: the names of its columns `file`, `label` and `split`, where they are not the usual ones.
        label_separator: what stands between several labels in a cell; None: `;` or `|` where cells have it.
        classes: the classes that take part, by name or number, in the order of their labels; None: all.
        find: lists the photographs; None: the folders, or the table, do.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB
    from couloir.data.decode import unused_bits
    from couloir.data.folder import load_folder
    from couloir.data.samples import Samples
    from couloir.data.unreadable import leave_out_unreadable
    from couloir.data.windows import windows_first

    reading = reading_of(
        {"channels": keys["channels"], "max_pixels": max_pixels, "background": background, "bits": bits}
    )

    def load() -> Any:
        folder = data_root(root, "images")
        found = (
            listed(root, labels, label_columns, label_separator, keys["task"], keys.get("fields"), on_error)
            if find is None
            else find()
        )
        listing = only(found, classes)
        skipped = []
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
        loaded.skipped, loaded.notes = [*skipped, *listing.left_out], listing.notes
        loaded.groups = groups_of_splits(listing, folder, group_pattern).get("train")
        if bits is None:
            loaded.notes += unused_bits([path for path, _ in listing.splits["train"]], reading.max_pixels)
        return loaded

    samples = Samples(load, **keys)
    return samples


def reading_of(keys: Mapping[str, Any]) -> Reading:
    """How pixels are made of files, by the keys of a data node; those that it does not have are as usual.

    Raises:
        CouloirError: the background is no colour.
    """
    from couloir.data.decode import MAX_PIXELS, Reading

    background = keys.get("background")
    return Reading(
        keys["channels"], keys.get("max_pixels") or MAX_PIXELS,
        colour("white" if background is None else background), keys.get("bits"),
    )  # fmt: skip


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Count the classes and look at the first bytes of the files.

    Raises:
        CouloirError: no folder, no classes, an empty class, a file that is not an image, or another number of classes
        than stated.
    """
    stated_root = keys.get("root")
    check_keys(keys)
    listing = _listed_by(keys)
    stated = keys.get("num_classes")
    count = len(listing.classes) or 1
    if stated is not None and stated != count:
        named = f"{count} {'classes in the table' if keys.get('labels') else 'class folders'}"
        raise CouloirError(
            f"There are {named if listing.classes else 'values to predict, one each'}, not {stated}"
            f"{': ' * bool(listing.classes)}{', '.join(listing.classes[:12])}.",
            place=str(stated_root),
            next_step="leave data.num_classes out: Couloir counts them",
        )
    check_signatures(listing, keys)
    return {
        "task": TASKS[listing.kind], "fields": {"image": "image", listing.kind: listing.kind}, "num_classes": count,
        "classes": listing.classes,
    }  # fmt: skip


def check_keys(keys: Mapping[str, Any]) -> None:
    """Check the keys that say which pictures there are, and how they are cut, by themselves.

    Raises:
        CouloirError: there is no folder, no such window in a scaled picture, or no such colour.
    """
    if keys.get("root") is None:
        raise CouloirError("The folder of the images is missing.", next_step="add data.root=FOLDER")
    check_crop(keys)
    colour(keys.get("background", "white"))


def check_crop(keys: Mapping[str, Any]) -> None:
    """Check that pictures are as large as what is cut out of them.

    Raises:
        CouloirError: there is no such window in a scaled picture.
    """
    resize, size = keys.get("resize"), keys.get("image_size")
    if resize is not None and size is not None and size_of(covering(resize, size)) != size_of(resize):
        shape = "square" if is_square(size) else "rectangle"
        raise CouloirError(
            f"data.resize={typed(resize)} is smaller than data.image_size={typed(size)}: there is no such {shape} in "
            "the photographs.",
            next_step=f"data.resize={typed(covering(resize, size))} or more, or null",
        )


def check_signatures(listing: Listing, keys: Mapping[str, Any]) -> None:
    """Look at the first bytes of files, unless those that cannot be decoded are to be left out.

    Raises:
        CouloirError: one is no picture.
    """
    if keys.get("on_error") != "skip":
        files = [path for samples in listing.splits.values() for path, _ in samples]
        for path in files[:: -(-len(files) // LOOKED_AT)]:
            _check_signature(path)


def listed(
    root: str | None,
    labels: str | None = None,
    columns: Mapping[str, Any] | None = None,
    separator: str | None = None,
    task: str | None = None,
    fields: Mapping[str, str] | None = None,
    on_error: str | None = "raise",
) -> Listing:
    """What a folder holds, by its class folders or by a table of labels; the arguments are those of `image_folder`.

    Raises:
        CouloirError: the folder, or the table, cannot be used.
    """
    folder, skip = data_root(root, "images"), on_error == "skip"
    table = labels or usual_table(folder)
    if table is not None:
        return _with_warning(list_labelled(folder, table, columns, separator, task, skip))
    if columns or separator:
        raise CouloirError(
            "data.label_columns and data.label_separator are for a table of labels.",
            next_step="add data.labels=FILE.csv",
        )
    learns_labels = fields is None or not {"label", "labels"}.isdisjoint(fields.values())
    return _with_warning(list_images(folder, skip, least=2 if learns_labels else 1))


def _with_warning(listing: Listing) -> Listing:
    """With a note of classes that may be one."""
    if pair := in_two_cases(listing.classes):
        listing.notes.append(f"warning: the classes {pair[0]} and {pair[1]} differ only in the case of their letters")
    return listing


def _listed_by(keys: Mapping[str, Any]) -> Listing:
    """What `inspect` and `count` are told of: the chosen classes alone."""
    listing = listed(
        keys["root"], keys.get("labels"), keys.get("label_columns"), keys.get("label_separator"), keys.get("task"),
        keys.get("fields"), keys.get("on_error"),
    )  # fmt: skip
    if keys.get("classes") is None:
        return listing
    chosen = only(listing, keys["classes"])
    check_choice(keys, listing.classes)
    return chosen


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many photographs folds are made of, and how many groups these are in; None: there are no groups.

    Raises:
        CouloirError: a file has no group, or a group is in two splits.
    """
    listing, folder = _listed_by(keys), data_root(keys["root"], "images")
    groups = groups_of_splits(listing, folder, keys.get("group_pattern"))
    return len(listing.splits["train"]), counted(groups, keys.get("folds") is not None, str(keys["root"]))


def groups_of_splits(listing: Listing, root: Path, pattern: str | None) -> dict[str, NDArray[Any]]:
    """The groups of the photographs of each split that there is; empty without a pattern."""
    if pattern is None:
        return {}
    return {name: groups_of_files([path for path, _ in files], root, pattern) for name, files in listing.splits.items()}


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
    try:
        if path.exists() and not path.is_file():
            raise CouloirError(f"{path.name} is not a file.", place=str(path), next_step=REPAIR)
        with path.open("rb") as stream:
            start = stream.read(START)
    except OSError as error:
        raise CouloirError(
            f"{path.name} cannot be read: {error.strerror}.", place=str(path), next_step=REPAIR
        ) from error
    name = recognised(start)
    if name is None:
        raise CouloirError(
            f"{path.name} is not an image: its first bytes are {start[:4].hex(' ') or 'missing'}.",
            place=str(path),
            next_step=REPAIR,
        )
    refuse_format(path, name)

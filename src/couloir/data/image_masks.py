"""Images and their masks, or maps of values, in folders: a class, or a value, for each pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from couloir.config.fields import IGNORED
from couloir.config.image_size import ImageSize
from couloir.data.groups import counted, groups_of_files
from couloir.data.headers import UNREADABLE, read_header
from couloir.data.images import reading_of
from couloir.data.mask_table import COLOUR, EXAMPLE, table_of
from couloir.data.masks import REPAIR, ReadMask, ReadValues, classes_found, numbered, opened, values_of
from couloir.data.pairing import NAMED, Paired, list_pairs
from couloir.data.roots import data_root
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError
from couloir.machine import cache_folder, cores

if TYPE_CHECKING:
    from couloir.data.samples import Samples

CLASSES, VALUES = "classes", "values"
"""What `data.maps` may say."""
LOOKED_AT = 2000
"""Pairs whose headers are compared before training, evenly spaced; all are compared when the set is loaded."""
DECODED = 500
"""Masks whose values tell the classes where nobody states them, evenly spaced."""
TRIED = 20
"""Masks that are read before training where the classes are stated; all are read when the set is loaded."""
LARGEST = 178_956_970
"""Pixels of a picture at most, where no key says so."""
TURNED = ", turned as its EXIF says"
"""How a message begins to say that a mask lies as its image is stored, not as it is shown."""
NAMED_CLASSES = 12
"""Classes that the console names with their values."""
ROOTS = {"membrane": "membrane", "pedestrians": "pedestrians"}
"""The folders below `$COULOIR_DATA` of the sets that have one, by the names of their functions."""


def image_masks(
    root: str | None,
    images: str | None,
    masks: str | None,
    maps: str,
    colours: Mapping[Any, Any] | None,
    ignore_index: int | str | None,
    memory_budget: float,
    resize: ImageSize | None,
    windows: str,
    cache: bool,
    cache_size: float,
    cache_dir: str | None,
    on_error: str,
    group_pattern: str | None,
    test_pattern: str | None,
    max_pixels: int,
    background: str | list[int],
    bits: int | None,
    name: str = "image_masks",
    **keys: Any,
) -> Samples:
    """The folder as `Samples`: windows of the images to train on, whole images to validate and to test on.

    Args:
        root: the folder.
        images: the name of the folder of the images; None: one of the usual names.
        masks: the name of the folder of the masks or maps; None: one of the usual names.
        maps: `classes` or `values`: what the files of masks hold.
        colours: the class's name -> value or values, as `couloir.data.masks.table_of` reads them; None: the values
            that there are are the classes.
        ignore_index: the value of pixels that take no part; None: all do.
        memory_budget: GiB of decoded images that may stay in memory.
        resize: what images are scaled to before windows are cut: pixels of the shorter side, or a height and a width;
            None: they keep their sizes.
        windows: `anywhere` or `middle`: where windows to train on are cut, where no augmentation says so.
        cache: whether decoded images are kept on disk.
        cache_size: GiB that the caches of all sets may take together.
        cache_dir: the folder of the caches; None: `$COULOIR_CACHE` or `~/.cache/couloir`.
        on_error: `raise` or `skip`: what becomes of pairs that cannot be used.
        group_pattern: a regular expression that finds the group of each image in its path below the root.
        test_pattern: a regular expression that finds the images of the test split in their paths below the root.
        max_pixels: pictures of more pixels are refused.
        background: the colour that shows where an image is transparent.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        name: of the set, by which its usual folder is found.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB
    from couloir.data.pairs import Pair, load_pairs
    from couloir.data.samples import Samples

    stated = {
        "root": root, "images": images, "masks": masks, "maps": maps, "colours": colours, "ignore_index": ignore_index,
        "on_error": on_error, "test_pattern": test_pattern, "max_pixels": max_pixels,
    }  # fmt: skip
    reading = reading_of(
        {"channels": keys["channels"], "max_pixels": max_pixels, "background": background, "bits": bits}
    )

    def load() -> Any:
        paired = _listed(name, stated)
        read = _reader(stated)
        skipped = _check(paired, read, reading, on_error == "skip", cache_folder(cache_dir))
        loaded = load_pairs(
            {split: [Pair(*pair) for pair in pairs] for split, pairs in paired.splits.items()},
            keys["image_size"],
            memory_budget,
            reading,
            read,
            resize=resize,
            anywhere=windows == "anywhere",
            cache=(cache_folder(cache_dir), cache_size * GIB) if cache else None,
        )
        loaded.classes = list(read.table.classes) if isinstance(read, ReadMask) else []
        loaded.skipped, loaded.notes = [*skipped, *paired.left_out], [*paired.notes, *_told(read)]
        loaded.groups = _groups(paired, group_pattern).get("train")
        return loaded

    return Samples(load, planes=1, maps=maps, **keys)


def membrane(**keys: Any) -> Samples:
    """The slices of the ISBI challenge of 2012; `keys` are those of `image_masks`."""
    return image_masks(name="membrane", **keys)


def pedestrians(**keys: Any) -> Samples:
    """Penn-Fudan pedestrians; `keys` are those of `image_masks`."""
    return image_masks(name="pedestrians", **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """List the pairs, compare sizes by headers, and find out which classes there are.

    Raises:
        CouloirError: no folder, no pairs, a partner that is missing, a mask of another size than its image, a value
            that is in no class, or another number of classes than stated.
    """
    if keys.get("maps", CLASSES) not in (CLASSES, VALUES):
        raise CouloirError(
            f"data.maps takes one of {CLASSES}, {VALUES}, not {keys['maps']}.",
            next_step=f"data.maps={VALUES} for maps from 0 to 1, such as those of saliency",
        )
    paired = _listed(target, keys)
    lacking = 3 - len(paired.splits)  # splits that are to be held out, one image each at least
    if len(paired.splits["train"]) <= lacking:
        number = len(paired.splits["train"])
        held = [word for split, word in (("val", "validate"), ("test", "test")) if split not in paired.splits]
        raise CouloirError(
            f"There {'is 1 image' if number == 1 else f'are {number} images'}, too few to "
            f"{', '.join(['train', *held[:-1]])} and {held[-1]} on: each takes one at least.",
            place=str(paired.root),
            next_step="add images; one that is large can be cut into several files, with its mask",
        )
    pairs = [pair for part in paired.splits.values() for pair in part]
    skip = keys.get("on_error") == "skip"
    some = _evenly(pairs, LOOKED_AT)
    if not skip:
        _refuse_sizes(some)
    values, colours = keys.get("maps") == VALUES, keys.get("colours")
    if colours is None and not values:
        colours = _colours(paired, keys)
    read = _reader({**keys, "colours": colours})
    if not skip:
        _refuse_unread([mask for _, mask in _evenly(pairs, TRIED)], read)
        if isinstance(read, ReadValues):
            _refuse_black(pairs, read, paired)
    classes = [] if isinstance(read, ReadValues) else list(read.table.classes)
    count, stated = len(classes) or 1, keys.get("num_classes")
    if stated is not None and stated != count:
        raise CouloirError(
            f"There {'is one map of values' if values else f'are {count} classes'}, not {stated}"
            f"{': ' * bool(classes)}{', '.join(classes[:12])}.",
            place=str(paired.root),
            next_step="leave data.num_classes out: Couloir counts them",
        )
    return {
        "task": "saliency" if values else "segmentation",
        "fields": {"image": "image", "saliency" if values else "mask": "map"},
        "num_classes": count,
        "classes": classes,
        "channels": channels_of([image for image, _ in some]),
        "colours": colours,
    }


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many images folds are made of, and how many groups these are in; None: there are no groups.

    Raises:
        CouloirError: a file has no group, or a group is in two splits.
    """
    paired = _listed(str(keys.get("_target_", "")).rpartition(".")[2], keys)
    groups = _groups(paired, keys.get("group_pattern"))
    return len(paired.splits["train"]), counted(groups, keys.get("folds") is not None, str(paired.root))


def _listed(name: str, keys: Mapping[str, Any]) -> Paired:
    """The pairs of a set, by the name of its function and its keys."""
    usual, root = ROOTS.get(name), keys.get("root")
    if root is None and usual is None:
        raise CouloirError("The folder of the images and masks is missing.", next_step="add data.root=FOLDER")
    folder = data_root(root, usual or "images")
    if not folder.is_dir():
        raise CouloirError(
            f"The files of data={name} are not there, and Couloir does not download them.",
            place=str(folder),
            next_step="put them there, or say where they are: data.root=FOLDER",
        )
    return list_pairs(
        folder, keys.get("images"), keys.get("masks"), keys.get("test_pattern"), keys.get("on_error") == "skip"
    )


def _reader(keys: Mapping[str, Any]) -> ReadMask | ReadValues:
    """How masks are read.

    Raises:
        CouloirError: the table cannot be read, or is stated for values.
    """
    most, colours, ignored = keys.get("max_pixels") or LARGEST, keys.get("colours"), keys.get("ignore_index")
    if keys.get("maps") == VALUES:
        if colours is not None or ignored is not None:
            raise CouloirError(
                "data.colours and data.ignore_index are for classes, and data.maps=values has none.",
                next_step="leave them out, or data.maps=classes",
            )
        return ReadValues(most)
    if not isinstance(colours, Mapping):
        raise CouloirError(f"data.colours takes names of classes and their values, not {colours}.", next_step=EXAMPLE)
    return ReadMask(table_of(colours, ignored), most)


def _colours(paired: Paired, keys: Mapping[str, Any]) -> dict[str, int | str]:
    """The table where nobody states one: the numbers below the stated number of classes, or the values of the masks."""
    most, ignored, stated = keys.get("max_pixels") or LARGEST, keys.get("ignore_index"), keys.get("num_classes")
    if isinstance(stated, int):
        if not 2 <= stated <= IGNORED:
            raise CouloirError(
                f"Masks have 2 to {IGNORED} classes, not {stated}.", next_step="leave data.num_classes out"
            )
        return {str(label): label for label in range(stated)}
    files = _evenly([mask for part in paired.splits.values() for _, mask in part], DECODED)
    if keys.get("on_error") == "skip":
        files = [path for path in files if _problem(_numbers_of(most), path) is None]
    values = values_of(files, most)
    if values.palettes and max(values.masks) >= COLOUR:
        values = values_of(files, most, in_colour=True)
    return classes_found(values, ignored, paired.masks)


def _told(read: ReadMask | ReadValues) -> list[str]:
    """What the values of the masks mean, for the console."""
    if isinstance(read, ReadValues):
        return []
    words = read.table.in_words()
    more = f" and {len(words) - NAMED_CLASSES} more" if len(words) > NAMED_CLASSES else ""
    return [f"masks: {', '.join(words[:NAMED_CLASSES])}{more}"]


def _numbers_of(most: int) -> Callable[[Path], Any]:
    return lambda path: numbered(opened(path, most), in_colour=False)


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    return list(items[:: max(1, -(-len(items) // most))])


def channels_of(images: Sequence[Path]) -> int:
    """1 where all images that were looked at are grey, else 3."""
    for path in images:
        try:
            if read_header(path).mode not in ("L", "1", "I", "F") and not read_header(path).mode.startswith("I;16"):
                return 3
        except UNREADABLE:
            continue  # decoding says so
    return 1


def _other_size(image: Path, mask: Path) -> str | None:
    """What is wrong with the sizes of a pair, by the headers; None where nothing is, or one cannot be read."""
    try:
        one, other = read_header(image), read_header(mask)
    except UNREADABLE:
        return None  # decoding says so
    if (one.width, one.height) == (other.width, other.height):
        return None
    sizes = f"has {other.width} x {other.height} pixels, and its image {image.name} {one.width} x {one.height}"
    lies = one.orientation > 4 and (one.width, one.height) == (other.height, other.width)
    return f"{sizes}{TURNED if lies else ''}"


def _refuse_sizes(pairs: Sequence[tuple[Path, Path]]) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        answers = list(pool.map(lambda pair: _other_size(*pair), pairs))
    wrong = [(mask, answer) for (_, mask), answer in zip(pairs, answers, strict=True) if answer is not None]
    if wrong:
        raise CouloirError(
            f"{wrong[0][0].name} {wrong[0][1]}{_more([mask for mask, _ in wrong], len(pairs))}.",
            place=str(wrong[0][0]),
            next_step=(
                "turn the mask as its image is shown, or take the orientation out of the image's EXIF"
                if TURNED in wrong[0][1]
                else "give both the same size, or remove them"
            )
            + "; data.on_error=skip leaves such pairs out",
        )


def _problem(read: Callable[[Path], Any], path: Path) -> CouloirError | None:
    try:
        read(path)
    except CouloirError as error:
        return error
    return None


def _refuse_unread(files: Sequence[Path], read: ReadMask | ReadValues) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        answers = list(pool.map(lambda path: _problem(read, path), files))
    wrong = [(path, error) for path, error in zip(files, answers, strict=True) if error is not None]
    if wrong:
        _, first = wrong[0]
        raise CouloirError(
            f"{first.fact.rstrip('.')}{_more([path for path, _ in wrong], len(files))}.", first.place, first.next_step
        ) from first


def _refuse_black(pairs: Sequence[tuple[Path, Path]], read: ReadValues, paired: Paired) -> None:
    """Refuse maps that nothing can be learned from: no pixel of any of them is brighter than 1 of 255."""
    # The first bright map ends the search, so that of usual sets one map is read.
    if not all(read(mask).max() <= 1 for _, mask in [*_evenly(pairs, TRIED), *pairs]):
        return
    raise CouloirError(
        f"All {len(pairs):,} maps are black: none has a pixel that is brighter than 1, and white, 255, stands for 1.",
        place=paired.masks,
        next_step="save the value 1 as white; if 0 and 1 are numbers of classes, data.maps=classes",
    )


def _more(wrong: Sequence[Path], looked_at: int) -> str:
    """The other files that have a mistake, a few of them by name."""
    others = [path.name for path in wrong[1:]]
    if not others:
        return ""
    more = len(others) - (NAMED - 1)
    shown = ", ".join(others[: NAMED - 1]) + (f" and {more:,} more" if more > 0 else "")
    return f"; {len(wrong):,} of {looked_at:,} masks that were looked at are wrong, also {shown}"


def _check(paired: Paired, read: ReadMask | ReadValues, reading: Any, skip: bool, folder: Path) -> list[Skipped]:
    """Read every mask once, and where pairs may be left out every image as well; what could be read is remembered.

    Raises:
        CouloirError: a mask cannot be used and `skip` is false, or nothing is left of a split.
    """
    from couloir.data.unreadable import unreadable_pairs

    pairs = [pair for part in paired.splits.values() for pair in part]
    if not skip:
        _refuse_sizes(pairs)
    masks = [mask for _, mask in pairs]
    wrong = unreadable_pairs(pairs, paired.root, read, reading, folder, images=skip, other_size=_other_size)
    if wrong and not skip:
        _refuse_unread([masks[place] for place in sorted(wrong)], read)
        raise CouloirError(f"{masks[min(wrong)].name} {wrong[min(wrong)]}.", str(masks[min(wrong)]), REPAIR)
    skipped, place = [], 0
    for split, part in paired.splits.items():
        kept = []
        for pair in part:
            if place in wrong:
                skipped.append(Skipped(split, str(pair[1]), None, "", wrong[place]))
            else:
                kept.append(pair)
            place += 1
        if not kept:
            raise CouloirError(
                f"None of the {len(part)} pairs in {split} can be used: the first mask {skipped[-len(part)].reason}.",
                place=skipped[-len(part)].file,
                next_step="repair the files, or remove the folder",
            )
        paired.splits[split] = kept
    return skipped


def _groups(paired: Paired, pattern: str | None) -> dict[str, NDArray[Any]]:
    """The groups of the images of each split that there is; empty without a pattern."""
    if pattern is None:
        return {}
    return {
        split: groups_of_files([image for image, _ in pairs], paired.root, pattern)
        for split, pairs in paired.splits.items()
    }

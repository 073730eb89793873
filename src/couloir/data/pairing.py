"""Which images a folder holds, and which mask belongs to each: by the names of folders and files.

`root/images` and `root/masks`, below each of them or above both the folders of splits where there are any. Nothing here
imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from couloir.data.listing import ENDINGS, MASK, SPLIT_NAMES, Walk, composed, split_folders, unwrapped
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError, as_typed

IMAGE_FOLDERS = (
    "images", "image", "imgs", "img", "jpegimages", "photos", "photographs", "pictures", "stimuli", "img_dir",
    "imagestr",
)  # fmt: skip
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "segmentation",
    "segmentations", "gt", "ground_truth", "groundtruth", "targets", "maps", "map", "saliency", "saliency_maps",
    "ann_dir", "labelstr",
)  # fmt: skip
"""What the folders of images and of masks are called, in small letters; the last ones by mmsegmentation and nnU-Net."""
CHANNEL = re.compile(r"_0000$")
"""What nnU-Net writes behind the name of an image: the number of its channel."""
NAMED = 3
"""Files that a message names; the others are counted."""


@dataclass
class Paired:
    """Images and their masks.

    Attributes:
        splits: images and masks of each split that there is, in the order of the images' names.
        root: the folder that they are in.
        masks: the folders of the masks, as messages name them.
        left_out: what is in the folders and not used.
        notes: what was recognised and may surprise.
    """

    root: Path
    splits: dict[str, list[tuple[Path, Path]]] = field(default_factory=dict)
    masks: str = ""
    left_out: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_pairs(
    root: Path, images: str | None = None, masks: str | None = None, test: str | None = None, skip: bool = False
) -> Paired:
    """The images and masks below a root.

    Args:
        root: the folder, or one in which it lies alone.
        images: the name of the folder of the images; None: one of the usual names.
        masks: the name of the folder of the masks; None: one of the usual names.
        test: a regular expression that finds the images of the test split in their paths below the root; None: the
            folders say what is test, or nothing does.
        skip: leave out images and masks without a partner, instead of refusing them.

    Raises:
        CouloirError: a folder is not there, or empty, or two may be meant; an image or a mask has no partner, or two.
    """
    root, notes = unwrapped(root)
    walk = Walk(skip)
    folders, files = walk.top(root)
    splits = split_folders(root, folders)
    if splits and not _named(folders, images, IMAGE_FOLDERS):
        places = {}
        for split, name in splits.items():
            places[split] = _both(root / name, walk.top(root / name, split)[0], images, masks)
    else:
        places = _below(*_both(root, folders, images, masks, files))
    found = Paired(root, masks=", ".join(dict.fromkeys(str(place) for _, place in places.values())), notes=notes)
    if "train" not in places:
        raise CouloirError(
            f"There are the splits {', '.join(places)} and no images to train on.",
            place=str(root),
            next_step="name the folder train, or move the images out of the folders of splits: Couloir divides them",
        )
    lone: list[Skipped] = []
    for split in [split for split in ("train", "val", "test") if split in places]:
        pairs = _match(walk, *places[split], split, lone)
        if not pairs:
            raise CouloirError(
                f"No image of {places[split][0]} has its mask in {places[split][1]}{_such(lone)}.",
                next_step="give a mask the name of its image, or that name and _mask: images/a.jpg, masks/a.png",
            )
        found.splits[split] = pairs
    if lone and not skip:
        raise CouloirError(
            f"{_counted(lone)}: {_files(lone)}.",
            place=lone[0].file,
            next_step="add the partner, or remove the file; data.on_error=skip leaves such files out",
        )
    if test is not None:
        _apart(found, test)
    found.left_out = [*lone, *walk.left_out]
    return found


def _named(folders: Sequence[str], stated: str | None, usual: tuple[str, ...]) -> list[str]:
    """Which of some folders are meant."""
    if stated is not None:
        return [stated] if Path(stated).parts[0] in folders else []
    return [name for name in folders if name.lower() in usual]


def _both(
    place: Path, folders: list[str], images: str | None, masks: str | None, files: Sequence[str] = ()
) -> tuple[Path, Path]:
    """The folders of the images and of the masks in a folder."""
    chosen = []
    for key, what, stated, usual, of_others in (
        ("images", "images", images, IMAGE_FOLDERS, MASK_FOLDERS),
        ("masks", "masks", masks, MASK_FOLDERS, IMAGE_FOLDERS),
    ):
        found = _named(folders, stated, usual)
        if len(found) > 1:
            raise CouloirError(
                f"The folders {' and '.join(repr(name) for name in found[:3])} may both hold the {what}.",
                place=str(place),
                next_step=f"data.{key}={found[0]}, or data.{key}={found[1]}",
            )
        if not found or not (place / found[0]).is_dir():
            there = f"; there {'is' if len(folders) == 1 else 'are'} {', '.join(folders[:8])}" if folders else ""
            beside = sum(Path(name).suffix.lower() in ENDINGS for name in files)
            there = f"; {beside:,} images lie in it, such as {next(iter(files))}" if beside and not folders else there
            likely = [name for name in folders if name.lower() not in of_others and place / name not in chosen]
            raise CouloirError(
                f"{place} has no folder {stated or usual[0]}{there}.",
                place=str(place),
                next_step=f"put the {what} into {usual[0]}/"
                + (f", or name their folder: data.{key}={likely[0]}" if likely else ""),
            )
        chosen.append(place / found[0])
    return chosen[0], chosen[1]


def _below(images: Path, masks: Path) -> dict[str, tuple[Path, Path]]:
    """The folders of each split below those of images and masks; both themselves where there are no splits."""
    of_images, of_masks = (split_folders(place, Walk(skip=True).top(place)[0]) for place in (images, masks))
    if not of_images and not of_masks:
        return {"train": (images, masks)}
    if of_images.keys() != of_masks.keys():
        lacking, split = (masks, (of_images.keys() - of_masks.keys())) if of_images.keys() - of_masks.keys() else (
            images, (of_masks.keys() - of_images.keys())
        )  # fmt: skip
        raise CouloirError(
            f"{lacking} has no folder {sorted(split)[0]}, and {images if lacking == masks else masks} has.",
            next_step="give both folders the same splits, or neither of them any",
        )
    return {split: (images / of_images[split], masks / of_masks[split]) for split in SPLIT_NAMES if split in of_images}


def _match(walk: Walk, images: Path, masks: Path, split: str, lone: list[Skipped]) -> list[tuple[Path, Path]]:
    """The images of one folder with their masks in another; what has no partner is added to `lone`."""
    of_images, of_masks = _by_stem(walk, images, split, "images"), _by_stem(walk, masks, split, "masks")
    for key in [key for key in of_masks if key not in of_images]:
        plain = MASK.sub("", key)
        if plain in of_images and plain != key:
            if plain in of_masks:
                raise _twice(of_masks[plain], of_masks[key], "masks", of_images[plain].name)
            of_masks[plain] = of_masks.pop(key)
    plain_names = {key: CHANNEL.sub("", key) for key in of_images if key not in of_masks}
    of_images = {
        plain if (plain := plain_names.get(key, key)) in of_masks and plain not in of_images else key: path
        for key, path in of_images.items()
    }
    pairs = [(path, of_masks.pop(key)) for key, path in of_images.items() if key in of_masks]
    with_mask = {path for path, _ in pairs}
    lone += [
        Skipped(split, str(path), None, "", f"has no mask in {masks.name}")
        for path in of_images.values()
        if path not in with_mask
    ]
    lone += [Skipped(split, str(path), None, "", f"has no image in {images.name}") for path in of_masks.values()]
    return pairs


def _by_stem(walk: Walk, folder: Path, split: str, what: str) -> dict[str, Path]:
    """The pictures below a folder by their names without suffix, relative to it."""
    left = len(walk.left_out)
    files = walk.images(folder, split)
    if not files:
        others = [Path(entry.file).name for entry in walk.left_out[left:]]
        held = f"only files such as {others[-1]}" if others else "nothing"
        hint = "write outlines or arrays as PNG files first; " if what == "masks" and others else ""
        raise CouloirError(
            f"The folder of the {what}, {folder}, holds {held} (pictures end in {', '.join(ENDINGS[:9])}, ...).",
            place=str(folder),
            next_step=f"{hint}add files, or name another folder: data.{what}=NAME",
        )
    found: dict[str, Path] = {}
    for path in files:
        key = composed(path.relative_to(folder).with_suffix("").as_posix())
        if key in found:
            raise _twice(found[key], path, what, key)
        found[key] = path
    return found


def _twice(one: Path, other: Path, what: str, name: str) -> CouloirError:
    joined = "several masks of one image are to be one file first" if what == "masks" else "give them other names"
    return CouloirError(
        f"{one.name} and {other.name} are two {what} of {name}.",
        place=str(other),
        next_step=f"remove one of them; {joined}",
    )


def _counted(lone: Sequence[Skipped]) -> str:
    """How many have no partner, either way."""
    images = sum("no mask" in entry.reason for entry in lone)
    parts = [
        f"{count:,} {what}{'s' if count != 1 else ''} {'have' if count != 1 else 'has'} no {partner}"
        for count, what, partner in ((images, "image", "mask"), (len(lone) - images, "mask", "image"))
        if count
    ]
    return " and ".join(parts)


def _files(lone: Sequence[Skipped]) -> str:
    shown = [f"{Path(entry.file).parent.name}/{Path(entry.file).name}" for entry in lone[:NAMED]]
    return ", ".join(shown) + (f" and {len(lone) - NAMED:,} more" if len(lone) > NAMED else "")


def _such(lone: Sequence[Skipped]) -> str:
    images = [Path(entry.file).name for entry in lone if "no mask" in entry.reason]
    masks = [Path(entry.file).name for entry in lone if "no image" in entry.reason]
    return f": {images[0]} and {masks[0]}, say" if images and masks else ""


def _apart(found: Paired, pattern: str) -> None:
    """Make the images that a pattern finds the test split."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise CouloirError(
            f"data.test_pattern is no regular expression: {error}.",
            place=pattern,
            next_step=as_typed(['data.test_pattern="2[5-9]\\.png$"']),
        ) from error
    if "test" in found.splits:
        raise CouloirError(
            "data.test_pattern chooses images for the test, and there is a folder of test images.",
            place=str(found.root),
            next_step="leave data.test_pattern out",
        )
    pairs = found.splits["train"]
    held = [bool(expression.search(image.relative_to(found.root).as_posix())) for image, _ in pairs]
    if not any(held) or all(held):
        raise CouloirError(
            f"data.test_pattern finds {'all' if any(held) else 'none'} of the {len(pairs):,} images, such as "
            f"{pairs[0][0].relative_to(found.root).as_posix()}.",
            place=pattern,
            next_step="a regular expression that finds some of them",
        )
    found.splits = {
        **found.splits,
        "train": [pair for pair, is_held in zip(pairs, held, strict=True) if not is_held],
        "test": [pair for pair, is_held in zip(pairs, held, strict=True) if is_held],
    }

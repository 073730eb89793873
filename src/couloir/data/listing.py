"""Which photographs a folder holds: `root/train/<class>/*.jpg`, with `val/` and `test/` or without them.

What a folder holds besides is left out, and listed. Nothing here imports torch.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from couloir.data.headers import FORMATS, REFUSED, START, recognised
from couloir.data.skipped import Skipped
from couloir.errors import CouloirError, as_typed

ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif",
    ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""How the names of photographs end, in small letters; what a file is, its content says."""
FORMAT_OF = {ending: name for name, endings in REFUSED.items() for ending in endings.split()}
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders of splits are called, in small letters, and what columns say."""
SPLIT_LIKE = re.compile(
    r"(train(ing)?|test(ing)?|val(id(ation)?)?|dev(elopment)?|eval(uation)?|hold[-_ ]?out|folds?|splits?|unlabell?ed)"
    r"([-_ .]*(set|data|images|imgs|split|fold|\d+))*",
    re.IGNORECASE,
)
SYSTEMS = (
    "thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information",
    "icon\r",
)  # fmt: skip
"""What operating systems put into folders, in small letters, besides names that begin with a dot."""
BESIDE_MASKS = (
    "images", "image", "imgs", "img", "masks", "mask", "labels", "label", "annotations", "annotation", "gt",
    "ground_truth", "groundtruth", "segmentation", "segmentations",
)  # fmt: skip
"""What folders of photographs and of their masks are called, in small letters."""
MASK = re.compile(r"[-_ ](mask|seg|gt|label)([-_ ]?\d+)?$", re.IGNORECASE)
"""How the name of a mask ends, after that of its photograph."""
HIDDEN, CIRCLE, NOWHERE = "hidden or made by the system", "a link in a circle", "a link that leads nowhere"
BESIDE, EMPTY = "beside the class folders", "an empty class folder"
Target = int | float | tuple[int, ...]
"""A label, a value, or several labels at once."""


@dataclass
class Listing:
    """The photographs of a folder: paths and targets of each split that there is.

    Attributes:
        classes: names in the order of the labels; empty where the targets are values.
        splits: paths and targets by split.
        kind: of the targets: `label`, `labels` or `value`.
        left_out: what is in the folder and not used.
        notes: what was recognised and may surprise.
    """

    classes: list[str]
    splits: dict[str, list[tuple[Path, Any]]] = field(default_factory=dict)
    kind: str = "label"
    left_out: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name_of(self, target: Target) -> str:
        """A target in the user's words."""
        if isinstance(target, tuple):
            return ";".join(self.classes[label] for label in target)
        return self.classes[target] if isinstance(target, int) else f"{target:g}"


def as_array(targets: Sequence[Target], classes: int = 0) -> NDArray[Any]:
    """Targets as a source holds them: labels (N,) int64, several labels (N, classes) or values (N, 1), float32."""
    if targets and isinstance(targets[0], tuple):
        marks = np.zeros((len(targets), classes), dtype=np.float32)
        for row, labels in enumerate(targets):
            assert isinstance(labels, tuple)
            marks[row, list(labels)] = 1
        return marks
    if targets and isinstance(targets[0], float):
        return np.array(targets, dtype=np.float32)[:, None]
    return np.array(targets, dtype=np.int64)


class Walk:
    """Looks through folders in the order of their names, and remembers what it leaves out.

    Args:
        skip: leave out what cannot be used, instead of refusing it.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.left_out: list[Skipped] = []
        self.nested: list[str] = []
        """Folders below class folders."""

    def top(self, folder: Path, split: str = "") -> tuple[list[str], list[str]]:
        """The names of the visible folders and files directly in a folder.

        Raises:
            CouloirError: it cannot be read.
        """
        folders, files = [], []
        for entry in _entries(os.fspath(folder)):
            if _is_hidden(entry.name):
                self.leave_out(entry.path, HIDDEN, split)
            elif entry.is_dir():
                folders.append(entry.name)
            elif self._leads_nowhere(entry, split, ""):
                continue
            else:
                files.append(entry.name)
        return folders, files

    def images(self, folder: Path, split: str = "", label: str = "") -> list[Path]:
        """The photographs in a folder and in those below it, links among them, but none that leads in a circle.

        Raises:
            CouloirError: a folder cannot be read, a link leads nowhere, a picture has a format that is not read.
        """
        found: list[Path] = []
        real = os.path.realpath(folder)
        above = {real, *map(os.fspath, Path(real).parents)}
        self._descend(os.fspath(folder), real, above, split, label, found)
        return found

    def _descend(self, folder: str, real: str, above: set[str], split: str, label: str, found: list[Path]) -> None:
        for entry in _entries(folder):
            ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  a string: there are a million of them
            if _is_hidden(entry.name):
                self.leave_out(entry.path, HIDDEN, split, label)
            elif ending in ENDINGS:
                found.append(Path(entry.path))
            elif ending in FORMAT_OF and entry.is_file():
                if self._is_read(entry.path, ending, split, label):
                    found.append(Path(entry.path))
            elif entry.is_dir():
                below = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118
                if below in above:
                    self.leave_out(entry.path, CIRCLE, split, label)
                else:
                    self.nested.append(entry.path)
                    self._descend(entry.path, below, above | {below}, split, label, found)
            elif not self._leads_nowhere(entry, split, label):
                self.leave_out(entry.path, ending or "no suffix", split, label)

    def leave_out(self, path: str, kind: str, split: str = "", label: str = "", reason: str = "") -> None:
        """Remember that something is not used."""
        self.left_out.append(
            Skipped(split, path, None, label, reason or _REASONS.get(kind, f"not a photograph: {kind}"), kind=kind)
        )

    def _is_read(self, path: str, ending: str, split: str, label: str) -> bool:
        """Whether a file whose name is that of another format holds a photograph all the same."""
        name, file = FORMAT_OF[ending], Path(path)
        with file.open("rb") as stream:
            content = recognised(stream.read(START))
        if content in FORMATS and not (name == "RAW" and content == "TIFF"):
            return True
        if not self.skip:
            raise CouloirError(
                f"{file.name} is a picture in the format {name}, which Couloir does not read.",
                place=path,
                next_step="save such files as JPEG or PNG, or move them; data.on_error=skip leaves them out",
            )
        self.left_out.append(Skipped(split, path, None, label, f"is a picture in the format {name}"))
        return False

    def _leads_nowhere(self, entry: os.DirEntry[str], split: str, label: str) -> bool:
        if not entry.is_symlink() or os.path.exists(entry.path):  # noqa: PTH110
            return False
        if not self.skip:
            raise CouloirError(
                f"The link '{entry.name}' leads nowhere.",
                place=entry.path,
                next_step="mend or remove it; data.on_error=skip leaves it out",
            )
        self.leave_out(entry.path, NOWHERE, split, label)
        return True

    def note_nested(self) -> list[str]:
        """A sentence about folders below class folders, if there are any."""
        if not self.nested:
            return []
        several = len(self.nested) > 1
        return [
            f"{len(self.nested):,} folder{'s lie' if several else ' lies'} below class folders "
            f"({self.nested[0]}): their photographs belong to the class"
        ]  # fmt: skip


_REASONS = {
    HIDDEN: f"is {HIDDEN}",
    CIRCLE: "links to a folder that it lies in",
    NOWHERE: "links to nothing",
    BESIDE: "lies beside the class folders",
    EMPTY: "has no photographs",
}


def list_images(root: Path, skip: bool = False, least: int = 1, layout: str | None = None) -> Listing:
    """The images in class folders below a root, sorted, so that labels and order are the same on every machine.

    Args:
        root: the folder, or one in which it lies alone.
        skip: leave out what cannot be used, instead of refusing it.
        least: so many classes there must be.
        layout: what to do where there is no class folder; None: that of images.

    Raises:
        CouloirError: there are no class folders, or too few; a class has no image to train on, or a split has no image,
            or a class that the training lacks; folders may be splits but have other names; something cannot be read.
    """
    root, notes = unwrapped(root)
    walk = Walk(skip)
    folders, files = walk.top(root)
    splits = split_folders(root, folders)
    others = [name for name in folders if name not in splits.values()]
    train = root / splits["train"] if "train" in splits else root
    if train == root:
        classes = others
        for name in files:
            walk.leave_out(str(root / name), BESIDE)
    else:
        for name in (*others, *files):
            walk.leave_out(str(root / name), BESIDE)
        classes = _class_folders(walk, train, "train")
    if not classes:
        raise _without_classes(root, train, walk, layout)
    if len(classes) > 1 and all(name.lower() in BESIDE_MASKS for name in classes):
        raise CouloirError(
            f"The folders {' and '.join(repr(name) for name in classes[:3])} look like photographs and their masks or "
            "labels, and not like classes.",
            place=str(train),
            next_step="put the images into data.root/<class>/, a folder a class, or name a table: data.labels=FILE",
        )
    forms: dict[str, str] = {}
    twin = next((name for name in classes if forms.setdefault(composed(name), name) != name), None)
    if twin is not None:
        raise CouloirError(
            f"Two class folders are called '{twin}', their accents in two forms.",
            place=str(train),
            next_step="put the images into one of them",
        )
    listing = Listing(classes, notes=notes)
    places = {"train": train} | {name: root / splits[name] for name in ("val", "test") if name in splits}
    for split, folder in places.items():
        mine = {composed(name): name for name in (classes if folder == train else _class_folders(walk, folder, split))}
        unknown = sorted(mine.keys() - set(map(composed, classes)))
        if unknown:
            raise CouloirError(
                f"The class '{unknown[0]}' is in {folder.name} but not in {'train' if train == root else train.name}.",
                place=str(folder),
                next_step="give both folders the same classes",
            )
        samples: list[tuple[Path, Any]] = []
        for label, name in enumerate(classes):
            place = folder / mine.get(composed(name), name)
            found = walk.images(place, split, name) if composed(name) in mine else []
            if not found and split == "train":
                raise _without_images(place, walk)
            if not found and composed(name) in mine:
                walk.leave_out(str(place), EMPTY, split, name)
            samples += [(path, label) for path in found]
        if not samples:
            raise CouloirError(
                f"{folder} has no images in class folders.",
                next_step="add images, or remove the folder: then a part of the training images is held out",
            )
        listing.splits[split] = samples
    _refuse_splits_below(walk, {folder / name for folder in places.values() for name in classes})
    if len(classes) < least:
        raise CouloirError(
            f"There is one class folder alone, '{classes[0]}': a classifier needs two or more.",
            place=str(train / classes[0]),
            next_step="put the images into data.root/<class>/, a folder a class, or name a table: "
            + as_typed([f"data.labels={next(iter(_tables(files)), 'FILE')}"]),
        )
    listing.left_out = walk.left_out
    listing.notes += [*walk.note_nested(), *_note_masks(listing)]
    return listing


def _refuse_splits_below(walk: Walk, folders: set[Path]) -> None:
    for name in walk.nested:
        path = Path(name)
        if path.name.lower() in SPLIT_NAMES and path.parent in folders:
            raise CouloirError(
                f"The class folder '{path.parent.name}' holds the folder '{path.name}', which looks like a split.",
                place=name,
                next_step="put the splits above the classes: data.root/train/<class>/, data.root/test/<class>/",
            )


def _note_masks(listing: Listing) -> list[str]:
    """A sentence about files that may be the masks of others."""
    files = [path for samples in listing.splits.values() for path, _ in samples]
    ends = [(path, MASK.sub("", path.stem)) for path in files if MASK.search(path.stem)]
    if not ends:
        return []
    known = {(path.parent, path.stem) for path in files}
    masks = [path for path, stem in ends if (path.parent, stem) in known]
    if not masks:
        return []
    return [
        f"files called like another one and a mask, trained on as photographs: {len(masks):,}, such as {masks[0]}; "
        "move masks out of data.root"
    ]


def unwrapped(root: Path) -> tuple[Path, list[str]]:
    """The folder that holds the set: the root, or the only folder in it, as an archive leaves it.

    Raises:
        CouloirError: a folder cannot be read.
    """
    found = root
    while True:
        folders, files = Walk(skip=True).top(found)
        if len(folders) != 1 or folders[0].lower() in SPLIT_NAMES or any(map(is_image, files)):
            break
        below, images = Walk(skip=True).top(found / folders[0])
        if not below or any(map(is_image, images)):
            break
        found = found / folders[0]
    return found, [] if found == root else [f"{root} holds nothing but {found}: that folder is the set"]


def split_folders(root: Path, folders: list[str]) -> dict[str, str]:
    """Which of the folders in a root are splits, by the splits' names.

    Raises:
        CouloirError: two of them mean the same split, or one has a name that may mean a split, and does not.
    """
    splits: dict[str, str] = {}
    for name in folders:
        split = SPLIT_NAMES.get(name.lower())
        if split is None:
            continue
        if split in splits:
            raise CouloirError(
                f"The folders '{splits[split]}' and '{name}' both mean the split {split}.",
                place=str(root),
                next_step="put the images into one of them, or move the other out of data.root",
            )
        splits[split] = name
    like = [name for name in folders if name not in splits.values() and SPLIT_LIKE.fullmatch(name)]
    if like:
        several = len(like) > 1
        raise CouloirError(
            f"The folder{'s' * several} {', '.join(repr(name) for name in like[:6])} "
            f"{'look like splits' if several else 'looks like a split'}, and Couloir knows train, val and test.",
            place=str(root / like[0]),
            next_step="rename to train, val or test, or move out of data.root; a class of that name goes below train/",
        )
    return splits


def composed(name: str) -> str:
    """A name with its accents in one form: some systems write an umlaut as a letter and two dots."""
    return unicodedata.normalize("NFC", name)


def is_image(name: str) -> bool:
    """Whether a file's name is that of a photograph."""
    return os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122


def _class_folders(walk: Walk, folder: Path, split: str) -> list[str]:
    folders, files = walk.top(folder, split)
    for name in files:
        walk.leave_out(str(folder / name), BESIDE, split)
    return folders


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise CouloirError(
            f"The folder {folder} cannot be read: {error.strerror}.",
            next_step="change its permissions, or move it out of data.root",
        ) from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEMS


def _without_classes(root: Path, train: Path, walk: Walk, layout: str | None) -> CouloirError:
    files = walk.top(train)[1]
    tables = _tables(walk.top(root)[1])
    images = sum(map(is_image, files))
    held = f", but {images:,} images such as {next(filter(is_image, files))}" if images else ""
    if layout is not None:
        return CouloirError(f"{train} has no class folders{held}.", next_step=layout)
    step = "put the images into data.root/train/<class>/, a folder a class"
    named = (
        as_typed([f"data.labels={tables[0]}"])
        if tables
        else "data.labels=labels.csv, a table with the columns file and label"
    )
    return CouloirError(
        f"{train} has no class folders{held}.", next_step=f"{step}; or name the labels: {named}" if images else step
    )


def _tables(files: Sequence[str]) -> list[str]:
    return likeliest(name for name in files if name.lower().endswith((".csv", ".tsv")))


def likeliest(tables: Iterable[str]) -> list[str]:
    """Names of tables, those first that are called like the labels of a training."""
    return sorted(tables, key=lambda name: (not any(word in name.lower() for word in ("train", "label")), name))


def _without_images(folder: Path, walk: Walk) -> CouloirError:
    others = [Path(entry.file).name for entry in walk.left_out if Path(entry.file).is_relative_to(folder)]
    held = f", only files such as {others[-1]}" if others else ""
    return CouloirError(
        f"The class folder '{folder.name}' has no images{held} (images end in {', '.join(ENDINGS[:9])}, ...).",
        place=str(folder),
        next_step="add images, or remove the folder",
    )

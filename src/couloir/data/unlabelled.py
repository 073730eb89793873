"""Pictures in a folder, whatever folders they stand in below it: nothing is learned of their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from couloir.data.groups import counted
from couloir.data.images import check_keys, check_signatures, groups_of_splits, image_folder
from couloir.data.listing import Listing, Walk, split_folders, unwrapped
from couloir.data.roots import data_root
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples


def pictures(root: str | None, on_error: str = "raise", **keys: Any) -> Samples:
    """All pictures below a folder as `Samples` without a target; the keys are those of `couloir.data.images`."""
    return image_folder(root, on_error=on_error, find=lambda: _found({"root": root, "on_error": on_error})[0], **keys)


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Look for the pictures, and at the first bytes of the files.

    Raises:
        CouloirError: no folder, no pictures, a file that is none, or a number of classes.
    """
    check_keys(keys)
    if keys.get("num_classes") is not None:
        raise CouloirError(
            f"data.num_classes={keys['num_classes']}, and these pictures have no classes.",
            next_step="leave it out, or data=image_folder for pictures in class folders",
        )
    check_signatures(_found(keys)[0], keys)
    return {"classes": []}


def count(keys: Mapping[str, Any]) -> tuple[int, int | None]:
    """How many pictures folds are made of, and how many groups these are in; None: there are no groups.

    Raises:
        CouloirError: a file has no group, or a group is in two splits.
    """
    listing, folder = _found(keys)
    groups = groups_of_splits(listing, folder, keys.get("group_pattern"))
    return len(listing.splits["train"]), counted(groups, keys.get("folds") is not None, str(keys["root"]))


def _found(keys: Mapping[str, Any]) -> tuple[Listing, Path]:
    return list_pictures(data_root(keys["root"], "pictures"), keys.get("on_error") == "skip")


def list_pictures(root: Path, skip: bool = False) -> tuple[Listing, Path]:
    """The pictures below a folder, in folders of splits or not.

    Args:
        root: the folder, or one in which it lies alone.
        skip: leave out what cannot be used, instead of refusing it.

    Returns:
        the pictures, each with the target 0; and the folder that they lie in.

    Raises:
        CouloirError: there are no pictures to train on, or a split has none.
    """
    root, notes = unwrapped(root)
    walk = Walk(skip)
    splits = split_folders(root, Walk(skip=True).top(root)[0])
    if splits and "train" not in splits:
        raise CouloirError(
            f"There are the splits {', '.join(splits)} and no pictures to train on.",
            place=str(root),
            next_step="name the folder train, or move the pictures out of the folders of splits: Couloir divides them",
        )
    listing = Listing([], kind="value", notes=notes)
    for split, name in splits.items() if splits else [("train", ".")]:
        files = walk.images(root / name, split)
        if not files:
            raise CouloirError(f"There are no pictures in {root / name}.", next_step="add some, or name another folder")
        listing.splits[split] = [(path, 0.0) for path in files]
    listing.splits = {split: listing.splits[split] for split in ("train", "val", "test") if split in listing.splits}
    listing.left_out = walk.left_out
    return listing, root

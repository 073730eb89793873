"""Pictures in a folder, whatever folders they stand in below it: nothing is learned of their places."""

from __future__ import annotations

from pathlib import Path

from couloir.data.listing import Listing, Walk, split_folders, unwrapped
from couloir.errors import CouloirError


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

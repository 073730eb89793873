"""Clean images out of which a worse input is made: smaller ones, noisy ones, blurred ones.

The clean images are those of another set, whose classes do not matter. In training each epoch draws new noise; in
validation and test the noise of a sample follows from its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize, as_image_size, in_words, size_of, typed
from couloir.data import cifar, digits, mnist
from couloir.data.groups import counted, groups_of_files
from couloir.data.headers import UNREADABLE, read_header
from couloir.data.image_masks import LOOKED_AT, channels_of
from couloir.data.images import reading_of
from couloir.data.listing import Listing
from couloir.data.roots import data_root
from couloir.data.unlabelled import list_pictures
from couloir.errors import CouloirError
from couloir.machine import cache_folder

if TYPE_CHECKING:
    from torch import Tensor

    from couloir.data.samples import Samples
    from couloir.data.source import Loaded

FOLDER = "folder"
SETS = {"digits": (1, 8), "mnist": (1, 28), "fashion_mnist": (1, 28), "cifar10": (3, 32), "cifar100": (3, 32)}
"""The sets that fit into memory: their channels, and the pixels of their sides."""
WINDOW = 96
"""Pixels of the windows of a folder's pictures, about, where nobody says so."""
FOLDERS_OWN = {"resize": None, "cache": False, "group_pattern": None, "on_error": "raise", "bits": None}
"""Keys that the sets in memory do not have, as they are where nobody changes them."""
SALT_AND_PEPPER, MASKING = "salt_and_pepper", "masking"
AMOUNTS = {"gaussian": 0.1, SALT_AND_PEPPER: 0.1, MASKING: 0.25, "poisson": 0.02, "blur": 1.5}
"""How much worse each kind of noise makes an image where nobody says so."""
REACH = 3
"""Deviations on each side that a Gaussian blur looks at."""


class Shrunk:
    """Images with sides shorter by a factor: bicubic, antialiased, in the 256 steps of a file.

    Args:
        factor: how many pixels become one, in each direction.
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, clean: Tensor, numbers: Tensor | None) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as (B, C, H/factor, W/factor); there is nothing to draw.

        Args:
            clean: both sides are multiples of the factor.
            numbers: those of the samples, or None.
        """
        import torch.nn.functional as F

        size = (clean.shape[2] // self.factor, clean.shape[3] // self.factor)
        small = F.interpolate(clean, size, mode="bicubic", antialias=True, align_corners=False)
        return small.clamp_(0, 1).mul_(255).round_().div_(255)


class Noise:
    """Images with noise, or with gaps, or blurred ones, within [0, 1].

    Args:
        kind: `gaussian`, `salt_and_pepper`, `masking`, `poisson` or `blur`.
        amount: the deviation of Gaussian noise; the share of pixels that become black or white, or with `masking`
            black alone; the brightness of one photon; the deviation of the blur in pixels.
        bounded: whether values lie in [0, 1], and stay there with Gaussian noise.
    """

    factor = 1

    def __init__(self, kind: str, amount: float, bounded: bool = True) -> None:
        self.kind, self.amount, self.bounded = kind, amount, bounded

    def __call__(self, clean: Tensor, numbers: Tensor | None) -> Tensor:
        """Images (B, C, H, W) in [0, 1], worse.

        Args:
            clean: the images.
            numbers: those of the samples, (B,), that all noise follows from; None: it is drawn from torch's generator.
        """
        import torch

        if self.kind == "blur":
            return self._blurred(clean)
        if numbers is None:
            return self._noisy(clean, None)
        made = []
        for image, number in zip(clean.cpu(), numbers.tolist(), strict=True):
            made.append(self._noisy(image[None], torch.Generator().manual_seed(number)))
        return torch.cat(made).to(clean.device)

    def _noisy(self, clean: Tensor, generator: Any) -> Tensor:
        import torch

        keys = {"generator": generator, "device": clean.device, "dtype": clean.dtype}
        if self.kind == "gaussian":
            made = clean + self.amount * torch.randn(clean.shape, **keys)
            return made.clamp_(0, 1) if self.bounded else made
        if self.kind == "poisson":
            return torch.poisson(clean / self.amount, generator).mul_(self.amount).clamp_(0, 1)
        drawn = torch.rand((len(clean), 1, *clean.shape[2:]), **keys)  # a pixel in all its channels
        if self.kind == MASKING:
            return torch.where(drawn < self.amount, 0.0, clean)
        made = torch.where(drawn < self.amount / 2, 0.0, clean)
        return torch.where(drawn >= 1 - self.amount / 2, 1.0, made)

    def _blurred(self, clean: Tensor) -> Tensor:
        import torch
        import torch.nn.functional as F

        reach = math.ceil(REACH * self.amount)
        places = torch.arange(-reach, reach + 1, dtype=clean.dtype, device=clean.device)
        weights = torch.exp(-0.5 * (places / self.amount).square())
        weights = weights / weights.sum()
        channels = clean.shape[1]
        made = F.pad(clean, (reach, reach, reach, reach), mode="replicate")
        made = F.conv2d(made, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        made = F.conv2d(made, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return made.clamp_(0, 1)


def super_resolution(factor: int, **keys: Any) -> Samples:
    """Images and what is left of them once they are smaller; the other keys are those of `_samples`."""
    return _samples(Shrunk(factor), **keys)


def noisy(kind: str, amount: float | None, factor: int, **keys: Any) -> Samples:
    """Images and the same with noise; the other keys are those of `_samples`."""
    return _samples(Noise(kind, AMOUNTS[kind] if amount is None else amount), **keys)


def _samples(
    degrade: Shrunk | Noise,
    images: str,
    root: str | None,
    memory_budget: float,
    resize: ImageSize | None,
    cache: bool,
    cache_size: float,
    cache_dir: str | None,
    on_error: str,
    group_pattern: str | None,
    max_pixels: int,
    background: str | list[int],
    bits: int | None,
    **keys: Any,
) -> Samples:
    """Another set's images as `Samples`.

    Args:
        degrade: what makes inputs of them.
        images: the set, or `folder`.
        root: its folder.
        memory_budget: GiB of a folder's images that may stay in memory.
        resize: what a folder's images are scaled to before windows are cut; None: they keep their sizes.
        cache: whether a folder's decoded images are kept on disk.
        cache_size: GiB that the caches of all sets may take together.
        cache_dir: the folder of the caches; None: `$COULOIR_CACHE` or `~/.cache/couloir`.
        on_error: `raise` or `skip`: what becomes of pictures that cannot be decoded.
        group_pattern: a regular expression that finds the group of each picture in its path below the root.
        max_pixels: pictures of more pixels are refused.
        background: the colour that shows where a picture is transparent.
        bits: bits that greys of more than 8 bits use; None: as many as each file says.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.cache import GIB
    from couloir.data.pairs import NoMap, Pair, load_pairs
    from couloir.data.samples import Samples
    from couloir.data.unreadable import leave_out_unreadable

    size = size_of(keys["image_size"])
    if images != FOLDER:
        return Samples(lambda: _in_memory(images, root, degrade.factor, size), degrade=degrade, **keys)
    reading = reading_of(
        {"channels": keys["channels"], "max_pixels": max_pixels, "background": background, "bits": bits}
    )

    def load() -> Loaded:
        listing, folder = _pictures(root, on_error == "skip")
        skipped = []
        if on_error == "skip":
            skipped = leave_out_unreadable(listing, folder, resize or size, reading, cache_folder(cache_dir))
        loaded = load_pairs(
            {split: [Pair(path, None) for path, _ in files] for split, files in listing.splits.items()},
            size,
            memory_budget,
            reading,
            NoMap(),
            resize=resize,
            multiple=degrade.factor,
            cache=(cache_folder(cache_dir), cache_size * GIB) if cache else None,
        )
        loaded.skipped, loaded.notes = [*skipped, *listing.left_out], listing.notes
        loaded.groups = _groups(listing, folder, group_pattern).get("train")
        return loaded

    return Samples(load, degrade=degrade, **keys)


def _in_memory(name: str, root: str | None, factor: int, size: tuple[int, int]) -> Loaded:
    """The images of a set, cut off or scaled to a size, and numbered."""
    from couloir.data.source import ArraySource, Loaded

    if name == "digits":
        found = [digits.arrays()[0]]
    elif name in mnist.MIRRORS:
        found = [images for images, _ in mnist.arrays(name, root)]
    else:
        found = [images for images, _ in cifar.arrays(name, root, 0, 1 if name == "cifar10" else 2)]
    if size == _cut_off(found[0].shape[2:], factor):  # no pixel is changed
        found = [images[:, :, : size[0], : size[1]] for images in found]
    parts = [ArraySource(images, np.arange(len(images)), size) for images in found]
    return Loaded(parts[0], test=parts[1] if len(parts) > 1 else None)


def _cut_off(size: tuple[int, ...], factor: int) -> tuple[int, int]:
    return size[0] // factor * factor, size[1] // factor * factor


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the set that the images come from.

    Raises:
        CouloirError: there is no such set, its files are missing or torn, the size of the images is no multiple of the
            factor, or the set has other channels.
    """
    name, stated, factor = str(keys.get("images")), keys.get("image_size"), keys.get("factor")
    factor = factor if isinstance(factor, int) and factor >= 1 else 1  # of another value the check of the keys says so
    if name not in (*SETS, FOLDER):
        return {"channels": 3, "num_classes": 3, "image_size": WINDOW}  # likewise
    files: list[Path] = []
    if name == FOLDER:
        listing, _ = _pictures(keys.get("root"), keys.get("on_error") == "skip")
        files = [path for part in listing.splits.values() for path, _ in part]
        files = files[:: -(-len(files) // LOOKED_AT)]
        channels, natural = channels_of(files), (WINDOW, WINDOW)
    else:
        channels, natural = SETS[name][0], (SETS[name][1], SETS[name][1])
        module = {"digits": digits}.get(name, mnist if name in mnist.MIRRORS else cifar)
        module.inspect(name, {"root": keys.get("root"), "labels": "fine"})
        if name == "digits" and keys.get("root") is not None:
            raise CouloirError(
                f"data.root={keys['root']} names a folder, and data.images=digits needs none.",
                next_step="data.images=folder takes the pictures of that folder",
            )
        own = next((key for key, usual in FOLDERS_OWN.items() if keys.get(key, usual) != usual), None)
        if own is not None:
            raise CouloirError(
                f"data.{own}={typed(keys[own]) if own == 'resize' else keys[own]} is for a folder's pictures, and "
                f"data.images={name} is in memory.",
                next_step=f"leave data.{own} out",
            )
        if keys.get("channels") not in (None, channels):
            raise CouloirError(
                f"data.images={name} has {channels} channel{'s' * (channels > 1)}, not {keys['channels']}.",
                next_step="leave data.channels out",
            )
    amount = keys.get("amount")
    kind = keys.get("kind")
    if kind in (SALT_AND_PEPPER, MASKING) and isinstance(amount, (int, float)) and amount > 1:
        colours = "black or white" if kind == SALT_AND_PEPPER else "black"
        raise CouloirError(
            f"data.amount={amount} is no share of the pixels: more than all of them cannot turn {colours}.",
            next_step=f"data.amount={AMOUNTS[kind]} is the default of data.kind={kind}",
        )
    if stated is not None:
        _refuse_size(stated, factor)
    _refuse_small(files, factor)
    channels = keys.get("channels") or channels
    if keys.get("num_classes") not in (None, channels):
        raise CouloirError(
            f"data.num_classes={keys['num_classes']} is to be the number of channels of the clean images, {channels}.",
            next_step="leave data.num_classes out",
        )
    return {
        "channels": channels, "num_classes": channels, "image_size": as_image_size(_cut_off(natural, factor)),
    }  # fmt: skip


def _refuse_size(stated: ImageSize, factor: int) -> None:
    size = size_of(stated)
    if all(side % factor == 0 for side in size):
        return
    near = as_image_size((_nearest(size[0], factor), _nearest(size[1], factor)))
    raise CouloirError(
        f"Images of {in_words(size)} pixels cannot be shrunk by data.factor={factor}: it does not divide their sides.",
        next_step=f"data.image_size={typed(near)}",
    )


def _nearest(side: int, factor: int) -> int:
    return max(factor, (side + factor // 2) // factor * factor)


def _refuse_small(files: list[Path], factor: int) -> None:
    """Refuse pictures of which nothing would be left, as far as headers tell."""
    for path in files:
        try:
            header = read_header(path)
        except UNREADABLE:
            continue  # decoding says so
        if min(header.width, header.height) < factor:
            raise CouloirError(
                f"{path.name} has {header.width} x {header.height} pixels, and nothing is left of it once it is shrunk "
                f"by data.factor={factor}.",
                place=str(path),
                next_step="remove the file",
            )


def count(keys: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many images folds are made of, and how many groups these are in; None: there are no groups, or the set says
    so only once it is read.

    Raises:
        CouloirError: a file has no group, or a group is in two splits.
    """
    if keys.get("images") != FOLDER:
        return None, None
    listing, folder = _pictures(keys.get("root"), keys.get("on_error") == "skip")
    groups = _groups(listing, folder, keys.get("group_pattern"))
    return len(listing.splits["train"]), counted(groups, keys.get("folds") is not None, str(folder))


def _pictures(stated: str | None, skip: bool) -> tuple[Listing, Path]:
    """The pictures below a folder, in folders of splits or not, whatever classes they have."""
    if stated is None:
        raise CouloirError("The folder of the pictures is missing.", next_step="add data.root=FOLDER")
    return list_pictures(data_root(stated, FOLDER), skip)


def _groups(listing: Listing, root: Path, pattern: str | None) -> dict[str, NDArray[Any]]:
    """The groups of the pictures of each split; empty without a pattern."""
    if pattern is None:
        return {}
    return {name: groups_of_files([path for path, _ in files], root, pattern) for name, files in listing.splits.items()}

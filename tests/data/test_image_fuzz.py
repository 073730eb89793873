"""A few hundred image files of every format, mode, depth and orientation: what is read is what was written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from couloir.data.decode import Reading, decode
from couloir.data.headers import read_header
from couloir.data.listing import ENDINGS
from couloir.errors import CouloirError

FILES = 320
MODES = {
    "PNG": ("1", "L", "P", "P clear", "LA", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "F", "I"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P", "P clear"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "AVIF": ("RGB", "RGBA"),
}
KEYS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}  # fmt: skip
LOSSY = {"JPEG": 24, "AVIF": 24}
"""Grey levels that a pixel may differ by."""
FEATURES = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
FORMATS = [name for name in MODES if name not in FEATURES or features.check(FEATURES[name])]
TURNED = ("PNG", "TIFF", "WEBP", "JPEG")


class Picture(NamedTuple):
    """What Pillow is given, and what one should see: colours (H, W, 3) and alpha (H, W), 0 to 255."""

    image: Image.Image
    colours: NDArray[Any]
    alpha: NDArray[Any]
    keys: dict[str, Any]


def draw(mode: str, smooth: bool, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Samples as the mode stores them, and the colours and alpha that they mean."""
    height, width = rng.integers(20, 40, 2).tolist()
    if smooth:
        small = Image.fromarray(rng.integers(256, size=(3, 4, 4), dtype=np.uint8), mode="RGBA")
        noise = np.array(small.resize((width, height), Image.Resampling.BICUBIC))
    else:
        noise = rng.integers(256, size=(height, width, 4), dtype=np.uint8)
    opaque = np.full((height, width), 255, np.uint8)
    grey = noise[..., :1].repeat(3, 2)
    if mode == "1":
        bits = noise[..., 0] > 127
        return bits, np.where(bits[..., None], 255, 0).repeat(3, 2), opaque
    if mode == "L":
        return noise[..., 0], grey, opaque
    if mode == "LA":
        return noise[..., [0, 3]], grey, noise[..., 3]
    if mode == "RGB":
        return noise[..., :3], noise[..., :3], opaque
    if mode == "RGBA":
        return noise, noise[..., :3], noise[..., 3]
    if mode == "CMYK":
        return noise, (255.0 - noise[..., :3]) * (255.0 - noise[..., 3:]) / 255, opaque
    if mode == "I;16":
        deep = noise[..., 0].astype(np.uint16) * 256 + noise[..., 1]
        return deep, np.floor(deep[..., None].repeat(3, 2) / 65535 * 255 + 0.5), opaque
    if mode == "F":
        share = noise[..., 0].astype(np.float32) / np.float32(255)
        return share, np.floor(share[..., None].astype(float).repeat(3, 2) * 255 + 0.5), opaque
    assert mode == "I"
    return noise[..., 0].astype(np.int32) * 1000, grey, opaque


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """What is stored of an upright picture (H, W, ...): turned to the left where a viewer turns to the right."""
    stored = {
        1: lambda: values, 2: lambda: values[:, ::-1], 3: lambda: np.rot90(values, 2), 4: lambda: values[::-1],
        5: lambda: values.swapaxes(0, 1), 6: lambda: np.rot90(values), 7: lambda: np.rot90(values.swapaxes(0, 1), 2),
        8: lambda: np.rot90(values, -1),
    }  # fmt: skip
    return np.ascontiguousarray(stored[orientation]())


def picture(format_: str, mode: str, orientation: int, rng: np.random.Generator) -> Picture:
    keys = dict(KEYS.get(format_, {}))
    if mode.startswith("P"):
        places = rng.integers(16, size=rng.integers(20, 40, 2), dtype=np.uint8)
        palette = np.unique(rng.integers(256, size=(60, 3), dtype=np.uint8), axis=0)[:16]
        image = Image.fromarray(turned(places, orientation), mode="P")
        image.putpalette(palette.tobytes())
        alpha = np.full(places.shape, 255)
        if mode == "P clear":
            keys["transparency"] = 5
            alpha[places == 5] = 0
        return Picture(image, palette[places], alpha, keys)
    stored, colours, alpha = draw(mode, format_ in LOSSY, rng)
    if format_ == "AVIF":
        alpha[...] = 255
    stored = turned(stored, orientation)
    image = Image.fromarray(stored, mode=mode) if mode in ("LA", "CMYK") else Image.fromarray(stored)
    assert image.mode == mode
    return Picture(image, colours, alpha, keys)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    seen: Counter[tuple[str, str]] = Counter()
    plan = [(format_, mode) for format_ in FORMATS for mode in MODES[format_]]
    for number in range(FILES):
        format_, mode = plan[number % len(plan)]
        orientation = int(rng.integers(1, 9)) if format_ in TURNED else 1
        shown = picture(format_, mode, orientation, rng)
        file = tmp_path / f"{number}{ENDINGS[int(rng.integers(len(ENDINGS)))]}"  # the content decides
        if format_ in TURNED:
            tags = Image.Exif()
            tags[0x0112] = orientation
            shown.keys["exif"] = tags
        shown.image.save(file, format_, **shown.keys)
        channels, background = int(rng.choice([1, 3])), tuple(rng.integers(256, size=3).tolist())
        reading = Reading(channels, background=background)
        case = f"{file.name}: {format_} {mode}, orientation {orientation}, {channels} channels"
        header = read_header(file)
        assert (header.height, header.width) == shown.alpha.shape, case
        assert header.orientation == orientation, case
        if mode == "I":
            with pytest.raises(CouloirError, match="no stated range"):
                decode(file, 64, reading)
            continue
        share = shown.alpha[..., None] / 255
        expected = shown.colours * share + np.array(background) * (1 - share)
        if channels == 1:
            expected = (expected @ [0.299, 0.587, 0.114])[..., None]
        rounded = 0 if mode in ("1", "L", "I;16", "F") or (channels == 3 and mode in ("RGB", "P")) else 1.5
        pixels = decode(file, 64, reading)
        assert pixels.shape == expected.shape, case
        difference = np.abs(pixels - np.asarray(expected, dtype=float))
        assert difference.max() <= LOSSY.get(format_, rounded + 1e-6), case
        assert difference.mean() <= 4, case
        seen[format_, mode] += 1
    assert len(seen) == len(plan) - 1
    assert sum(seen.values()) > 300

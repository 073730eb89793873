"""From files to pixels: what each format, mode, depth and orientation means, against NumPy."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from couloir.data.decode import Reading, decode, unused_bits
from couloir.data.frames import Frames
from couloir.data.headers import jpeg_orientation, read_header
from couloir.data.images import colour, image_folder, inspect
from couloir.errors import CouloirError
from photographs import smooth

RNG = np.random.default_rng(0)
CORNERS = {
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip
"""EXIF 2.32, tag 274: the side of the visible picture on which the first stored row lies, and the first column."""


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The rows that a camera stores so that the orientation shows the picture upright, by EXIF's own words."""
    rows, columns = CORNERS[orientation]
    lines = upright if rows in ("top", "bottom") else np.swapaxes(upright, 0, 1)
    lines = lines[::-1] if rows in ("bottom", "right") else lines
    return np.ascontiguousarray(lines[:, ::-1] if columns in ("right", "bottom") else lines)


def read(path: Path, channels: int = 3, **keys: Any) -> NDArray[np.uint8]:
    return decode(path, 64, Reading(channels, **keys))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "keys"),
    [("png", {}), ("webp", {"lossless": True}), ("tif", {}), ("tif", {"compression": "tiff_deflate"})],
    ids=str,
)
def test_a_photograph_is_upright_whatever_its_orientation(
    orientation: int, ending: str, keys: dict[str, Any], tmp_path: Path
) -> None:
    upright = RNG.integers(256, size=(5, 7, 3), dtype=np.uint8)
    file = tmp_path / f"x.{ending}"
    Image.fromarray(stored(upright, orientation)).save(file, exif=exif(orientation), **keys)
    np.testing.assert_array_equal(read(file), upright)
    header = read_header(file)
    assert (header.width, header.height, header.orientation) == (7, 5, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_upright_at_every_scale(orientation: int, mode: str, tmp_path: Path) -> None:
    upright = np.asarray(smooth(256, 128, 4).convert(mode))
    file, plain = tmp_path / "x.jpg", tmp_path / "plain.jpg"
    Image.fromarray(stored(upright, orientation), mode=mode).save(file, quality=95, exif=exif(orientation))
    Image.fromarray(upright, mode=mode).save(plain, quality=95)
    for least in (128, 64, 32, 16):
        pixels, expected = decode(file, least), decode(plain, least)
        assert pixels.shape == expected.shape
        assert np.abs(pixels.astype(int) - expected).max() <= 10
    whole = np.asarray(Image.open(plain).convert("RGB"))
    assert np.abs(decode(file, 128).astype(int) - whole).max() <= 10
    assert read_header(file)[1:] == (mode, 256, 128, orientation)


@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_is_found_behind_other_segments_and_what_makes_no_sense_is_left_alone(order: str) -> None:
    sign = "<" if order == "II" else ">"

    def jpeg(value: int, kind: int = 3, count: int = 2, place: int = 8, name: bytes = b"Exif\0\0") -> bytes:
        entries = struct.pack(f"{sign}HHII", 0x010F, 2, 4, 0) + struct.pack(f"{sign}HHI", 0x0112, kind, 1)
        entries += struct.pack(f"{sign}{'HH' if kind == 3 else 'I'}", *((value, 0) if kind == 3 else (value,)))
        tiff = order.encode() + struct.pack(f"{sign}HI", 42, place) + struct.pack(f"{sign}H", count) + entries
        segments = [(0xE0, b"JFIF\0rest"), (0xE1, b"http://else\0"), (0xE1, name + tiff)]
        body = b"".join(struct.pack(">BBH", 0xFF, mark, len(text) + 2) + text for mark, text in segments)
        return b"\xff\xd8\xff" + body + b"\xff\xda\0\x02\xff\xe1"

    assert jpeg_orientation(jpeg(6)) == 6
    assert jpeg_orientation(jpeg(8, kind=4)) == 8
    for damaged in (jpeg(0), jpeg(9), jpeg(6, place=5000), jpeg(6, count=1), jpeg(6, name=b"Exif\1\0"), jpeg(6)[:40]):
        assert jpeg_orientation(damaged) == 1
    assert jpeg_orientation(jpeg(1, count=60000)) == 1


def test_a_jpeg_whose_exif_says_nothing_follows_xmp(tmp_path: Path) -> None:
    picture, packet = smooth(40, 30, 1), b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture.save(tmp_path / "x.jpg", xmp=packet)
    assert read(tmp_path / "x.jpg").shape == (40, 30, 3)
    picture.save(tmp_path / "x.jpg", xmp=packet, exif=exif(1))
    assert read(tmp_path / "x.jpg").shape == (30, 40, 3)


def test_limits_and_estimates_see_the_photograph_as_it_is_seen(tmp_path: Path) -> None:
    Image.new("RGB", (60, 30)).save(tmp_path / "x.jpg", exif=exif(6))
    assert Frames([tmp_path / "x.jpg"], 10).get([0])[0].shape == (20, 10, 3)
    assert Frames([tmp_path / "x.jpg"], 10).estimated_bytes(1) == 600
    assert decode(tmp_path / "x.jpg", 20, Reading(max_pixels=1800)).shape == (60, 30, 3)


def scaled_grey(values: NDArray[Any], top: float) -> NDArray[np.uint8]:
    return np.floor(values.astype(np.float64) / top * 255 + 0.5).astype(np.uint8)


DEEP = np.array([[0, 1, 128, 129, 257, 4095], [4096, 30000, 36506, 42813, 65534, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_greys_of_sixteen_bits_are_scaled_to_eight(ending: str, channels: int, tmp_path: Path) -> None:
    file = tmp_path / f"x.{ending}"
    Image.fromarray(DEEP).save(file)
    pixels = read(file, channels)
    for channel in range(channels):
        np.testing.assert_array_equal(pixels[..., channel], scaled_grey(DEEP, 65535))


def tiff(values: NDArray[Any], bits: int, photometric: int = 1, order: str = "<") -> bytes:
    """A TIFF of one strip of whole greys, written by its specification."""
    height, width = values.shape
    if bits == 12:
        rows = ["".join(f"{value:012b}" for value in row) for row in values]
        data = b"".join(int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8)) for row in rows)
    else:
        data = values.astype(f"{order}u{bits // 8}").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 122, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4 if tag in (273, 279) else 3, 1)
        + (struct.pack(f"{order}I", value) if tag in (273, 279) else struct.pack(f"{order}HH", value, 0))
        for tag, value in tags.items()
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags)) + entries + bytes(4)
    assert len(head) == 122
    return head + data


@pytest.mark.parametrize(("bits", "order"), [(12, "<"), (16, "<"), (16, ">")])
def test_a_tiff_is_scaled_by_the_bits_that_it_states(bits: int, order: str, tmp_path: Path) -> None:
    values = np.minimum(DEEP, 2**bits - 1)
    (tmp_path / "x.tif").write_bytes(tiff(values, bits, order=order))
    np.testing.assert_array_equal(read(tmp_path / "x.tif", 1)[..., 0], scaled_grey(values, 2**bits - 1))


def test_a_scan_whose_zero_is_white_is_turned_round(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(DEEP, 16, photometric=0))
    np.testing.assert_array_equal(read(tmp_path / "x.tif", 1)[..., 0], scaled_grey(65535.0 - DEEP, 65535))
    (tmp_path / "x.tif").write_bytes(tiff(DEEP >> 8, 8, photometric=0))
    np.testing.assert_array_equal(read(tmp_path / "x.tif", 1)[..., 0], 255 - (DEEP >> 8))


def test_twelve_bits_in_sixteen_are_scaled_by_what_the_key_says(tmp_path: Path) -> None:
    values = np.minimum(DEEP, 4095)
    Image.fromarray(values).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png", 1)[..., 0], scaled_grey(values, 65535))
    np.testing.assert_array_equal(read(tmp_path / "x.png", 1, bits=12)[..., 0], scaled_grey(values, 4095))
    Image.fromarray(DEEP).save(tmp_path / "x.png")
    with pytest.raises(CouloirError, match=r"greys from 0 to 65535, and not 0 to 4095 \(data\.bits=12\)"):
        read(tmp_path / "x.png", 1, bits=12)


def test_fractions_are_black_to_white_and_other_ranges_are_refused(tmp_path: Path) -> None:
    file, values = tmp_path / "x.tif", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray(values).save(file)
    np.testing.assert_array_equal(read(file, 1)[..., 0], scaled_grey(values, 1))
    for wrong in (values - 0.1, values + 0.1, values * np.float32("nan"), values * 255):
        Image.fromarray(wrong).save(file)
        with pytest.raises(CouloirError, match=r"x\.tif has greys from .*not 0 to 1"):
            read(file, 1)
    Image.fromarray((values * 1000).astype(np.int32)).save(file)
    with pytest.raises(CouloirError, match="no stated range") as caught:
        read(file, 1)
    assert "data.bits=" in str(caught.value.next_step)
    np.testing.assert_array_equal(read(file, 1, bits=10)[..., 0], scaled_grey((values * 1000).astype(int), 1023))


def over(colour: NDArray[Any], alpha: NDArray[Any], background: tuple[int, ...]) -> NDArray[Any]:
    share = alpha[..., None] / 255
    return colour * share + np.array(background) * (1 - share)


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 200, 90)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA-bytes"])
def test_transparent_pixels_show_the_background(mode: str, background: tuple[int, ...], tmp_path: Path) -> None:
    colours = RNG.integers(256, size=(6, 8, 3), dtype=np.uint8)
    alpha = np.resize(np.array([0, 255, 128, 1, 254], np.uint8), (6, 8))
    if mode == "LA":
        colours[...] = colours[..., :1]
        Image.fromarray(np.dstack([colours[..., 0], alpha]), mode="LA").save(tmp_path / "x.png")
    elif mode == "RGBA":
        Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "x.png")
    else:  # a palette, one colour of which is clear, or each with its own alpha
        places = RNG.integers(5, size=(6, 8), dtype=np.uint8)
        palette = RNG.integers(256, size=(5, 3), dtype=np.uint8)
        each = np.array([0, 255, 128, 1, 254] if mode == "PA-bytes" else [255, 255, 0, 255, 255], np.uint8)
        image = Image.fromarray(places, mode="P")
        image.putpalette(palette.tobytes())
        image.save(tmp_path / "x.png", transparency=each.tobytes() if mode == "PA-bytes" else 2)
        colours, alpha = palette[places], each[places]
    expected = over(colours, alpha, background)
    assert np.abs(read(tmp_path / "x.png", background=background) - expected).max() <= 1
    grey = expected @ [0.299, 0.587, 0.114]
    assert np.abs(read(tmp_path / "x.png", 1, background=background)[..., 0] - grey).max() <= 1.5


def test_one_colour_that_a_png_calls_clear_shows_the_background(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 200]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "x.png", transparency=100)
    assert read(tmp_path / "x.png", 1)[0, :, 0].tolist() == [0, 255, 200]
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(tmp_path / "x.png", transparency=(0, 0, 0))
    assert read(tmp_path / "x.png")[0, :, 1].tolist() == [255, 100, 200]
    Image.fromarray(DEEP).save(tmp_path / "x.png", transparency=4096)
    assert read(tmp_path / "x.png", 1)[..., 0].tolist()[1][:2] == [255, 117]


def test_palettes_bits_print_and_lossless_modes_have_their_colours(tmp_path: Path) -> None:
    palette, places = RNG.integers(256, size=(4, 3), dtype=np.uint8), RNG.integers(4, size=(6, 8), dtype=np.uint8)
    image = Image.fromarray(places, mode="P")
    image.putpalette(palette.tobytes())
    for ending in ("png", "gif", "bmp", "tif"):
        image.save(tmp_path / f"x.{ending}")
        np.testing.assert_array_equal(read(tmp_path / f"x.{ending}"), palette[places])
    bits = RNG.integers(2, size=(6, 9)).astype(bool)
    for ending in ("png", "tif", "bmp", "pbm"):
        Image.fromarray(bits).save(tmp_path / f"x.{ending}")
        np.testing.assert_array_equal(read(tmp_path / f"x.{ending}", 1)[..., 0], np.where(bits, 255, 0))
    ink = RNG.integers(256, size=(6, 8, 4), dtype=np.uint8)
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "x.tif")
    expected = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255
    assert np.abs(read(tmp_path / "x.tif") - expected).max() <= 1


def test_a_printers_jpeg_is_turned_round_as_adobe_stores_it(tmp_path: Path) -> None:
    ink = np.zeros((32, 32, 4), np.uint8)
    ink[:16, :, 0], ink[16:, :, 3] = 255, 255  # cyan above, black below
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "x.jpg", quality=100)
    assert b"Adobe" in (tmp_path / "x.jpg").read_bytes()
    pixels = read(tmp_path / "x.jpg").astype(int)
    assert np.abs(pixels[4, 4] - [0, 255, 255]).max() <= 3
    assert np.abs(pixels[28, 4] - [0, 0, 0]).max() <= 3


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_of_several_pictures_in_a_file_the_first_is_read(ending: str, tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 6), (200, 30, 10)), Image.new("RGB", (8, 6), (0, 0, 250))
    keys: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"x.{ending}", save_all=True, append_images=[second], **keys)
    np.testing.assert_array_equal(read(tmp_path / f"x.{ending}"), np.asarray(first))


@pytest.mark.parametrize(
    ("format_", "ending"), [("PNG", "jpg"), ("JPEG", "png"), ("GIF", "jpeg"), ("WEBP", "png"), ("TIFF", "bmp")]
)
def test_what_a_file_is_says_its_content_and_not_its_name(format_: str, ending: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 16), (200, 30, 10)).save(tmp_path / f"x.{ending}", format_)
    assert np.abs(read(tmp_path / f"x.{ending}").astype(int) - [200, 30, 10]).max() <= 4
    assert read_header(tmp_path / f"x.{ending}").format == format_


HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)
OTHERS = {
    "HEIC": HEIC, "PSD": b"8BPS\0\1" + bytes(40), "SVG": b"<?xml version='1.0'?>\n<svg width='3'></svg>",
    "RAW": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_format_that_is_not_read_is_named_whatever_the_file_is_called(name: str, tmp_path: Path) -> None:
    file = tmp_path / "photos/train/a/IMG_1.jpg"
    for kind in "ab":
        folder = tmp_path / "photos/train" / kind
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "0.png")
    file.write_bytes(OTHERS[name])
    message = rf"IMG_1\.jpg is a picture in the format {name}, which Couloir does not read"
    with pytest.raises(CouloirError, match=message):
        read(file)
    with pytest.raises(CouloirError, match=message) as caught:
        inspect("image_folder", {"root": str(tmp_path / "photos")})
    assert "save it as JPEG or PNG" in str(caught.value.next_step)


def test_avif_is_read_where_pillow_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from couloir.data import headers

    if "AVIF" not in headers.FORMATS:
        pytest.skip("this Pillow has no AVIF")
    Image.new("RGB", (24, 16), (200, 30, 10)).save(tmp_path / "x.avif", exif=exif(6))
    pixels = read(tmp_path / "x.avif")
    assert pixels.shape == (24, 16, 3)
    assert np.abs(pixels.astype(int) - [200, 30, 10]).max() <= 10
    monkeypatch.setattr(headers, "FORMATS", ("JPEG",))
    with pytest.raises(CouloirError, match="in the format AVIF"):
        read(tmp_path / "x.avif")


def test_colours_are_names_or_numbers() -> None:
    assert colour("white") == colour("#fff") == colour([255, 255, 255]) == (255, 255, 255)
    assert colour("#80ff0010") == (128, 255, 0)
    for wrong in ("whyte", [1, 2], [1, 2, 256], [1.0, 2, 3]):
        with pytest.raises(CouloirError, match=r"data\.background=.* is no colour"):
            colour(wrong)  # type: ignore[arg-type]


def test_another_background_has_a_cache_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(4):
            Image.new("RGBA", (8, 8), (number, 0, 0, 0)).save(folder / f"{number}.png")
    for background, level in (("white", 1.0), ("black", 0.0)):
        samples = image_folder(
            str(tmp_path / "photos"), 0.0, cache=True, cache_dir=str(tmp_path / "kept"), background=background,
            task="classification", channels=3, image_size=8, num_classes=2, batch_size=4, standardize=False,
        )  # fmt: skip
        samples.setup()
        for _ in range(2):
            assert float(samples.example_batch()["image"].mean()) == level  # type: ignore[union-attr]


def test_an_exif_chunk_of_a_png_that_is_torn_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    chunk = b"eXIf" + b"II*\0\xff\xff"
    torn = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "x.png").write_bytes(content[:33] + torn + content[33:])
    assert read(tmp_path / "x.png").shape == (6, 8, 3)


@pytest.mark.parametrize("memory_budget", [0.0, 1.0])
def test_photographs_of_one_value_are_refused_and_nothing_is_learnt_from_them(
    memory_budget: float, tmp_path: Path
) -> None:
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        for number in range(4):
            Image.new("L", (8, 8), 7).save(folder / f"{number}.png")

    def samples(**keys: Any) -> Any:
        return image_folder(
            str(tmp_path), memory_budget, task="classification", channels=3, image_size=8, num_classes=2,
            batch_size=4, **keys,
        )  # fmt: skip

    with pytest.raises(CouloirError, match="All training photographs have the same value in every pixel") as caught:
        samples().setup()
    assert str(caught.value.place).endswith(".png")
    samples(standardize=False).setup()
    Image.new("L", (8, 8), 8).save(tmp_path / "a/0.png")
    Image.new("L", (8, 8), 8).save(tmp_path / "a/1.png")
    Image.new("L", (8, 8), 8).save(tmp_path / "a/2.png")
    samples().setup()


def test_a_header_is_read_without_a_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    tags = b"eXIf" + exif(6).tobytes()[6:]
    late = struct.pack(">I", len(tags) - 4) + tags + struct.pack(">I", zlib.crc32(tags))
    (tmp_path / "late.png").write_bytes(content[:-12] + late + content[-12:])
    assert read_header(tmp_path / "late.png") == ("PNG", "RGB", 6, 8, 6)
    assert read(tmp_path / "late.png").shape == (8, 6, 3)
    for ending in ("jpg", "gif", "webp", "tif", "bmp"):
        Image.new("RGB", (8, 6)).save(tmp_path / f"x.{ending}")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("its pixels were decoded"))
    for file in sorted(tmp_path.glob("x.*")):
        assert read_header(file)[2:] == (8, 6, 1)


@pytest.mark.parametrize(("top", "bits"), [(4095, 12), (1000, 10), (70, 8), (20_000, None), (65535, None)])
def test_deep_greys_that_use_fewer_bits_are_told(top: int, bits: int | None, tmp_path: Path) -> None:
    for number in range(5):
        Image.fromarray(np.minimum(DEEP, top - number)).save(tmp_path / f"{number}.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "5.png")
    (tmp_path / "6.png").write_text("none")
    notes = unused_bits(sorted(tmp_path.iterdir()))
    assert (
        [f"data.bits={bits} makes {2**bits - 1:,} white" in note for note in notes] == [True] if bits else notes == []
    )

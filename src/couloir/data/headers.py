"""What the first bytes of a photograph say: format, mode, and the size that one sees. Nothing here imports torch."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError, features

from couloir.errors import CouloirError

UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise over bytes that are not what they seem."""
Image.MAX_IMAGE_PIXELS = None  # `couloir.data.decode` has the limit, for all decoders, and a key raises it

_OPTIONAL = {"JPEG2000": "jpg_2000", "WEBP": "webp", "AVIF": "avif"}
FORMATS = (
    "JPEG", "PNG", "GIF", "TIFF", "BMP", "DIB", "PPM",
    *(name for name, feature in _OPTIONAL.items() if features.check(feature)),
)  # fmt: skip
"""What Pillow may take a file for. Others have no signature, or start programs of their own."""
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000",
    b"8BPS": "PSD", b"FUJIFILMCCD-RAW": "RAW", b"IIRO": "RAW", b"IIRS": "RAW", b"IIU\0": "RAW", b"%PDF": "PDF",
    b"gimp xcf": "XCF",
}  # fmt: skip
"""How files begin, and what they are then."""
BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC",
    b"hevc": "HEIC", b"hevx": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"crx ": "RAW",
}  # fmt: skip
REFUSED = {
    "HEIC": ".heic .heif .hif .heics",
    "RAW": ".cr2 .cr3 .crw .nef .nrw .arw .sr2 .dng .orf .rw2 .raf .pef .srw .x3f .3fr .iiq .raw",
    "SVG": ".svg .svgz",
    "PSD": ".psd .psb",
    "XCF": ".xcf",
    "PDF": ".pdf",
}
"""Pictures that Couloir does not read, and how their names end."""
REPAIR = "remove or repair the file; data.on_error=skip leaves out, at the start, what cannot be decoded"
START = 256
"""Bytes that a format is recognised by."""
HEAD = 1 << 15
"""Bytes in which most JPEGs say their size."""
ORIENTATION = 0x0112
IN_PNG = {"exif", "Raw profile type exif", "Raw profile type APP1", "XML:com.adobe.xmp", "xmp"}
"""Where Pillow finds an orientation among what stands before a PNG's pixels."""
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


class Header(NamedTuple):
    """What a header says.

    Attributes:
        format: Pillow's name of it, such as JPEG.
        mode: Pillow's name of the pixels' kind, such as RGB, L or I;16.
        width: pixels across, once the photograph is upright.
        height: pixels down, likewise.
        orientation: 1 to 8, as EXIF counts; 1: stored upright.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int


def recognised(start: bytes) -> str | None:
    """The format of a file by its first `START` bytes, be it one that is read or one that is refused; None: unknown."""
    for signature, name in SIGNATURES.items():
        if start.startswith(signature):
            return "RAW" if name == "TIFF" and start[8:10] == b"CR" else name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brands = [start[8:12], *(start[place : place + 4] for place in range(16, len(start), 4))]
        return next((BRANDS[brand] for brand in brands if brand in BRANDS and brand not in (b"mif1", b"msf1")),
                    BRANDS.get(start[8:12]))  # fmt: skip
    if re.match(rb"P[1-6]\s", start):
        return "PPM"
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") and (b"<svg" in start or b"<!DOCTYPE svg" in start):
        return "SVG"
    return None


def refuse_format(path: Path, name: str | None) -> None:
    """Refuse a picture of a format that is not read.

    Args:
        path: the file.
        name: its format, as `recognised` says.

    Raises:
        CouloirError: Couloir does not read this format.
    """
    if name in REFUSED or (name == "AVIF" and name not in FORMATS):
        raise CouloirError(
            f"{path.name} is a picture in the format {name}, which Couloir does not read.",
            place=str(path),
            next_step="save it as JPEG or PNG; data.on_error=skip leaves such files out",
        )


def undecodable(path: Path, error: Exception, next_step: str = REPAIR) -> CouloirError:
    """What is said of a file whose bytes are not what they seem, by an error of `UNREADABLE`."""
    if isinstance(error, UnidentifiedImageError):
        reason = "it is empty or not an image"  # Pillow's words hold an address in memory
    else:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return CouloirError(f"{path.name} cannot be decoded: {reason}", place=str(path), next_step=next_step)


def check_is_file(path: Path) -> None:
    """Refuse pipes, devices and folders: whoever opens a pipe waits until somebody writes into it.

    Raises:
        OSError: it is none, or not there.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  once a photograph: Path would take longer than the call
        raise OSError(errno.EINVAL, "Not a file", str(path))


def read_header(path: Path) -> Header:
    """The header of a photograph; no pixel is decoded.

    Raises:
        OSError, SyntaxError, ValueError and the like (`UNREADABLE`): it cannot be read, or is no photograph.
    """
    check_is_file(path)
    with path.open("rb", buffering=0) as stream:
        return header_in(stream)


def header_in(stream: BinaryIO) -> Header:
    """The header of a photograph's bytes; no pixel is decoded.

    Raises:
        OSError, SyntaxError, ValueError and the like (`UNREADABLE`): they cannot be read, or are no photograph.
    """
    start = stream.read(HEAD) or b""
    if start[:2] == b"\xff\xd8":
        found = _jpeg_header(start) or _jpeg_header(start + (stream.read() or b""))
        if found is not None:
            return found
    stream.seek(0)
    with Image.open(stream, formats=FORMATS) as image:
        orientation = 1 if image.format == "PNG" and not _png_has_exif(image, stream) else orientation_of(image)
        width, height = image.size
        if image.format != "TIFF" and orientation > 4:  # Pillow gives a TIFF's size upright
            width, height = height, width
        return Header(str(image.format), image.mode, width, height, orientation)


def _png_has_exif(image: Image.Image, stream: BinaryIO) -> bool:
    """Whether a PNG may state an orientation; Pillow would decode all pixels to find out."""
    if not IN_PNG.isdisjoint(map(str, image.info)):
        return True
    stream.seek(8)
    while len(start := stream.read(8)) == 8:
        if start[4:] == b"eXIf":
            return True
        stream.seek(int.from_bytes(start[:4]) + 4, 1)
    return False


def orientation_of(image: Image.Image) -> int:
    """How an opened image is to be turned, 1 to 8; 1 for a TIFF once it is loaded, since Pillow turns it itself."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except UNREADABLE:
        return 1  # damaged EXIF says nothing of the pixels
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def jpeg_orientation(content: bytes) -> int:
    """The orientation that a JPEG states in EXIF, or where that says nothing in XMP; 1 where nothing states it."""
    return _orientation(content, _segments(content))


def _orientation(content: bytes, segments: list[tuple[int, int, int]]) -> int:
    xmp = 1
    for marker, start, end in segments:
        if marker == 0xE1 and content[start : start + 6] == b"Exif\0\0":
            found = _exif_orientation(content[start + 6 : end])
            if found is not None:
                return found
        elif marker == 0xE1 and content[start : start + 28] == b"http://ns.adobe.com/xap/1.0/":
            match = _XMP.search(content, start, end)
            xmp = int(match[1]) if match else xmp
    return xmp


def _segments(content: bytes) -> list[tuple[int, int, int]]:
    """The segments of a JPEG before its pixels: marker, and where their content begins and ends."""
    found = []
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker in (0xD9, 0xDA):
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            place += 2
            continue
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4])
        found.append((marker, place + 4, end))
        place = end
    return found


def _exif_orientation(tiff: bytes) -> int | None:
    """The value of the tag 0x0112 in the first directory of EXIF; None where it is not there, or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (place,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else None
    except struct.error:  # it breaks off
        pass
    return None


def _jpeg_header(content: bytes) -> Header | None:
    """What a JPEG's segments say; None where the frame's size is not among these bytes."""
    segments = _segments(content)
    for marker, start, end in segments:
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if end > len(content):
                return None
            height, width, components = struct.unpack_from(">HHB", content, start + 1)
            mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(components)
            if mode is None or not height or not width:
                return None
            orientation = _orientation(content, segments)
            return Header("JPEG", mode, *((height, width) if orientation > 4 else (width, height)), orientation)
    return None

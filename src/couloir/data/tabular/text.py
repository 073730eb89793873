"""The text of a table's file: unpacked, decoded, and handed out in blocks of whole lines."""

from __future__ import annotations

import codecs
import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from couloir.errors import CouloirError, did_you_mean

BLOCK = 1 << 21
"""Characters that are looked at together."""
LONGEST_LINE = 1 << 27
HEAD = 1 << 12
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # before UTF-16, whose mark begins like this one
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
OTHERS = (
    (b"PAR1", "a Parquet file", "data=parquet reads it"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", "save the sheet as CSV"),
    (b"%PDF", "a PDF file", "save the table as CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as CSV, or its arrays with numpy.savez"),
    (b"\x93NUMPY", "a single NumPy array", "save inputs and targets with numpy.savez(file, x=..., y=...)"),
    (b"\x80\x04", "a Python pickle, which can run code", "save the table as CSV"),
    (b"<!DOCTYPE", "a web page", "download the file itself, not the page that shows it"),
    (b"<!doctype", "a web page", "download the file itself, not the page that shows it"),
    (b"<html", "a web page", "download the file itself, not the page that shows it"),
    (b"{", "JSON", "save the table as CSV"),
    (b"[{", "JSON", "save the table as CSV"),
    (b"BZh", "compressed with bzip2", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it, or pack it with gzip"),
)
"""How files begin that are no text, what they are, and what to do."""
WESTERN = re.compile("[\x00-\x7f\u00a0À-ÖØ-öø-ÿŒœŠšŽžŸ€£§°²³µ«»·¡¿ªº‘’“”–—…•©®™½¼¾´¨]*", re.DOTALL)
"""The letters and signs of Western European languages."""


def blocks(file: Path, encoding: str) -> Iterator[str]:
    """The file's text in blocks of whole lines, about `BLOCK` characters each; line ends stay as they are.

    Args:
        file: plain, compressed with gzip, or the only file in a zip.
        encoding: as `encoding_of` has found it.

    Raises:
        CouloirError: bytes that the encoding does not have, NUL characters, a torn archive, or a line without end.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    rest, seen = "", 0
    with opened(file) as stream:
        while True:
            content = stream.read(BLOCK)
            try:
                text = decoder.decode(content, final=not content)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, errors="replace")
                line = _line_after(file, encoding, seen) + line_ends(rest + before)
                raise _undecodable(file, line, encoding, error.object[error.start : error.end]) from error
            except UnicodeError as error:  # UTF-16 without its mark, say
                raise CouloirError(
                    f"{file} is not in {encoding}: {error}.",
                    place="data.encoding",
                    next_step="name another encoding, such as utf-16-le, or leave data.encoding out: it is recognised",
                ) from error
            if "\0" in text:
                line = _line_after(file, encoding, seen) + line_ends(rest + text.partition("\0")[0])
                raise CouloirError(
                    "A NUL character stands in the text; no table has one.",
                    place=f"{file}, line {line}",
                    next_step="write the file again; if it is in UTF-16 or the like, name it with data.encoding=utf-16",
                )
            text = rest + text
            if not content:
                if text:
                    yield text
                return
            end = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1  # a last \r may be the first half of \r\n
            if not end and len(text) > LONGEST_LINE:
                raise CouloirError(
                    f"A line of {file} has more than {LONGEST_LINE:,} characters; this is no table.",
                    place=f"{file}, line {_line_after(file, encoding, seen)}",
                    next_step="name the table with data.path=FILE.csv",
                )
            block, rest = text[:end], text[end:]
            if block:
                seen += len(block)
                yield block


def _line_after(file: Path, encoding: str, count: int) -> int:
    """The number of the line that begins after so many characters."""
    decoder, line = codecs.getincrementaldecoder(encoding)(errors="replace"), 1
    with opened(file) as stream:
        while count > 0 and (content := stream.read(BLOCK)):
            text = decoder.decode(content)[:count]
            count -= len(text)
            line += line_ends(text)
    return line


def line_ends(text: str) -> int:
    """How many lines end in a text: by `\\n`, `\\r\\n` or `\\r`."""
    if "\r" not in text:
        return text.count("\n")
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _undecodable(file: Path, line: int, encoding: str, wrong: bytes) -> CouloirError:
    codec = encoding.removesuffix("-sig")
    step = (
        "data.encoding=cp1252 (Windows, Western Europe), cp1250, cp1251, gb18030, shift_jis, or what it is written in"
    )
    return CouloirError(
        f"{file} is not in {codec.upper() if codec.startswith('utf') else codec}: the byte {wrong[:4].hex(' ')} "
        "has no meaning there.",
        place=f"{file}, line {line}",
        next_step=step,
    )


def encoding_of(file: Path, stated: str | None) -> tuple[str, list[str]]:
    """The codec of a file, and what to say about it.

    A byte order mark or zero bytes tell UTF-16 and UTF-32. What is not UTF-8 is taken for Windows-1252, where that
    gives only letters and signs of Western European languages, at most two beyond ASCII in a row; else `blocks` says
    that it is not UTF-8.

    Raises:
        CouloirError: the file is something else than text, or there is no such encoding.
    """
    with opened(file) as stream:
        head = stream.read(HEAD)
        for beginning, what, step in OTHERS:
            if head.lstrip(b" \r\n\t\xef\xbb\xbf").startswith(beginning):
                raise CouloirError(f"{file} is {what}, not a table of text.", next_step=step)
        if stated is not None:
            return _known(stated, head), []
        for mark, codec, note in MARKS:
            if head.startswith(mark):
                return codec, [] if codec == "utf-8-sig" else [note]
        if (zeros := _zero_bytes(head)) is not None:
            return zeros, [f"{zeros.upper()}, recognised by its zero bytes"]
        western = _if_not_utf8(stream, head)
    return ("cp1252", ["Windows-1252, since it is not UTF-8"]) if western else ("utf-8", [])


def _known(stated: str, head: bytes) -> str:
    try:
        codec = codecs.lookup(stated).name
    except (LookupError, ValueError) as error:
        hint = did_you_mean(
            stated, ["utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "cp1251", "gb18030", "shift_jis"]
        )
        raise CouloirError(f"There is no encoding '{stated}'.", place="data.encoding", next_step=hint) from error
    if codec not in {"utf-8", "utf-16", "utf-32", "ascii"} and not _is_text_codec(codec):
        raise CouloirError(f"'{stated}' is no encoding of text.", place="data.encoding")
    if codec == "utf-8" and head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    return codec


def _is_text_codec(codec: str) -> bool:
    try:
        "a".encode(codec)
    except LookupError:
        return False
    return True


def _zero_bytes(head: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of what is mostly ASCII is zero."""
    if head.count(0) < len(head) // 4 or len(head) < 4:
        return None
    if not any(head[0::2]) or head[0::2].count(0) > 3 * head[1::2].count(0):
        return "utf-16-be"
    return "utf-16-le" if head[1::2].count(0) > 3 * head[0::2].count(0) else None


def _if_not_utf8(stream: IO[bytes], head: bytes) -> bool:
    """Whether the whole file is not UTF-8, but reads well as Windows-1252."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    content = head
    try:
        while content:
            if not content.isascii() or decoder.getstate()[0]:
                decoder.decode(content)
            content = stream.read(BLOCK)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        stream.seek(0)
        return all(map(_is_western, iter(lambda: stream.read(BLOCK), b"")))
    return False


def _is_western(content: bytes) -> bool:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return WESTERN.fullmatch(text) is not None and re.search(rb"[\x80-\xff]{3}", content) is None


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """The bytes of a table: of the file, of what gzip has packed, or of the only file in a zip.

    Raises:
        CouloirError: the archive is torn, or a zip holds several files or none.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
            stream.seek(0)
            if start.startswith(b"\x1f\x8b"):
                with gzip.open(stream) as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                with zipfile.ZipFile(stream) as archive, archive.open(_only(archive, file)) as member:
                    yield member
            else:
                yield stream
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "encrypted" not in str(error) and "password" not in str(error):
            raise
        raise CouloirError(
            f"{file} cannot be unpacked: {error or type(error).__name__}", next_step="download or pack it again"
        ) from error
    except OSError as error:
        raise CouloirError(f"{file} cannot be read: {error.strerror or error}") from error


def _only(archive: zipfile.ZipFile, file: Path) -> str:
    """The one table in a zip; what a system adds (`__MACOSX`, hidden files) does not count."""
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/") and not Path(name).name.startswith(".")
    ]
    if "[Content_Types].xml" in names:
        raise CouloirError(f"{file} is an Excel workbook, not a table of text.", next_step="save the sheet as CSV")
    if len(names) == 1:
        return names[0]
    held = f"{len(names)} files: {', '.join(names[:8])}" if names else "no file"
    raise CouloirError(
        f"{file} holds {held}; a zip of a table holds one.",
        next_step="unpack it, and name the table with data.path=FILE.csv",
    )

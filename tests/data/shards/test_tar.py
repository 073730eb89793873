"""Members of archives are found where Python's own reader finds them; what is no whole archive is said."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from archives import archive

from couloir.data.shards.tar import BadTar, members

LONG = "a/" * 80 + "name.jpg"
CONTENT = [
    ("0.jpg", b"x" * 700), ("0.cls", b"3"), (LONG, b"long"), ("empty.jpg", b""), ("müde.png", b"y" * 512),
]  # fmt: skip


def found(content: bytes) -> list[tuple[str, bytes]]:
    read = members(lambda offset, count: content[offset : offset + count], len(content))
    return [(name, content[offset : offset + size]) for name, offset, size, regular in read if regular]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_format_is_read_as_python_reads_it(kind: int, tmp_path: Path) -> None:
    wanted = [entry for entry in CONTENT if kind != tarfile.USTAR_FORMAT or entry[0] != LONG]
    file = archive(tmp_path / "a.tar", wanted, kind)
    assert found(file.read_bytes()) == wanted


def test_a_path_that_ustar_divides_is_put_together(tmp_path: Path) -> None:
    name = f"{'folder/' * 20}file.jpg"
    assert found(archive(tmp_path / "a.tar", [(name, b"1")], tarfile.USTAR_FORMAT).read_bytes()) == [(name, b"1")]


def test_folders_and_links_have_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/0.jpg").write_bytes(b"one")
    (tmp_path / "set/1.jpg").symlink_to("0.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as made:
        made.add(tmp_path / "set", "set")
    assert found((tmp_path / "a.tar").read_bytes()) == [("set/0.jpg", b"one")]


def whole(tmp_path: Path) -> bytes:
    return archive(tmp_path / "a.tar", CONTENT).read_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: b"PK\3\4" + content[4:], "is not a tar archive: its first bytes are 50 4b 03 04"),
        (lambda content: content[:300], "is not a tar archive"),
        (lambda content: content[:900], "is cut off after 900 bytes, within 0.jpg"),
        (lambda content: content[:1536], "is cut off after 1,536 bytes: the mark of its end is missing"),
        (lambda content: content[:1536] + b"\1" * 512 + content[2048:], "there is no header at byte 1,536"),
        (lambda content: content[:124] + b"zzzz" + content[128:], "is not a tar archive"),
        (lambda content: content + content, "has more behind its end"),
    ],
)
def test_what_is_no_whole_archive_is_said(spoil: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadTar, match=said):
        found(spoil(whole(tmp_path)))  # type: ignore[operator]

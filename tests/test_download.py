"""Downloads against a local server: resumed, checked, and from the next mirror when one fails."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from couloir.download import Remote, download
from couloir.errors import CouloirError

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves /good/ with ranges, /plain/ without, /wrong/ other bytes, /torn/ half, /slow/ late; notes requests."""

    asked: list[tuple[str, str | None]]
    slow: threading.Event


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.path, asked))
        folder = self.path.split("/")[1]
        content = b"x" * len(CONTENT) if folder == "wrong" else CONTENT
        if folder == "missing":
            self.send_error(404)
            return
        start = 0
        if asked and folder == "good":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if folder == "slow":
            self.server.slow.wait(60)
        self.wfile.write(body[: len(body) // 2] if folder == "torn" else body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    httpd = Server(("127.0.0.1", 0), Handler)
    httpd.asked = []
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def remote(server: Server, *folders: str) -> Remote:
    base = f"http://127.0.0.1:{server.server_address[1]}"
    return Remote("file.gz", MD5, tuple(f"{base}/{folder}/" for folder in folders))


def test_a_file_arrives_whole_and_is_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    path = download(remote(server, "good"), tmp_path / "new/folder")
    assert path.read_bytes() == CONTENT
    download(remote(server, "good"), tmp_path / "new/folder")
    assert len(server.asked) == 1
    assert [item.name for item in path.parent.iterdir()] == ["file.gz"]


@pytest.mark.parametrize("folder", ["good", "plain"])
def test_a_broken_off_download_is_resumed_or_begun_anew(folder: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:1000])
    assert download(remote(server, folder), tmp_path).read_bytes() == CONTENT
    assert server.asked == [(f"/{folder}/file.gz", "bytes=1000-")]


def test_a_download_that_broke_off_just_before_its_check_is_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(CONTENT)
    assert download(remote(server, "good"), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("bad", ["missing", "wrong", "torn"])
def test_the_next_mirror_is_asked(bad: str, server: Server, tmp_path: Path) -> None:
    assert download(remote(server, bad, "good"), tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_when_all_fail_it_is_said_what_was_tried_and_no_wrong_file_stays(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="could not be downloaded") as caught:
        download(remote(server, "missing", "wrong"), tmp_path)
    assert "missing" in str(caught.value)
    assert "the checksum is wrong" in str(caught.value)
    assert "data.root=" in str(caught.value)
    assert not (tmp_path / "file.gz").exists()


def test_a_part_of_another_file_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.gz.part").write_bytes(b"<html>" * 100)
    assert download(remote(server, "good"), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=600-", None]


@pytest.mark.parametrize("length", [8, 64])
def test_a_sha256_is_checked_by_all_of_it_that_is_known(length: int, server: Server, tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{server.server_address[1]}/good"
    right = hashlib.sha256(CONTENT).hexdigest()[:length]
    download(Remote("file.gz", right, (base,), "sha256"), tmp_path / "right")
    with pytest.raises(CouloirError, match="checksum is wrong"):
        download(Remote("file.gz", right[:-1] + "x", (base,), "sha256"), tmp_path / "wrong")


def test_of_two_processes_one_downloads_and_the_other_finds_the_file(server: Server, tmp_path: Path) -> None:
    server.slow = threading.Event()
    base = f"http://127.0.0.1:{server.server_address[1]}/slow"
    code = (
        "import sys; from pathlib import Path; from couloir.download import Remote, download\n"
        f"print(download(Remote('file.gz', {MD5!r}, ({base!r},)), Path(sys.argv[1])).stat().st_size)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    waiting = [process for process in both if _waits(process)]
    server.slow.set()
    said = [process.communicate(timeout=60) for process in both]
    assert [out.strip() for out, _ in said] == [str(len(CONTENT))] * 2, said
    assert len(waiting) == 1
    assert len(server.asked) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]


def _waits(process: subprocess.Popen[str]) -> bool:
    """Whether the first that a process says is that it waits for another one."""
    assert process.stderr is not None
    return process.stderr.readline().startswith("waiting for another process that downloads file.gz")


def test_no_line_to_the_server_is_one_error_that_says_where_the_file_goes(tmp_path: Path) -> None:
    nobody = Remote("file.gz", MD5, ("http://127.0.0.1:9/",))
    with pytest.raises(CouloirError, match="could not be downloaded") as caught:
        download(nobody, tmp_path, otherwise="model.weights=FILE")
    assert f"put the file at {tmp_path / 'file.gz'}, or model.weights=FILE" in str(caught.value.next_step)


def test_other_than_http_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="not an http address"):
        download(Remote("passwd", MD5, ("file:///etc/",)), tmp_path)


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CouloirError, match="cannot be written"):
        download(remote(server, "good"), tmp_path / "file/folder")

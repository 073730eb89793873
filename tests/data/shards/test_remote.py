"""Shards on a server that breaks off, answers 503, knows no ranges, or stays broken: read exactly, or given up."""

from __future__ import annotations

import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from archives import archive, make_shards, samples

import couloir
import couloir.data.shards.remote as module
from couloir.cli.main import run
from couloir.data.samples import Samples
from couloir.data.shards.blocks import make_room
from couloir.errors import CouloirError
from couloir.run.assemble import load_data


class Server(ThreadingHTTPServer):
    """Files below a folder, in parts; what is to go wrong is said by the path: `cut`, `503`, `403` or `whole`."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.wrong: dict[str, list[str]] = {}
        self.always: str | None = None
        self.asked: Counter[str] = Counter()
        self.bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        name = self.path.lstrip("/")
        file = self.server.root / name
        queue = self.server.wrong.get(name, [])
        wrong = self.server.always or (queue.pop(0) if body and queue else None)
        self.server.asked[name] += body and name != "classes.json"
        if wrong in ("503", "403") or not file.is_file():
            self.send_response(404 if wrong not in ("503", "403") else int(wrong))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = file.read_bytes()
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part and wrong != "whole":
            first, last = int(part[1]), min(int(part[2]), len(content) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{file.stat().st_mtime_ns}"')
        self.end_headers()
        if body:
            sent = content[: len(content) // 2] if wrong == "cut" else content
            self.server.bytes += len(sent)
            self.wfile.write(sent)
            if wrong == "cut":
                self.close_connection = True
                self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = Server(root)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "WAIT", 0.01)
    make_shards(tmp_path / "set", 20, 1, 23)
    with serving(tmp_path / "set") as found:
        yield found


def words(place: str, cache: Path, *more: str) -> list[str]:
    return [
        "data=shards", place, f"data.cache_dir={cache}", "data.image_size=8", "data.batch_size=4", "data.block=4",
        "data.window=3", "data.workers=0", "data.standardize=false", "model=mlp", *more,
    ]  # fmt: skip


def loaded(place: str, cache: Path, *more: str) -> Samples:
    data: Samples = load_data(couloir.compose(words(place, cache, *more)).cfg, reports=False)
    return data


def epoch(data: Samples) -> list[bytes]:
    return [batch["image"].numpy().tobytes() for batch in data.train_dataloader()]


def at(server: Server) -> str:
    return f'data.train="{server.url}/train-{{000000..000002}}.tar"'


def test_a_server_that_breaks_off_gives_the_same_epoch_as_the_disk(server: Server, tmp_path: Path) -> None:
    local = loaded(f"data.path={server.root}", tmp_path / "other")
    wanted = [epoch(local), epoch(local)]
    for index in server.root.glob("*.index"):
        index.unlink()
    server.wrong = {"train-000000.tar": ["cut", "503", "cut"], "train-000002.tar": ["503", "503", "cut"]}
    data = loaded(at(server), tmp_path / "cache")
    assert data.fingerprint() == local.fingerprint()
    server.wrong = {f"train-00000{number}.tar": ["cut", "503"] for number in range(3)}
    assert [epoch(data), epoch(data)] == wanted
    asked = server.asked.total()
    again = loaded(at(server), tmp_path / "cache", "data.workers=2")
    assert epoch(again) == wanted[0]
    again.end_workers()
    assert server.asked.total() == asked  # indices and blocks are on this machine


def test_an_index_beside_the_shards_saves_reading_them_and_one_of_another_version_does_not(
    server: Server, tmp_path: Path
) -> None:
    local = loaded(f"data.path={server.root}", tmp_path / "other")
    data = loaded(at(server), tmp_path / "cache")
    assert data.fingerprint() == local.fingerprint()
    assert server.bytes < 0.2 * sum(file.stat().st_size for file in server.root.glob("*.tar"))
    index = (server.root / "train-000000.tar.index").read_bytes()
    archive(server.root / "train-000000.tar", samples(60, 20))
    (server.root / "train-000000.tar.index").write_bytes(index)  # of the earlier version, which has the same size
    changed = loaded(at(server), tmp_path / "cache")
    assert changed.fingerprint() != data.fingerprint()
    assert changed.fingerprint() == loaded(f"data.path={server.root}", tmp_path / "other").fingerprint()
    with pytest.raises(CouloirError, match=r"train-000000\.tar has changed while it was read"):
        epoch(data)


def test_a_server_that_stays_broken_is_given_up_by_name(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = loaded(at(server), tmp_path / "cache", "data.tries=3")
    for always, said in (("503", "it answers 503, after 3 tries"), ("cut", "after 3 tries")):
        server.always = always
        with pytest.raises(
            CouloirError, match=rf"train-00000.\.tar could not be read from its server.*{said}"
        ) as error:
            epoch(data)
        assert str(error.value.place).startswith(f"{server.url}/train-00000")
        assert error.value.exit_code == 2
    server.always = "503"
    sentence = [*words(at(server), tmp_path / "new", "data.tries=2"), f"output_dir={tmp_path}"]
    assert run(["train", *sentence]) == 2
    assert "it answers 503, after 2 tries" in capsys.readouterr().err
    server.always = None
    assert len(epoch(loaded(at(server), tmp_path / "new", "data.tries=2"))) > 2
    server.shutdown()
    server.server_close()
    shutil.rmtree(tmp_path / "new/shards/blocks")
    with pytest.raises(CouloirError, match="after 2 tries"):
        loaded(at(server), tmp_path / "new", "data.tries=2")


@pytest.mark.parametrize(
    ("wrong", "place", "more", "said"),
    [
        (None, "{url}/nothing-{{0..1}}.tar", [], "There is no nothing-[01].tar on the server"),
        ("403", "{url}/train-000000.tar", [], "or it may not be read .it answers 403"),
        ("whole", "{url}/train-000000.tar", [], "sends all of it where a part is asked for"),
        (None, "http://me:secret@host/train-0.tar", [], "holds a password"),
        (None, "nowhere://host/train-0.tar", [], "nowhere:// cannot be read"),
        (None, "{url}/train-000000.tar", ["data.sampler=balanced"], "a server is read block by block"),
        (None, "{url}/train-000000.tar", ["data.cache_size=0.000001"], "Two windows of data.window=3 blocks take"),
        (None, "{url}/train-000000.tar", ["data.val={root}/train-000001.tar"], "and some on a disk"),
    ],
)
def test_what_a_server_does_not_give_is_said(
    wrong: str | None, place: str, more: list[str], said: str, server: Server, tmp_path: Path
) -> None:
    server.always = wrong
    stated = place.format(url=server.url)
    with pytest.raises(CouloirError, match=said) as error:
        epoch(loaded(f'data.train="{stated}"', tmp_path / "cache", *(word.format(root=server.root) for word in more)))
    assert "secret" not in str(error.value)


def test_the_oldest_blocks_make_room(tmp_path: Path) -> None:
    for number in range(6):
        file = tmp_path / f"set{number % 2}/{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(100))
    make_room(tmp_path, 250)
    assert sorted(file.name for file in tmp_path.glob("*/*")) == ["4", "5"]


def test_blocks_that_make_room_for_others_are_brought_again(server: Server, tmp_path: Path) -> None:
    local = loaded(f"data.path={server.root}", tmp_path / "other")
    data = loaded(at(server), tmp_path / "cache", "data.cache_size=0.00006")
    assert [epoch(data), epoch(data)] == [epoch(local), epoch(local)]
    kept = sum(file.stat().st_size for file in (tmp_path / "cache/shards/blocks").glob("*/*"))
    assert kept <= 0.00006 * 2**30 + 9 * 1024

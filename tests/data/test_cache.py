"""The cache of frames: never a wrong pixel, whatever happens to the files, the processes or the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch

from couloir.data.cache import GIB, Cache
from couloir.data.decode import DECODER, read_frame
from couloir.data.frames import Frames
from couloir.log import say
from couloir.machine import cache_folder
from pairs import pair
from photographs import epochs, make_photographs, photograph_samples, smooth
from waiting import LONGEST, wait_until


def listing(root: Path) -> list[Path]:
    return sorted(root.rglob("*.jpg"))


def cache_of(root: Path, folder: Path, limit: float = 1e9) -> Cache:
    return Cache(folder, listing(root), 32, 3, limit)


def fill(root: Path, cache: Cache) -> None:
    Frames(listing(root), 32, cache=cache).get(range(len(cache.paths)))
    cache.settle()


def check(root: Path, cache: Cache) -> int:
    """How many frames are there; each of them has its pixels."""
    found = 0
    for number, path in enumerate(listing(root)):
        frame = cache.read(number)
        if frame is not None:
            found += 1
            assert torch.equal(frame, read_frame(path, 32))
    return found


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def add_one_by_one(root: Path, folder: Path, begin: Event, reached: Event, number_reached: int, stop: int) -> None:
    cache = cache_of(root, folder)
    frames = Frames(listing(root), 32, cache=cache)
    begin.wait()
    for number in range(len(frames.paths)):
        frames.get([number])
        if number == number_reached:
            cache.settle()
            reached.set()
        if number == stop:
            signal.pause()
    cache.settle()


def adding(root: Path, folder: Path, begin: Event, reached: Event | None = None, number: int = -1) -> BaseProcess:
    """Another process, which waits for its beginning and then adds one photograph after the other.

    Args:
        root: the photographs.
        folder: the cache.
        begin: what it waits for.
        reached: set once a photograph is added, where one is numbered.
        number: that photograph's, once the disk has it; the process goes on for a few, and then waits to be killed.
    """
    fork = get_context("fork")
    stop = -1 if number < 0 else number + 15
    arguments = (root, folder, begin, reached or fork.Event(), number, stop)
    process = fork.Process(target=add_one_by_one, args=arguments, daemon=True)
    process.start()
    return process


def test_a_later_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_photographs(tmp_path / "photos")
    keys: dict[str, Any] = {"cache": True, "cache_dir": str(tmp_path / "cache")}
    first = epochs(photograph_samples(root, **keys))

    def nothing(*_: object) -> None:
        raise AssertionError("a photograph was decoded")

    monkeypatch.setattr("couloir.data.frames.decode", nothing)
    assert torch.equal(epochs(photograph_samples(root, **keys)), first)


def test_frames_that_cover_another_rectangle_are_another_set(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", train=2, other=2)

    def name(resize: Any) -> str:
        cache = Cache(tmp_path / "cache", listing(root), resize, 3, GIB)
        cache.close()
        return cache.set.name

    paths = [os.path.abspath(path) for path in listing(root)]  # noqa: PTH100
    digest = hashlib.sha256("\0".join([DECODER, "32", "3", "", ""]).encode())
    for path in paths:
        found = Path(path).stat()
        digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    assert name(32) == name([32, 32]) == digest.hexdigest()[:32], "caches of squares are found again"
    assert len({name(32), name([32, 48]), name([48, 32]), name(48)}) == 4


def test_what_has_changed_been_added_or_removed_is_seen(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    keys: dict[str, Any] = {"cache": True, "cache_dir": str(tmp_path / "cache")}
    epochs(photograph_samples(root, **keys), 1)
    file = root / "train/a/000.jpg"
    before = file.stat()
    content = bytearray(file.read_bytes())
    smooth(75, 50, seed=77).save(file, quality=95)
    for size in (None, before.st_size):
        if size is not None:  # the same size as before: the time alone tells
            file.write_bytes(bytes(content[: size - 2]) + b"\xff\xd9")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        expected = epochs(photograph_samples(root), 1)
        assert torch.equal(epochs(photograph_samples(root, **keys), 1), expected)
    smooth(50, 50, seed=78).save(root / "train/a/0000.jpg")
    assert torch.equal(epochs(photograph_samples(root, **keys), 1), epochs(photograph_samples(root), 1))
    file.unlink()
    assert torch.equal(epochs(photograph_samples(root, **keys), 1), epochs(photograph_samples(root), 1))
    assert torch.equal(
        epochs(photograph_samples(root, resize=40, **keys), 1), epochs(photograph_samples(root, resize=40), 1)
    )


def test_a_file_that_changes_during_the_run_is_not_kept_under_its_old_name(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", 4, 1)
    cache = cache_of(root, tmp_path / "cache")
    smooth(60, 60, seed=5).save(listing(root)[2], quality=60)
    fill(root, cache)
    assert cache.read(2) is None
    assert check(root, cache) == len(cache.paths) - 1


def test_two_processes_that_build_at_once_write_each_frame_once(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", 60, 2)
    begin = get_context("fork").Event()
    both = [adding(root, tmp_path / "cache", begin) for _ in range(2)]
    begin.set()
    for process in both:
        process.join(LONGEST)
        assert process.exitcode == 0
    cache = cache_of(root, tmp_path / "cache")
    assert check(root, cache) == 64
    pixels = sum(read_frame(path, 32).numel() for path in listing(root))
    assert (cache.set / "frames").stat().st_size == pixels


def test_a_process_killed_while_it_builds_leaves_no_wrong_pixel(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", 150, 2)
    found = 0
    for more in (1, 20, 45):
        begin, reached = get_context("fork").Event(), get_context("fork").Event()
        process = adding(root, tmp_path / "cache", begin, reached, found + more - 1)
        begin.set()
        wait_until(reached.is_set, at_work=process.is_alive)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        now = check(root, cache_of(root, tmp_path / "cache"))
        assert found + more <= now < 154, "it was killed half way"
        found = now
    cache = cache_of(root, tmp_path / "cache")
    fill(root, cache)
    assert check(root, cache) == len(cache.paths)


def test_rows_whose_pixels_did_not_survive_are_not_believed(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    cache = cache_of(root, tmp_path / "cache")
    fill(root, cache)
    os.truncate(cache.set / "frames", (cache.set / "frames").stat().st_size // 2)
    later = cache_of(root, tmp_path / "cache")
    assert 0 < check(root, later) < len(later.paths)
    (cache.set / "index").write_bytes(b"torn")
    assert check(root, cache_of(root, tmp_path / "cache")) == 0


class SlowDisk:
    """A disk that takes what it is given only once it is let go: processes know it by files, a killed one too."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.free, self.take = folder / "asked", folder / "free", os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, file: int) -> None:
        self.asked.touch()
        wait_until(self.free.exists)
        self.take(file)


def test_nobody_waits_for_a_slow_disk_and_no_other_run_believes_what_it_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, disk = make_photographs(tmp_path / "photos", 6, 2), SlowDisk(tmp_path, monkeypatch)
    cache = cache_of(root, tmp_path / "cache")
    frames = Frames(listing(root), 32, cache=cache)
    for _ in range(2):
        frames.get(range(len(cache.paths)))
    other = cache_of(root, tmp_path / "cache")
    assert check(root, other) == 0
    assert check(root, cache) == len(cache.paths), "the run itself knows what it wrote"
    with (cache.set / "frames").open("r+b") as stream:  # as a disk that fails may leave it
        stream.seek(100)
        stream.write(bytes(50))
    assert check(root, cache) == len(cache.paths) - 1
    with (cache.set / "frames").open("r+b") as stream:
        stream.write(read_frame(listing(root)[0], 32).numpy().tobytes())
    disk.free.touch()
    cache.settle()
    assert check(root, cache) == len(cache.paths)
    assert (cache.set / "frames").stat().st_size == sum(read_frame(path, 32).numel() for path in listing(root))


def test_what_a_worker_wrote_before_it_was_killed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, disk = make_photographs(tmp_path / "photos", 6, 2), SlowDisk(tmp_path, monkeypatch)
    cache = cache_of(root, tmp_path / "cache")

    def work() -> None:
        Frames(listing(root), 32, cache=cache).get([1, 3])
        signal.pause()

    worker = get_context("fork").Process(target=work, daemon=True)
    worker.start()
    wait_until(disk.asked.exists, at_work=worker.is_alive)
    worker.kill()
    worker.join()
    assert check(root, cache_of(root, tmp_path / "cache")) == 0
    disk.free.touch()
    cache.settle()
    assert [cache.read(number) is not None for number in range(5)] == [False, True, False, True, False]
    assert check(root, cache) == 2


def test_what_a_killed_process_wrote_in_vain_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_photographs(tmp_path / "photos", 6, 2)
    cache = cache_of(root, tmp_path / "cache")
    Frames(listing(root), 32, cache=cache).get([0, 1])
    cache.close()
    with (cache.set / "frames").open("ab") as stream:
        stream.write(bytes(5000))
    again = cache_of(root, tmp_path / "cache")
    assert (cache.set / "frames").stat().st_size == sum(read_frame(path, 32).numel() for path in listing(root)[:2])
    assert check(root, again) == 2


def test_rows_of_lost_pixels_are_not_believed_once_other_pixels_are_in_their_place(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos")
    cache = cache_of(root, tmp_path / "cache")
    fill(root, cache)
    cache.close()
    os.truncate(cache.set / "frames", (cache.set / "frames").stat().st_size // 2)
    for more in ([2, 0], range(len(cache.paths))):
        again = cache_of(root, tmp_path / "cache")
        Frames(listing(root), 32, cache=again).get(list(more))
        again.close()
        check(root, again)
    assert check(root, again) == len(cache.paths)


def test_the_cache_stays_below_its_size_and_what_does_not_fit_is_decoded(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", 20)
    limit = 30_000
    cache = cache_of(root, tmp_path / "cache", limit)
    for _ in range(2):
        fill(root, cache)
    assert 0 < check(root, cache) < len(cache.paths)
    assert bytes_in(tmp_path / "cache") <= limit
    assert "data.cache_size" in (cache.problem or "")
    keys: dict[str, Any] = {"cache": True, "cache_dir": str(tmp_path / "other"), "cache_size": limit / 2**30}
    assert torch.equal(epochs(photograph_samples(root, **keys)), epochs(photograph_samples(root)))


def test_the_set_that_went_unused_the_longest_makes_room_unless_somebody_uses_it(tmp_path: Path) -> None:
    folder, one = tmp_path / "cache", 60_000
    caches = {}
    for age, name in enumerate(("used", "oldest", "older")):
        root = make_photographs(tmp_path / name, 6, 2)
        caches[name] = cache_of(root, folder)
        fill(root, caches[name])
        os.utime(caches[name].set / "index", (1000 + age, 1000 + age))
        if name != "used":
            caches[name].close()
    sizes = bytes_in(folder)
    new = cache_of(make_photographs(tmp_path / "new", 6, 2), folder, sizes + 10_000)
    assert caches["used"].set.exists(), "in use"
    assert not caches["oldest"].set.exists()
    assert caches["older"].set.exists(), "one was enough"
    assert new.set.exists()
    caches["used"].close()
    cache_of(make_photographs(tmp_path / "newest", 6, 2), folder, one)
    assert not caches["used"].set.exists()
    assert new.set.exists(), "in use"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings that the user reads."""
    warnings: list[str] = []
    monkeypatch.setattr(say, "warning", lambda form, *values: warnings.append(form % values))
    return warnings


def test_a_folder_that_cannot_be_written_is_said_once_and_training_goes_on(tmp_path: Path, said: list[str]) -> None:
    root = make_photographs(tmp_path / "photos")
    (tmp_path / "file").write_text("not a folder")
    expected = epochs(photograph_samples(root))
    for workers in (0, 2):
        said.clear()
        samples = photograph_samples(root, workers=workers, cache=True, cache_dir=str(tmp_path / "file/cache"))
        assert torch.equal(epochs(samples), expected)
        assert len(said) == 1
        assert "training continues without it" in said.pop()


def test_a_full_disk_is_said_and_leaves_no_half_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_photographs(tmp_path / "photos")
    cache = cache_of(root, tmp_path / "cache")
    Frames(listing(root), 32, cache=cache).get([0, 1])
    before = (cache.set / "frames").stat().st_size

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    cache.settle()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        fill(root, cache)
    assert cache.problem is not None
    assert "No space left on device" in cache.problem
    assert check(root, cache) == 2
    cache.close()
    later = cache_of(root, tmp_path / "cache")
    assert (cache.set / "frames").stat().st_size == before
    assert check(root, later) == 2
    fill(root, later)
    assert check(root, later) == len(later.paths)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_during_training_is_said_and_training_goes_on(
    workers: int, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = make_photographs(tmp_path / "photos")
    monkeypatch.setattr(os, "fdatasync", full)
    loader = photograph_samples(root, workers=workers, cache=True, cache_dir=str(tmp_path / "c")).train_dataloader()
    expected = list(photograph_samples(root).train_dataloader())
    assert all(torch.equal(x, x2) for (x, _), (x2, _) in zip(map(pair, loader), map(pair, expected), strict=True))
    loader.close()
    assert said == [
        f"the cache in {tmp_path / 'c'} cannot be written (No space left on device): training continues without it"
    ]


def test_locks_of_processes_that_are_gone_are_swept_up(tmp_path: Path) -> None:
    root = make_photographs(tmp_path / "photos", 2, 1)
    first = cache_of(root, tmp_path / "cache")
    (first.set / "use-gone.lock").touch()
    (first.set / "coming-gone").touch()
    second = cache_of(root, tmp_path / "cache")
    assert len(list(first.set.glob("use-*.lock"))) == 2
    first.close()
    second.close()
    assert sorted(path.name for path in first.set.iterdir()) == ["frames", "index"]


def test_the_folder_follows_the_key_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COULOIR_CACHE", "/somewhere")
    assert cache_folder("/stated") == Path("/stated")
    assert cache_folder(None) == Path("/somewhere")
    monkeypatch.delenv("COULOIR_CACHE")
    assert cache_folder(None) == Path.home() / ".cache/couloir"


def test_a_folder_of_the_users_own_is_not_evicted(tmp_path: Path) -> None:
    root, mine = make_photographs(tmp_path / "photos"), tmp_path / "home/thesis"
    mine.mkdir(parents=True)
    (mine / "frames").write_bytes(bytes(200_000))
    cache = cache_of(root, tmp_path / "home", 100_000)
    fill(root, cache)
    assert (mine / "frames").stat().st_size == 200_000
    assert check(root, cache) > 0, "what is not ours takes no room either"

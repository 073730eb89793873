"""Where a study is kept: files and a real PostgreSQL server, and what several processes make of one study."""

from __future__ import annotations

import csv
import getpass
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import optuna
import pytest

from couloir.errors import CouloirError
from couloir.sweep.storage import address, hidden, open_storage

TINY = ["data=moons", "model=mlp", "data.subset=40", "trainer.max_epochs=1", "logger=csv", "sweep.isolation=none"]


def server_program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, which listens to a socket in a folder of its own."""
    initdb, postgres = server_program("initdb"), server_program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL's server is not installed: there is no initdb")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'couloir[postgresql]'")
    owner = getpass.getuser()
    with tempfile.TemporaryDirectory(prefix="pg") as folder:  # a socket's path must be short
        as_owner = {}
        if os.getuid() == 0:  # the server does not run as root
            known = {entry.pw_name for entry in pwd.getpwall()}
            owner = next(name for name in ("postgres", "nobody") if name in known)
            entry = pwd.getpwnam(owner)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            as_owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        Path(folder).chmod(0o755)
        data = f"{folder}/data"
        words = [initdb, "-D", data, "-A", "trust", "-U", owner, "--no-sync"]
        subprocess.run(words, check=True, capture_output=True, cwd=folder, **as_owner)
        words = [postgres, "-D", data, "-k", folder, "-c", "listen_addresses=", "-F"]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, **as_owner)
        try:
            where = f"postgresql://{owner}@/postgres?host={folder}"
            answers(address(where, Path()), server, Path(folder, "log"))
            yield where
        finally:
            server.send_signal(2)  # SIGINT: it ends without waiting for its clients
            server.wait(60)


def answers(where: str, server: subprocess.Popen[bytes], log: Path) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    until = time.monotonic() + 900
    while True:
        try:
            create_engine(where).connect().close()
            return
        except OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.1)


def storage_at(name: str, folder: Path, request: pytest.FixtureRequest) -> str:
    return str(folder / "shared/study.journal") if name == "journal" else str(request.getfixturevalue("postgresql"))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (None, "{sweep}/study.journal"),
        ("study.journal", "{here}/study.journal"),
        ("/shared/study.journal", "/shared/study.journal"),
        ("~/study.journal", "{home}/study.journal"),
        ("sqlite:///study.db", "sqlite:///{here}/study.db"),
        ("sqlite:////shared/study.db", "sqlite:////shared/study.db"),
        ("sqlite+pysqlite:///study.db", "sqlite+pysqlite:///{here}/study.db"),
        ("postgresql://me@host:5433/name", "postgresql+psycopg://me@host:5433/name"),
        ("postgres://host/name", "postgresql+psycopg://host/name"),
        ("postgresql+psycopg2://host/name", "postgresql+psycopg2://host/name"),
        ("mysql://me@host/name?charset=utf8mb4", "mysql+pymysql://me@host/name?charset=utf8mb4"),
    ],
)
def test_an_address_means_the_same_in_every_directory(
    typed: str | None, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = meant.format(here=tmp_path, home=tmp_path / "home", sweep=tmp_path / "s")
    assert address(typed, tmp_path / "s") == expected


@pytest.mark.parametrize(
    "typed", ["postgresql://me:s3cret@host/name", "mysql://me@host/name?password=s3cret&charset=utf8mb4"]
)
def test_a_password_is_neither_kept_nor_printed(typed: str, tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="PGPASSWORD") as refused:
        address(typed, tmp_path)
    assert "s3cret" not in str(refused.value) + hidden(typed)


@pytest.mark.parametrize(
    ("typed", "fact"),
    [
        ("sqlite://", "names no file"),
        ("redis://host/0", "cannot be opened"),
        ("postgresql://me@127.0.0.1:1/name", "does not answer"),
        ("notes.txt", "is not a journal"),
        ("/dev/null/study.journal", "cannot be written"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_a_sentence(
    typed: str, fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if typed.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'couloir[postgresql]'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("not a journal\n")
    with pytest.raises(CouloirError, match=fact):
        open_storage(address(typed, tmp_path))
    assert (tmp_path / "notes.txt").read_text() == "not a journal\n"


@pytest.mark.parametrize("name", ["journal", "postgresql"])
@pytest.mark.slow
def test_two_processes_that_type_the_same_share_one_study(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = storage_at(name, tmp_path, request)
    words = ["train", "-m", *TINY, "optimizer.lr=0.1,0.03,0.01,0.003", f"sweep.storage='{where}'", "sweep.name=s"]
    processes = [
        subprocess.Popen(
            [str(Path(sys.executable).with_name("couloir")), *words],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        told = [process.communicate(timeout=900)[0] for process in processes]
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.kill()
    assert [process.returncode for process in processes] == [0, 0], told
    with (tmp_path / "outputs/sweep/s/sweep.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["number"] for row in rows] == list("0123"), told
    assert sorted(float(row["optimizer.lr"]) for row in rows) == [0.003, 0.01, 0.03, 0.1]
    study = optuna.load_study(study_name="s", storage=open_storage(address(where, tmp_path)))
    made = [trial for trial in study.trials if "surplus" not in trial.user_attrs]
    assert [trial.state.name for trial in made] == ["COMPLETE"] * 4


def test_a_study_in_sqlite_is_made_in_a_folder_that_is_not_there_and_found_again(tmp_path: Path) -> None:
    where = address(f"sqlite:///{tmp_path}/new/study.db", tmp_path)
    study = optuna.create_study(storage=open_storage(where), study_name="s")
    study.tell(study.ask(), 0.5)
    assert optuna.load_study(study_name="s", storage=open_storage(where)).best_value == 0.5

"""Where two runs come from: which facts count as a difference, and which a number may follow from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from couloir.errors import CouloirError
from couloir.record.differences import differences, refuse
from couloir.record.folder import RunFolder
from couloir.record.provenance import diff_hash, environment, read_provenance, write_provenance

RECORD: dict[str, Any] = {
    "couloir": "0.1.0",
    "source": "sha256:aa",
    "git": {"commit": "abc", "dirty": False, "changed": [], "diff": None},
    "working_directory": "/a",
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "scikit_learn": "1.7", "pytest": "9.0", "couloir": "0.1.0"},
    "hardware": {"platform": "Linux", "processor": "P", "cores": 2, "memory_gib": 8.0, "threads": 2, "gpus": []},
    "seed": 0,
    "data": {"fingerprint": "sha256:bb", "sizes": {"train": 9}},
}


def changed(**facts: Any) -> dict[str, Any]:
    """The record with other facts; `hardware__cores=4` changes one of a node."""
    record = json.loads(json.dumps(RECORD))
    for name, value in facts.items():
        node = record
        *path, last = name.split("__")
        for part in path:
            node = node[part]
        node[last] = value
    return record


@pytest.mark.parametrize(
    ("facts", "kind", "name", "matters"),
    [
        ({"couloir": "0.2.0"}, "couloir", "couloir", True),
        ({"source": "sha256:cc"}, "couloir", "Couloir's own code", True),
        ({"python": "3.12.1"}, "python", "python", True),
        ({"git__commit": "def"}, "code", "commit", True),
        ({"git__diff": "sha256:dd"}, "code", "uncommitted changes", True),
        ({"git__changed": ["new.py"]}, "code", "files changed or not under git", False),
        ({"git": None}, "code", "commit", True),
        ({"packages__torch": "2.14.0"}, "packages", "torch", True),
        ({"packages__pytest": "9.1"}, "packages", "pytest", False),
        ({"hardware__threads": 4}, "hardware", "threads", True),
        ({"hardware__gpus": ["H200"]}, "hardware", "gpus", True),
        ({"hardware__cores": 4}, "hardware", "cores", False),
        ({"seed": 1}, "seed", "seed", True),
        ({"data__fingerprint": "sha256:ee"}, "data", "fingerprint", True),
    ],
)
def test_a_fact_that_changes_is_named_once_with_its_weight(
    facts: dict[str, Any], kind: str, name: str, matters: bool
) -> None:
    (difference,) = differences(RECORD, changed(**facts))
    assert (difference.kind, difference.name, difference.matters) == (kind, name, matters)
    assert difference.then != difference.now


def test_the_same_and_what_an_older_version_did_not_note_are_no_differences() -> None:
    assert differences(RECORD, changed()) == []
    assert differences(RECORD, changed(working_directory="/b")) == [], "the same commit elsewhere is the same code"
    assert differences(changed(packages={"scikit-learn": "1.7", "torch": "2.13.0", "pytest": "9.0"}), RECORD) == []
    older = {key: value for key, value in RECORD.items() if key not in ("source", "data")}
    assert differences(older, RECORD) == []


def test_a_package_that_the_users_network_is_in_matters() -> None:
    now = changed(packages={**RECORD["packages"], "my_nets": "2"})
    assert [entry.matters for entry in differences(RECORD, now)] == [False]
    assert [entry.matters for entry in differences(RECORD, now, also={"my_nets"})] == [True]


def test_other_samples_are_refused_and_the_rest_only_when_strict() -> None:
    run = Path("run")
    with pytest.raises(CouloirError, match=r"fingerprint: sha256:bb, now sha256:ee"):
        refuse(differences(RECORD, changed(data__fingerprint="sha256:ee")), run, strict=False)
    torch = differences(RECORD, changed(packages__torch="2.14.0"))
    refuse(torch, run, strict=False)
    with pytest.raises(CouloirError, match=r"torch 2\.13\.0, now 2\.14\.0"):
        refuse(torch, run, strict=True)
    refuse(differences(RECORD, changed(packages__pytest="9.1")), run, strict=True)


def test_the_record_of_an_older_run_is_read_with_its_diff_and_a_torn_one_is_explained(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) == {}
    (tmp_path / "provenance.json").write_text(json.dumps({"git": {"commit": "abc", "dirty": True, "changed": ["a"]}}))
    (tmp_path / "git.diff").write_text("+1\n")
    assert read_provenance(tmp_path)["git"]["diff"] == diff_hash("+1\n")
    (tmp_path / "provenance.json").write_text('{"git": ')
    with pytest.raises(CouloirError, match="cannot be read"):
        read_provenance(tmp_path)


def test_what_is_known_before_torch_is_a_part_of_what_is_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_provenance(folder, ["train"], 0, {})
    written = read_provenance(tmp_path)
    assert differences(environment()[0], written) == []
    assert {"threads", "gpus", "processor"} <= written["hardware"].keys()
    assert written["source"].startswith("sha256:")

"""The index of all runs below a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from couloir.diagnosis.diagnosis import diagnose
from couloir.errors import CouloirError
from couloir.record.status import FORMAT
from couloir.report.index import write_index
from recorded_runs import EVIL, write_run


def rows(html: str, section: str) -> list[list[str]]:
    part = re.search(rf'<section id="{section}".*?</section>', html, re.DOTALL)
    assert part is not None
    return [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in part[0].split("<tr>")[2:]]


def test_runs_wherever_they_lie_are_found_and_linked(
    tmp_path: Path, diagnosis: dict[str, Any], overfitting: Any
) -> None:
    outputs = tmp_path / "my outputs"
    one = write_run(outputs / "train" / "a#1", ("model=mlp", "data=digits"))
    (one / "report.html").touch()
    (one / "checkpoints").mkdir()
    write_run(outputs / "rerun" / "b", ())
    write_run(outputs / "sweep" / "s" / "3" / "1", ("seed=1",), status="failed", error=EVIL, epochs=0)
    (outputs / "latest").symlink_to("train/a#1", target_is_directory=True)
    diagnosis["b"] = overfitting
    file = write_index(outputs, tmp_path / "elsewhere" / "index.html")
    html = file.read_text(encoding="utf-8")
    found = {re.sub("<.*?>", "", row[1]): row for row in rows(html, "runs")}
    assert set(found) == {"a#1", "b", "s/3/1"}, "the run that `latest` leads to is there once"
    assert found["a#1"][1] == '<a href="../my%20outputs/train/a%231/report.html">a#1</a>'
    assert found["a#1"][7:9] == ["mlp", "digits"]
    assert found["b"][7:9] == ["lenet5", "mnist"], "what was not typed is what the configuration says"
    assert (found["a#1"][6], found["b"][6]) == ("healthy", "Overfitting")
    assert found["b"][3:6] == ["accuracy", "0.9400", "0.9110"]
    assert found["b"][9:11] == ["12", "1 min 15 s"]
    assert found["s/3/1"][2] == "failed"
    assert "<h3>s/3/1, failed</h3><pre>&lt;/script&gt;" in html
    assert "<script>alert" not in html


def test_a_sweep_is_a_row_with_its_best_trial(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep" / "s"
    write_run(sweep / "0")
    (sweep / "sweep.yaml").write_text("words: [model=mlp, 'optimizer.lr=0.1,0.2']\nstudy: s\ncommand: [train]\n")
    (sweep / "sweep.csv").write_text(
        "number,state,best/loss,seconds,optimizer.lr,error\n0,completed,0.5,1,0.1,\n1,completed,0.25,1,0.2,\n"
        "2,failed,,1,0.3,no room\n"
    )
    (sweep / "report.html").touch()
    html = write_index(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    assert rows(html, "sweeps") == [
        ['<a href="sweep/s/report.html">s</a>', "model=mlp optimizer.lr=0.1,0.2", "3", "2", "best/loss", "0.2500"]
    ]


def test_a_thousand_runs_still_fit_into_six_megabytes(tmp_path: Path) -> None:
    first = write_run(tmp_path / "runs" / "0000", ("model=lenet5", "optimizer.lr=0.0123", "seed=17"), epochs=60)
    texts = {file.name: file.read_text() for file in first.iterdir()}
    for place in range(1, 1001):
        folder = tmp_path / "runs" / f"{place:04d}"
        folder.mkdir()
        for name in ("config.yaml", "overrides.yaml", "metrics.csv", "status.json", "result.json"):
            (folder / name).write_text(texts[name])
    file = write_index(tmp_path / "runs", tmp_path / "index.html")
    assert file.stat().st_size < 6_000_000
    assert "These are the newest 1,000 of 1,001." in file.read_text(encoding="utf-8")


def test_each_file_of_a_run_is_read_once_although_its_diagnosis_asks_for_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("couloir.diagnosis.diagnose", diagnose)
    for name in "ab":
        write_run(tmp_path / name, ("model=lenet5",), epochs=12)
    read: list[str] = []
    usual = Path.read_text

    def noted(path: Path, *arguments: object, **words: object) -> str:
        read.extend([str(path.relative_to(tmp_path))] if path.is_relative_to(tmp_path) else [])
        return usual(path, *arguments, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", noted)
    html = write_index(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    assert [row[6] for row in rows(html, "runs")] == ["Overfitting", "Overfitting"], "they have been diagnosed"
    names = ("config.yaml", "metrics.csv", "overrides.yaml", "provenance.json", "result.json")
    names = (*names, "signals.csv", "status.json")
    assert sorted(set(read) - {"index.html"}) == [f"{run}/{name}" for run in "ab" for name in names]
    assert len(read) == len(set(read))


def test_runs_of_a_newer_version_are_left_out_and_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "old")
    write_run(tmp_path / "new", format=FORMAT + 1)
    html = write_index(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    assert [re.sub("<.*?>", "", row[1]) for row in rows(html, "runs")] == ["old"]
    assert "Not shown, because a newer Couloir made them: 1." in html


@pytest.mark.parametrize("content", ["nothing", "no run"])
def test_a_folder_without_runs_is_a_sentence(content: str, tmp_path: Path) -> None:
    if content == "no run":
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(CouloirError, match="There is no run in"):
        write_index(tmp_path, tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()


def test_runs_whose_records_are_torn_are_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "train" / "torn")
    for name in ("overrides.yaml", "result.json", "metrics.csv", "status.json"):
        (run / name).write_text('{"')
    (tmp_path / "train" / "torn" / "config.yaml").write_bytes(b"\xff\xfe")
    html = write_index(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    assert rows(html, "runs")[0][2] == "unknown"


def test_the_curves_that_are_drawn_at_first_are_those_of_the_best(tmp_path: Path) -> None:
    for place in range(12):
        run = write_run(tmp_path / f"r{place:02d}")
        numbers = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps({**numbers, "best/accuracy": 0.5 + place / 100}))
    html = write_index(tmp_path, tmp_path / "index.html").read_text(encoding="utf-8")
    ticked = re.findall(r'aria-label="curves of (r\d\d)" checked', html)
    assert sorted(ticked) == [f"r{place:02d}" for place in range(2, 12)]

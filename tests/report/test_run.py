"""The report of a run, and of several, without a browser: what it says, and what it does without."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from couloir.artifacts.board_pictures import drawn_picture
from couloir.record.film import write_film, write_frame
from couloir.record.tested import Confusion
from couloir.report.confusion import DRAWN, per_class
from couloir.report.evidence import RunRecord, labels
from couloir.report.gallery import MOVING_BYTES
from couloir.report.run import write_report
from recorded_runs import EVIL, png, write_exhibits, write_run


def written(*runs: Path) -> str:
    file = write_report(runs, runs[0].parent / "report.html")
    return file.read_text(encoding="utf-8")


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def figures(html: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', html)]


def commands(html: str) -> list[str]:
    return re.findall(r"<code>(.*?)</code><button", html)


def test_a_run_has_every_part_and_stays_small(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", ("model=lenet5", "optimizer.lr=0.1"))
    write_exhibits(run)
    html = written(run)
    assert headings(html) == [
        "Diagnosis", "Curves", "Results", "Confusion matrix", "Classes", "Most wrong", "First layer", "Layers",
        "Signals", "Configuration", "Provenance", "Commands",
    ]  # fmt: skip
    for words in ("Looks healthy.", "61,706", "1 min 15 s", "abc123, with changes", "sha256:feed", "117,600", "0.9110"):
        assert words in html
    assert len(html) < 5_200_000


def test_rows_within_epochs_are_no_epochs_and_can_be_the_best(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", epochs=3, status="interrupted")
    head, *lines = (run / "metrics.csv").read_text().splitlines()
    within = "2.5,25,0.1,,0.001,,0.99,,,"
    cut = "3.75,38,0.1,0.6,,0.9,,,0.1,1.5"
    (run / "metrics.csv").write_text("\n".join([head, *lines[:2], within, lines[2], cut]) + "\n")
    html = written(run)
    assert "3.75 of 12" in html
    assert "2.5, by val/loss" in html
    assert "last validation (epoch 3)" in html
    (losses,) = [figure for figure in figures(html) if figure["layout"]["yaxis"]["title"]["text"] == "loss"][:1]
    points = {trace["name"]: trace["x"] for trace in losses["data"]}
    assert points["validation"] == [1, 2, 2.5, 3]
    assert points["training"] == [1, 2, 3, 3.75]


def test_every_figure_is_one_that_plotly_takes(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    run = write_run(tmp_path / "one")
    write_exhibits(run)
    other = write_run(tmp_path / "other", lr=0.2)
    for html in (written(run), written(run, other)):
        for figure in figures(re.sub(r'"--[\w-]+"', '"#123456"', html)):
            go.Figure(figure["data"], figure["layout"])


def test_the_best_epoch_is_marked_where_the_monitored_value_is_best(tmp_path: Path) -> None:
    loss, accuracy = figures(written(write_run(tmp_path / "one")))[:2]
    for figure in (loss, accuracy):
        star = figure["data"][-1]
        assert (star["name"], star["x"]) == ("best epoch (8)", [8])
        assert figure["layout"]["shapes"][0]["x0"] == 8
    assert loss["data"][1]["y"][7] == 0.2


def test_a_finding_comes_with_its_evidence_and_the_sentence_to_type(
    tmp_path: Path, diagnosis: dict[str, Any], overfitting: Any
) -> None:
    run = write_run(tmp_path / "one", ("model=lenet5", "model.dropout=0.1"))
    diagnosis["one"] = overfitting
    html = written(run)
    for words in ("Overfitting", "It rises from 0.2 to 0.4.", "the evidence", "gap", "It asks less of single units."):
        assert words in html
    assert html.count('<td class="key">best epoch</td>') == 1
    assert "train model=lenet5 model.dropout=0.5 augmentation=affine" in commands(html), (
        "the new value replaces the old"
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "RuntimeError: no &lt;room&gt;"),
        ("diverged", "It diverged."),
        ("interrupted", "It was stopped and can continue."),
        ("running", "Its process ended without a message"),
        ("pruned", "other trials of its sweep were better"),
    ],
)
def test_a_run_that_did_not_complete_says_why_and_how_it_goes_on(status: str, said: str, tmp_path: Path) -> None:
    error = {"error": "RuntimeError: no <room>"} if status == "failed" else {}
    run = write_run(tmp_path / "a b", epochs=3, status=status, **error)
    html = written(run)
    assert headings(html)[0] == "Status"
    assert said in html
    assert "epoch 3, step 30" in html
    assert f"couloir resume &#x27;{run}&#x27;" in commands(html), "as a shell takes it"
    assert "3 of 12" in html


def test_a_run_that_was_taken_up_says_from_where_and_with_what(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    file = run / "provenance.json"
    told = {"time": "2026-01-02", "checkpoint": "last.ckpt", "overrides": ["optimizer.lr=0.01"], "differences": []}
    file.write_text(json.dumps({**json.loads(file.read_text()), "resumed": [told]}))
    assert "2026-01-02 from last.ckpt optimizer.lr=0.01" in written(run)


@pytest.mark.parametrize("torn", ["nothing", "everything"])
def test_files_that_are_missing_or_torn_leave_a_page_with_the_rest(torn: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    write_exhibits(run)
    for file in run.iterdir():
        if torn == "nothing":
            file.unlink()
        else:
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 3])
    html = written(run)
    assert headings(html)[-1] == "Commands"
    assert "status.json cannot be read" in html


def test_marks_in_what_users_name_are_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", (f"data.path={EVIL}",), classes=("a", EVIL), status="completed", error=EVIL)
    write_exhibits(run, label=EVIL)
    (run / "layers.json").write_text(json.dumps({
        "layers": [{"name": EVIL, "type": EVIL, "output_shape": [EVIL], "parameters": 1, "multiply_adds": 1}],
        "totals": {"parameters": 1, "multiply_adds": 1},
    }))  # fmt: skip
    failed = write_run(tmp_path / "two", (f"data.path={EVIL}x",), status="failed", error=EVIL)
    for html in (written(run), written(failed), written(run, failed)):
        assert "<script>alert" not in html
        assert html.count("<script") == html.count("</script>") == 2 + len(figures(html))


def test_several_runs_are_named_by_what_differs(tmp_path: Path) -> None:
    words = [
        ("model=lenet5", "data.root=a", "seed=1"),
        ("model=lenet5", "seed=2"),
        ("model=lenet5",),
        ("model=lenet5",),
    ]
    runs = [write_run(tmp_path / f"run_{place}", typed, lr=place + 1) for place, typed in enumerate(words)]
    records = [RunRecord.read(run) for run in runs]
    assert labels(records) == ["seed=1", "seed=2", "run_2", "run_3"]
    assert labels([records[0], RunRecord.read(shutil.copytree(runs[0], tmp_path / "copy"))]) == ["run_0", "copy"]
    html = written(*runs)
    assert headings(html) == ["Results", "Curves", "Diagnosis", "Configuration", "Provenance", "Commands"]
    assert "All of them: model=lenet5." in html
    assert '<tr class=kept><td class="key code">optimizer.lr</td>' in html
    assert '<tr><td class="key code">model.dropout</td>' in html
    assert f"couloir diff {runs[0]} {runs[1]}" in commands(html)


def test_precision_recall_and_f1_of_a_class_are_those_of_the_matrix(tmp_path: Path) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    counts = [[5, 2, 0], [1, 7, 1], [0, 0, 0]]
    truth = [row for row in range(3) for column in range(3) for _ in range(counts[row][column])]
    said = [column for row in range(3) for column in range(3) for _ in range(counts[row][column])]
    wanted = precision_recall_fscore_support(truth, said, labels=[0, 1], zero_division=0.0)
    html, _ = per_class(Confusion(["a", "b", "c"], counts))
    rows = {row[0]: row[1:] for row in (re.findall(r"<td[^>]*>(.*?)</td>", line) for line in html.split("<tr>")[2:])}
    for place, name in enumerate("ab"):
        assert [float(cell) for cell in rows[name][:3]] == pytest.approx([part[place] for part in wanted[:3]], abs=1e-4)
    assert rows["a"][3:] == ["7", "b (2)"]
    assert rows["c"][1] == "", "a class that the test split does not have has no recall"


@pytest.mark.parametrize("classes", [100, 1000])
def test_many_classes_fit_on_a_page_that_shows_those_that_are_confused(classes: int, tmp_path: Path) -> None:
    names = tuple(f"class {place}" for place in range(classes))
    html = written(write_run(tmp_path / "one", classes=names))
    assert len(html) < 5_500_000
    matrix = next(figure for figure in figures(html) if figure["data"][0]["type"] == "heatmap")
    assert len(matrix["data"][0]["z"]) == min(classes, DRAWN)
    assert ("The 100 of 1000 classes that are confused most" in html) == (classes == 1000)


def test_a_page_of_long_runs_and_large_pictures_stays_below_six_megabytes(tmp_path: Path) -> None:
    from PIL import Image

    runs = [write_run(tmp_path / f"run{place}", (f"seed={place}",), epochs=2500, lr=place + 1) for place in range(12)]
    assert len(written(*runs)) < 6_000_000
    run = write_run(tmp_path / "one", epochs=5000)
    noise = Image.effect_noise((1200, 1200), 90).convert("RGB")
    noise.save(run / "mistakes.png")
    write_exhibits(run, count=100)
    noise.save(run / "mistakes.png")
    entry = {"mistakes": {"columns": 10, "tile": [120, 120], "count": 100}}
    (run / "pictures.json").write_text(json.dumps(entry))
    html = written(run)
    assert len(html) < 6_000_000
    assert "data:image/jpeg;base64," in html
    assert len(figures(html)[0]["data"][0]["x"]) <= 2001


@pytest.mark.parametrize("spoilt", [{"columns": 0}, {"tile": [28]}, {"count": 400}, {"tile": "x"}, {"columns": 11}])
def test_pictures_that_are_not_what_their_description_says_are_left_out(spoilt: dict[str, Any], tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    write_exhibits(run)
    entry = {"columns": 10, "tile": [28, 28], "count": 40, **spoilt}
    (run / "pictures.json").write_text(json.dumps({"mistakes": entry}))
    html = written(run)
    assert "tile mistake" not in html
    assert "<b>cat</b>, taken for" in html, "the list has the words alone, as that of a table has"


def test_a_picture_that_only_pretends_to_be_one_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    write_exhibits(run)
    (run / "mistakes.png").write_bytes(png(280, 112)[:60] + b"x" * 400_000)
    assert "tile mistake" not in written(run)


def test_nothing_heavy_is_loaded_for_a_report(tmp_path: Path) -> None:
    program = (
        "import sys, couloir.report.run, couloir.report.index, couloir.sweep.load\n"
        "heavy = 'torch', 'matplotlib', 'optuna', 'scipy', 'sklearn', 'numpy', 'plotly', 'PIL'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=900)
    assert done.stdout.strip() == "[]"


def test_the_worst_maps_are_in_the_page_and_on_the_board_and_a_torn_picture_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    (run / "maps.csv").write_text("place,index,mean_iou,pixel_accuracy\n0,7,0.25,0.5\n1,3,0.5,0.75\n")
    (run / "pictures.json").write_text(json.dumps({"maps": {"columns": 4, "tile": [8, 6], "count": 8}}))
    (run / "maps.png").write_bytes(png(40, 30))
    html = written(run)
    assert "Worst maps" in headings(html)
    assert "The 2 test images with the worst mean IoU, the worst first" in html
    assert re.search(r'<img class="maps" src="data:image/png;base64,[^"]+" width="40" height="30"', html)
    found = drawn_picture("maps")(run)
    assert found is not None
    assert found[1] == (40, 30)
    (run / "maps.png").write_bytes(b"")
    assert "Worst maps" not in headings(written(run))


def write_gan(run: Path, epochs: int = 12) -> Path:
    """A run of two players with what it makes, from nothing."""
    write_run(run, words=(f"name={run.name}", "task=gan"))
    head = "epoch,step,lr,train/loss,val/loss,val/generator,val/discriminator,val/swd,gradients/generator"
    rows = [f"{epoch},{epoch},0.1,3,3,{epoch},{1 / epoch},0.1,1,2" for epoch in range(1, epochs + 1)]
    (run / "metrics.csv").write_text("\n".join([f"{head},gradients/discriminator", *rows]) + "\n")
    (run / "result.json").write_text(json.dumps({"test/swd": 0.1, "test/neighbour_ratio": 0.96}))
    (run / "confusion.csv").unlink()
    for epoch in range(1, epochs + 1):
        write_frame(run, epoch, png(30 + epoch, 30))
    (run / "samples.png").write_bytes(png(100, 100))
    (run / "neighbours.png").write_bytes(png(60, 90))
    (run / "neighbours.csv").write_text("made,rank,distance,index\n0,1,2.5,7\n")
    (run / "pictures.json").write_text(json.dumps({"samples": {"columns": 2, "tile": [49, 49], "count": 4, "gap": 2}}))
    return run


def test_what_a_network_makes_is_in_the_page_with_its_film_and_its_neighbours(tmp_path: Path) -> None:
    run = write_gan(tmp_path / "one")
    html = written(run)
    assert {"Samples", "Film", "Nearest training images"} <= set(headings(html))
    film = re.findall(r'width="(\d+)" height="30" alt="what the network makes after epoch (\d+)"', html)
    assert [int(epoch) for _, epoch in film] == [1, 3, 5, 8, 10, 12]
    assert [int(width) - 30 for width, _ in film] == [1, 3, 5, 8, 10, 12], "each is the picture of its epoch"
    assert "Some of 12 epochs" in html
    assert "Made pictures are 0.96 times as far" in html
    assert "loss of each player over the epochs" in html
    assert "norm of the gradients over the epochs" in html
    assert '"loss over the epochs' not in html, "the sum of two players' losses is no measure"
    (run / "samples.png").unlink()
    (run / "neighbours.csv").unlink()
    html = written(run)
    assert "After epoch 12." in html
    assert "Nearest training images" not in headings(html)


def test_what_a_network_has_learned_is_in_the_page_with_its_films(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one")
    assert not {"Learned", "Film of learning"} & set(headings(written(run)))
    (run / "fit.png").write_bytes(png(52, 39))
    (run / "predictions.png").write_bytes(png(34, 46))
    for kind, size in (("fit", 2_000), ("regions", MOVING_BYTES + 1)):
        for epoch in range(3):
            write_frame(run, epoch, png(20, 20), kind)
        write_film(run, kind, png(61, 20), b"GIF89a" + b"x" * (size - 6))
    html = written(run)
    assert {"Learned", "Film of learning"} <= set(headings(html))
    assert html.count("over the training, validation and test samples") == 1
    assert "3 pictures, the first before training" in html
    assert html.count("data:image/gif;base64,") == 1, "a large film is shown by its strip"
    assert html.count('alt="the regions of the classes, epoch by epoch"') == 1
    assert html.count('alt="the fitted curve, epoch by epoch"') == 2
    strip = base64.b64encode(png(61, 20)).decode("ascii")
    assert html.count(strip) == 2, "of the moving one for paper and for readers who want no motion"
    (run / "fit/film.png").write_bytes(b"torn")
    assert "data:image/gif" not in written(run)


def test_what_several_networks_make_stands_beside_each_other(tmp_path: Path) -> None:
    runs = [write_gan(tmp_path / name) for name in ("one", "other")]
    html = written(*runs)
    assert html.count('alt="what the network makes"') == 2
    assert "<b>name=other</b>" in html

"""`couloir data`: the facts of each kind of data set, by construction, on the terminal, as JSON and as a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plain_module import YAML

from couloir.cli.main import run as command
from photographs import make_photographs, smooth


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    """The facts that a sentence answers with."""

    def asked(*words: str) -> dict[str, Any]:
        assert command(["data", *words, "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    return asked


def cases(facts: dict[str, Any]) -> list[str]:
    return [finding["case"] for finding in facts["attention"]]


def table(here: Path) -> Path:
    """A table of 60 rows: a leak, a column that never varies, and classes of 50 and 10 rows."""
    generator = np.random.default_rng(0)
    rows = ["size,flat,code,kind"]
    for row in range(60):
        kind = "rare" if row % 6 == 0 else "common"
        rows.append(f"{generator.normal():.4f},7,{1 if kind == 'rare' else 4},{kind}")
    (here / "t.csv").write_text("\n".join(rows) + "\n")
    return here / "t.csv"


def photographs(here: Path) -> Path:
    """Photographs in three splits, one stored turned, one grey PNG, one of training again in the test, one broken."""
    root = make_photographs(here / "photos", train=12, other=6)
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth(75, 50, seed=1).save(root / "train/a/turned.jpg", exif=turned)
    smooth(40, 30, seed=2).convert("L").save(root / "train/b/grey.png")
    shutil.copy(root / "train/a/000.jpg", root / "test/b/again.jpg")
    (root / "val/a/broken.jpg").write_bytes(b"no photograph")
    (root / "train/a/notes.txt").write_text("Two notes")
    (root / "train/b/._000.jpg").write_text("of a system")
    return root


def test_an_image_set_has_its_counts_and_the_statistics_that_training_uses(answer: Any) -> None:
    facts = answer("data.subset=100", "seed=3")
    assert facts["data"] == "digits"
    sizes = {name: split["samples"] for name, split in facts["splits"].items()}
    assert sizes == {"train": 85, "val": 15, "test": 100}
    counts = facts["classes"]["counts"]
    assert {name: sum(each) for name, each in counts.items()} == sizes
    from couloir.data.digits import digits

    data = digits(
        task="classification", channels=1, image_size=8, num_classes=10, batch_size=4, seed=3, subset=100,
    )  # fmt: skip
    data.setup()
    assert facts["images"]["mean"] == pytest.approx(data.mean)
    assert facts["images"]["std"] == pytest.approx(data.std)
    assert counts["train"] == np.bincount(data.splits["train"].targets, minlength=10).tolist()
    assert (facts["images"]["height"], facts["images"]["measured"]) == (8, 85)
    assert facts["attention"][0]["case"] == "small_class"


def test_a_table_tells_its_leak_its_flat_column_and_its_imbalance(here: Path, answer: Any) -> None:
    facts = answer("data=csv", f"data.path={table(here)}", "data.target=kind")
    columns = {column["name"]: column for column in facts["columns"]}
    assert list(columns) == ["size", "flat", "code", "kind"]
    values = np.array([float(line.split(",")[0]) for line in (here / "t.csv").read_text().splitlines()[1:]])
    size = columns["size"]
    assert [size[name] for name in ("min", "median", "mean", "std", "max")] == pytest.approx(
        [values.min(), np.median(values), values.mean(), values.std(), values.max()], abs=1e-6
    )
    assert columns["flat"]["distinct"] == 1
    assert columns["code"]["determines_target"]
    assert columns["code"]["with_target"]["value"] == pytest.approx(1)
    assert not columns["size"]["determines_target"]
    assert facts["samples"] == 60
    assert {"leak", "constant_column"} <= set(cases(facts))
    leak = next(finding for finding in facts["attention"] if finding["case"] == "leak")
    assert "'code'" in leak["says"]
    assert leak["next"].endswith("data.ignore=[code]")
    assert sum(sum(each) for each in facts["classes"]["counts"].values()) == 60


def test_a_regression_has_its_values_by_split_and_a_column_that_is_almost_the_target(here: Path, answer: Any) -> None:
    generator = np.random.default_rng(0)
    price = generator.normal(100, 20, size=80)
    lines = [
        f"{value * 1.19:.3f},{noise:.3f},{value:.3f}"
        for value, noise in zip(price, generator.normal(size=80), strict=True)
    ]
    (here / "p.csv").write_text("gross,noise,price\n" + "\n".join(lines) + "\n")
    facts = answer("data=csv", "data.path=p.csv", "data.target=price")
    (value,) = facts["values"]
    assert sum(split["samples"] for split in facts["splits"].values()) == 80
    lowest = min(split["min"] for split in value["splits"].values())
    assert lowest == pytest.approx(price.min(), abs=1e-3)
    assert [finding["says"].split("'")[1] for finding in facts["attention"] if finding["case"] == "leak"] == ["gross"]
    matrix = facts["correlations"]
    assert matrix["names"][:2] == ["gross", "noise"]
    told = np.corrcoef(np.array([[float(cell) for cell in line.split(",")] for line in lines]).T)
    assert np.array(matrix["matrix"]) == pytest.approx(told, abs=1e-4)


def test_rows_that_training_refuses_are_told_and_the_others_are_looked_at(here: Path, answer: Any) -> None:
    path = table(here)
    path.write_text(path.read_text() + "broken,7,4,common\n")
    facts = answer("data=csv", f"data.path={path}", "data.target=kind")
    assert facts["samples"] == 60
    assert cases(facts)[0] == "refused"
    assert "line 62" in facts["attention"][0]["says"]
    assert facts["left_out"]["number"] == 1
    assert facts["left_out"]["samples"][0]["line"] == 62


def test_photographs_are_told_by_their_headers_with_what_is_broken_and_what_is_there_twice(
    here: Path, answer: Any
) -> None:
    root = photographs(here)
    facts = answer("data=image_folder", f"data.root={root}", "data.image_size=24", "model=mlp")
    found = facts["photographs"]
    assert (found["files"], sum(found["formats"].values())) == (28, 27)
    assert found["formats"] == {"JPEG": 26, "PNG": 1}
    assert found["modes"] == {"RGB": 26, "L": 1}
    assert found["orientations"] == {"1": 26, "6": 1}
    assert found["bytes"] == sum(file.stat().st_size for file in root.rglob("[0-9a-z]*.*g"))
    # The turned one is 50 wide and 75 high as one sees it.
    assert (found["width"]["min"], found["width"]["max"], found["height"]["max"]) == (40, 75, 75)
    assert facts["splits"]["train"] == {"samples": 14, "own": False}
    assert facts["splits"]["val"] == {"samples": 7, "own": True}
    assert facts["classes"]["counts"]["test"] == [3, 4]
    assert facts["broken"]["files"] == [
        {"split": "val", "class": "a", "file": str(root / "val/a/broken.jpg"), "reason": "it is empty or not an image"}
    ]
    across = {(entry["in"], entry["of"]): entry["samples"] for entry in facts["doubles"]["across"]}
    assert across == {("train", "val"): 0, ("train", "test"): 1, ("val", "test"): 0}
    others = {entry["kind"]: (entry["number"], Path(entry["example"]).name) for entry in facts["other_files"]}
    assert set(others.values()) == {(1, "notes.txt"), (1, "._000.jpg")}
    assert found["covers"] == [24, 24]
    assert facts["doubles"]["contradicting"] == 1, "it is an a in training and a b in the test"
    assert cases(facts)[:3] == ["broken_files", "shared_samples", "contradicting_doubles"]
    assert "photos/test/b/again.jpg" in facts["attention"][1]["says"]


def test_the_channels_of_photographs_are_those_that_training_measures(here: Path, answer: Any) -> None:
    root = make_photographs(here / "photos", train=12, other=4)
    words = ("data=image_folder", f"data.root={root}", "data.image_size=24", "model=mlp")
    facts = answer(*words)
    from couloir.config.check import checked
    from couloir.run.assemble import load_data

    data = load_data(checked(list(words)).cfg)
    assert facts["images"]["mean"] == pytest.approx(data.mean)
    assert facts["images"]["std"] == pytest.approx(data.std)
    assert facts["images"]["measured"] == 12


def test_a_data_module_of_ones_own_tells_its_sizes_and_its_first_batch(
    here: Path, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "conf/data").mkdir(parents=True)
    (here / "conf/data/blobs_of_mine.yaml").write_text(YAML)
    facts = answer("data=blobs_of_mine", "allow_targets=[plain_module]")
    assert {name: split["samples"] for name, split in facts["splits"].items()} == {"train": 150, "val": 30, "test": 60}
    assert facts["classes"] is None
    point, kind = facts["first_batch"]["fields"]["point"], facts["first_batch"]["fields"]["kind"]
    assert (point["kind"], point["shape"], point["type"]) == ("row", [16, 2], "float32")
    assert (kind["min"], kind["max"], kind["type"]) == (0, 2, "int64")


def test_the_terminal_says_first_what_deserves_attention_and_where_the_page_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=csv", f"data.path={table(here)}", "data.target=kind"]
    assert command(["data", *words]) == 0
    said = capsys.readouterr().out
    assert said.index("The column 'code' says the class of every row") < said.index("┃ training")
    (page,) = (here / "outputs/data").glob("*/data.html")
    assert said.strip().endswith(str(page.relative_to(here)))
    html = page.read_text()
    assert "<h1>Data csv</h1>" in html
    assert "couloir data data=csv" in html
    assert command(["data", *words, "--no-page"]) == 0
    assert len(list((here / "outputs/data").iterdir())) == 1
    assert not (here / "outputs/latest").exists()


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--pages"], "There is no flag '--pages'."),
        (["data=digit"], "digit"),
        (["data=csv", "data.path=none.csv", "data.target=y"], "There is no file none.csv."),
        (["data=csv", "data.path=t.csv", "data.target=kinds"], "has no column 'kinds'."),
        (["data=image_folder", "data.root=nowhere"], "nowhere"),
        (["data.subset=0"], "data.subset"),
        (["data=csv", "data.path=t.csv", "data.target=kind", "data.on_error=raise"], "line 62"),
    ],
)
def test_a_wrong_sentence_is_refused_before_the_data_is_read(
    words: list[str], fact: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(here)
    path.write_text(path.read_text() + "broken,7,4,common\n")
    monkeypatch.setattr("couloir.inspect.dataset.facts.look_at", None)
    assert command(["data", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert fact in told
    assert not (here / "outputs").exists()


def test_a_table_tells_what_each_column_is_and_what_it_holds(here: Path, answer: Any) -> None:
    lines = ["id,joined,age,city,member,note,price"]
    for row in range(40):
        city, member = ("Paris", "Rome", "Oslo")[row % 4 % 3], "yes" if row % 5 else "no"
        lines.append(
            f"{row},2020-{1 + row % 12:02}-07,{'' if row % 10 == 0 else 20 + row},{city},{member},n{row},{row / 3}"
        )
    (here / "m.csv").write_text("\n".join(lines) + "\n")
    facts = answer("data=csv", "data.path=m.csv", "data.target=price")
    columns = {column["name"]: column for column in facts["columns"]}
    assert {name: column["kind"] for name, column in columns.items()} == {
        "id": "identifier", "joined": "date", "age": "number", "city": "category", "member": "boolean",
        "note": "identifier", "price": "target",
    }  # fmt: skip
    assert [name for name, column in columns.items() if column["used"]] == ["joined", "age", "city", "member"]
    assert (columns["joined"]["first"], columns["joined"]["last"]) == ("2020-01-07", "2020-12-07")
    ages = [20 + row for row in range(40) if row % 10]
    assert (columns["age"]["missing"], columns["age"]["min"], columns["age"]["max"]) == (4, min(ages), max(ages))
    assert columns["age"]["mean"] == pytest.approx(np.mean(ages))
    assert columns["city"]["frequent"] == [
        {"value": "Paris", "count": 20}, {"value": "Oslo", "count": 10}, {"value": "Rome", "count": 10},
    ]  # fmt: skip
    assert columns["member"]["frequent"] == [{"value": "yes", "count": 32}, {"value": "no", "count": 8}]
    assert columns["age"]["with_target"]["value"] == pytest.approx(1, abs=1e-4)
    assert columns["note"]["with_target"] is None


def test_photographs_of_several_labels_and_rectangles_are_told_as_they_are(here: Path, answer: Any) -> None:
    (here / "many/images").mkdir(parents=True)
    lines = ["file,label"]
    for number in range(12):
        smooth(40, 30, seed=number).save(here / f"many/images/{number}.png")
        lines.append(f"{number}.png,{'cat;dog' if number % 3 == 0 else 'dog' if number % 3 == 1 else 'cat'}")
    (here / "many/labels.csv").write_text("\n".join(lines) + "\n")
    words = ["data=image_folder", "data.root=many", "data.labels=labels.csv", "data.image_size=[36,48]", "model=mlp"]
    facts = answer(*words)
    assert (facts["task"], facts["classes"]["names"]) == ("multi_label", ["cat", "dog"])
    counts = facts["classes"]["counts"].values()
    assert [sum(each[at] for each in counts) for at in (0, 1)] == [8, 8]
    assert (facts["images"]["height"], facts["images"]["width"]) == (36, 48)
    assert facts["photographs"]["covers"] == [36, 48]
    assert facts["photographs"]["enlarged"] == 12
    assert "enlarged" in cases(facts)

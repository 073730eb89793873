"""What `couloir data` says of texts: lengths, tokens, and the texts themselves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from couloir.cli.main import run as command
from couloir.data.sequence.text_file import descriptions
from couloir.inspect.dataset.texts import texts


def test_lengths_tokens_and_classes_are_those_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.csv"
    rows = [(" ".join(["good" if n % 2 else "bad", *["film"] * (n % 4)]), "np"[n % 2]) for n in range(30)]
    file.write_text("review,mood\n" + "".join(f"{text} & more,{mood}\n" for text, mood in rows))
    words = ["data=text_csv", f"data.path={file}", "data.text=review"]
    assert command(["data", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["texts"]
    assert (found["unit"], sum(split["tokens"] for split in found["splits"].values())) == (
        "word", sum(len(text.split()) + 2 for text, _ in rows),
    )  # fmt: skip
    assert {split["min"] for split in found["splits"].values()} <= {3, 4, 5, 6}
    said = {(row["text"], row["class"]) for shown in found["shown"].values() for row in shown}
    assert said <= {(f"{text} & more", mood) for text, mood in rows}
    assert command(["data", *words, f"output_dir={tmp_path}"]) == 0
    assert "shortest" in capsys.readouterr().out
    page = next(tmp_path.rglob("data.html")).read_text(encoding="utf-8")
    assert "<h2>Texts</h2>" in page
    assert "film &amp; more" in page


def test_tokens_are_counted_within_the_windows_alone() -> None:
    fields = {"text": "tokens", "next": "target_tokens"}
    data = descriptions(length=50, subset=3, batch_size=4, task="next_token", fields=fields, num_classes=92)
    data.setup()
    found = texts(data)
    assert found is not None
    whole = "".join(data.texts("train", np.arange(3)))
    assert len(whole) == found["splits"]["train"]["tokens"] == 150
    most = Counter(whole).most_common(1)[0]
    assert (found["frequent"][0]["token"], found["frequent"][0]["count"]) == most

"""A text whose next token is predicted: cut in order, each token measured once, and what cannot be read is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.text import embedded_texts, tokens_of
from couloir.data.sequence.text_file import descriptions, inspect, text_file, text_of
from couloir.data.sequence.vocabulary import UNKNOWN
from couloir.errors import CouloirError
from couloir.ragged import Padded

TEXT = "".join(map(chr, np.random.default_rng(0).integers(97, 120, 400)))
KEYS: dict[str, Any] = {"length": 16, "batch_size": 4, "val_fraction": 0.2, "test_fraction": 0.1}
FIELDS = {"text": "tokens", "next": "target_tokens"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def loaded(path: Path, **keys: Any) -> Sequences:
    facts = inspect("text_file", {"path": str(path), **KEYS, **keys})
    data = text_file(
        str(path), task="next_token", fields=FIELDS, channels=None, num_classes=facts["num_classes"],
        **{"vocabulary_size": facts["vocabulary_size"], **KEYS, **keys},
    )  # fmt: skip
    data.setup()
    return data


def texts(data: Sequences, batch: dict[str, Any], name: str) -> list[str]:
    assert data.vocabulary is not None
    field = batch[name]
    rows = field.samples() if isinstance(field, Padded) else list(field)
    return [data.vocabulary.decode(row.tolist()) for row in rows]


def test_the_text_is_cut_in_order_and_each_token_behind_the_first_is_measured_once(file: Path) -> None:
    data = loaded(file)
    parts = {"train": TEXT[:280], "val": TEXT[280:360], "test": TEXT[360:]}
    for name, part in parts.items():
        read, predicted = "", ""
        for batch in data.in_order(name):
            read += "".join(texts(data, batch, "text"))
            predicted += "".join(texts(data, batch, "next"))
        whole = len(part) - 1 if name != "train" else (len(part) - 1) // 16 * 16
        assert read == part[:whole]
        assert predicted == part[1 : whole + 1]


def test_training_windows_begin_elsewhere_in_each_epoch_and_stay_in_the_training_part(file: Path) -> None:
    data = loaded(file)
    batches = data.train_dataloader()
    seen = set()
    for _ in range(12):
        for batch in batches:
            for read, predicted in zip(texts(data, batch, "text"), texts(data, batch, "next"), strict=True):
                assert read[1:] == predicted[:-1]
                assert read + predicted[-1] in TEXT[:280]
                seen.add(TEXT.index(read) % 16)
    assert len(seen) > 4, "windows are cut at other places"


def test_streams_go_on_where_the_batch_before_ended(file: Path) -> None:
    data = loaded(file, carry_state=True)
    for name, part in (("train", TEXT[:280]), ("val", TEXT[280:360]), ("test", TEXT[360:])):
        loader = data.train_dataloader() if name == "train" else data.in_order(name)
        streams = ["", "", "", ""]
        for batch in loader:
            streams = [whole + more for whole, more in zip(streams, texts(data, batch, "next"), strict=True)]
        assert "".join(streams) == part[1:], "each token behind the first is in one stream"


def test_characters_that_training_lacks_are_one_token_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab" * 150 + "ab€b%" * 5 + "ab" * 38)
    data = loaded(path)
    assert data.vocabulary is not None
    assert list(data.vocabulary.tokens) == [UNKNOWN, "a", "b"]
    assert "each <unknown>: val 10" in " ".join(data.notes)


def test_the_vocabulary_does_not_see_validation_and_test(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a b " * 90 + "c d " * 10)
    keys = {"path": str(path), **KEYS, "tokens": "word"}
    assert list(tokens_of(text_of("text_file", keys)).vocabulary.tokens) == [UNKNOWN, "a", "b"]


def test_a_subset_is_of_the_first_windows(file: Path) -> None:
    data = loaded(file, subset=2)
    assert data.sizes() == {"train": 2, "val": 2, "test": 2}
    assert "".join(texts(data, next(iter(data.in_order("val"))), "text")) == TEXT[280:312]


def test_another_text_or_vocabulary_is_another_fingerprint(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(TEXT.translate({code: code - 32 for code in range(97, 123)}))
    first, second = loaded(file), loaded(other)
    assert torch.equal(first.example_batch()["text"], second.example_batch()["text"]), "the numbers are the same"
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == loaded(file).fingerprint()


def test_bytes_take_any_file_and_line_ends_are_one_character(tmp_path: Path) -> None:
    path = tmp_path / "text.bin"
    path.write_bytes(bytes(range(256)) * 2)
    found = tokens_of(text_of("text_file", {"path": str(path), **KEYS, "tokens": "byte"}))
    assert np.concatenate(list(found.parts.values())).tolist() == [*range(256)] * 2
    path.write_bytes(b"a\r\nb\rc\n" * 60)
    found = tokens_of(text_of("text_file", {"path": str(path), **KEYS}))
    assert found.vocabulary.decode(found.parts["train"][:6]) == "a\nb\nc\n"


WRONG = {
    "empty": (b" \n", {}, "is empty"),
    "latin": ("stra\xdfe\n".encode("latin1") * 99, {}, "no utf-8"),
    "encoding": (b"abc" * 99, {"encoding": "klingon"}, "no encoding klingon"),
    "one letter": (b"aaaa" * 99, {}, "is 'a' again and again"),
    "one byte": (b"aaaa" * 99, {"tokens": "byte"}, "is byte 97 again and again"),
    "tiny": (b"abcdef", {}, "too short to train"),
    "window": (b"abcdefgh" * 20, {"length": 200}, "shorter than a window of data.length=200"),
    "streams": (b"abcdefgh" * 20, {"carry_state": True, "batch_size": 64}, "64 streams, shorter than a window"),
    "pairs": (b"abcdefgh" * 20, {"tokens": "bpe", "vocabulary_size": 100}, "less than the 256 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_a_text_is_said(name: str, tmp_path: Path) -> None:
    content, keys, said = WRONG[name]
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(CouloirError, match=said):
        inspect("text_file", {"path": str(path), **KEYS, **keys})


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.txt", "no file"), (tmp_path, "is a folder")):
        with pytest.raises(CouloirError, match=said):
            inspect("text_file", {"path": str(path), **KEYS})


def test_a_size_of_the_vocabulary_that_is_not_true_is_refused(file: Path) -> None:
    with pytest.raises(CouloirError, match="23 different tokens, not 40"):
        loaded(file, vocabulary_size=40)


@pytest.mark.parametrize("name", ["descriptions", "python_reference"])
def test_an_embedded_text_is_read_in_the_order_of_its_titles(name: str) -> None:
    parts = embedded_texts(name)
    assert list(parts) == sorted(parts)
    assert len(parts) >= 14
    size = inspect(name, {**KEYS, "length": 128})["vocabulary_size"]
    assert 80 < size < 130


def test_the_same_samples_are_prepared_again_for_a_finished_run() -> None:
    data = descriptions(length=32, vocabulary_size=None, batch_size=4, task="next_token", fields=FIELDS, num_classes=92)
    data.setup()
    facts = {"task": "next_token", "fields": FIELDS, "num_classes": data.num_classes, "batch_size": 4}
    without = Sequences.without_samples(facts, data.state_dict())
    assert without.vocabulary == data.vocabulary

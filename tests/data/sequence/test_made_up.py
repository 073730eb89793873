"""Made-up pairs: what is to be written is right, the same for each seed, and no pair is in two splits."""

from __future__ import annotations

import pytest
import torch

import couloir
from couloir.data.sequence.made_up import loaded, reversed_pairs, sum_pairs, vocabulary_of
from couloir.errors import CouloirError
from couloir.ragged import Padded
from couloir.run.assemble import load_data


@pytest.mark.parametrize(("samples", "symbols", "most"), [(300, "abcdefghij", 7), (100, "ab", 6)])
def test_strings_are_different_and_reversed(samples: int, symbols: str, most: int) -> None:
    pairs = reversed_pairs(samples, symbols, 2, most, seed=3)
    assert pairs == reversed_pairs(samples, symbols, 2, most, seed=3) != reversed_pairs(samples, symbols, 2, most, 4)
    assert len({source for source, _ in pairs}) == len(pairs) == samples
    assert all(target == "".join(reversed(source)) for source, target in pairs)
    assert {len(source) for source, _ in pairs} == set(range(2, most + 1))
    assert {letter for source, _ in pairs for letter in source} == set(symbols)


@pytest.mark.parametrize(("samples", "digits"), [(500, 3), (55, 1)])
def test_sums_are_right_and_no_two_numbers_are_there_in_both_orders(samples: int, digits: int) -> None:
    pairs = sum_pairs(samples, digits, seed=0)
    assert all(eval(source) == int(target) for source, target in pairs)
    terms = [tuple(sorted(map(int, source.split("+")))) for source, _ in pairs]
    assert len(set(terms)) == len(terms) == samples
    lengths = {len(number) for source, _ in pairs for number in source.split("+")}
    assert lengths == set(range(1, digits + 1))


def test_a_target_ends_with_the_stop_token_and_has_no_start() -> None:
    vocabulary = vocabulary_of("sums")
    fields = loaded([("1+23", "24"), ("9+9", "18")], vocabulary).train.fetch(torch.arange(2))
    source, target = fields["source"], fields["target"]
    assert isinstance(source, Padded)
    assert [vocabulary.decode(row.tolist()) for row in source.samples()] == ["1+23", "9+9"]
    assert [vocabulary.decode(row) for row in target.tolist()] == ["24<stop>", "18<stop>"]


@pytest.mark.parametrize("name", ["reversed", "sums"])
def test_no_pair_is_in_two_splits(name: str) -> None:
    data = load_data(
        couloir.compose([f"data={name}", "data.samples=200", "trainer.accelerator=cpu"]).cfg, reports=False
    )
    parts = [{split.source.bytes_of(number) for number in split.indices} for split in data.splits.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 200
    assert [len(part) for part in parts] == [162, 18, 20]


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["data=reversed", "data.symbols=aaa"], "fewer than two different characters"),
        (["data=reversed", "data.shortest=12"], "data.shortest=12 is more than data.length=10"),
        (["data=reversed", "data.symbols=ab", "data.length=4"], "more pairs than there are: 16"),
        (["data=reversed", "data.vocabulary_size=99"], "data.vocabulary_size is 12 here, not 99"),
        (["data=sums", "data.digits=1"], "more pairs than there are: 55"),
        (["data=sums", "data.digits=0"], "data.digits"),
        (["data=sums", "data.digits=12"], "data.digits=12 is more than 9"),
        (["data=sums", "data.length=5"], "data.length is 7 here, not 5"),
    ],
)
def test_pairs_that_cannot_be_made_are_refused_before_torch_is_imported(words: list[str], fact: str) -> None:
    with pytest.raises(CouloirError) as error:
        couloir.compose(words)
    assert fact in error.value.fact
    assert error.value.next_step

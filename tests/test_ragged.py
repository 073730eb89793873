"""Fields whose samples differ in size: what goes in comes out, whole or in part."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from couloir.config.fields import SAMPLE
from couloir.data.plain import Plain
from couloir.ragged import Padded, Ragged, in_precision, joined, length, moved, part

SIZES = (3, 0, 1, 4)
FORMS = (Ragged, Padded)


def samples(sizes: tuple[int, ...] = SIZES) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, 5, generator=generator) for size in sizes]


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [SIZES, (2,), (0, 0)])
def test_samples_come_out_as_they_went_in(form: type[Ragged | Padded], sizes: tuple[int, ...]) -> None:
    expected = samples(sizes)
    field = form.of(expected)
    assert same(field.samples(), expected)
    assert field[1].tolist() == list(sizes)
    assert field[1].dtype == torch.int64


def test_boxes_stand_in_one_tensor() -> None:
    field = Ragged.of(samples())
    assert field.values.shape == (sum(SIZES), 5)
    assert torch.equal(field.values, torch.cat(samples()))


def test_sequences_are_filled_up_with_zeros_and_the_mask_says_where_they_end() -> None:
    field = Padded.of(samples())
    assert field.values.shape == (len(SIZES), max(SIZES), 5)
    assert field.mask().tolist() == [[place < size for place in range(max(SIZES))] for size in SIZES]
    assert torch.all(field.values[~field.mask()] == 0)
    assert torch.all(field.values[field.mask()] != 0)


def test_tokens_stay_integers() -> None:
    field = Padded.of([torch.tensor([5, 6, 7]), torch.tensor([8])])
    assert field.values.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert field.values.dtype == torch.int64


@pytest.mark.parametrize("chosen", [[2, 0], [3], [1, 1, 3], [1]])
def test_a_part_has_the_chosen_samples_in_their_order(chosen: list[int]) -> None:
    places = torch.tensor(chosen)
    for form in FORMS:
        found = part(form.of(samples()), places)
        assert isinstance(found, form)
        assert same(found.samples(), [samples()[place] for place in chosen])
    x = torch.randn(4, 2)
    assert torch.equal(part(x, places), x[places])  # type: ignore[arg-type]


def test_a_batch_is_as_long_as_its_samples_are_many_whatever_comes_first() -> None:
    fields = {"boxes": Ragged.of(samples()), "tokens": Padded.of(samples()), "image": torch.zeros(4, 1, 2, 2)}
    for name, field in fields.items():
        assert length({name: field, SAMPLE: torch.arange(4)}) == 4, name


@pytest.mark.parametrize("form", FORMS)
def test_a_moved_field_is_the_same_field(form: type[Ragged | Padded]) -> None:
    found = moved(form.of(samples()), torch.device("meta"))
    assert isinstance(found, form)
    assert {tensor.device.type for tensor in found} == {"meta"}
    kept = moved(form.of(samples()), torch.device("cpu"))
    assert same(kept.samples(), samples())  # type: ignore[union-attr]


@pytest.mark.parametrize("form", FORMS)
def test_joined_fields_have_the_samples_of_all(form: type[Ragged | Padded]) -> None:
    found = joined([form.of(samples()), form.of(samples((6, 1)))])
    assert isinstance(found, form)
    assert same(found.samples(), [*samples(), *samples((6, 1))])


def test_an_example_of_a_users_own_data_has_boxes_and_sequences() -> None:
    batches = [
        {"series": Padded.of(samples(sizes)), "boxes": Ragged.of(samples(sizes[::-1]))} for sizes in ((3, 1), (2, 5))
    ]
    module = LightningDataModule()
    for split in ("train", "val", "test"):
        setattr(module, f"{split}_dataloader", lambda: DataLoader(batches, batch_size=None))
    data = Plain(module, {"fields": {"series": "series", "boxes": "boxes"}}, seed=0, augmentation=None)
    data.setup()
    batch = data.example_batch(3)
    assert same(batch["series"].samples(), samples((3, 1)) + samples((2, 5))[:1])
    assert same(batch["boxes"].samples(), samples((1, 3)) + samples((5, 2))[:1])


def test_only_real_numbers_change_their_precision() -> None:
    wide = in_precision(Padded.of(samples()), torch.float64)
    assert wide.values.dtype == torch.float64
    assert wide[1].dtype == torch.int64
    tokens = in_precision(Padded.of([torch.tensor([3, 1]), torch.tensor([2])]), torch.bfloat16)
    assert tokens.values.tolist() == [[3, 1], [2, 0]]
    assert in_precision(torch.tensor([7]), torch.float16).dtype == torch.int64

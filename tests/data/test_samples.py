"""Batches as the network gets them: standardised, reproducible, the same with and without workers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from couloir.data.batches import Batches
from couloir.data.samples import Samples
from couloir.data.source import ArraySource, Loaded, resized
from couloir.errors import CouloirError
from pairs import pair


def image_samples(count: int = 101, **keys: Any) -> Samples:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(count, 3, 6, 6), dtype=np.uint8) // np.array([1, 2, 4])[:, None, None].astype(
        np.uint8
    )
    labels = rng.permutation(np.arange(count) % 4)
    settings = {"task": "classification", "channels": 3, "image_size": 6, "num_classes": 4, "batch_size": 16, **keys}
    return Samples(lambda: Loaded(ArraySource(images, labels), classes=list("abcd")), **settings)


def ready(samples: Samples) -> Samples:
    samples.setup()
    return samples


def everything(loader: Batches) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(loader)
    return torch.cat([x for x, _ in map(pair, batches)]), torch.cat([y for _, y in map(pair, batches)])


def test_the_training_split_is_standardised_by_its_own_statistics() -> None:
    samples = ready(image_samples())
    x, y = everything(samples.train_dataloader())
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert torch.allclose(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    raw = samples.splits["train"].source.inputs[samples.splits["train"].indices].double() / 255
    assert samples.mean == pytest.approx(raw.mean(dim=(0, 2, 3)).tolist())
    assert samples.std == pytest.approx(raw.std(dim=(0, 2, 3), correction=0).tolist())
    test_x, _ = everything(samples.test_dataloader())
    assert not torch.allclose(test_x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4), "the test split has no say"


def test_a_subset_gives_up_the_memory_of_all_other_images_and_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(samples: Samples) -> list[Any]:
        loaders = (samples.train_dataloader(), samples.val_dataloader(), samples.test_dataloader())
        batches = [batch for loader in loaders for batch in loader]
        values = [value for batch in batches for value in batch.values()]
        return [samples.fingerprint(), samples.mean, samples.class_counts(), *values]

    keys = {"subset": 10, "augmentation": None}
    whole = ready(image_samples(60, **keys))
    monkeypatch.setattr("couloir.data.source.LARGE", 1)
    kept = ready(image_samples(60, **keys))
    assert [len(each.splits["train"].source.inputs) for each in (whole, kept)] == [60, 19]
    for ours, theirs in zip(found(kept), found(whole), strict=True):
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    assert len(ready(image_samples(60, subset=30)).splits["train"].source.inputs) == 60, "most of them are asked for"


def test_stated_statistics_are_used_and_none_leaves_pixels_in_zero_to_one() -> None:
    raw, _ = everything(ready(image_samples(standardize=False)).val_dataloader())
    assert 0 <= raw.min() <= raw.max() <= 1
    scaled, _ = everything(ready(image_samples(mean=[0.1, 0.2, 0.3], std=[2.0, 4.0, 8.0])).val_dataloader())
    expected = (raw - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([2.0, 4, 8]).view(1, 3, 1, 1)
    assert torch.allclose(scaled, expected, atol=1e-6)


def test_statistics_for_another_number_of_channels_are_explained() -> None:
    with pytest.raises(CouloirError, match="3 channels"):
        ready(image_samples(mean=[0.1], std=[1.0]))


def test_a_column_that_never_varies_does_not_become_nan() -> None:
    table = np.stack([np.full(50, 1e6), np.linspace(0, 1, 50)], axis=1).astype(np.float32)
    labels = np.arange(50) % 2
    samples = Samples(
        lambda: Loaded(ArraySource(table, labels)),
        task="classification", channels=2, image_size=None, num_classes=2, batch_size=8,
    )  # fmt: skip
    x, _ = everything(ready(samples).train_dataloader())
    assert torch.isfinite(x).all()
    assert torch.allclose(x[:, 0], torch.zeros(len(x)))
    assert float(x[:, 1].std(correction=0)) == pytest.approx(1.0, rel=1e-4)


def test_large_values_with_a_small_spread_are_standardised_exactly() -> None:
    rng = np.random.default_rng(0)
    table = (1e5 + rng.normal(size=(2000, 1))).astype(np.float32)
    samples = Samples(
        lambda: Loaded(ArraySource(table, np.zeros((2000, 1), np.float32))),
        task="regression", channels=1, image_size=None, num_classes=1, batch_size=500,
    )  # fmt: skip
    x, _ = everything(ready(samples).train_dataloader())
    assert float(x.std(correction=0)) == pytest.approx(1.0, rel=1e-3)


def test_splits_are_disjoint_and_complete() -> None:
    samples = ready(image_samples())
    parts = [split.indices for split in samples.splits.values()]
    assert sorted(np.concatenate(parts).tolist()) == list(range(101))
    assert sum(samples.sizes().values()) == 101


def test_a_subset_is_a_part_of_a_validation_split_that_the_set_brings() -> None:
    def load() -> Loaded:
        sources = [ArraySource(np.zeros((count, 1, 2, 2), np.uint8), np.arange(count) % 3) for count in (50, 40, 30)]
        return Loaded(*sources)

    samples = Samples(load, task="classification", channels=1, image_size=2, num_classes=3, batch_size=8, subset=20)
    samples.setup()
    assert samples.sizes() == {"train": 20, "val": 20, "test": 20}


def test_a_subset_is_a_part_of_both_pools() -> None:
    samples = ready(image_samples(1000, subset=80))
    sizes = samples.sizes()
    assert sizes["train"] + sizes["val"] == 80
    assert sizes["test"] == 80
    counts = np.bincount(samples.splits["test"].targets)
    assert counts.min() >= 19


def test_each_epoch_has_an_order_of_its_own_which_the_seed_decides() -> None:
    def orders(seed: int) -> list[list[int]]:
        loader = ready(image_samples(seed=0)).train_dataloader()
        loader.seed = seed
        return [everything(loader)[1].tolist() for _ in range(2)]

    first, second = orders(0)
    assert first != second
    assert sorted(first) == sorted(second)
    assert orders(0) == [first, second]
    assert orders(1) != [first, second]


def test_what_else_draws_random_numbers_does_not_change_the_order() -> None:
    loaders = [ready(image_samples()).train_dataloader() for _ in range(2)]
    torch.manual_seed(0)
    first = everything(loaders[0])[1]
    torch.manual_seed(99)
    torch.rand(1000)
    assert torch.equal(everything(loaders[1])[1], first)


def test_workers_bring_the_same_batches() -> None:
    here, there = (ready(image_samples(workers=workers)).train_dataloader() for workers in (0, 2))
    for _ in range(2):
        for (x, y), (x2, y2) in zip(map(pair, here), map(pair, there), strict=True):
            assert torch.equal(x, x2)
            assert torch.equal(y, y2)


def test_an_interrupted_epoch_is_taken_up_where_it_stopped() -> None:
    whole = list(ready(image_samples()).train_dataloader())
    loader = ready(image_samples()).train_dataloader()
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    resumed = ready(image_samples()).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    rest = list(resumed)
    assert len(rest) == len(whole) - 2
    assert all(torch.equal(x, x2) for (x, _), (x2, _) in zip(map(pair, rest), map(pair, whole[2:]), strict=True))
    after = [y.tolist() for _, y in map(pair, resumed)]
    list(loader_epoch := ready(image_samples()).train_dataloader())
    assert after == [y.tolist() for _, y in map(pair, loader_epoch)], "the next epoch is the next epoch"


def test_an_epoch_that_the_loop_ends_early_is_followed_by_the_next_one() -> None:
    whole = ready(image_samples()).train_dataloader()
    orders = [[y.tolist() for _, y in map(pair, whole)] for _ in range(3)]
    loader = ready(image_samples()).train_dataloader()
    for expected in orders:  # as with trainer.limit_train_batches=2
        assert [y.tolist() for _, y in map(pair, itertools.islice(loader, 2))] == expected[:2]


@pytest.mark.parametrize(
    ("count", "size", "batches", "last"), [(33, 16, 2, 16), (32, 16, 2, 16), (35, 16, 3, 3), (1, 16, 1, 1)]
)
def test_a_last_batch_of_one_sample_is_left_out_of_training(count: int, size: int, batches: int, last: int) -> None:
    loader = Batches(
        count,
        size,
        lambda batches, seeds: ((i, i) for i in batches),
        lambda x, y: {"image": x, "label": y},
        drop_single=True,
    )
    got = list(loader)
    assert len(got) == len(loader) == batches
    assert len(got[-1]["image"]) == last


def test_augmentation_is_for_training_alone_and_sees_pixels_in_zero_to_one() -> None:
    seen: list[float] = []

    def augmentation(x: torch.Tensor) -> torch.Tensor:
        seen.extend([float(x.min()), float(x.max())])
        return torch.zeros_like(x)

    samples = ready(image_samples(augmentation=augmentation))
    x, _ = everything(samples.train_dataloader())
    assert len(torch.unique(x)) == 3, "one value a channel: augmentation came before standardisation"
    assert 0 <= min(seen) <= max(seen) <= 1
    calls = len(seen)
    everything(samples.val_dataloader())
    everything(samples.test_dataloader())
    samples.example_batch()
    assert len(seen) == calls


def test_an_augmentation_that_mixes_targets_gets_them() -> None:
    from couloir.augmentation.mixing import Mixup

    samples = ready(image_samples(augmentation=Mixup(4, 1.0)))
    _, y = everything(samples.train_dataloader())
    assert y.shape[1] == 4
    assert torch.allclose(y.sum(dim=1), torch.ones(len(y)))


def test_keeping_ten_samples_makes_all_splits_the_same_ten() -> None:
    samples = ready(image_samples())
    samples.keep_only(8)
    assert samples.sizes() == {"train": 8, "val": 8, "test": 8}
    assert np.bincount(samples.splits["val"].targets).tolist() == [2, 2, 2, 2]


def test_the_fingerprint_follows_every_byte_and_the_split() -> None:
    images = np.zeros((40, 1, 4, 4), np.uint8)
    labels = np.arange(40) % 2

    def fingerprint(images: np.ndarray, labels: np.ndarray, **keys: Any) -> str:
        settings = {"task": "classification", "channels": 1, "image_size": 4, "num_classes": 2, "batch_size": 8, **keys}
        return ready(Samples(lambda: Loaded(ArraySource(images, labels)), **settings)).fingerprint()

    reference = fingerprint(images, labels)
    assert fingerprint(images.copy(), labels.copy()) == reference
    changed = images.copy()
    changed[17, 0, 2, 1] = 1
    assert fingerprint(changed, labels) != reference
    assert fingerprint(images, 1 - labels) != reference
    assert fingerprint(images, labels, seed=1) != reference or fingerprint(images, labels, subset=10) != reference


def test_a_label_outside_of_the_classes_is_explained() -> None:
    with pytest.raises(CouloirError, match="label 3, outside of the 3 classes"):
        ready(image_samples(num_classes=3))


def test_regression_targets_are_scaled_and_can_be_scaled_back() -> None:
    rng = np.random.default_rng(0)
    y = (rng.uniform(100, 300, size=(80, 1))).astype(np.float32)
    x = rng.normal(size=(80, 2)).astype(np.float32)

    def samples(scaling: str) -> Samples:
        return ready(Samples(
            lambda: Loaded(ArraySource(x, y)), task="regression", channels=2, image_size=None, num_classes=1,
            batch_size=200, target_scaling=scaling,
        ))  # fmt: skip

    plain = everything(samples("none").val_dataloader())[1]
    for scaling in ("standardize", "unit"):
        scaled = samples(scaling)
        got = everything(scaled.val_dataloader())[1]
        assert got.shape[1] == 1
        assert torch.allclose(got * scaled.target_scale + scaled.target_offset, plain, rtol=1e-4)
    train = everything(samples("unit").train_dataloader())[1]
    assert float(train.min()) == pytest.approx(0.0, abs=1e-6)
    assert float(train.max()) == pytest.approx(1.0, abs=1e-6)


def test_images_are_resized_once_and_stay_bytes() -> None:
    ramp = np.tile(np.linspace(0, 255, 8, dtype=np.uint8), (5, 1, 8, 1))
    source = ArraySource(ramp, np.zeros(5, np.int64), image_size=16)
    assert source.inputs.shape == (5, 1, 16, 16)
    assert source.inputs.dtype == torch.uint8
    assert torch.all(source.inputs[0, 0, 0].diff().int() >= 0)
    assert resized(torch.full((1, 3, 9, 9), 200, dtype=torch.uint8), 4).unique().tolist() == [200]


def test_an_example_draws_no_random_number_and_comes_from_all_classes() -> None:
    samples = ready(image_samples())
    state = torch.get_rng_state()
    x, y = pair(samples.example_batch())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, pair(samples.example_batch())[0])
    assert len(x) == 16
    assert len(y.unique()) > 1


def test_a_checkpoint_can_hold_the_statistics() -> None:
    import io

    stream = io.BytesIO()
    torch.save(ready(image_samples()).state_dict(), stream)
    stream.seek(0)
    assert len(torch.load(stream, weights_only=True)["mean"]) == 3


def unequal(**keys: Any) -> Samples:
    """Rows of which most are of class 0, a few of class 2, and still fewer of class 1."""
    labels = np.array([0] * 80 + [2] * 15 + [1] * 5)

    def load() -> Loaded:
        return Loaded(ArraySource(np.arange(100, dtype=np.float32)[:, None], labels), classes=["a", "b", "c"])

    sizes: dict[str, Any] = {"channels": 1, "image_size": None, "num_classes": 3, "batch_size": 8}
    samples = Samples(load, task="classification", **sizes, **keys)
    samples.setup()
    return samples


def test_balanced_draws_take_each_class_as_often_and_each_of_its_samples_too() -> None:
    samples = unequal(sampler="balanced", test_fraction=0.2, val_fraction=0.2)
    loader, labels = samples.train_dataloader(), samples.splits["train"].targets
    sizes = np.bincount(labels, minlength=3)
    assert 0 < sizes[1] < sizes[2] < sizes[0]
    epochs = 400
    drawn = np.concatenate([loader.order(epoch).numpy() for epoch in range(epochs)])
    assert len(drawn) == epochs * len(labels)
    # The probability of a sample: that of its class, and then one of the class's; five deviations of a binomial.
    probability = 1 / 3 / sizes[labels]
    times, expected = np.bincount(drawn, minlength=len(labels)), len(drawn) * probability
    assert (np.abs(times - expected) < 5 * np.sqrt(expected * (1 - probability))).all()
    by_class = np.bincount(labels[drawn], minlength=3) / len(drawn)
    np.testing.assert_allclose(by_class, 1 / 3, atol=5 * np.sqrt(2 / 9 / len(drawn)))


def test_an_order_follows_from_seed_and_epoch_and_without_a_balance_it_is_what_it_was() -> None:
    balanced = unequal(sampler="balanced", seed=4).train_dataloader()
    again, other = unequal(sampler="balanced", seed=4).train_dataloader(), unequal(sampler="balanced", seed=5)
    assert torch.equal(balanced.order(3), again.order(3))
    assert not torch.equal(balanced.order(3), balanced.order(4))
    assert not torch.equal(balanced.order(3), other.train_dataloader().order(3))
    shuffled = unequal(seed=4).train_dataloader()
    generator = torch.Generator().manual_seed(4 * 1_000_003 + 3)
    assert torch.equal(shuffled.order(3), torch.randperm(shuffled.num_samples, generator=generator))
    held_out = unequal(sampler="balanced").val_dataloader()
    assert torch.equal(held_out.order(0), torch.arange(held_out.num_samples)), "only the training is balanced"


def test_batches_of_balanced_draws_hold_the_samples_that_were_drawn() -> None:
    samples = unequal(sampler="balanced", standardize=False)
    loader, split = samples.train_dataloader(), samples.splits["train"]
    batches = list(loader)
    chosen = split.indices[loader.order(0).numpy()]
    np.testing.assert_array_equal(torch.cat([batch["row"] for batch in batches])[:, 0].numpy(), chosen)
    labels = torch.cat([batch["label"] for batch in batches]).numpy()
    np.testing.assert_array_equal(labels, split.source.targets[chosen])


def test_the_classes_of_a_training_are_counted_and_a_checkpoints_counts_stay() -> None:
    samples = unequal(test_fraction=0.25, val_fraction=0.25)
    expected = np.bincount(samples.splits["train"].targets, minlength=3).tolist()
    assert samples.class_counts() == (expected, sum(expected))
    later = unequal(test_fraction=0.5)
    assert later.class_counts() != samples.class_counts()
    later.standardised_as(samples.state_dict())
    assert later.class_counts() == samples.class_counts(), "a loss weighs classes as in its training"


def test_samples_without_a_single_class_cannot_be_balanced() -> None:
    with pytest.raises(CouloirError, match="no single class"):
        Samples(lambda: None, task="regression", channels=1, image_size=None, num_classes=1, batch_size=2,
                sampler="balanced")  # type: ignore[arg-type,return-value]  # fmt: skip


def test_label_noise_changes_that_share_of_the_training_labels_and_no_other() -> None:
    clean, noisy = ready(image_samples(4000)), ready(image_samples(4000, label_noise=0.6))
    true, told = clean.splits["train"].targets, noisy.splits["train"].targets
    # Of 60% that are drawn from four classes, a quarter draws its own; five deviations of a binomial.
    expected, size = 0.6 * 3 / 4, len(true)
    assert abs(float((true != told).mean()) - expected) < 5 * np.sqrt(expected * (1 - expected) / size)
    assert f"{round(0.6 * size):,} of {size:,}" in noisy.notes[0]
    for name in ("val", "test"):
        np.testing.assert_array_equal(noisy.splits[name].targets, clean.splits[name].targets)
    _, batched = everything(noisy.in_order("train"))
    np.testing.assert_array_equal(batched.numpy(), told, "what a step learns from")
    assert noisy.class_counts() == (np.bincount(told, minlength=4).tolist(), size)
    assert noisy.fingerprint() != clean.fingerprint()


def test_label_noise_follows_from_the_seed_and_leaves_the_split_and_other_generators_alone() -> None:
    state = torch.get_rng_state()
    one, again, other = (ready(image_samples(label_noise=1.0, seed=seed)).splits["train"] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one.targets, again.targets)
    assert not np.array_equal(one.targets, other.targets)
    np.testing.assert_array_equal(one.indices, ready(image_samples(seed=3)).splits["train"].indices)
    overfit = ready(image_samples(label_noise=1.0, seed=3))
    overfit.keep_only(8)
    assert set(overfit.splits["test"].targets) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(overfit.splits["val"].targets, overfit.splits["train"].targets)


def test_samples_without_a_single_class_have_no_label_noise() -> None:
    with pytest.raises(CouloirError, match="no single class"):
        Samples(lambda: None, task="regression", channels=1, image_size=None, num_classes=1, batch_size=2,
                label_noise=0.1)  # type: ignore[arg-type,return-value]  # fmt: skip


def test_all_images_of_all_splits_have_their_pixels_in_the_same_other_order() -> None:
    plain, permuted = ready(image_samples(seed=3)), ready(image_samples(seed=3, permute_pixels=True))
    order = permuted.order
    assert order is not None
    assert sorted(order.tolist()) == list(range(36))
    for split in ("train", "val", "test"):
        (before, label), (after, same) = everything(plain.in_order(split)), everything(permuted.in_order(split))
        assert torch.equal(after.flatten(2), before.flatten(2)[:, :, order])
        assert torch.equal(label, same)
    assert plain.mean == permuted.mean
    assert plain.fingerprint() != permuted.fingerprint(), "kept features are of the one or the other"
    other = ready(image_samples(seed=4, permute_pixels=True)).order
    assert other is not None
    assert not torch.equal(order, other)


def test_new_images_are_permuted_as_those_of_the_training_were_and_augmented_before() -> None:
    permuted = ready(image_samples(seed=3, permute_pixels=True, augmentation=lambda x: x.flip(-1)))
    raw = permuted.splits["val"].source.fetch(torch.from_numpy(permuted.splits["val"].indices))
    kept = Samples.without_samples(
        {"task": "classification", "channels": 3, "image_size": 6, "num_classes": 4, "seed": 3, "permute_pixels": True},
        permuted.state_dict(),
    )
    assert torch.equal(kept.as_batch(raw)["image"], everything(permuted.val_dataloader())[0])
    split = permuted.splits["train"]
    seen = permuted.seen("train", np.arange(5), seed=0)["image"]
    flipped = permuted.as_batch(split.source.fetch(torch.from_numpy(split.indices[:5])).flip(-1))["image"]
    assert torch.allclose(seen, flipped, atol=1e-6)


def test_an_mlp_learns_the_same_of_permuted_pixels_and_maps_are_not_permuted() -> None:
    permuted = ready(image_samples(permute_pixels=True))
    x, y = everything(ready(image_samples()).in_order("train"))
    z, _ = everything(permuted.in_order("train"))
    assert permuted.order is not None
    torch.manual_seed(0)
    one, other = (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 4)).double() for _ in range(2))
    with torch.no_grad():  # the same network, its weights in the other order
        other[1].bias.copy_(one[1].bias)  # type: ignore[operator,arg-type]
        other[1].weight.copy_(one[1].weight.view(4, 3, 36)[:, :, permuted.order].flatten(1))  # type: ignore[operator]
    for net, inputs in ((one, x), (other, z)):
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs.double()), y).backward()
            optimizer.step()
    assert torch.allclose(one(x.double()), other(z.double()), atol=1e-9)
    with pytest.raises(CouloirError, match="no images"):
        Samples(lambda: None, task="classification", channels=1, image_size=None, num_classes=2, batch_size=2,
                permute_pixels=True)  # type: ignore[arg-type,return-value]  # fmt: skip

"""The metrics of maps against scikit-learn, SciPy and NumPy: segmentation, saliency and restoration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt
from sklearn import metrics as reference

from couloir.config.fields import IGNORED
from couloir.errors import CouloirError
from couloir.metric.means import Means
from couloir.metric.restoration import psnr, ssim
from couloir.metric.saliency import NAMES, scores
from couloir.metric.segmentation import SegmentationMetrics, boundary_counts, confusion


def maps(seed: int = 0, kinds: int = 4, samples: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores (B, K, H, W) and classes (B, H, W), of which some are ignored; the last class is nowhere."""
    rng = np.random.default_rng(seed)
    target = rng.integers(kinds - 1, size=(samples, 17, 23))
    values = rng.normal(size=(samples, kinds, 17, 23)) + 1.5 * np.moveaxis(np.eye(kinds)[target], -1, 1)
    values[:, -1] = -9.0
    target[rng.random(target.shape) < 0.1] = IGNORED
    return values.astype(np.float32), target


def test_pixels_are_counted_and_divided_as_scikit_learn_does_over_the_whole_split() -> None:
    values, target = maps()
    metric = SegmentationMetrics(4, ["sky", "traffic light", "cat-like", "nowhere"])
    halves = [SegmentationMetrics(4), SegmentationMetrics(4)]
    for number, part in enumerate(np.array_split(np.arange(5), [1, 3])):
        counts = confusion(torch.tensor(values[part]), torch.tensor(target[part]), 4)
        classes = torch.tensor(values[part].argmax(1))
        assert torch.equal(confusion(classes, torch.tensor(target[part]), 4), counts)
        metric.update(counts)
        halves[number % 2].update(counts)
    there = target != IGNORED
    true, predicted = target[there], values.argmax(1)[there]
    assert np.array_equal(metric.pixels, reference.confusion_matrix(true, predicted, labels=range(4)))
    assert torch.equal(halves[0].pixels + halves[1].pixels, metric.pixels), "sums of processes are those of one"
    found = {name: float(value) for name, value in metric.compute().items()}
    iou = reference.jaccard_score(true, predicted, labels=range(3), average=None)
    assert found == {
        "pixel_accuracy": pytest.approx(reference.accuracy_score(true, predicted)),
        "mean_iou": pytest.approx(iou.mean()),
        "mean_dice": pytest.approx(reference.f1_score(true, predicted, labels=range(3), average="macro")),
        "iou_sky": pytest.approx(iou[0]),
        "iou_traffic_light": pytest.approx(iou[1]),
        "iou_cat_like": pytest.approx(iou[2]),
        "iou_nowhere": pytest.approx(np.nan, nan_ok=True),
    }


def test_a_class_that_is_only_predicted_counts_and_ignored_pixels_do_not() -> None:
    target = torch.tensor([[[0, 0, IGNORED], [0, 0, IGNORED]]])
    metric = SegmentationMetrics(3)
    metric.update(confusion(torch.tensor([[[0, 1, 2], [0, 0, 2]]]), target, 3))
    found = {name: float(value) for name, value in metric.compute().items()}
    assert found["iou_0"] == 0.75
    assert found["iou_1"] == 0
    assert np.isnan(found["iou_2"]), "it is predicted where nothing counts"
    assert found["mean_iou"] == 0.375
    assert found["mean_dice"] == pytest.approx((6 / 7) / 2)


@pytest.mark.parametrize("tolerance", [0, 1.5, 3])
def test_boundaries_are_counted_as_by_distances_between_them(tolerance: float) -> None:
    rng = np.random.default_rng(3)
    blocks = rng.integers(3, size=(2, 4, 5))
    target = blocks.repeat(6, 1).repeat(6, 2)
    predicted = np.roll(target, (1, 2), (1, 2))
    predicted[0, :9, :9] = 2
    target[1, 5:9, 5:20] = IGNORED
    counts = boundary_counts(torch.tensor(predicted), torch.tensor(target), 3, tolerance)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
    for sample in range(2):
        counted = target[sample] != IGNORED
        for number in range(3):
            edges = []
            for classes in (predicted[sample], target[sample]):
                own = (classes == number) & counted
                edges.append(own & binary_dilation(~(classes == number) & counted, cross))
            near = [distance_transform_edt(~edge) <= tolerance if edge.any() else edge for edge in edges]
            expected = [(edges[0] & near[1]).sum(), edges[0].sum(), (edges[1] & near[0]).sum(), edges[1].sum()]
            assert counts[sample, number].tolist() == expected
    metric = SegmentationMetrics(3, boundaries=True)
    metric.update(confusion(torch.tensor(predicted), torch.tensor(target), 3), counts)
    near, own, near_true, true = counts.sum(0).double().T
    precision, recall = near / own, near_true / true
    f1 = (2 * precision * recall / (precision + recall)).nan_to_num(0).mean()
    assert float(metric.compute()["boundary_f1"]) == pytest.approx(float(f1))


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(CouloirError, match="do not belong"):
        confusion(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.int64), 3)
    with pytest.raises(CouloirError, match="true ones"):
        scores(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


@pytest.mark.parametrize("kind", ["fixations", "density"])
def test_saliency_scores_agree_with_numpy_and_scikit_learn(kind: str) -> None:
    rng = np.random.default_rng(1)
    target = rng.random((3, 1, 9, 14)) ** 4
    if kind == "fixations":
        target = (target > 0.5).astype(float)
    prediction = np.round(target + 0.4 * rng.random(target.shape), 1).astype(np.float32)  # rounded: some are equal
    found = scores(torch.tensor(prediction), torch.tensor(target.astype(np.float32)))
    for row, p, t in zip(
        found.numpy(), prediction.reshape(3, -1), target.astype(np.float32).reshape(3, -1), strict=True
    ):
        p, t = p.astype(float), t.astype(float)
        ps, ts, fixed = p / p.sum(), t / t.sum(), t / t.max()
        truth = np.repeat([1, 0], len(t))
        expected = {
            "cc": np.corrcoef(p, t)[0, 1],
            "sim": np.minimum(ps, ts).sum(),
            "nss": np.average((p - p.mean()) / p.std(), weights=t),
            "kl_divergence": np.sum(ts * np.log(2.0**-52 + ts / (2.0**-52 + ps))),
            "auc_judd": reference.roc_auc_score(truth, np.tile(p, 2), sample_weight=np.r_[fixed, 1 - fixed]),
        }
        assert dict(zip(NAMES, row, strict=True)) == {name: pytest.approx(value) for name, value in expected.items()}
        if kind == "fixations":
            assert row[4] == pytest.approx(reference.roc_auc_score(t, p))
            assert row[2] == pytest.approx(((p - p.mean()) / p.std())[t == 1].mean())


def test_a_flat_prediction_is_worth_nothing_and_an_empty_truth_has_no_score() -> None:
    truth = torch.rand(2, 1, 5, 5)
    truth[1] = 0
    found = scores(torch.full_like(truth, 0.3), truth)
    assert found[0, [0, 2, 4]].tolist() == pytest.approx([0, 0, 0.5])
    assert found[1].isnan().all()
    perfect = scores(truth, truth)[0]
    assert perfect[[0, 1, 3]].tolist() == pytest.approx([1, 1, 0], abs=1e-12)
    means = Means(NAMES)
    means.update(found[:1])
    means.update(torch.cat([perfect[None], found[1:]]))
    assert float(means.compute()["cc"]) == pytest.approx(0.5), "the mean of the samples that have the number"
    empty = Means(["cc"])
    empty.update(found[1:, :1])
    assert empty.compute()["cc"].isnan()


def test_restoration_is_measured_in_the_range_of_images_and_an_exact_one_stays_finite() -> None:
    rng = np.random.default_rng(2)
    clean = rng.random((3, 2, 12, 15)).astype(np.float32)
    restored = (clean + rng.normal(scale=0.3, size=clean.shape)).astype(np.float32)
    restored[2] = clean[2]
    found = psnr(torch.tensor(restored), torch.tensor(clean))
    errors = (restored.clip(0, 1) - clean).astype(float) ** 2
    assert found[:2].tolist() == pytest.approx(-10 * np.log10(errors.mean((1, 2, 3))[:2]), rel=1e-5)
    assert found[2] == 100
    pair = torch.tensor(restored), torch.tensor(clean)
    assert torch.equal(ssim(*pair), ssim(pair[0].clamp(0, 1), pair[1]))
    assert float(ssim(*pair)[2]) == pytest.approx(1)

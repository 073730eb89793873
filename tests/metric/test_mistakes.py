"""The mistakes that are kept are the worst ones, with their own pictures."""

from __future__ import annotations

import numpy as np
import torch

from couloir.metric.mistakes import KEPT, SIDE, WorstMistakes, frames_beside


def predictions(count: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, classes, generator=generator).softmax(1), torch.arange(count) % classes


def test_the_worst_of_all_batches_are_kept_in_order() -> None:
    probabilities, target = predictions(400)
    metric = WorstMistakes(None, None, None)
    for start in range(0, 400, 64):
        part = slice(start, start + 64)
        metric.update(probabilities[part], target[part], torch.zeros(len(target[part]), 2))
    found = metric.compute()
    table = probabilities.numpy()
    own = table[np.arange(400), target.numpy()]
    wrong = [i for i in np.argsort(own, kind="stable").tolist() if table[i].argmax() != target[i]]
    assert len(wrong) > KEPT
    assert found.position == wrong[:KEPT]
    assert found.label == [int(target[i]) for i in wrong[:KEPT]]
    assert found.prediction == [int(table[i].argmax()) for i in wrong[:KEPT]]
    np.testing.assert_allclose(found.label_confidence, own[wrong[:KEPT]], rtol=1e-6)
    np.testing.assert_allclose(found.confidence, table[wrong[:KEPT]].max(axis=1), rtol=1e-6)
    assert found.images is None


def test_a_picture_is_what_was_there_before_it_was_standardised() -> None:
    images = (torch.arange(3 * 2 * 5 * 5) % 256).to(torch.uint8).view(3, 2, 5, 5)
    mean, std = [0.3, 0.5], [0.2, 0.7]
    x = (images / 255 - torch.tensor(mean).view(1, 2, 1, 1)) / torch.tensor(std).view(1, 2, 1, 1)
    metric = WorstMistakes(mean, std, 5)
    metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 0, 1]), x)
    found = metric.compute()
    assert found.position == [1, 2]
    np.testing.assert_array_equal(found.images, images[[1, 2]].numpy())


def test_a_picture_keeps_its_shape_when_it_is_made_smaller() -> None:
    assert WorstMistakes([0.0], [1.0], [20, 30]).pictures.shape[1:] == (1, 20, 30)
    assert WorstMistakes([0.0], [1.0], [2 * SIDE, SIDE]).pictures.shape[1:] == (1, SIDE, SIDE // 2)
    assert WorstMistakes([0.0], [1.0], [1, 3 * SIDE]).pictures.shape[1:] == (1, 1, SIDE)


def test_a_single_mistake_and_a_large_picture_keep_their_shape() -> None:
    metric = WorstMistakes([0.0], [1.0], 2 * SIDE)
    metric.update(torch.tensor([[0.9, 0.1]]), torch.tensor([1]), torch.ones(1, 1, 2 * SIDE, 2 * SIDE))
    found = metric.compute()
    assert found.images is not None
    assert found.images.shape == (1, 1, SIDE, SIDE)
    assert found.images.min() == 255
    metric.reset()
    metric.update(torch.tensor([[0.9, 0.1]]), torch.tensor([0]), torch.ones(1, 1, 2 * SIDE, 2 * SIDE))
    assert metric.compute().label == []


def test_the_frames_of_a_video_stand_row_by_row_in_a_square() -> None:
    video = torch.arange(1.0, 6.0).view(1, 1, 5, 1, 1).expand(1, 1, 5, 1, 2)
    assert frames_beside(video)[0, 0].tolist() == [[1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 1, 1]]
    longer = torch.arange(17.0).view(1, 1, 17, 1, 1)
    assert frames_beside(longer)[0, 0].tolist() == [[0, 2, 4], [6, 8, 10], [12, 14, 16]]
    worst = WorstMistakes([0.5], [0.25], [2, 6])
    worst.update(torch.tensor([[0.9, 0.1]]), torch.tensor([1]), (video - 3) / 4)
    images = worst.compute().images
    assert images is not None
    assert images.shape == (1, 1, 2, 6)
    assert images[0, 0, 0, ::2].tolist() == [96, 112, 128]  # ((v - 3) / 4 * 0.25 + 0.5) * 255

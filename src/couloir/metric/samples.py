"""How good made samples are, in the eyes of a classifier: `update(made, real)` with images (B, C, H, W) in [0, 1].

Each takes in what `couloir.metric.features.Classifier` says of the made images and of as many real ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.metric.features import Classifier
from couloir.metric.kept import keys, lowest
from couloir.metric.precision import WIDE

NEIGHBOUR = 3
"""The neighbour that a sample's ball reaches: k of precision and recall, as the paper chooses it."""
COVERED = 0.25
"""A class is covered that made images have at least so often, compared with real ones."""
ROWS = 512
"""Rows of a matrix of distances at a time."""


class Frechet(Metric):
    """The Fréchet distance of two Gaussians that have the means and covariances of the features.

    |m - r|² + tr(M + R - 2 (M R)^(1/2)), where m, M are of made and r, R of real images. Source: Heusel, Ramsauer,
    Unterthiner, Nessler and Hochreiter, 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium, section 1 and appendix; there the features are those of Inception-v3.

    Sums of the features and of their products, in float64, are all that is kept: exact, also over several processes.

    Args:
        classifier: gives the features, F of them.
    """

    full_state_update = False
    count: Tensor
    sums: Tensor
    products: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier, size = classifier, classifier.num_features
        self.add_state("count", torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(2, size, dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(2, size, size, dtype=WIDE), dist_reduce_fx="sum")

    def update(self, made: Tensor, real: Tensor) -> None:
        """Add made images, and as many real ones."""
        features = torch.stack([self.classifier(images).features.to(WIDE) for images in (made, real)])
        self.count += len(made)
        self.sums += features.sum(dim=1)
        self.products += features.mT @ features

    def compute(self) -> Tensor:
        """The distance; NaN of fewer than two samples."""
        if self.count < 2:
            return torch.full_like(self.count, torch.nan)
        mean = self.sums / self.count
        covariance = (self.products - self.count * mean[:, :, None] * mean[:, None, :]) / (self.count - 1)
        return frechet_distance(mean[0], covariance[0], mean[1], covariance[1])


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """The Fréchet distance of two Gaussians, a scalar >= 0, in the squared unit of the features.

    Args:
        mean: (F,).
        covariance: (F, F), symmetric.
        other_mean: (F,).
        other_covariance: (F, F), symmetric.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    # The eigenvalues of M R are those of the symmetric M^(1/2) R M^(1/2); rounding makes some of them negative.
    shared = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    distance: Tensor = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared
    return distance.clamp(min=0)


class Neighbours(Metric):
    """The share of images within the other images' manifold: made ones within that of the real ones (precision, how
    real they look), or real ones within that of the made ones (recall, how much of the variety is made).

    An image is within it if its features are at most as far from those of one of these images as the `NEIGHBOUR`th
    nearest other one of them is. Source: Kynkäänniemi, Karras, Laine, Lehtinen and Aila, 2019, Improved Precision and
    Recall Metric for Assessing Generative Models, section 2; there the features are those of VGG-16.

    Args:
        classifier: gives the features, F of them.
        count: samples at most, made ones and real ones each; 8 F bytes each.
        recall: whether it is the recall.
    """

    full_state_update = False
    kept: list[Tensor]

    def __init__(self, classifier: Classifier, count: int, recall: bool = False) -> None:
        super().__init__()
        self.classifier, self.count, self.recall = classifier, count, recall
        self._width = 1 + 2 * classifier.num_features
        self.add_state("kept", [], dist_reduce_fx="cat")

    def update(self, made: Tensor, real: Tensor) -> None:
        """Add made images, and as many real ones."""
        features = [self.classifier(images).features for images in (made, real)]
        more = torch.cat([keys(real), *features], dim=1).flatten()
        self.kept = [lowest([*self.kept, more], self._width, self.count).flatten()]

    def compute(self) -> Tensor:
        """The share in [0, 1]; NaN of too few samples to have such a neighbour."""
        made, real = lowest(self.kept, self._width, self.count)[:, 1:].tensor_split(2, dim=1)
        if len(made) <= NEIGHBOUR:
            return torch.tensor(torch.nan, device=made.device)
        return share_within(real, made) if self.recall else share_within(made, real)


def share_within(points: Tensor, others: Tensor, neighbour: int = NEIGHBOUR) -> Tensor:
    """The share of points that lie in the ball of one of the others, which reaches its nearest neighbours among these.

    Args:
        points: (N, F).
        others: (M, F), more than `neighbour`.
        neighbour: which of an other's neighbours its ball reaches.
    """
    points, others = points.to(WIDE), others.to(WIDE)
    far = (torch.cdist(part, others) for part in torch.split(others, ROWS))
    reaches = torch.cat([part.kthvalue(neighbour + 1, dim=1).values for part in far])  # each is its own nearest
    within = [(torch.cdist(part, others) <= reaches).any(dim=1) for part in torch.split(points, ROWS)]
    return torch.cat(within).to(WIDE).mean()


class OfClasses(Metric):
    """What follows from the classes that the classifier sees in made and in real images.

    Args:
        classifier: gives the probabilities of K classes.
    """

    full_state_update = False
    taken: Tensor
    probabilities: Tensor
    largest: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.add_state("taken", torch.zeros(2, classifier.num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("probabilities", torch.zeros(classifier.num_classes, dtype=WIDE), dist_reduce_fx="sum")
        self.add_state("largest", torch.zeros((), dtype=WIDE), dist_reduce_fx="sum")

    def update(self, made: Tensor, real: Tensor) -> None:
        """Add made images, and as many real ones."""
        for place, seen in enumerate(self.classifier(images) for images in (made, real)):
            classes = seen.probabilities.argmax(dim=1)
            # No bincount: it would wait for a GPU.
            self.taken[place] += (classes[:, None] == torch.arange(self.taken.shape[1], device=classes.device)).sum(0)
            if place == 0:
                self.probabilities += seen.probabilities.to(WIDE).sum(dim=0)
                self.largest += seen.probabilities.amax(dim=1).to(WIDE).sum()

    @property
    def shares(self) -> Tensor:
        """Of made and of real images the share that is taken for each class, (2, K)."""
        shares: Tensor = self.taken / self.taken.sum(dim=1, keepdim=True)
        return shares


class ClassCoverage(OfClasses):
    """The share of the classes that made images cover: those for which they are taken at least a quarter (`COVERED`) as
    often as real images are. Classes that no real image is taken for are left out. The definition is Couloir's own.
    """

    def compute(self) -> Tensor:
        """In [0, 1]."""
        made, real = self.shares
        there = real > 0
        covered: Tensor = made[there] >= COVERED * real[there]
        return covered.to(WIDE).mean()


class LeastShare(OfClasses):
    """The share of the made images that are taken for the class that fewest are taken for: 1/K at most."""

    def compute(self) -> Tensor:
        """In [0, 1/K]."""
        return self.shares[0].min()


class ClassEntropy(OfClasses):
    """The entropy of the mean of the classes' probabilities over made images, in nats: ln K where all classes are made
    alike often, 0 where one is. Source: the first part of Salimans et al., 2016, Improved Techniques for Training
    GANs, section 4.
    """

    def compute(self) -> Tensor:
        """In [0, ln K]."""
        share = self.probabilities / self.taken[0].sum()
        entropy: Tensor = -torch.xlogy(share, share).sum()
        return entropy


class Confidence(OfClasses):
    """The mean of the largest probability over made images: how clearly each belongs to a class."""

    def compute(self) -> Tensor:
        """In [1/K, 1]."""
        return self.largest / self.taken[0].sum()

"""Test-time augmentation: several views of each test image, whose predictions are averaged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.config.image_size import ImageSize, enlarged, in_words, size_of
from couloir.errors import CouloirError


class Mirror:
    """Each image and its mirror image."""

    squares = 1

    def load_size(self, image_size: ImageSize) -> ImageSize:
        """The size at which images are loaded."""
        return image_size

    def adapt(self, net: nn.Module) -> nn.Module:
        """The network that looks at the views."""
        return net

    def __call__(self, x: Tensor, size: ImageSize) -> Iterator[Tensor]:
        """(B, C, H, W) -> two views of the same shape."""
        yield x
        yield x.flip(3)

    def back(self, answer: Any, number: int) -> Any:
        """What is said of a view as said of the image: a map (B, K, H, W) is mirrored back, all else stays.

        Args:
            answer: to a view.
            number: of the view.
        """
        return answer.flip(3) if is_map(answer) and number % 2 else answer


class Dihedral(Mirror):
    """Each image and its mirror images, turned by quarters: the eight symmetries of a square.

    Images that are not square keep their sides; of them there are four views.
    """

    def __call__(self, x: Tensor, size: ImageSize) -> Iterator[Tensor]:
        """(B, C, H, W) -> eight or four views of the same shape."""
        for number in range(8 if x.shape[-2] == x.shape[-1] else 4):
            axes = [axis for axis, bit in ((3, 1), (2, 2)) if number & bit]
            view = x.flip(axes) if axes else x
            yield view.transpose(2, 3) if number & 4 else view

    def back(self, answer: Any, number: int) -> Any:
        """What is said of a view as said of the image: a map (B, K, H, W) is turned back, all else stays."""
        if not is_map(answer):
            return answer
        answer = answer.transpose(2, 3) if number & 4 else answer
        axes = [axis for axis, bit in ((3, 1), (2, 2)) if number & bit]
        return answer.flip(axes) if axes else answer


class Windows(Mirror):
    """Views that show parts of an image, or more of it than the network was trained on."""

    def back(self, answer: Any, number: int) -> Any:
        """What is said of a view, where it is not a map.

        Raises:
            CouloirError: it is one.
        """
        if is_map(answer):
            raise CouloirError(
                f"{type(self).__name__} looks at other pixels in each view; the answers are maps, which have no mean "
                "then.",
                next_step="tta=mirror, tta=dihedral or tta=none",
            )
        return answer


def is_map(answer: Any) -> bool:
    """Whether an answer is a value a pixel, (B, K, H, W)."""
    return isinstance(answer, Tensor) and answer.ndim == 4


class TenCrop(Windows):
    """The four corners, the middle, and their mirror images.

    Krizhevsky et al., 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 4.1: windows of
    224 pixels in images of 256.

    Args:
        margin: side of the images over the side of the windows.
    """

    def __init__(self, margin: float) -> None:
        self.margin = margin

    def load_size(self, image_size: ImageSize) -> ImageSize:
        """The size at which images are loaded: `margin` times the network's, rounded."""
        return enlarged(image_size, self.margin)

    def __call__(self, x: Tensor, size: ImageSize) -> Iterator[Tensor]:
        """(B, C, H, W) -> ten views of `size`, (B, C, h, w)."""
        for window in corners_and_middle(x, size):
            yield window
            yield window.flip(3)


class MultiCrop(Windows):
    """GoogLeNet's 144 views: 4 scales x 3 squares x (4 corners, the middle, the square itself) x 2 mirrors.

    Szegedy et al., 2015, Going Deeper with Convolutions, section 7: shorter sides of 256, 288, 320 and 352 pixels,
    and of each the
    left, middle and right (or top, middle and bottom) square. Images that are in memory as squares already have one of
    them: 48 views. Images are loaded at the largest scale, and scaled down from there.

    Args:
        margins: shorter sides over the side of the windows.
    """

    squares = 3

    def __init__(self, margins: list[float]) -> None:
        self.margins = margins

    def load_size(self, image_size: ImageSize) -> ImageSize:
        """The size at which images are loaded: the largest margin."""
        return enlarged(image_size, max(self.margins))

    def __call__(self, x: Tensor, size: ImageSize) -> Iterator[Tensor]:
        """(B, C, H, W) or (B, squares, C, H, W) -> views of `size`, (B, C, h, w)."""
        for square in x.unbind(1) if x.ndim == 5 else (x,):
            for margin in self.margins:
                scaled = resized(square, enlarged(size, margin))
                for window in (*corners_and_middle(scaled, size), resized(scaled, size)):
                    yield window
                    yield window.flip(3)


class Dense(Windows):
    """The whole image at a larger scale and its mirror image, the classifier slid over it and averaged.

    Simonyan and Zisserman, 2015, Very Deep Convolutional Networks, section 3.2. The fully-connected layers of
    AlexNet, ZFNet and VGG become convolutions; networks that average their last map take any size as they are.

    Args:
        margin: side of the images over the side that the network was trained on.
    """

    def __init__(self, margin: float) -> None:
        self.margin = margin

    def load_size(self, image_size: ImageSize) -> ImageSize:
        """The size at which images are loaded: `margin` times the network's, rounded."""
        return enlarged(image_size, self.margin)

    def adapt(self, net: nn.Module) -> nn.Module:
        """The network as one that slides."""
        return fully_convolutional(net)


def corners_and_middle(x: Tensor, size: ImageSize) -> Iterator[Tensor]:
    """Five windows of images (B, C, H, W): top left, top right, bottom left, bottom right, middle.

    Raises:
        CouloirError: the images are smaller than the windows.
    """
    height, width = size_of(size)
    down, right = x.shape[2] - height, x.shape[3] - width
    if min(down, right) < 0:
        raise CouloirError(
            f"Windows of {in_words(size)} pixels do not fit into images of {in_words(tuple(x.shape[2:]))}.",
            next_step="a margin above 1",
        )
    for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
        yield x[:, :, top : top + height, left : left + width]


def resized(x: Tensor, size: ImageSize) -> Tensor:
    """Images (B, C, H, W) at another size: bilinear, antialiased."""
    if x.shape[-2:] == size_of(size):
        return x
    return F.interpolate(x, size_of(size), mode="bilinear", antialias=True)


class Sliding(nn.Module):
    """Features, and what were fully-connected layers as convolutions over a larger map."""

    def __init__(self, features: nn.Module, classifier: nn.Sequential, side: int) -> None:
        super().__init__()
        self.features, self.classifier, self.side = features, classifier, side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> the mean over all places, (B, num_classes).

        Raises:
            CouloirError: the images are not square: training squeezes their map into a square one.
        """
        if x.shape[2] != x.shape[3]:
            raise CouloirError(
                "tta=dense slides fully-connected layers over square images alone.",
                next_step="tta=ten_crop or tta=multi_crop, or a network that averages its last map (resnet50, ...)",
            )
        x = self.features(x)
        if min(x.shape[2:]) < self.side:  # small images: the map is spread, as it was in training
            x = F.adaptive_avg_pool2d(x, self.side)
        scores: Tensor = self.classifier(x)
        return scores.mean(dim=(2, 3))


def fully_convolutional(net: nn.Module) -> nn.Module:
    """The network with its first linear layer as a convolution of the map it sees, and the others as 1x1 convolutions.

    A network without `features`, a pooling `avgpool` to k x k with k > 1 and a `classifier` is returned as it is.
    """
    pool, classifier = getattr(net, "avgpool", None), getattr(net, "classifier", None)
    if not isinstance(pool, nn.AdaptiveAvgPool2d) or not isinstance(classifier, nn.Sequential):
        return net
    side = pool.output_size
    if not isinstance(side, int) or side == 1:
        return net
    layers: list[nn.Module] = []
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            layers.append(_as_convolution(layer, side if not any(isinstance(x, nn.Conv2d) for x in layers) else 1))
        else:
            layers.append(copy.deepcopy(layer))
    features = net.features
    assert isinstance(features, nn.Module)
    return Sliding(features, nn.Sequential(*layers), side).train(net.training)


def _as_convolution(linear: nn.Linear, side: int) -> nn.Conv2d:
    convolution = nn.Conv2d(linear.in_features // side**2, linear.out_features, side).to(linear.weight)
    with torch.no_grad():
        convolution.weight.copy_(linear.weight.view_as(convolution.weight))
        if convolution.bias is not None:
            convolution.bias.copy_(linear.bias)
    return convolution

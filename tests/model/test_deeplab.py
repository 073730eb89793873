"""Networks over a dilated ResNet-50, against torchvision's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from couloir.artifacts.layer_table import layers, totals
from couloir.errors import CouloirError
from networks import build, images, weights_for

# Of torchvision 0.28 at 21 classes: parameters with and without the auxiliary head, and with the weights of
# `weights_for` the first three scores of pixel (13, 21) of both images, and those of the auxiliary head.
REFERENCE: dict[str, tuple[int, int, list[list[float]], list[list[float]]]] = {
    "fcn_resnet50": (
        35_322_218,
        32_957_013,
        [[-721.7870, -36.5847, -65.0428], [-669.8889, -98.5031, -23.6286]],
        [[102.9678, -110.8933, 352.1674], [97.3242, -82.1761, 358.2047]],
    ),
    "deeplabv3_resnet50": (
        42_004_074,
        39_638_869,
        [[-339.1836, 223.0386, -523.7046], [-331.5070, 226.9238, -514.5021]],
        [[102.9678, -110.8933, 352.1674], [97.3242, -82.1761, 358.2047]],
    ),
}


def parameters(net: Any) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize("name", REFERENCE)
def test_parameters_and_scores_are_those_of_the_reference(name: str) -> None:
    with_head, without, scores, auxiliary = REFERENCE[name]
    with torch.device("meta"):
        assert parameters(build(name, 3, 32, 21, auxiliary=False)) == without
        net = build(name, 3, 32, 21).eval()
    assert parameters(net) == with_head
    net.load_state_dict(weights_for(net.state_dict()), assign=True)
    with torch.no_grad():
        out = net(images(32))
        # In evaluation the head for training is not asked; here its normalisation uses the weights' statistics, too.
        third, _ = net.backbone(images(32))
        aux = torch.nn.functional.interpolate(net.aux_classifier(third), size=(32, 32), mode="bilinear")
    for found, expected in ((out, scores), (aux, auxiliary)):
        assert found.shape == (2, 21, 32, 32)
        assert torch.allclose(found[:, :3, 13, 21], torch.tensor(expected), rtol=1e-4, atol=1e-3)


def test_the_map_is_an_eighth_of_the_image_and_in_training_the_second_head_answers_as_well() -> None:
    with torch.device("meta"):
        net = build("deeplabv3_resnet50", 3, 96, 5)
        third, fourth = net.backbone(torch.zeros(2, 3, 96, 130))
        assert (third.shape, fourth.shape) == ((2, 1024, 12, 17), (2, 2048, 12, 17))
        outputs = net.train()(torch.zeros(2, 3, 96, 130))
        assert [out.shape for out in outputs] == [(2, 5, 96, 130)] * 2
        assert build("fcn_resnet50", 3, 96, 5, auxiliary=False).train()(torch.zeros(2, 3, 64, 64)).shape[1] == 5


@pytest.mark.parametrize(("name", "published"), [("fcn_resnet50", 152.717), ("deeplabv3_resnet50", 178.722)])
def test_multiply_adds_at_520_pixels_are_the_published_ones(name: str, published: float) -> None:
    with torch.device("meta"):
        net = build(name, 3, 520, 21)
        own = totals(layers(net, 3, 520), net)["multiply_adds"]
    auxiliary = 65**2 * (9 * 1024 * 256 + 256 * 21)  # the reference asks it in evaluation as well
    assert round((own + auxiliary) / 1e9, 3) == published


def test_weights_of_a_classifier_begin_the_backbone_and_the_heads_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    classifier, file = build("resnet50", 3, 32, 7), str(tmp_path / "resnet50.pth")
    torch.save({f"net.{name}": value for name, value in classifier.state_dict().items()}, file)
    caplog.set_level(logging.INFO, "couloir")
    logging.getLogger("couloir").propagate = True
    net = build("fcn_resnet50", 3, 32, 4, weights=file)
    assert torch.equal(net.backbone.layer4[2].conv3.weight, classifier.layer4[2].conv3.weight)
    assert "for backbone; at their initialization stay classifier, aux_classifier" in caplog.text
    torch.save(build("resnet18", 3, 32, 7).state_dict(), file)
    with pytest.raises(CouloirError, match=r"The weights do not fit this network: .* missing \(backbone\."):
        build("fcn_resnet50", 3, 32, 4, weights=file)


def test_a_whole_file_gives_all_but_the_scores_of_other_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, file = build("fcn_resnet50", 3, 32, 21), str(tmp_path / "coco.pth")
    torch.save(source.state_dict(), file)
    net = build("fcn_resnet50", 3, 32, 3, auxiliary=False, weights=file)
    assert torch.equal(net.classifier[0].weight, source.classifier[0].weight)
    assert net.classifier[4].weight.shape == (3, 512, 1, 1)

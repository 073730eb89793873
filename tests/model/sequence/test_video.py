"""C3D against its paper, poolings against torch's, frames to come, and videos that are too small."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from couloir.artifacts.layer_table import Given, layers_met, totals
from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.model.sequence.video import AvgPool3d, MaxPool3d, c3d, conv3d
from couloir.ragged import Padded

KERNELS = [64, 128, 256, 256, 512, 512, 512, 512]
MAPS = [(16, 112), (16, 56), (8, 28), (8, 28), (4, 14), (4, 14), (2, 7), (2, 7)]
"""Frames and sides of the maps of each convolution, for 16 frames of 112x112."""


def parameters_of_c3d(classes: int) -> int:
    """27 weights for each pair of channels, and three linear layers behind 512 maps of 1x4x4."""
    convolutions = sum(27 * before * after + after for before, after in zip([3, *KERNELS], KERNELS, strict=False))
    return convolutions + (512 * 16 + 1) * 4096 + 4097 * 4096 + 4097 * classes


@pytest.mark.parametrize(("classes", "published"), [(101, 78.41), (487, 79.99)])
def test_c3d_has_the_layers_of_its_paper(classes: int, published: float) -> None:
    with torch.device("meta"):
        net = c3d(3, 16, 112, classes)
        rows = layers_met(net, [Given((3, 16, 112, 112))])
        assert net(torch.zeros(2, 3, 16, 112, 112)).shape == (2, classes)
    convolutions = [row.output_shape for row in rows if row.type == "Conv3d"]
    assert convolutions == [[width, frames, side, side] for width, (frames, side) in zip(KERNELS, MAPS, strict=True)]
    names = [row.name for row in rows if row.parameters]
    assert names == [f"conv{n}" for n in ("1a", "2a", "3a", "3b", "4a", "4b", "5a", "5b")] + ["fc6", "fc7", "fc8"]
    pooled = [row.output_shape[1:] for row in rows if row.type == "MaxPool3d"]
    assert pooled == [[16, 56, 56], [8, 28, 28], [4, 14, 14], [2, 7, 7], [1, 4, 4]]
    found = totals(rows, net)
    assert found["parameters"] == parameters_of_c3d(classes)
    assert round(found["parameters"] / 1e6, 2) == published
    # Each of the 27 weights of a pair of channels is multiplied once for every place of the map.
    multiplied = sum(
        27 * before * after * frames * side**2
        for before, after, (frames, side) in zip([3, *KERNELS], KERNELS, MAPS, strict=False)
    )
    assert found["multiply_adds"] == multiplied + 8192 * 4096 + 4096**2 + 4096 * classes


def test_summary_prints_the_paper_s_table(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "conf/data").mkdir(parents=True)
    facts = "channels: 3\nlength: 16\nimage_size: 112\nnum_classes: 487\ntask: sequence_classification\n"
    (tmp_path / "conf/data/sports1m.yaml").write_text(
        f"# Videos.\n_target_: torch.utils.data.Dataset\nfields: {{video: video, label: label}}\n{facts}"
    )
    monkeypatch.chdir(tmp_path)
    assert run(["summary", "model=c3d", "data=sports1m", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["totals"]["parameters"] == parameters_of_c3d(487)
    assert [layer["output_shape"] for layer in content["layers"] if layer["type"] == "MaxPool3d"][-1] == [512, 1, 4, 4]


@pytest.mark.parametrize("window", [(1, 2, 2), (2, 2, 2), (3, 1, 2)])
def test_poolings_are_torchs_own(window) -> None:
    x = torch.randn(2, 3, 6, 7, 9, dtype=torch.float64, requires_grad=True)
    for ceil in (False, True):
        ours, theirs = MaxPool3d(window, ceil_mode=ceil)(x), F.max_pool3d(x, window, ceil_mode=ceil)
        assert torch.equal(ours, theirs)
        weight = torch.randn_like(ours)
        gradients = [torch.autograd.grad((out * weight).sum(), x)[0] for out in (ours, theirs)]
        assert torch.equal(*gradients)
    torch.testing.assert_close(AvgPool3d(window)(x), F.avg_pool3d(x, window))


def test_small_videos_pass_c3d_with_other_keys() -> None:
    net = c3d(1, 8, 16, 8, width=2, fc=4, batch_norm=True, kernel_size=[1, 3, 3])
    assert net(torch.randn(3, 1, 8, 16, 16)).shape == (3, 8)
    assert sum(isinstance(module, nn.BatchNorm3d) for module in net.modules()) == 8
    assert {module.kernel_size for module in net.modules() if isinstance(module, nn.Conv3d)} == {(1, 3, 3)}
    strided = c3d(1, 8, 16, 8, width=2, fc=4, stride=[1, 2, 1])
    assert strided(torch.randn(1, 1, 8, 16, 16)).shape == (1, 8)


def test_frames_to_come_are_convolutions_alone() -> None:
    net = conv3d(2, 4, [6, 8], 2, answers="horizon", horizon=3, widths=[3], batch_norm=True).eval()
    x = torch.randn(2, 2, 4, 6, 8)
    assert net(x).shape == (2, 3, 2, 6, 8)
    larger = torch.randn(1, 2, 4, 20, 20)
    moved = torch.roll(larger, (2, 1), dims=(3, 4))
    inner = slice(6, 14)
    torch.testing.assert_close(
        net(moved)[..., inner, inner], torch.roll(net(larger), (2, 1), dims=(3, 4))[..., inner, inner]
    )


@pytest.mark.parametrize(
    ("keys", "fact"),
    [
        ({"pool": 3}, "stage 2 maps of 2x5x5"),
        ({"kernel_size": [2, 3, 3]}, "no middle"),
        ({"answers": "horizon", "horizon": 1, "pool": 2}, "model.pool has no place"),
        ({"answers": "horizon", "horizon": 1, "stride": [1, 2, 2]}, "model.stride has no place"),
        ({"answers": "horizon", "horizon": 1, "hidden": [4]}, "model.hidden has no place"),
    ],
)
def test_what_does_not_fit_is_a_sentence_with_a_next_step(keys, fact: str) -> None:
    with pytest.raises(CouloirError, match=fact) as error:
        conv3d(1, 8, 16, 8, widths=[2, 2], **keys)
    assert error.value.next_step


def test_videos_of_several_lengths_are_refused() -> None:
    videos = Padded(torch.zeros(2, 1, 8, 16, 16), torch.tensor([8, 5]))
    with pytest.raises(CouloirError, match="one length"):
        conv3d(1, 8, 16, 8)(videos)

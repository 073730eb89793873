"""Any network of the zoo under a decoder: its maps, where they are cut out, the weights, the head."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from couloir.config.build import build as build_node
from couloir.config.check import checked
from couloir.config.settle import NO_ENCODERS, encoder_of
from couloir.errors import CouloirError
from couloir.finetune.layers import head_of
from couloir.model.scales import maps_of, smallest_side
from networks import build, one_of_each, packaged_networks, weights_for
from repeats import few

FIRST = ["squeezenet", "resnet18", "vgg11", "googlenet", "convnet", "vgg_like"]
ENCODERS = [*FIRST, *(name for name in packaged_networks() if name not in (*FIRST, *NO_ENCODERS, "preact_resnet1001"))]
DATA = ["data=digits_on_photographs", "model=encoder_decoder"]


def side(name: str) -> int:
    return 32 if name.startswith("lenet") else 96


@pytest.mark.parametrize("name", few(ENCODERS, len(FIRST)))
def test_a_networks_maps_shrink_and_have_all_its_layers_but_the_head(name: str) -> None:
    with torch.device("meta"):
        net = build(name, 3, side(name), 7)
    names, modes = set(net.state_dict()), {module: module.training for module in net.modules()}
    cut, scales, rest = maps_of(net, 3, name)
    halvings = [scale.halvings for scale in scales]
    assert halvings == sorted(set(halvings))
    assert len(halvings) >= 3
    assert set(cut.state_dict()) | set(rest) == names
    assert set(rest), "there is a head"
    assert all(module.training == mode for module, mode in modes.items())
    least = smallest_side(cut, 3)
    with torch.device("meta"):
        maps = cut.eval()(torch.zeros(2, 3, max(least, 64), max(least, 80)))
        assert [out.shape[1] for out in maps] == [scale.channels for scale in scales]
        cut(torch.zeros(1, 3, least, least))


@pytest.mark.parametrize("name", one_of_each(name for name in NO_ENCODERS if name != "timm"))
def test_a_network_without_maps_to_cut_is_refused_with_those_that_have_some(name: str) -> None:
    with pytest.raises(CouloirError, match=f"model={name} cannot be an encoder: it"), torch.device("meta"):
        maps_of(build(name, 3, 32, 7), 3, name)
    with pytest.raises(CouloirError, match=f"{name} cannot be an encoder") as refused:
        checked([*DATA, f"model.encoder={name}"])
    assert "squeezenet" in str(refused.value.next_step)


def test_the_maps_are_those_that_the_network_computes_itself() -> None:
    torch.manual_seed(0)
    net = build("resnet18", 3, 64, 5).eval()
    x, stages = torch.randn(2, 3, 70, 90), list[Tensor]()
    for stage in (net.relu, net.layer1, net.layer2, net.layer3, net.layer4):
        stage.register_forward_hook(lambda _module, _x, out: stages.append(out.clone()))
    with torch.no_grad():
        net(x)
        expected = [stages[0], *stages[1:]]
        maps = maps_of(net, 3, "resnet18")[0].eval()(x)
    assert len(maps) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))


def test_dropout_and_statistics_of_the_encoder_follow_the_mode() -> None:
    torch.manual_seed(0)
    net = build("encoder_decoder", 3, 32, 2, encoder="all_cnn")
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(net.train().encoder(x)[0], net.encoder(x)[0])
    assert torch.equal(net.eval().encoder(x)[0], net.encoder(x)[0])
    # Dropout in front of the head belongs to the head, not to the last map.
    squeezenet = build("encoder_decoder", 3, 64, 2, encoder="squeezenet").train().encoder
    assert torch.equal(squeezenet(x)[-1], squeezenet(x)[-1])


def test_the_decoder_has_the_parameters_of_its_table() -> None:
    """Worked from the table: VGG-11 has maps of 64, 128, 256, 512, 512 and, at the end, 512 channels."""
    with torch.device("meta"):
        net = build("encoder_decoder", 3, 32, 2, encoder="vgg11", widths=[32, 16])
    total, before = 0, 512
    for beside, width in ((512, 32), (512, 16), (256, 16), (128, 16), (64, 16)):
        total += 9 * (before + beside) * width + 9 * width**2 + 4 * width
        before = width
    assert sum(parameter.numel() for parameter in net.decoder.parameters()) == total + 2 * (16 + 1)


@pytest.mark.parametrize("size", [(1, 1), (20, 67), (64, 64)])
@pytest.mark.parametrize("encoder", ["squeezenet", "vgg_like"])
def test_images_that_are_too_small_for_the_encoder_have_scores_as_well(encoder: str, size: tuple[int, int]) -> None:
    net = build("encoder_decoder", 3, 32, 4, encoder=encoder).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, *size)).shape == (1, 4, *size)


def test_weights_of_the_encoders_own_network_begin_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    classifier = build("squeezenet", 3, 32, 1000)
    torch.save(weights_for(classifier.state_dict()), tmp_path / "classifier.pth")
    caplog.set_level(logging.INFO, "couloir")
    logging.getLogger("couloir").propagate = True
    net = build("encoder_decoder", 3, 32, 4, encoder="squeezenet", weights=str(tmp_path / "classifier.pth"))
    expected = weights_for(classifier.state_dict())["features.12.expand3x3.weight"]
    assert torch.equal(net.encoder.get_submodule("features.12").expand3x3.weight, expected)
    assert "for encoder; at their initialization stay decoder" in caplog.text
    torch.save(net.state_dict(), tmp_path / "whole.pth")
    again = build("encoder_decoder", 3, 32, 4, encoder="squeezenet", weights=str(tmp_path / "whole.pth"))
    assert torch.equal(again.decoder.scores.weight, net.decoder.scores.weight)
    with pytest.raises(CouloirError, match="The weights do not fit this network"):
        build("encoder_decoder", 3, 32, 4, encoder="resnet18", weights=str(tmp_path / "classifier.pth"))


def test_the_decoder_is_the_head_that_finetune_trains() -> None:
    net: Any = build("encoder_decoder", 3, 32, 4, encoder="squeezenet")
    assert head_of(net) == ["decoder"]
    assert head_of(net, head="decoder.scores") == ["decoder.scores"]
    assert head_of(build("fcn_resnet50", 3, 32, 4)) == ["classifier", "aux_classifier"]


def test_the_encoder_is_written_out_with_its_own_keys_and_published_weights_are_those_of_it() -> None:
    words = [*DATA, "model.encoder=vgg11", "model.encoder_keys={batch_norm:true}", "model.weights=imagenet"]
    cfg = checked(words).cfg
    assert (cfg.model.network._target_, cfg.model.network.batch_norm) == ("couloir.model.vgg.vgg11", True)
    assert cfg.model.weights == "imagenet1k_v1"
    assert [round(value, 3) for value in cfg.data.mean] == [0.485, 0.456, 0.406]
    cfg = checked([*DATA, "model.encoder=squeezenet"]).cfg
    cfg.model.weights = None
    assert isinstance(build_node(cfg, "model"), nn.Module)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.encoder=squeezenett"], "squeezenett cannot be an encoder: it is no choice of model"),
        (["model.encoder=unet"], "unet cannot be an encoder: it has no maps that shrink"),
        (["model.encoder=timm"], "timm cannot be an encoder"),
        (["model.encoder_keys={droput:0.5}", "model.encoder=squeezenet"], "squeezenet has no key 'droput'"),
        (["model.encoder_keys={weights:x.pth}", "model.encoder=squeezenet"], "no key 'weights' as an encoder"),
        (["model.encoder_keys={dropout:2}", "model.encoder=squeezenet"], r"model\.network\.dropout takes a number in"),
        (["model.encoder=resnet18", "model.encoder_keys={stem:cifar}", "model.weights=imagenet"],
         r"model\.encoder_keys=\{stem:imagenet,shortcut:B\}; this one has model\.encoder_keys=\{stem:cifar\}"),
        (["model.encoder=xception", "model.weights=imagenet"], "There are no weights 'imagenet'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_torch(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        checked([*DATA, *words])


def test_a_choice_of_ones_own_is_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/model").mkdir(parents=True)
    text = "# Mine.\n_target_: torch.nn.Sequential\n"
    (tmp_path / "conf/model/mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    node, sources = encoder_of("mine", {})
    assert node._target_ == "torch.nn.Sequential"
    assert [source.package for source in sources] == ["model"]

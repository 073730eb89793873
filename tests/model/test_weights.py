"""Public checkpoints load as they are, and what does not fit is named."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import networks
from couloir.errors import CouloirError
from couloir.model.mlp import mlp
from networks import build

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())


def ours(name: str) -> tuple[str, dict[str, Any]]:
    """The choice and its keys for a name of the reference's."""
    base, _, form = re.sub(r"^(vgg\d+)_bn$", r"\1_norm", name).partition("_")
    if name.startswith("vgg"):
        return base, {"batch_norm": bool(form)}
    keys = {"transform_input": True} if name.endswith("_transformed") else {}
    return name.removesuffix("_transformed"), keys


@pytest.mark.parametrize("name", REFERENCE)
def test_names_and_shapes_are_the_references(name: str) -> None:
    choice, keys = ours(name)
    with torch.device("meta"):
        state = build(choice, 3, 224, 1000, **keys).state_dict()
    assert len(state) == REFERENCE[name]["entries"]
    assert networks.digest(state) == REFERENCE[name]["digest"]


@pytest.mark.parametrize("name", networks.one_of_each(name for name, entry in REFERENCE.items() if "logits" in entry))
def test_equal_weights_give_the_references_outputs(name: str, tmp_path: Path) -> None:
    choice, keys = ours(name)
    size = REFERENCE[name]["size"]
    with torch.device("meta"):
        net = build(choice, 3, size, 1000, **keys).eval()
    weights = networks.weights_for(net.state_dict())
    if choice.startswith(("alexnet", "vgg")):  # half a gigabyte: no file, and no weights of its own before
        net.load_state_dict(weights, assign=True)
    else:
        torch.save(weights, tmp_path / "weights.pth")
        net = build(choice, 3, size, 1000, **keys, weights=str(tmp_path / "weights.pth")).eval()
    with torch.no_grad():
        logits = net(networks.images(size))[:, :5]
    expected = torch.tensor(REFERENCE[name]["logits"])
    assert torch.allclose(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max().clamp_min(1)))


def saved(net: Any, file: Path) -> str:
    torch.save(net if isinstance(net, dict) else net.state_dict(), file)
    return str(file)


def test_old_names_of_densenet_are_read(tmp_path: Path) -> None:
    net = build("densenet121", 3, 64, 10)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", k): v for k, v in net.state_dict().items()}
    assert any(".norm.1." in name for name in old)
    again = build("densenet121", 3, 64, 10, weights=saved(old, tmp_path / "old.pth"))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_head_of_another_class_count_stays_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = build("resnet18", 3, 32, 1000)
    caplog.set_level(logging.INFO, "couloir")
    logging.getLogger("couloir").propagate = True
    net = build("resnet18", 3, 32, 10, weights=saved(given, tmp_path / "w.pth"))
    assert net.fc.weight.shape == (10, 512)
    assert torch.equal(net.layer4[1].conv2.weight, given.layer4[1].conv2.weight)
    assert "fc stays at its initialization (1000 classes in the file, 10 here)" in caplog.text


def test_auxiliary_heads_may_be_missing_or_left_over(tmp_path: Path) -> None:
    with_heads, without = build("googlenet_bn", 3, 64, 10), build("googlenet_bn", 3, 64, 10, aux_logits=False)
    a, b = saved(with_heads, tmp_path / "a.pth"), saved(without, tmp_path / "b.pth")
    assert torch.equal(build("googlenet_bn", 3, 64, 10, aux_logits=False, weights=a).fc.weight, with_heads.fc.weight)
    assert torch.equal(build("googlenet_bn", 3, 64, 10, weights=b).fc.weight, without.fc.weight)


def test_half_an_auxiliary_head_is_missing_and_not_spared(tmp_path: Path) -> None:
    state = build("googlenet_bn", 3, 64, 10).state_dict()
    del state["aux1.fc1.weight"]
    with pytest.raises(CouloirError, match=r"1 missing \(aux1\.fc1\.weight\)"):
        build("googlenet_bn", 3, 64, 10, weights=saved(dict(state), tmp_path / "half.pth"))


@pytest.mark.parametrize("prefix", ["module.", "net.", "_orig_mod."])
def test_what_wrappers_put_before_the_names_is_taken_off(prefix: str, tmp_path: Path) -> None:
    net = mlp(2, None, 3, [4])
    state = {"epoch": 3, "state_dict": {f"{prefix}{name}": value for name, value in net.state_dict().items()}}
    again = mlp(2, None, 3, [4], weights=saved(state, tmp_path / "w.pth"))
    x = torch.randn(5, 2)
    assert torch.equal(net(x), again(x))


def test_what_is_missing_left_over_or_of_another_shape_is_named(tmp_path: Path) -> None:
    given = saved(build("resnet34", 3, 32, 10), tmp_path / "34.pth")
    with pytest.raises(CouloirError, match=r"left over \(layer1\.2\.conv1\.weight"):
        build("resnet18", 3, 32, 10, weights=given)
    with pytest.raises(CouloirError, match=r"missing \(layer1\.2\.conv1\.weight"):
        build("resnet34", 3, 32, 10, weights=saved(build("resnet18", 3, 32, 10), tmp_path / "18.pth"))
    with pytest.raises(
        CouloirError, match=r"3 of another shape \(\d\.weight: \(\d, \d\) in the file, \(\d, \d\) in the net"
    ):
        mlp(2, None, 3, [5], weights=saved(mlp(2, None, 3, [4]), tmp_path / "mlp.pth"))


def test_a_file_that_is_not_there_is_torn_or_runs_code_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CouloirError, match="There is no file"):
        mlp(2, None, 3, [4], weights=str(tmp_path / "none.pth"))
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CouloirError, match="cannot be read as weights"):
        mlp(2, None, 3, [4], weights=str(tmp_path / "torn.pth"))
    torch.save(mlp(2, None, 3, [4]), tmp_path / "module.pth")
    with pytest.raises(CouloirError, match="cannot be read as weights"):
        mlp(2, None, 3, [4], weights=str(tmp_path / "module.pth"))
    (tmp_path / "text.pth").write_text("Rate limit exceeded")
    with pytest.raises(CouloirError, match="cannot be read as weights"):
        mlp(2, None, 3, [4], weights=str(tmp_path / "text.pth"))
    torch.save({0: torch.zeros(2)}, tmp_path / "numbers.pth")
    with pytest.raises(CouloirError, match="not a state dict"):
        mlp(2, None, 3, [4], weights=str(tmp_path / "numbers.pth"))
    with pytest.raises(CouloirError, match="not a state dict"):
        mlp(2, None, 3, [4], weights=saved({"loss": 1.0}, tmp_path / "number.pth"))

"""Layers of another run: those that were named are copied, the others begin on their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import couloir
from couloir.errors import CouloirError
from couloir.initializer.fixed import zeros
from couloir.initializer.from_run import from_run
from couloir.model.mlp import mlp
from networks import build


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    words = ["data=blobs", "model.hidden=[6,5]", "trainer.max_epochs=1", "logger=csv", "trainer=cpu"]
    return couloir.train(couloir.compose([*words, f"output_dir={folder}"])).dir


def learned(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    return {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}


def test_all_layers_of_the_same_name_and_shape_are_copied(run: Path) -> None:
    net = mlp(2, None, 7, [6, 5])
    before = net.state_dict()["5.weight"].clone() if "5.weight" in net.state_dict() else None
    from_run(net, str(run))
    state, source = net.state_dict(), learned(run)
    same = [name for name in state if name in source and state[name].shape == source[name].shape]
    assert len(same) == 4, "two hidden layers; the head has other classes"
    assert all(torch.equal(state[name], source[name]) for name in same)
    assert before is None or torch.equal(state["5.weight"], before)


def test_named_layers_go_where_they_are_sent_and_the_rest_begins_otherwise(run: Path) -> None:
    source = learned(run)
    first = next(name.rpartition(".")[0] for name in source)
    net = mlp(2, None, 4, [6, 9])
    from_run(net, str(run), layers=[first], otherwise=zeros)
    state = net.state_dict()
    assert torch.equal(state[f"{first}.weight"], source[f"{first}.weight"])
    assert not any(value.any() for name, value in state.items() if not name.startswith(f"{first}."))


def test_layers_that_are_not_there_or_do_not_fit_are_explained(run: Path) -> None:
    first, second = sorted({name.rpartition(".")[0] for name in learned(run)})[:2]
    net = mlp(2, None, 4, [6, 5])
    with pytest.raises(CouloirError, match="has no layer 'conv1'"):
        from_run(net, str(run), layers=[f"conv1:{first}"])
    with pytest.raises(CouloirError, match="The network has no layer 'conv1'"):
        from_run(net, str(run), layers=[f"{first}:conv1"])
    with pytest.raises(CouloirError, match="does not fit into"):
        from_run(net, str(run), layers=[f"{first}:{second}"])
    with pytest.raises(CouloirError, match="no layer of the same name and shape"):
        from_run(build("lenet5", 1, 28, 10), str(run))


def test_vggs_layers_of_configuration_a_fit_into_d() -> None:
    """The pairs of experiment=vgg16_2014: the first four convolutions and the three fully-connected layers."""
    cfg = couloir.config.compose.compose_sentence(["experiment=vgg16_2014", "initializer.run=x"]).cfg
    with torch.device("meta"):
        a, d = build("vgg11", 3, 224, 1000).state_dict(), build("vgg16", 3, 224, 1000).state_dict()
    convolutions = [name for name in a if name.startswith("features") and name.endswith("weight")]
    pairs = [pair.split(":") for pair in cfg.initializer.layers]
    assert [theirs for theirs, _ in pairs[:4]] == [name.removesuffix(".weight") for name in convolutions[:4]]
    assert [theirs for theirs, _ in pairs[4:]] == ["classifier.0", "classifier.3", "classifier.6"]
    for theirs, ours in pairs:
        assert a[f"{theirs}.weight"].shape == d[f"{ours}.weight"].shape


def test_latest_is_the_run_before_this_one(run: Path) -> None:
    outputs = run.parents[1]
    words = ["data=blobs", "model.hidden=[6,5]", "trainer.max_epochs=1", "logger=csv", "trainer=cpu"]
    cfg = couloir.compose([*words, "initializer=from_run", "initializer.run=latest", f"output_dir={outputs}"]).cfg
    assert Path(cfg.initializer.run) == run.resolve()
    again = couloir.train(cfg)
    assert (
        again.metrics["train/loss"]
        < couloir.train(couloir.compose([*words, f"output_dir={outputs}"])).metrics["train/loss"]
    )

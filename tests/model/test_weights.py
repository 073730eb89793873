"""Public checkpoints load as they are, and what does not fit is named."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import couloir
import networks
from couloir.cli.main import run
from couloir.config import tree
from couloir.config.weights import published
from couloir.errors import CouloirError
from couloir.model.mlp import mlp
from couloir.model.weights import begin_with, first_convolution
from couloir.record.safetensors import write_state
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


def test_each_network_with_published_weights_is_compared_with_the_reference() -> None:
    compared = {(choice, bool(keys.get("batch_norm"))) for choice, keys in map(ours, REFERENCE)}
    files = {choice: published(file) for choice, file in tree.choices("model").items()}
    known = {
        entry.file
        for choice, entries in files.items()
        for entry in entries
        if (choice, bool(entry.keys.get("batch_norm"))) in compared
    }
    assert {entry.file for entries in files.values() for entry in entries} == known, "or a part of one that is compared"


@pytest.mark.parametrize("choice", ["googlenet_bn", "inception_v3"])
def test_published_weights_see_the_same_pixels_with_and_without_their_references_transform(choice: str) -> None:
    """The reference standardises with ImageNet's statistics and undoes it to [-1, 1] within the network."""
    plain, within = sorted(published(tree.choices("model")[choice]), key=lambda entry: entry.keys["transform_input"])
    assert (plain.keys, within.keys) == ({"transform_input": False}, {"transform_input": True})
    assert plain.remote == within.remote
    x = torch.rand(2, 3, 80, 80, generator=torch.Generator().manual_seed(0))

    def standardised(mean: list[float], std: list[float]) -> torch.Tensor:
        return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    torch.manual_seed(0)
    net = build(choice, 3, 80, 4, aux_logits=False).eval()
    other = build(choice, 3, 80, 4, aux_logits=False, transform_input=True).eval()
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        seen = net(standardised(plain.mean, plain.std))
        assert torch.allclose(
            other(standardised(within.mean, within.std)), seen, rtol=1e-4, atol=1e-5 * float(seen.abs().max())
        )
        assert torch.allclose(net(x * 2 - 1), seen, rtol=1e-4, atol=1e-5 * float(seen.abs().max()))


def saved(net: Any, file: Path) -> str:
    torch.save(net if isinstance(net, dict) else net.state_dict(), file)
    return str(file)


def test_old_names_of_densenet_are_read(tmp_path: Path) -> None:
    net = build("densenet121", 3, 64, 10)
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", k): v for k, v in net.state_dict().items()}
    assert any(".norm.1." in name for name in old)
    again = build("densenet121", 3, 64, 10, weights=saved(old, tmp_path / "old.pth"))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_files_of_before_the_zip_format_are_read(tmp_path: Path) -> None:
    net = mlp(2, None, 3, [4])
    torch.save(net.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    again = mlp(2, None, 3, [4], weights=str(tmp_path / "old.pth"))
    assert torch.equal(again[-1].weight, net[-1].weight)


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


def test_a_safetensors_file_gives_the_weights_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    net, file = mlp(2, None, 3, [4]), tmp_path / "w.safetensors"
    write_state(file, net.state_dict(), {"classes": ["a", "b", "c"]})
    x = torch.randn(5, 2)
    assert torch.equal(net(x), mlp(2, None, 3, [4], weights=str(file))(x))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CouloirError, match=r"w\.safetensors is not a whole \.safetensors file"):
        mlp(2, None, 3, [4], weights=str(file))


def test_a_head_for_other_classes_of_a_safetensors_file_stays_as_it_is(tmp_path: Path) -> None:
    given, net = mlp(2, None, 3, [4]), mlp(2, None, 3, [4])
    write_state(tmp_path / "w.safetensors", given.state_dict(), {"classes": ["a", "b", "c"]})
    before, model = net[-1].weight.clone(), {"weights": str(tmp_path / "w.safetensors")}
    begin_with(net, model, ["a", "c", "b"])
    assert torch.equal(net[-1].weight, before)
    assert torch.equal(net[1].weight, given[1].weight)
    begin_with(net, model, ["a", "b", "c"])
    assert torch.equal(net[-1].weight, given[-1].weight)


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


def colour_of(grey: torch.Tensor) -> torch.Tensor:
    return grey.repeat(1, 3, 1, 1)


def has_channels(name: str) -> bool:
    """Whether a network takes weights for other channels."""
    return "adapt_channels" in tree.choices("model")[name].read_text()


ADAPTED = [
    "squeezenet",
    "resnet18",
    "resnet20",
    "vgg_like",
    "mobilenet",
    "densenet121",
    "lenet5",
    "fractalnet",
    "convnet",
]


@pytest.mark.parametrize("name", ADAPTED)
def test_summed_weights_see_in_a_grey_image_what_the_files_see_in_its_three_channels(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    colour = build(name, 3, 32, 10).eval()
    file = saved(colour, tmp_path / "colour.pth")
    grey = build(name, 1, 32, 10, weights=file, adapt_channels="sum").eval()
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = colour(colour_of(x))
        assert torch.allclose(grey(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["squeezenet", "resnet18", "vgg_like"])
def test_a_grey_image_gives_what_it_gave_in_three_channels_that_were_each_standardised(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    colour = build(name, 3, 48, 10).eval()
    for module in colour.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
    file = tmp_path / "colour.safetensors"
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    write_state(file, colour.state_dict(), {"mean": mean, "std": std})
    grey = build(name, 1, 48, 10).eval()
    begin_with(grey, {"weights": str(file), "adapt_channels": "sum"}, [], [0.4], [0.3])
    g = torch.rand(2, 1, 48, 48)
    seen = (g - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    first = first_convolution(colour) or ""
    leaves = [each for each, module in colour.named_modules() if not any(module.children())]
    after = leaves[leaves.index(first) + 1]  # what follows the convolution: an activation, or a normalisation
    outputs: list[torch.Tensor] = []
    with torch.no_grad():
        for net, x in ((colour, seen), (grey, (g - 0.4) / 0.3)):
            hook = net.get_submodule(after).register_forward_hook(lambda _m, _x, y: outputs.append(y.clone()))
            outputs.append(net(x))
            hook.remove()
    inner, logits, own_inner, own_logits = outputs
    pad = colour.get_submodule(first).padding[0]  # type: ignore[index, union-attr]
    cut = (..., slice(pad, -pad or None), slice(pad, -pad or None))
    assert torch.allclose(own_inner[cut], inner[cut], rtol=1e-4, atol=1e-5)
    assert not pad or not torch.allclose(own_inner, inner, atol=1e-3), "the border is what is not exact"
    assert pad or torch.allclose(own_logits, logits, rtol=1e-4, atol=1e-5)


def test_spread_weights_see_the_mean_of_the_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    grey = build("resnet20", 1, 32, 10).eval()
    file = saved(grey, tmp_path / "grey.pth")
    colour = build("resnet20", 3, 32, 10, weights=file, adapt_channels="mean").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(colour(x), grey(x.mean(dim=1, keepdim=True)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", networks.one_of_each(filter(has_channels, networks.packaged_networks())))
def test_the_first_convolution_of_every_network_sees_the_images(name: str) -> None:
    with torch.device("meta"):
        net = build(name, 5, 96, 10)
    found = net.get_submodule(first_convolution(net) or "")
    assert isinstance(found, torch.nn.Conv2d)
    assert (found.in_channels, found.groups) == (5, 1)
    assert sum(layer.in_channels == 5 for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)) == 1


@pytest.mark.parametrize(
    ("file_channels", "channels", "adapt", "fact", "next_step"),
    [
        (
            3,
            1,
            None,
            r"1 of another shape \(c1\.weight: \(6, 3, 5, 5\) in the file",
            "model.adapt_channels=sum adds up",
        ),
        (
            1,
            3,
            None,
            r"\(6, 1, 5, 5\) in the file, \(6, 3, 5, 5\) in the network",
            "model.adapt_channels=mean lets it see",
        ),
        (4, 3, None, "1 of another shape", "data.channels=4"),
        (4, 3, "mean", "The weights are for 4 channels, the data has 3", "data.channels=4"),
        (1, 3, "sum", "The weights are for 1 channels, the data has 3", "model.adapt_channels=mean"),
        (3, 1, "mean", "The weights are for 3 channels, the data has 1", "model.adapt_channels=sum"),
    ],
)
def test_channels_that_do_not_fit_are_refused_with_the_words_to_type(
    file_channels: int, channels: int, adapt: str | None, fact: str, next_step: str, tmp_path: Path
) -> None:
    file = saved(build("lenet5", file_channels, 32, 10), tmp_path / "w.pth")
    with pytest.raises(CouloirError, match=fact) as raised:
        build("lenet5", channels, 32, 10, weights=file, adapt_channels=adapt)
    assert next_step in str(raised.value.next_step)


def test_where_more_than_channels_differs_channels_are_not_blamed(tmp_path: Path) -> None:
    file = saved(build("resnet34", 3, 32, 10), tmp_path / "34.pth")
    with pytest.raises(CouloirError, match="left over") as raised:
        build("resnet18", 1, 32, 10, weights=file)
    assert "choose the model that the file was saved from" in str(raised.value.next_step)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model=resnet20 model.adapt_channels=sum", "model.weights names none"),
        ("model=resnet20 model.adapt_channels=add", "takes one of sum, mean or null, not add"),
        ("data=cifar10 model=resnet20 model.adapt_channels=sum model.weights={file}", "the data has 3"),
        ("model=resnet20 model.adapt_channels=mean model.weights={file}", "the data has one"),
        ("model=mlp model.adapt_channels=sum model.weights={file}", "model=mlp has no key 'adapt_channels'"),
    ],
)
def test_a_word_that_adapts_nothing_is_refused_before_torch(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = saved(build("lenet5", 3, 32, 10), tmp_path / "w.pth")
    assert run(["train", *words.format(file=file).split()]) == 2
    assert said in capsys.readouterr().err


def test_a_published_network_takes_grey_photographs(couloir_data: Path) -> None:
    file = str(couloir_data / "weights/squeezenet1_0-imagenet.pth")
    colour = build("squeezenet", 3, 64, 1000, weights=file).eval()
    grey = build("squeezenet", 1, 64, 1000, weights=file, adapt_channels="sum").eval()
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = colour(colour_of(x))
        assert torch.allclose(grey(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
        assert torch.equal(grey(x).argmax(1), expected.argmax(1))


def test_a_run_begins_with_adapted_weights_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    given = build("convnet", 3, 8, 10, M=1, widths=4, hidden=8)
    file = saved(given, tmp_path / "colour.pth")
    words = [
        f"model.weights={file}", "model.adapt_channels=sum", "model=convnet", "model.M=1", "model.widths=4",
        "model.hidden=8", "data.subset=40", "optimizer.lr=1e-9", "trainer.max_epochs=1", "trainer=cpu", "logger=none",
    ]  # fmt: skip
    result = couloir.train(couloir.compose(words))
    state = torch.load(result.dir / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert torch.allclose(state["net.0.weight"], given[0].weight.sum(dim=1, keepdim=True), atol=1e-6)
    assert run(["evaluate", str(result.dir)]) == 0


TINY = ["data.subset=40", "trainer.max_epochs=1", "trainer=cpu", "logger=none", "optimizer.lr=1e-9"]
SMALL = ["model=convnet", "model.M=1", "model.widths=4", "model.hidden=8", *TINY]


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for the address of published weights, and a model of the user's own that has some there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COULOIR_CACHE", str(tmp_path / "cache"))
    public = tmp_path / "public"
    public.mkdir()
    torch.manual_seed(0)
    torch.save(build("convnet", 3, 8, 10, M=1, widths=4, hidden=8).state_dict(), public / "net.pth")
    digest = hashlib.sha256((public / "net.pth").read_bytes()).hexdigest()
    (public / "net.pth").rename(public / f"net-{digest[:8]}.pth")
    line = f"# Weights: imagenet1k_v1 net-{digest[:8]}.pth sha256={digest} mean=0.25 (M=1, hidden=8)"
    (tmp_path / "conf/model").mkdir(parents=True)
    text = tree.choices("model")["convnet"].read_text()
    (tmp_path / "conf/model/convnet.yaml").write_text(text.replace("_target_:", f"{line}\n_target_:", 1))
    handler = partial(SimpleHTTPRequestHandler, directory=str(public))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setattr("couloir.config.weights.ADDRESS", f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield public
    server.shutdown()
    server.server_close()


COLOURFUL = ["data=synthetic", "data.channels=3", "data.image_size=8", "data.num_classes=10"]


def test_a_name_is_downloaded_once_recorded_with_its_hash_and_found_by_later_runs(
    publisher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next(publisher.iterdir())
    words = ["model.weights=imagenet", *COLOURFUL, *SMALL]
    assert run(["summary", *words]) == 0
    assert not (tmp_path / "cache").exists(), "a summary needs no weights"
    result = couloir.train(couloir.compose(words))
    assert (
        "mean [0.25,0.25,0.25], deviation [0.229,0.224,0.225], as the weights imagenet1k_v1" in capsys.readouterr().out
    )
    kept = tmp_path / "cache/weights" / file.name
    assert [path.name for path in kept.parent.iterdir()] == [file.name]
    record = json.loads((result.dir / "provenance.json").read_text())
    hashed = f"sha256:{hashlib.sha256(kept.read_bytes()).hexdigest()}"
    assert record["weights"] == {"weights": "imagenet1k_v1", "file": str(kept), "sha256": hashed}
    assert record["data"]["mean"] == [0.25, 0.25, 0.25]
    given = torch.load(kept, weights_only=True)
    state = torch.load(result.dir / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.allclose(state[f"net.{name}"], value, atol=1e-6) for name, value in given.items())
    file.unlink()  # from now on it is nowhere but in the cache
    assert run(["rerun", str(result.dir)]) == 0
    kept.write_bytes(kept.read_bytes()[:-1])
    assert run(["rerun", str(result.dir)]) == 2
    assert "is not what was published: its SHA-256 begins with" in capsys.readouterr().err
    kept.unlink()
    assert run(["evaluate", str(result.dir)]) == 0, "the checkpoint has all weights"
    assert run(["resume", str(result.dir), "trainer.max_epochs=2"]) == 0
    capsys.readouterr()
    assert run(["train", *words]) == 2
    said = capsys.readouterr().err
    assert f"{file.name} is not in {kept.parent}, and could not be downloaded." in said
    assert f"put the file at {kept}, or model.weights=FILE" in said


def test_a_constructor_alone_takes_names_as_well(publisher: Path) -> None:
    net = build("convnet", 3, 8, 10, M=1, widths=4, hidden=8, weights="imagenet1k_v1")
    given = torch.load(next(publisher.iterdir()), weights_only=True)
    assert all(torch.equal(value, given[name]) for name, value in net.state_dict().items())


def test_a_run_gives_its_weights_and_a_head_for_other_classes_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    low = couloir.train(couloir.compose([*SMALL, "data.classes=[0,1,2]"]))
    best = low.dir / "checkpoints/best.ckpt"
    before = torch.load(best, weights_only=True)["state_dict"]
    first, *_, last = (name for name, value in before.items() if name.startswith("net.") and name.endswith(".weight"))
    for classes, same in (("[3,4,5]", False), ("[0,1,2]", True)):
        capsys.readouterr()
        words = [f"model.weights={low.dir}", f"data.classes={classes}", "seed=1", *SMALL]
        result = couloir.train(couloir.compose(words))
        state = torch.load(result.dir / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
        assert torch.allclose(state[first], before[first], atol=1e-6)
        assert torch.allclose(state[last], before[last], atol=1e-6) is same
        said = capsys.readouterr().out
        assert ("stays at its initialization (other classes in the file: 0, 1, 2)" in said) is not same
        record = json.loads((result.dir / "provenance.json").read_text())
        assert record["weights"]["file"] == str(best)
        assert record["data"]["mean"] == json.loads((low.dir / "provenance.json").read_text())["data"]["mean"]


def test_a_run_of_another_network_is_refused_by_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    couloir.train(couloir.compose(SMALL))
    assert run(["train", "model=lenet5", "model.weights=latest", *TINY]) == 2
    assert "The weights do not fit this network" in capsys.readouterr().err


def test_a_rerun_says_that_the_file_it_begins_with_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = build("convnet", 1, 8, 10, M=1, widths=4, hidden=8)
    file, facts = tmp_path / "w.safetensors", {"mean": [0.25], "std": [0.5]}
    write_state(file, net.state_dict(), facts)
    result = couloir.train(couloir.compose([f"model.weights={file}", *SMALL]))
    assert json.loads((result.dir / "provenance.json").read_text())["data"]["mean"] == [0.25]
    write_state(file, {name: value + 1 for name, value in net.state_dict().items()}, facts)
    capsys.readouterr()
    assert run(["rerun", str(result.dir)]) == 1
    assert re.search(r"model\.weights sha256:\w+, now sha256:\w+", capsys.readouterr().out)
    assert run(["rerun", str(result.dir), "--strict"]) == 2
    file.unlink()
    assert run(["resume", str(result.dir), "trainer.max_epochs=2"]) == 0, "a run that goes on needs the file no more"

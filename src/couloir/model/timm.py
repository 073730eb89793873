"""Any network of the library timm, by its name there.

Wightman, 2019, PyTorch Image Models. The library is an extra of Couloir, `pip install 'couloir[timm]'`, and is imported
when a network is built, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from couloir.config.image_size import ImageSize, size_of
from couloir.errors import CouloirError, did_you_mean
from couloir.model.weights import loads_weights


@loads_weights
def timm(
    channels: int,
    image_size: ImageSize,
    num_classes: int,
    name: str,
    pretrained: bool = False,
    dropout: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A network of timm.

    Args:
        channels: of the images.
        image_size: of the images; networks that are made for one size are told.
        num_classes: classes, or outputs of a regression.
        name: what timm calls it, with its tag or without: `convnext_tiny`, `resnet50.a1_in1k`.
        pretrained: begin with timm's weights, which it downloads into its own cache.
        dropout: `drop_rate` of timm; None: the network's own.
        options: further keywords of the network.

    Raises:
        CouloirError: timm has no such network, or the network does not take the keywords, or its weights cannot be had.
    """
    library = _library()
    own = _pretrained_cfg(library, name)
    further: dict[str, Any] = dict(options or {})
    if own is not None and own.fixed_input_size and tuple(own.input_size[1:]) != size_of(image_size):
        further.setdefault("img_size", size_of(image_size))
    try:
        net: nn.Module = library.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=channels, drop_rate=dropout, **further
        )
    except TypeError as error:
        raise CouloirError(
            f"timm's network {name} does not take these keys: {error}",
            place=f"model.options={dict(options or {})}, model.dropout={dropout}",
            next_step="leave out what the message names",
        ) from error
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise CouloirError(
            f"timm's weights of {name} cannot be had: {' '.join(str(error).split())}",
            place="model.pretrained=true",
            next_step="a network that timm.list_pretrained() names, a line to its server, or model.pretrained=false "
            "model.weights=FILE with a file of these weights",
        ) from error
    return net


def begin_pretrained(net: nn.Module, model: Mapping[str, Any]) -> None:
    """Copy timm's weights into a network of it; the head of other classes, and all random numbers, stay as they are.

    Args:
        net: changed in place.
        model: the node of the model, with `pretrained`.

    Raises:
        CouloirError: the weights cannot be had.
    """
    keys = {key: model.get(key) for key in ("channels", "image_size", "num_classes", "name", "dropout", "options")}
    with torch.random.fork_rng(devices=[]):
        source = timm(**keys, pretrained=True)
    own = _pretrained_cfg(_library(), str(model["name"]))
    heads: tuple[str, ...] = ()
    if own is not None and own.num_classes != model["num_classes"] and own.classifier:
        heads = (own.classifier,) if isinstance(own.classifier, str) else tuple(own.classifier)
    state = {
        entry: value
        for entry, value in source.state_dict().items()
        if not entry.startswith(tuple(f"{head}." for head in heads))
    }
    net.load_state_dict(state, strict=False)


def own_statistics(model: Mapping[str, Any], channels: int) -> dict[str, list[float]] | None:
    """The mean and the deviation, one a channel, that the weights of a network were trained with, as timm has them.

    Images of one channel get the mean of the three, as timm sums the first convolution over them; None: nobody knows.

    Raises:
        CouloirError: timm has no such network.
    """
    own = _pretrained_cfg(_library(), str(model["name"]))
    if own is None:
        return None
    mean, std = [float(value) for value in own.mean], [float(value) for value in own.std]
    if channels == 1 and len(mean) > 1:
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
    return {"mean": mean, "std": std} if len(mean) == channels == len(std) else None


def _library() -> Any:
    """The library.

    Raises:
        CouloirError: it is not there, or what it imports does not fit together.
    """
    try:
        import timm as library
    except ModuleNotFoundError as error:
        if error.name == "timm":
            raise CouloirError("model=timm needs the package timm.", next_step="pip install 'couloir[timm]'") from error
        raise CouloirError(
            f"timm imports the module {error.name}, which is not installed.", next_step=f"pip install {error.name}"
        ) from error
    except (ImportError, RuntimeError) as error:
        raise CouloirError(
            f"timm cannot be imported: {' '.join(str(error).split())}",
            next_step="install the torchvision that belongs to this version of torch",
        ) from error
    return library


def _pretrained_cfg(library: Any, name: str) -> Any:
    """What timm says of a network's weights; None where it says nothing.

    Raises:
        CouloirError: there is no such network.
    """
    if ":" in name or "/" in name:
        raise CouloirError(
            f"model.name={name} is not the name of a network, but where one is.",
            next_step="a name out of timm.list_models(), and a file with model.weights=FILE",
        )
    architecture = name.partition(".")[0]
    if not library.is_model(architecture):
        raise CouloirError(
            f"timm has no network {architecture}.",
            place=f"model.name={name}",
            next_step=did_you_mean(architecture, library.list_models(), form="model.name={}")
            or "python -c 'import timm; print(timm.list_models())' names them all",
        )
    try:
        return library.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = [str(each) for each in library.list_models(f"{architecture}.*", pretrained=True)]
        raise CouloirError(
            f"timm has no weights {name}: {' '.join(str(error).split())}",
            place=f"model.name={name}",
            next_step=f"one of: {', '.join(tags)}" if tags else f"model.name={architecture}",
        ) from error

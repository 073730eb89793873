"""Weights to begin with: a state dict as the ecosystem's reference implementations save it, or a run's checkpoint.

`model.weights` names a file, or published weights, which are downloaded into a cache.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from couloir.config.weights import folder, named, prepared
from couloir.download import checksum, download
from couloir.errors import CouloirError
from couloir.log import say
from couloir.record import safetensors
from couloir.record.checkpoint import NOT_WEIGHTS

Network = TypeVar("Network", bound=nn.Module)
State = dict[str, Tensor]

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys below which training scripts save a state dict."""
PREFIXES = ("module.", "net.", "_orig_mod.")
"""What wrappers (data parallel, Couloir's own module, the compiler) put before every name."""
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
"""DenseNet's public files are older than the names of its layers."""


def loads_weights(build: Callable[..., Network]) -> Callable[..., Network]:
    """Give a network's constructor the last arguments `weights`, a file whose state dict it begins with or a name of
    published weights, and `adapt_channels`, how weights for other channels become its own (see `load_weights`).

    Args:
        build: takes `num_classes` among its arguments, and returns the network.
    """

    @wraps(build, updated=())
    def built(*args: Any, weights: str | None = None, adapt_channels: str | None = None, **keys: Any) -> Network:
        net = build(*args, **keys)
        if weights is not None:
            given = own.bind(*args, **keys)
            given.apply_defaults()
            target = f"{build.__module__}.{build.__name__}"
            stated = {name: value for name, value in given.arguments.items() if name != "keys"}
            stated |= given.arguments.get("keys", {})
            model = {**stated, "_target_": target, "weights": weights, "adapt_channels": adapt_channels}
            load_weights(net, weights_file(model), adapt_channels)
        return net

    own = inspect.signature(build)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None")
        for name in ("weights", "adapt_channels")
    ]
    there = sorted([*own.parameters.values(), *added], key=lambda each: each.kind)  # `**keys` is always last
    built.__signature__ = own.replace(parameters=there)  # type: ignore[attr-defined]
    return built


def weights_file(model: Mapping[str, Any]) -> Path:
    """The file that `model.weights` names; published weights are downloaded, unless they are in the cache.

    Args:
        model: the node of the model.

    Raises:
        CouloirError: they cannot be downloaded, or what is in the cache is not what was published.
    """
    path = Path(str(model["weights"])).expanduser()
    found = None if path.is_file() else named(model)
    if found is None:
        return path
    file = download(found.remote, folder(), otherwise="model.weights=FILE")
    if not (own := sha256(file)).startswith(found.sha256):
        raise CouloirError(
            f"{file.name} is not what was published: its SHA-256 begins with {own[:8]}, not with {found.sha256[:8]}.",
            place=str(file),
            next_step="remove the file: then it is downloaded",
        )
    return file


def sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; of a file that has not changed it is computed once."""
    state = file.stat()
    return _sha256(file, state.st_size, state.st_mtime_ns)


@cache
def _sha256(file: Path, _size: int, _changed: int) -> str:
    return checksum(file, "sha256")


def weights_record(model: Mapping[str, Any]) -> dict[str, str] | None:
    """What a run's record says of the weights that it begins with: their name, their file and its SHA-256.

    Raises:
        CouloirError: there is no such file.
    """
    if model.get("weights") is None:
        return None
    file = weights_file(model)
    if not file.is_file():
        raise _no_file(file)
    return {"weights": str(model["weights"]), "file": str(file), "sha256": f"sha256:{sha256(file)}"}


def begin_with(
    net: nn.Module,
    model: Mapping[str, Any],
    classes: Sequence[Any],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> None:
    """Copy the weights that `model.weights` names into the network, as `load_weights` does.

    Where it is known that they were trained for other classes, the last layer stays as it is.

    Args:
        net: changed in place.
        model: the node of the model.
        classes: of the data, in order.
        mean: of the data's channels; None: nobody knows.
        std: of the data's channels.
    """
    known = prepared(model)
    inputs = None
    if known is not None and known.mean and known.std and mean and std:
        inputs = Inputs(known.mean, known.std, mean, std)
    theirs = None if known is None else known.classes
    others = theirs if theirs and classes and theirs != [str(name) for name in classes] else None
    load_weights(net, weights_file(model), model.get("adapt_channels"), others, inputs)


@dataclass(frozen=True)
class Inputs:
    """How the inputs of weights were standardised, and how those of the network are: a value a channel."""

    their_mean: Sequence[float]
    their_std: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float]


def load_weights(
    net: nn.Module,
    file: str | Path,
    adapt_channels: str | None = None,
    others: Sequence[str] | None = None,
    inputs: Inputs | None = None,
) -> None:
    """Copy a file's state dict into the network, and say what stays as it was.

    Heads for another number of classes, or for `others`, stay as they are, and so do auxiliary heads that only one side
    has; every other difference is an error. A network with an encoder (its attribute `encoder_part` names the module)
    takes the weights of the encoder's own network as well: its other parts stay as they are.

    Args:
        net: changed in place.
        file: what `torch.save` wrote, or a .safetensors file; no code in it is run.
        adapt_channels: how the first convolution of weights for other channels is taken over. `sum`: the network has
            one channel, and gives for a grey image what the file's network gives for that image in all its channels.
            `mean`: the file's network has one channel, and the network gives what that gives for the mean of its own.
        others: the classes of the file, where they are not the network's.
        inputs: how both are standardised, for `sum`; None: all channels of the file's as the network's one.

    Raises:
        CouloirError: the file is not there, holds no state dict, or its names or shapes are not the network's.
    """
    state = _renamed(read_state(file), net)
    own = net.state_dict()
    state, outside = _for_encoder(net, own, state)
    other = _other_channels(net, own, state)
    if other is not None and adapt_channels is not None:
        adapted = {other: _adapted(state[other], own[other].shape[1], adapt_channels, file)}
        if adapt_channels == "sum" and inputs is not None and len(inputs.their_mean) == state[other].shape[1]:
            adapted = _summed(net, other, state, inputs)
        state, other = {**state, **adapted}, None
    heads_only = _last_layers(net)
    heads = [
        name
        for name in own
        if name in state
        and (_is_other_head(own[name], state[name]) or (others and name.rpartition(".")[0] in heads_only))
    ]
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape and name not in heads]
    missing = [name for name in own if name not in (*state, *outside) and not name.endswith("num_batches_tracked")]
    left_over = [name for name in state if name not in own]
    auxiliary = [f"{part}." for part in getattr(net, "auxiliary", ())]
    one_sided = tuple(part for part in auxiliary if _has(own, part) != _has(state, part))
    spared = [name for name in (*missing, *left_over) if one_sided and name.startswith(one_sided)]
    missing = [name for name in missing if name not in spared]
    left_over = [name for name in left_over if name not in spared]
    wrong += [name for name in heads if name.rpartition(".")[0] not in heads_only]
    heads = [name for name in heads if name not in wrong]
    if missing or left_over or wrong != ([other] if other else []):
        other = None  # there is more to it than channels
    if missing or left_over or wrong:
        raise CouloirError(
            f"The weights do not fit this network: {_differences(own, state, wrong, missing, left_over)}.",
            place=f"model.weights={file}",
            next_step=_adapting(other, own, state)
            or "choose the model that the file was saved from, with the same keys (batch_norm, widths, ...)",
        )
    net.load_state_dict(
        {name: value for name, value in state.items() if name in own and name not in heads}, strict=False
    )
    _say_what_stays(file, heads, spared, own, state, others)
    if outside:
        parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in outside))
        taken = ", ".join(dict.fromkeys(name.partition(".")[0] for name in state))
        say.info("weights from %s: for %s; at their initialization stay %s", Path(file).name, taken, parts)


def _for_encoder(net: nn.Module, own: State, state: State) -> tuple[State, list[str]]:
    """Weights of the network that a network's encoder comes from, under the names that they have within it, without
    those of its head; and the names of all that is no part of the encoder, which these weights are not for.

    A network whose encoder has other names or shapes says itself what of a state is for it (`begins_with`).
    """
    if (begins_with := getattr(net, "begins_with", None)) is not None:
        return cast(tuple[State, list[str]], begins_with(state))
    part = getattr(net, "encoder_part", None)
    if not isinstance(part, str) or any(name.startswith(f"{part}.") for name in state):
        return state, []
    head = tuple(f"{name}." for name in getattr(net, "encoder_head", ()))
    within = {f"{part}.{name}": value for name, value in state.items() if not name.startswith(head)}
    return within, [name for name in own if not name.startswith(f"{part}.")]


def first_convolution(net: nn.Module) -> str | None:
    """The name of the convolution that sees the images, the first one in the order of definition, if there is one."""
    return next((name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)), None)


def _other_channels(net: nn.Module, own: State, state: State) -> str | None:
    """The name of the first convolution's weights, where they differ from the file's in their input channels alone."""
    name = f"{first_convolution(net)}.weight"
    if name not in own or name not in state or own[name].ndim != state[name].ndim:
        return None
    (out, channels, *kernel), (other_out, other_channels, *other_kernel) = own[name].shape, state[name].shape
    return name if (out, kernel) == (other_out, other_kernel) and channels != other_channels else None


def _adapted(weight: Tensor, channels: int, adapt_channels: str, file: str | Path) -> Tensor:
    """The weights of a first convolution, (O, C, h, w), for another number of channels, (O, `channels`, h, w)."""
    given = weight.shape[1]
    if (channels if adapt_channels == "sum" else given) != 1:
        fitting = _fitting(given, channels)
        raise CouloirError(
            f"The weights are for {given} channels, the data has {channels}: model.adapt_channels={adapt_channels} "
            f"{'sums them into one' if adapt_channels == 'sum' else 'spreads one over several'}.",
            place=f"model.weights={file}",
            next_step=f"model.adapt_channels={fitting}" if fitting else f"data.channels={given}",
        )
    if adapt_channels == "sum":
        say.info("weights from %s: the %d input channels of the first convolution are summed", Path(file).name, given)
        return weight.sum(dim=1, keepdim=True)
    say.info("weights from %s: the first convolution sees the mean of the %d channels", Path(file).name, channels)
    return (weight / channels).repeat(1, channels, *[1] * (weight.ndim - 2))


def _summed(net: nn.Module, name: str, state: State, inputs: Inputs) -> State:
    """The first convolution's weights for grey images that are standardised with one mean and one deviation.

    A grey value g is x = (g - m) / s here and (g - m_c) / s_c = x s / s_c + (m - m_c) / s_c in channel c there. So the
    weights are scaled by s / s_c before they are summed, and what does not depend on x goes into the bias, or into the
    mean of the batch normalisation that follows. Where the convolution pads, this is exact but for the border.
    """
    weight = state[name].double()
    theirs, deviations = (
        torch.tensor(values).double().view(1, -1, 1, 1) for values in (inputs.their_mean, inputs.their_std)
    )
    constant = (weight * (inputs.mean[0] - theirs) / deviations).sum(dim=(1, 2, 3))
    changed = {name: (weight * inputs.std[0] / deviations).sum(dim=1, keepdim=True)}
    convolution = name.removesuffix(".weight")
    leaves = [(each, module) for each, module in net.named_modules() if not any(module.children())]
    after = [each for each, _ in leaves].index(convolution) + 1
    mean = f"{leaves[after][0]}.running_mean" if isinstance(leaves[after][1], nn.BatchNorm2d) else ""
    if f"{convolution}.bias" in state:
        changed[f"{convolution}.bias"] = state[f"{convolution}.bias"] + constant
    elif mean in state:
        changed[mean] = state[mean] - constant
    return {each: value.to(state[each].dtype) for each, value in changed.items()}


def _fitting(given: int, channels: int) -> str | None:
    return "sum" if channels == 1 else "mean" if given == 1 else None


def _adapting(name: str | None, own: State, state: State) -> str | None:
    """What to type where the channels alone are others."""
    if name is None:
        return None
    channels, given = own[name].shape[1], state[name].shape[1]
    fitting = _fitting(given, channels)
    if fitting is None:
        return f"data.channels={given}"
    meaning = "adds up its input channels" if fitting == "sum" else f"lets it see the mean of the {channels} channels"
    return f"model.adapt_channels={fitting} {meaning}, or data.channels={given}"


def read_state(file: str | Path) -> State:
    """The state dict in a file, wrappers taken off.

    Raises:
        CouloirError: there is no such file, or it holds something else.
    """
    path = Path(file).expanduser()
    place = f"model.weights={file}"
    if not path.is_file():
        raise _no_file(path)
    if path.suffix == safetensors.ENDING:
        return safetensors.read_state(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except NOT_WEIGHTS as error:
        raise CouloirError(
            f"{path.name} cannot be read as weights: it is damaged, another kind of file, or more than plain tensors.",
            place=place,
            next_step="save plain tensors: torch.save(net.state_dict(), FILE); a file that could run code is refused",
        ) from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not is_state(content):
        raise CouloirError(
            f"{path.name} holds {type(content).__name__}, not a state dict.",
            place=place,
            next_step="torch.save(net.state_dict(), FILE)",
        )
    state: State = content
    return state


def _no_file(path: Path) -> CouloirError:
    return CouloirError(f"There is no file {path}.", place=f"model.weights={path}", next_step="check the path")


def is_state(content: Any) -> bool:
    """Whether this is a dictionary of tensors by name."""
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())


def _renamed(state: State, net: nn.Module) -> State:
    """The names without what wrappers put before them, and DenseNet's old ones as they are today."""
    own = net.state_dict()
    for prefix in PREFIXES:
        stripped = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if stripped and not any(name in own for name in state):
            state = stripped  # what a run's checkpoint holds beside the network (metrics) stays behind
    return {OLD_DENSENET.sub(r"\1\2.", name): value for name, value in state.items()}


def _has(state: State, part: str) -> bool:
    return any(name.startswith(part) for name in state)


def _is_other_head(own: Tensor, given: Tensor) -> bool:
    return own.ndim == given.ndim and own.ndim > 0 and own.shape[1:] == given.shape[1:] and own.shape != given.shape


def _last_layers(net: nn.Module) -> set[str]:
    """The layers that give the scores: the last one with weights, and the last one of each auxiliary head."""
    weighted = [name for name, module in net.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    groups = [*getattr(net, "auxiliary", ())]
    found = {next((name for name in reversed(weighted) if name.startswith(prefix)), "") for prefix in groups}
    main = [name for name in weighted if not name.startswith(tuple(groups) or ("\0",))]
    return found | set(main[-1:])


def _differences(own: State, state: State, wrong: list[str], missing: list[str], left_over: list[str]) -> str:
    parts = []
    if wrong:
        name = wrong[0]
        shapes = f"{tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network"
        parts.append(f"{len(wrong)} of another shape ({name}: {shapes})")
    if missing:
        parts.append(f"{len(missing)} missing ({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})")
    if left_over:
        parts.append(f"{len(left_over)} left over ({', '.join(left_over[:3])}{', ...' if len(left_over) > 3 else ''})")
    return "; ".join(parts)


def _say_what_stays(
    file: str | Path, heads: list[str], spared: list[str], own: State, state: State, others: Sequence[str] | None
) -> None:
    name = Path(file).name
    for head in heads:
        if head.endswith(".weight"):
            classes = f"{state[head].shape[0]} classes in the file, {own[head].shape[0]} here"
            if others and own[head].shape == state[head].shape:
                classes = f"other classes in the file: {', '.join(others[:4])}{', ...' * (len(others) > 4)}"
            say.info(
                "weights from %s: %s stays at its initialization (%s)", name, head.removesuffix(".weight"), classes
            )
    parts = sorted({spared_name.partition(".")[0] for spared_name in spared})
    for part in parts:
        where = "the file" if any(entry.startswith(part) for entry in state) else "the network"
        say.info("weights from %s: only %s has the auxiliary head %s", name, where, part)

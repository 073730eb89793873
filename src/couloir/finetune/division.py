"""How each choice divides a network: which parts of it learn, how fast and when, from the network alone.

Each is called with the network and the order in which a sample passes its modules (`couloir.finetune.layers.passed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from couloir.errors import CouloirError, did_you_mean
from couloir.finetune.layers import Layer, head_of, layers_of, parameters_of
from couloir.finetune.parts import HEAD, Part, modules_in_words


def head(
    net: nn.Module,
    order: Sequence[str],
    head: str | int | None = None,
    cache_features: bool | None = None,
    feature_memory: float | None = None,
    features_on_disk: bool = False,
) -> list[Part]:
    """The head alone; what enters it can be computed once (`couloir.run.features` reads the last three keys).

    Donahue et al., 2014, DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition.

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        head: the module that is the head; None: the last layer with weights.
        cache_features: whether the features of each sample are computed once; None: where they are the same then.
        feature_memory: GiB of them that may be in memory.
        features_on_disk: whether they are kept for later runs.
    """
    return [Part("head", parameters_of(net, head_of(net, order, head)))]


def head_then_all(
    net: nn.Module, order: Sequence[str], head_epochs: int, factor: float, head: str | int | None = None
) -> list[Part]:
    """The head alone for some epochs, then all of the network at a smaller rate.

    A head that has learned nothing yet sends back gradients that say nothing, and what is in front of it would be
    spoilt by them (Kumar et al., 2022, Fine-Tuning Can Distort Pretrained Features and Underperform
    Out-of-Distribution, section 3.4; Howard and Ruder, 2018, Universal Language Model Fine-Tuning, section 3.3).

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        head_epochs: epochs of the head alone.
        factor: what the rate of all parts is multiplied by afterwards.
        head: the module that is the head; None: the last layer with weights.
    """
    own = parameters_of(net, head_of(net, order, head))
    body = tuple(name for name, _ in net.named_parameters() if name not in own)
    return [Part("head", own, ((0, 1.0), (head_epochs, factor))), Part("body", body, ((head_epochs, factor),))]


def layerwise(
    net: nn.Module, order: Sequence[str], decay: float, factor: float, head: str | int | None = None
) -> list[Part]:
    """All of the network: the head at the rate itself, a layer in front of it at rate factor decay^depth.

    The depth of the layer right in front of the head is 1. Howard and Ruder, 2018, section 3.1, take 1 / 2.6 from layer
    to layer; Bao et al., 2022, BEiT: BERT Pre-Training of Image Transformers, appendix H, 0.65 to 0.9.

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        decay: the factor from one layer to the one in front of it.
        factor: a factor of all layers in front of the head: those have learned already, and the head has not.
        head: the module that is the head; None: the last layer with weights.
    """
    layers = layers_of(net, order, head_of(net, order, head))
    factors = (decay**depth * (factor if depth else 1.0) for depth in range(len(layers)))
    return [
        Part(layer.name, layer.parameters, ((0, each),)) for layer, each in zip(reversed(layers), factors, strict=True)
    ]


def last_n(net: nn.Module, order: Sequence[str], n: int, head: str | int | None = None) -> list[Part]:
    """The last layers alone, the head among them (Yosinski et al., 2014, How Transferable are Features, section 3).

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        n: how many layers; 1 is the head.
        head: the module that is the head; None: the last layer with weights.

    Raises:
        CouloirError: the network has fewer layers.
    """
    layers = layers_of(net, order, head_of(net, order, head))
    if n > len(layers):
        raise CouloirError(
            f"finetune.n={n} is more than the {len(layers)} layers of this network: {_listed(layers)}.",
            next_step=f"finetune.n={max(1, len(layers) - 1)} or less; finetune=none trains all of it",
        )
    chosen = {name for layer in layers[-n:] for name in layer.parameters}
    return [Part("last", tuple(name for name, _ in net.named_parameters() if name in chosen))]


def greedy(
    net: nn.Module, order: Sequence[str], epochs_per_layer: int, factor: float, head: str | int | None = None
) -> list[Part]:
    """One layer after another: each joins the network, learns alone with the head, and is fixed; then all of it learns.

    Bengio et al., 2007, Greedy Layer-Wise Training of Deep Networks, section 4, the supervised form; Hinton et al.,
    2006, A Fast Learning Algorithm for Deep Belief Nets, has the idea. The head stays in its place and goes on
    learning as layers join in front of it. An autoencoder grows from outside to inside: a layer of its encoder joins
    with the layer of its decoder that undoes it, and there is no head (Bengio et al., 2007, section 3.3).

    Args:
        net: the network; layers that are not there yet must give what has the shape of what they take. Its method
            `pairs`, where it has one, names the modules that join together, in turn.
        order: the order in which a sample passes its modules.
        epochs_per_layer: epochs that each layer learns alone.
        factor: what the rate of all layers is multiplied by once all of them learn.
        head: the module that is the head; None: the last layer with weights.

    Raises:
        CouloirError: there is one layer in front of the head, or none; an autoencoder has one pair, or is given a head.
    """
    if (pairs := getattr(net, "pairs", None)) is not None:
        return _pairs(net, pairs(), epochs_per_layer, factor, head)
    *layers, last = layers_of(net, order, head_of(net, order, head))
    if len(layers) < 2:
        raise CouloirError(
            f"finetune=greedy adds layers one by one, and in front of the head this network has {len(layers)}.",
            next_step="a deeper network, such as model=mlp model.hidden=[64,64,64], or finetune=none",
        )
    whole = len(layers) * epochs_per_layer
    parts = []
    for place, layer in enumerate(layers):
        joins = _modules(order, [each.name for each in (*layers, last)], place) if place else ()
        parts.append(Part(layer.name, layer.parameters, _in_turn(place, epochs_per_layer, whole, factor), joins))
    return [*parts, Part(HEAD, last.parameters, ((0, 1.0), (whole, factor)))]


def _in_turn(place: int, epochs_per_layer: int, whole: int, factor: float) -> tuple[tuple[int, float], ...]:
    """When the layer at a place learns: alone, and, from the epoch `whole` on, with all others."""
    first, fixed = place * epochs_per_layer, (place + 1) * epochs_per_layer
    return ((first, 1.0), *(((fixed, 0.0),) if fixed < whole else ()), (whole, factor))


def _pairs(
    net: nn.Module, pairs: Sequence[Sequence[str]], epochs_per_layer: int, factor: float, head: str | int | None
) -> list[Part]:
    """The parts of an autoencoder, a pair of layers each; weights that both use belong to the encoder's layer."""
    if head is not None:
        raise CouloirError(
            f"finetune.head={head} is for a network with a head, and an autoencoder grows by pairs of layers.",
            next_step="leave finetune.head out",
        )
    if len(pairs) < 2:
        raise CouloirError(
            "finetune=greedy adds layers one by one, and this autoencoder has one pair of them.",
            next_step="a deeper one, such as model.hidden=[256,64], or finetune=none",
        )
    whole = len(pairs) * epochs_per_layer
    parts = []
    for place, names in enumerate(pairs):
        own = parameters_of(net, names)
        title = next(name for name in names if next(net.get_submodule(name).parameters(), None) is not None)
        parts.append(Part(title, own, _in_turn(place, epochs_per_layer, whole, factor), tuple(names) if place else ()))
    return parts


def _modules(order: Sequence[str], layers: Sequence[str], place: int) -> tuple[str, ...]:
    """A layer's module, and what a sample passes between it and the next layer."""
    owner = [next((layer for layer in layers if name == layer or name.startswith(f"{layer}.")), None) for name in order]
    first = owner.index(layers[place])
    end = next((at for at in range(first, len(order)) if owner[at] not in (None, layers[place])), len(order))
    return tuple(dict.fromkeys(owner[at] or order[at] for at in range(first, end)))


def bias_only(net: nn.Module, order: Sequence[str], head: str | int | None = None) -> list[Part]:
    """All biases, and the head (Ben Zaken et al., 2022, BitFit, section 3; Cai et al., 2020, TinyTL, section 3.1).

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        head: the module that is the head; None: the last layer with weights.

    Raises:
        CouloirError: nothing but the head has biases.
    """
    own = parameters_of(net, head_of(net, order, head))
    biases = tuple(
        name
        for name, parameter in net.named_parameters()
        if name.rpartition(".")[2].endswith("bias") and parameter.ndim == 1 and name not in own
    )
    if not biases:
        raise CouloirError(
            "finetune=bias_only trains biases, and in front of the head this network has none.",
            next_step="finetune=head trains the head alone, finetune=last_n the last layers",
        )
    return [Part("head", own), Part("biases", biases)]


def pattern(net: nn.Module, order: Sequence[str], frozen: list[str | int | float]) -> list[Part]:
    """All but what some patterns name.

    Args:
        net: the network.
        order: the order in which a sample passes its modules.
        frozen: names of modules or parameters that are fixed, with `*`, `?` and `[...]` as in a shell; a module's name
            stands for all of its parameters, and the parts of a sequence are called 0, 1, ...

    Raises:
        CouloirError: a pattern that names nothing, or is a number with a point; or patterns that name everything.
    """
    names = [name for name, _ in net.named_parameters()]
    fixed: set[str] = set()
    for each in frozen:
        if isinstance(each, float):  # 1.10 and 1.1 are the same number
            raise CouloirError(
                f"finetune.frozen has the number {each}, and numbers do not say which digits stood in a name.",
                place="finetune.frozen",
                next_step=f"""put the name in quotes: 'finetune.frozen=["{each}"]'""",
            )
    patterns = [str(each) for each in frozen]
    for each in patterns:
        found = {name for name in names if _matches(name, each)}
        if not found:
            modules = [
                name for name, module in net.named_modules() if name and next(module.parameters(), None) is not None
            ]
            first = list(dict.fromkeys(name.partition(".")[0] for name in modules))
            raise CouloirError(
                f"finetune.frozen={each} names no parameter of this network.",
                next_step=did_you_mean(each, [*modules, *names, *(f"{name}.*" for name in modules)])
                or f"its parts are {', '.join(first)}; `couloir summary` with the same words shows the layers",
            )
        fixed |= found
    if fixed.issuperset(names):
        raise CouloirError(
            f"finetune.frozen=[{','.join(patterns)}] fixes all of the network, so nothing would learn.",
            next_step=f"leave out {modules_in_words(names[-1:])}; finetune=head trains the last layer alone",
        )
    return [Part("rest", tuple(name for name in names if name not in fixed))]


def _matches(parameter: str, pattern: str) -> bool:
    """Whether a pattern names a parameter, or a module that it is within."""
    parts = parameter.split(".")
    return any(fnmatchcase(".".join(parts[:depth]), pattern) for depth in range(1, len(parts) + 1))


def _listed(layers: Sequence[Layer]) -> str:
    names = [layer.name for layer in layers]
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:4])}, ..., {', '.join(names[-4:])}"

"""Random weights whose variance follows from the size of the layer, so that signals keep theirs.

With F the fan-in and G the fan-out of a layer (`couloir.initializer.layers.fans`):

    lecun           Var w = 1 / F          forward pass, LeCun et al., 2012, Efficient BackProp, section 4.6
    glorot          Var w = 2 / (F + G)    forward and backward, Glorot and Bengio, 2010, section 4.2.1
    he              Var w = 2 / F          forward pass through ReLUs, He et al., 2015, section 2.2
                    2 / ((1 + a²) F)       through leaky ReLUs and PReLUs of slope a, the same section
    fan_in_uniform  U[-2.4/F, 2.4/F]       LeCun et al., 1998, Gradient-Based Learning, appendix A

A uniform distribution of variance v reaches to sqrt(3 v).
"""

from __future__ import annotations

import math

from torch import nn

from couloir.initializer.layers import Layer, fans, set_weights


def lecun_uniform(net: nn.Module) -> None:
    """Draw weights from U[-sqrt(3/F), sqrt(3/F)], set biases to zero."""
    set_weights(net, lambda layer: _uniform(layer, math.sqrt(3 * _lecun(layer))))


def lecun_normal(net: nn.Module) -> None:
    """Draw weights from N(0, 1/F), set biases to zero."""
    set_weights(net, lambda layer: _normal(layer, _lecun(layer)))


def glorot_uniform(net: nn.Module) -> None:
    """Draw weights from U[-sqrt(6/(F + G)), sqrt(6/(F + G))], set biases to zero."""
    set_weights(net, lambda layer: _uniform(layer, math.sqrt(3 * _glorot(layer))))


def glorot_normal(net: nn.Module) -> None:
    """Draw weights from N(0, 2/(F + G)), set biases to zero."""
    set_weights(net, lambda layer: _normal(layer, _glorot(layer)))


def he_uniform(net: nn.Module) -> None:
    """Draw weights from U[-sqrt(6/F), sqrt(6/F)], set biases to zero; behind leaky ReLUs the range is smaller."""
    gain = _rectifiers_gain(net)
    set_weights(net, lambda layer: _uniform(layer, math.sqrt(3 * gain / fans(layer)[0])))


def he_normal(net: nn.Module) -> None:
    """Draw weights from N(0, 2/F), set biases to zero; behind leaky ReLUs the deviation is smaller."""
    gain = _rectifiers_gain(net)
    set_weights(net, lambda layer: _normal(layer, gain / fans(layer)[0]))


def fan_in_uniform(net: nn.Module, power: float = 1.0) -> None:
    """Draw weights from U[-2.4/F^power, 2.4/F^power], set biases to zero.

    The appendix prints F; its reason, sums of about the same spread in every layer, asks for the root of F.

    Args:
        net: the network.
        power: of the fan-in.
    """
    set_weights(net, lambda layer: _uniform(layer, 2.4 / fans(layer)[0] ** power))


def _lecun(layer: Layer) -> float:
    return 1 / fans(layer)[0]


def _glorot(layer: Layer) -> float:
    return 2 / sum(fans(layer))


def _rectifiers_gain(net: nn.Module) -> float:
    """2 / (1 + a²), a the mean slope below zero of the network's leaky ReLUs and PReLUs; 2 where it has none."""
    slopes = [module.negative_slope for module in net.modules() if isinstance(module, nn.LeakyReLU)]
    slopes += [float(module.weight.mean()) for module in net.modules() if isinstance(module, nn.PReLU)]
    return 2 / (1 + (sum(slopes) / len(slopes)) ** 2) if slopes else 2.0


def _uniform(layer: Layer, limit: float) -> None:
    nn.init.uniform_(layer.weight, -limit, limit)


def _normal(layer: Layer, variance: float) -> None:
    nn.init.normal_(layer.weight, 0.0, math.sqrt(variance))

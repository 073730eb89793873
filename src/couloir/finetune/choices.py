"""What the choices of the group are: each says from the network alone which parts of it learn, how fast and when."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from couloir.finetune.layers import head_of, parameters_of
from couloir.finetune.parts import Part


def head(net: nn.Module, order: Sequence[str], head: str | None = None) -> list[Part]:
    """The head alone.

    Donahue et al., 2014, DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition.

    Args:
        net: the network.
        order: the order in which samples pass its modules.
        head: the module that is the head; None: the last layer with weights.
    """
    return [Part("head", parameters_of(net, head_of(net, order, head)))]

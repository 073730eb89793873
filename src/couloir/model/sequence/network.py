"""What networks over steps share: tokens or numbers come in, a body passes over the steps, and a head answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.ragged import Padded

SEQUENCE, STEPS, HORIZON = "sequence", "steps", "horizon"
"""What a head gives: a row for a whole sequence (B, K), a row for each step (B, T, K), a row for each step to come
(B, H, K).
"""


def opened(x: Tensor | Padded) -> tuple[Tensor, Tensor | None]:
    """The values of a batch of sequences, (B, T, ...), and their lengths (B,); None where all have all steps."""
    return (x.values, x.lengths) if isinstance(x, Padded) else (x, None)


def steps_there(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Which steps of (B, T, ...) are there, (B, T) bool; None: all."""
    return None if lengths is None else torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def at_last(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The last step of each sequence of (B, T, D), (B, D)."""
    if lengths is None:
        return x[:, -1]
    return x.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, x.shape[2]))[:, 0]


class Inputs(nn.Module):
    """Tokens become vectors; numbers stay as they are, or pass a linear layer.

    Args:
        channels: numbers at a step; None: the steps are tokens.
        vocabulary_size: different tokens; None: there are none.
        width: numbers of a vector; None: the numbers of a step stay as they are.
    """

    def __init__(self, channels: int | None, vocabulary_size: int | None, width: int | None) -> None:
        super().__init__()
        self.embedding: nn.Embedding | None = None
        self.linear: nn.Linear | None = None
        if vocabulary_size is not None:
            if width is None:
                raise CouloirError("Tokens need vectors that stand for them.", next_step="model.embedding=64")
            self.embedding = nn.Embedding(vocabulary_size, width)
            self.width = width
        elif width is not None:
            self.linear = nn.Linear(channels or 1, width)
            self.width = width
        else:
            self.width = channels or 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, T) int64 or (B, T, F) -> (B, T, width)."""
        if self.embedding is not None:
            out: Tensor = self.embedding(x)
            return out
        return x if self.linear is None else self.linear(x)


def pooled(x: Tensor, lengths: Tensor | None, pool: str) -> Tensor:
    """One row of numbers for each sequence of (B, T, D), (B, D); steps that are not there do not count.

    Args:
        x: the steps.
        lengths: how many of them each sequence has, (B,); None: all.
        pool: `last` or `first`, one step; `mean` or `max`, of all steps.
    """
    if pool == "first":
        return x[:, 0]
    if pool == "last":
        return at_last(x, lengths)
    there = steps_there(x, lengths)
    if pool == "max":
        return (x if there is None else x.masked_fill(~there[..., None], -torch.inf)).amax(dim=1)
    if there is None or lengths is None:
        return x.mean(dim=1)
    return (x * there[..., None]).sum(dim=1) / lengths[:, None]


class Whole(nn.Module):
    """A row of numbers for a whole sequence, out of one step, or the mean or the largest of all its steps.

    Args:
        width: numbers of a step.
        outputs: K.
        pool: `last`, `first`, `mean` or `max`.
        dropout: share of the pooled numbers that is dropped in training.
    """

    def __init__(self, width: int, outputs: int, pool: str = "last", dropout: float = 0.0) -> None:
        super().__init__()
        self.pool, self.dropout, self.linear = pool, nn.Dropout(dropout), nn.Linear(width, outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, K); steps that are not there do not count."""
        out: Tensor = self.linear(self.dropout(pooled(x, lengths, self.pool)))
        return out


class Each(nn.Module):
    """A row of numbers for each step.

    Args:
        width: numbers of a step.
        outputs: K.
        tied: an embedding whose vectors are the weights as well (Press and Wolf, 2017); None: they are its own.
    """

    def __init__(self, width: int, outputs: int, tied: nn.Embedding | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs, bias=tied is None)
        if tied is not None:
            if tied.weight.shape != self.linear.weight.shape:
                raise CouloirError(
                    f"Tied weights are those of the embedding, {tuple(tied.weight.shape)}, and the last layer has "
                    f"{tuple(self.linear.weight.shape)}.",
                    next_step="model.tied=false, or an embedding as wide as the network",
                )
            self.linear.weight = tied.weight

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, T, K)."""
        out: Tensor = self.linear(x)
        return out


class Ahead(nn.Module):
    """A row of numbers for each step to come, out of one step, or the mean or the largest of all steps.

    Args:
        width: numbers of a step.
        horizon: steps to come.
        outputs: K.
        pool: `last`, `first`, `mean` or `max`.
    """

    def __init__(self, width: int, horizon: int, outputs: int, pool: str = "last") -> None:
        super().__init__()
        self.horizon, self.outputs, self.pool = horizon, outputs, pool
        self.linear = nn.Linear(width, horizon * outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, H, K)."""
        out: Tensor = self.linear(pooled(x, lengths, self.pool))
        return out.view(len(out), self.horizon, self.outputs)


def head(
    answers: str,
    width: int,
    num_classes: int,
    horizon: int | None,
    inputs: Inputs,
    pool: str = "last",
    tied: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """What ends a network: `Whole`, `Each` or `Ahead`, by one of `SEQUENCE`, `STEPS` and `HORIZON`.

    Raises:
        CouloirError: weights are to be tied, and there is no embedding, or no row for each step.
    """  # fmt: skip
    if tied and (answers != STEPS or inputs.embedding is None):
        raise CouloirError(
            "model.tied=true makes the embedding the last layer as well, which needs tokens that are predicted at each "
            "step.",
            next_step="model.tied=false",
        )
    if answers == STEPS:
        return Each(width, num_classes, inputs.embedding if tied else None)
    if answers == HORIZON:
        return Ahead(width, horizon or 1, num_classes, pool)
    return Whole(width, num_classes, pool, dropout)


class SequenceNetwork(nn.Module):
    """Inputs, a body over the steps, and a head.

    Args:
        inputs: (B, T) or (B, T, F) -> (B, T, D).
        body: called with (B, T, D) and the lengths or None -> (B, T, W); its attribute `causal` says whether a step
            sees no later one.
        head: called with (B, T, W) and the lengths -> the answer.
    """

    def __init__(self, inputs: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.inputs, self.body, self.head = inputs, body, head

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        return bool(getattr(self.body, "causal", False))

    def forward(self, x: Tensor | Padded) -> Tensor:
        """(B, T) int64 or (B, T, F), or `Padded` -> (B, K), (B, T, K) or (B, H, K)."""
        values, lengths = opened(x)
        out: Tensor = self.head(self.body(self.inputs(values), lengths), lengths)
        return out

    def carried(self, x: Tensor | Padded, state: Any) -> tuple[Tensor, Any]:
        """The answers for the steps that follow those which a state is of, and the state behind them.

        Args:
            x: as for `forward`.
            state: None: there are no steps before.

        Raises:
            CouloirError: the network keeps no state.
        """
        if not hasattr(self.body, "carried"):
            raise CouloirError(
                "The network keeps no state from step to step.",
                next_step="model=lstm, model=gru or model=rnn; or data.carry_state=false",
            )
        values, lengths = opened(x)
        body: Any = self.body
        hidden, state = body.carried(self.inputs(values), lengths, state)
        return self.head(hidden, lengths), state

"""The next token at each step of a text: language modelling.

Bengio et al., 2003, A Neural Probabilistic Language Model; Mikolov et al., 2010, Recurrent Neural Network Based
Language Model, for the state that goes on from one stretch of the text to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.config.fields import SHARE
from couloir.data.batches import Batch
from couloir.data.sequence.characters import characters
from couloir.errors import CouloirError
from couloir.metric.tokens import TokenMetrics
from couloir.ragged import Padded
from couloir.task.task import Step, try_network
from couloir.task.token_prediction import TokenPrediction
from couloir.task.writing import keeps_state

SAME = 1e-4
"""How far scores of a step may move with later tokens, by the order of sums alone."""


class NextToken(TokenPrediction):
    """Scores (B, T, V) of the tokens that follow each step, (B, T).

    With `data.carry_state=true` a batch goes on where the one before ended: the network begins with the state behind
    that one, through which no gradient flows (truncated backpropagation through time, Williams and Peng, 1990, An
    Efficient Gradient-Based Algorithm). Each split has a state of its own, which an epoch begins without; so a
    validation amid an epoch leaves the training's alone.
    """

    characters: Tensor | None

    def __init__(self, data: Any, **keys: Any) -> None:
        vocabulary = getattr(data, "vocabulary", None)
        self.per_character = vocabulary is not None  # before `measures` is asked
        super().__init__(data=data, **keys)
        self.carries = bool(getattr(data, "carry_state", False))
        self.measuring: Any = None
        """The state behind the newest batch of a validation or test."""
        counts = None if vocabulary is None else torch.tensor(characters(vocabulary))
        self.register_buffer("characters", counts, persistent=False)

    def measures(self) -> dict[str, Metric]:
        """Token accuracy, perplexity and, where the data says what its tokens stand for, bits a character."""
        return {"tokens": TokenMetrics(self.per_character)}

    def compute(self, batch: Batch) -> Step:
        """The loss and the sums of a batch that nothing stands before."""
        return self.predicted(self.net(batch[self.input]), batch)

    def take(self, split: str, batch: Batch) -> Tensor:
        """The batch's mean loss, as of every task; behind the batch before it where the state is carried."""
        if not self.carries:
            return super().take(split, batch)
        before = self.kept if split == "train" else self.measuring
        share = batch.get(SHARE)
        if before is not None and share is not None:
            raise CouloirError(
                "data.carry_state=true: a batch that several processes divide unevenly cannot go on from the state of "
                "each stream.",
                next_step="batches of one window of each stream; or trainer.devices=1",
            )
        logits, after = cast(Any, self.net).carried(batch[self.input], before)
        if split == "train":
            self.kept = _detached(after)
        else:
            self.measuring = after
        return self.note(split, batch, self.predicted(logits, batch))

    def on_train_epoch_start(self) -> None:
        """Begin without a state."""
        super().on_train_epoch_start()
        self.kept = None

    def on_validation_epoch_start(self) -> None:
        """Begin without a state."""
        super().on_validation_epoch_start()
        self.measuring = None

    def on_test_epoch_start(self) -> None:
        """Begin without a state."""
        super().on_test_epoch_start()
        self.measuring = None

    def predicted(self, logits: Tensor, batch: Batch) -> Step:
        """The same; and how many characters the tokens stand for."""
        step = super().predicted(logits, batch)
        if self.characters is None:
            return step
        target = batch[self.target]
        y = target.values if isinstance(target, Padded) else target
        counts = self.characters[y]
        counts = (counts * target.mask() if isinstance(target, Padded) else counts).sum(dim=1)
        return step._replace(tensors=(*step.tensors, counts.sum(dim=0, keepdim=True) if self.training else counts))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network, and two whose last tokens are others.

        Raises:
            CouloirError: it does not take them, does not return a score of each token at each step, or sees the tokens
                that it is to predict.
        """
        output, count = try_network(net, data)
        batch = data.example_batch(count)
        x = batch[next(iter(batch))]
        values = x.values if isinstance(x, Padded) else x
        expected = (count, values.shape[1], data.num_classes)
        if tuple(getattr(output, "shape", ())) != expected:
            raise CouloirError(
                f"The network returns shape {tuple(getattr(output, 'shape', ()))} for {count} samples; the next token "
                f"at each step needs {expected}.",
                next_step="a model over steps, with answers: ${oc.select:task.answers,sequence} in its YAML",
            )
        if sees_ahead(net, values):
            raise CouloirError(
                "The network sees the tokens that it is to predict: the scores of a step change with later tokens.",
                next_step="a causal model, such as model=lstm with model.bidirectional=false",
            )
        if getattr(data, "carry_state", False) and not keeps_state(net):
            raise CouloirError(
                "data.carry_state=true hands the network the state behind the batch before, and this network keeps "
                "none.",
                next_step="data.carry_state=false; or a network with a method carried(x, state) -> (scores, state)",
            )


def sees_ahead(net: nn.Module, tokens: Tensor, ask: Callable[[Tensor], Tensor] | None = None) -> bool:
    """Whether the scores of a network at some steps change with the tokens behind them.

    Args:
        net: (B, T) -> (B, T, V).
        tokens: (B, T), T of two or more, or there is nothing to be seen.
        ask: how it is asked; None: with the tokens alone.
    """
    steps = tokens.shape[1]
    middle = steps // 2
    if middle == 0:
        return False
    changed = tokens.clone()
    changed[:, middle:] = torch.where(tokens[:, middle:] == 0, 1, 0)
    training = net.training
    net.eval()
    try:
        with torch.no_grad():
            before, after = ((ask or net)(x)[:, :middle] for x in (tokens, changed))
    finally:
        net.train(training)
    return bool((before - after).abs().max() > SAME * (1 + before.abs().max()))


def _detached(state: Any) -> Any:
    """A state through which no gradient flows: a tensor, or a tuple of such."""
    return state.detach() if isinstance(state, Tensor) else tuple(_detached(part) for part in state)

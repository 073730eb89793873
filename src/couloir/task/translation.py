"""A sequence of tokens for another one: an encoder reads, and a decoder writes until a stop token.

Sutskever et al., 2014, Sequence to Sequence Learning with Neural Networks; Vaswani et al., 2017, Attention Is All You
Need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.data.sequence.vocabulary import START, STOP, Vocabulary
from couloir.errors import CouloirError
from couloir.metric.tokens import ExactSequences, TokenMetrics, token_sums
from couloir.ragged import Padded, rows_of
from couloir.task import decode
from couloir.task.next_token import sees_ahead
from couloir.task.task import Column, Step, try_network
from couloir.task.token_prediction import TokenPrediction

OF_TOKENS = 3
"""Tensors of a step that `TokenMetrics` takes; the others are `ExactSequences`'."""


class Translation(TokenPrediction):
    """Scores (B, T, V) of the tokens (B, T) of a target, each told those before it (teacher forcing).

    The network is called with the source, and with the target behind the start token and without its last token.

    Args:
        data: the data; it has a vocabulary with a start and a stop token.
        beam: beginnings that are kept where answers are written; 1: greedy.
        max_tokens: of an answer at most.
        length_penalty: alpha of Wu et al., 2016, of a beam.
        keys: those of `Task`.
    """

    def __init__(
        self, data: Any, beam: int = 1, max_tokens: int = 100, length_penalty: float = 0.6, **keys: Any
    ) -> None:
        super().__init__(data=data, **keys)
        self.vocabulary = vocabulary_of(data)
        self.start, self.stop = (self.vocabulary.numbers[token] for token in (START, STOP))
        self.beam, self.max_tokens, self.length_penalty = beam, max_tokens, length_penalty

    def measures(self) -> dict[str, Metric]:
        """Token accuracy, perplexity, and the share of targets that greedy decoding writes without an error."""
        return {"tokens": TokenMetrics(), "exact_match": ExactSequences()}

    def taken_by(self, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The sums of tokens, or what is known of whole sequences."""
        return tensors[:OF_TOKENS] if name == "tokens" else tensors[OF_TOKENS:]

    def compute(self, batch: Batch) -> Step:
        """The loss and the sums of a batch."""
        return self.predicted(self.outputs(batch), batch)

    def predicted(self, logits: Tensor, batch: Batch) -> Step:
        """The loss of the scores of a batch, and what its metrics take: in training sums over the batch, (1,).

        Greedy decoding writes a target without an error exactly where each token of it is the most probable one behind
        the true ones before it: as long as there is no error, these are what was written. So no token need be written.
        """
        target: Tensor | Padded = batch[self.target]
        sums = token_sums(logits.detach(), target)
        exact = (sums.right == sums.tokens).long()
        tensors: tuple[Tensor, ...] = (*sums, exact, torch.ones_like(exact))
        if self.training:
            tensors = tuple(each.sum(dim=0, keepdim=True) for each in tensors)
        return Step({"loss": self.criterion(logits, target)}, tensors, self.weight(target))

    def outputs(self, batch: Batch) -> Any:
        """Scores (B, T, V) where there is a target; else what is written for the sources, `Padded` (B, T)."""
        source = batch[self.input]
        if self.target in batch:
            return self.net(source, behind_start(batch[self.target], self.start))
        return self.look(source)

    def look(self, x: Any) -> Padded:
        """What is written for some sources (B, S): tokens (B, T), the stop token last."""
        with torch.no_grad():
            return self.written(x)

    def written(self, source: Tensor | Padded) -> Padded:
        """The same, by greedy or by beam search."""
        net: Any = self.net
        count, device = rows_of(source), (source.values if isinstance(source, Padded) else source).device
        parts = hasattr(net, "encode") and hasattr(net, "decode")
        memory, there = net.encode(source) if parts else (None, None)
        if self.beam > 1 and memory is not None:
            memory = memory.repeat_interleave(self.beam, dim=0)
            there = None if there is None else there.repeat_interleave(self.beam, dim=0)
        elif self.beam > 1:
            source = type(source)(*(each.repeat_interleave(self.beam, dim=0) for each in source)) if isinstance(
                source, Padded
            ) else source.repeat_interleave(self.beam, dim=0)  # fmt: skip

        def scores(tokens: Tensor) -> Tensor:
            logits = net(source, tokens) if memory is None else net.decode(tokens, memory, there)
            return super(Translation, self).answer(logits[:, -1]).log()

        if self.beam == 1:
            return decode.greedy(scores, count, self.start, self.stop, self.max_tokens, device)
        return decode.beam(
            scores, count, self.start, self.stop, self.max_tokens, self.beam, self.length_penalty, device
        )

    def answer(self, output: Any) -> Any:
        """Probabilities (B, T, V) of scores; what was written, as it is."""
        return output if isinstance(output, Padded) else super().answer(output)

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> Mapping[str, Column]:
        """Source, truth and prediction of each sample as text, beside the mean of -ln p of the truth in nats a token.

        Where several runs answer together there is no prediction: what they write has no mean.
        """
        nats, _, tokens = step.tensors[:OF_TOKENS]
        source = batch[self.input]
        rows: dict[str, Column] = {"source": self.texts(source), "truth": self.texts(batch[self.target])}
        if answer is None:
            rows["prediction"] = self.texts(self.look(source))
        return {**rows, "nats_per_token": nats / tokens}

    def columns(self, answer: Any, output: Any = None) -> Mapping[str, Column]:
        """What was written as text."""
        return {"prediction": self.texts(answer)} if isinstance(answer, Padded) else {}

    def texts(self, tokens: Tensor | Padded) -> list[str]:
        """What some sequences stand for, (B, T) or `Padded`, without the stop token at their ends."""
        rows = tokens.samples() if isinstance(tokens, Padded) else list(tokens)
        numbers = [row.tolist() for row in rows]
        return [self.vocabulary.decode(row[:-1] if row[-1:] == [self.stop] else row) for row in numbers]

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two sources through the network, and two targets whose last tokens are others.

        Raises:
            CouloirError: it does not take them, does not return a score of each token at each step, or sees the tokens
                that it is to predict; the data has no start or stop token, or the network begins with another one.
        """
        vocabulary = vocabulary_of(data)
        start = vocabulary.numbers[START]
        if getattr(net, "start", start) != start:
            raise CouloirError(
                f"The network begins a target with token {net.start}, and the start token of the data is {start}.",
                next_step=f"model.start={start}",
            )
        try_network(net, data)
        batch = data.example_batch(2)
        names = list(batch)
        source, target = batch[names[0]], batch[names[1]]
        given = behind_start(target, start)
        tokens = given.values if isinstance(given, Padded) else given

        def ask(x: Tensor) -> Tensor:
            out: Tensor = net(source, x)
            return out

        with torch.no_grad():
            shape = tuple(getattr(ask(tokens), "shape", ()))
        expected = (*tokens.shape, data.num_classes)
        if shape != expected:
            raise CouloirError(
                f"The network returns shape {shape} for targets of shape {tuple(tokens.shape)}; a translation needs "
                f"{expected}.",
                next_step="model=transformer, or a network whose forward takes (source, target)",
            )
        if sees_ahead(net, tokens, ask):
            raise CouloirError(
                "The network sees the tokens that it is to predict: the scores of a step change with later tokens.",
                next_step="a decoder that is causal, such as that of model=transformer",
            )


def vocabulary_of(data: Any) -> Vocabulary:
    """What the tokens of both sides stand for.

    Raises:
        CouloirError: the data does not say it, or it has no start or stop token.
    """
    vocabulary = getattr(data, "vocabulary", None)
    if not isinstance(vocabulary, Vocabulary) or not {START, STOP} <= set(vocabulary.numbers):
        raise CouloirError(
            f"task=translation needs to know which tokens begin and end a target: the data has no vocabulary with "
            f"{START} and {STOP}.",
            next_step="data=reversed, data=sums, or a data module with an attribute vocabulary, of Vocabulary",
        )
    return vocabulary


def behind_start(target: Tensor | Padded, start: int) -> Tensor | Padded:
    """What the decoder is told: the start token, and the target without its last token, (B, T)."""
    values = target.values if isinstance(target, Padded) else target
    told = torch.cat([torch.full_like(values[:, :1], start), values[:, :-1]], dim=1)
    return Padded(told, target.lengths) if isinstance(target, Padded) else told

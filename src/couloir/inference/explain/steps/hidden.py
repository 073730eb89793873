"""What a network keeps from step to step: hidden states over time, and the gates that write and forget them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from couloir.artifacts.page import Cell, Chart, table
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_array
from couloir.inference.explain.steps.by_step import channels_of, steps_of, subject_units
from couloir.inference.explain.steps.drawing import NAMED_ROWS, ROWS, plate
from couloir.inference.explain.steps.sequences import OverSteps, ShownSequences
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import SERIES, Wanted

OPEN, SHUT = 0.9, 0.1
"""Beyond these a gate is saturated, as in Karpathy, Johnson and Fei-Fei (2016), section 4.2."""
SEQUENCES = 200
"""Sequences whose gates are looked at, at most."""


def hidden_states(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """What the body of a network, or each layer that is named, gives at each step.

    Raises:
        CouloirError: no layer gives a row of numbers for each step.
    """
    over = cast(OverSteps, subject)
    samples = cast(ShownSequences, shown).samples
    layers = list(wanted.layers) or [last_over_steps(over, samples[0])]
    note = (
        f"What a layer gives at each step (columns), a row a unit: of all units the {ROWS} whose values vary most over "
        "these steps, the most first (Karpathy, Johnson and Fei-Fei, 2016). The files have all units in their order."
    )
    found = []
    for number, sample in enumerate(samples):
        exhibit = Exhibit("hidden_states", f"Hidden states: {shown.names[number]}", note, sample=number, side=920)
        for layer in layers:
            values = states(over, sample, layer)
            order = by_variance(values)
            lines = as_array(subject_units(over, sample)) if subject.kind == SERIES else None
            picture = plate(
                values[:, order].T, steps_of(over, sample), [str(unit) for unit in order], lines=lines,
                names=channels_of(over), label="unit" if len(order) <= NAMED_ROWS else "units, by variance",
            )  # fmt: skip
            name = f"hidden_states_{number}" if len(layers) == 1 else f"hidden_states_{number}_{layer}"
            told = f"{layer}: {min(ROWS, len(order))} of {len(order)} units, {len(values)} steps"
            exhibit.panels.append(Panel(name, told, picture, values))
            exhibit.numbers[layer] = {
                "units": len(order), "steps": len(values), "varying_most": order[:10].tolist(),
                "variance": values.var(axis=0)[order[:10]].tolist(),
            }  # fmt: skip
        found.append(exhibit)
    return found


def by_variance(values: NDArray[Any]) -> NDArray[np.int64]:
    """The units of (T, U) in the order of their variance over the steps, the largest first; of equal ones the first."""
    return np.argsort(-values.var(axis=0), kind="stable")


def states(subject: OverSteps, x: Tensor, layer: str) -> NDArray[np.float32]:
    """What a layer gives for one sequence, (T, U).

    Raises:
        CouloirError: it gives no row of numbers for each step.
    """
    found = subject.outputs(x, layer)
    if found.ndim != 3 or found.shape[1] != x.shape[subject.axis]:
        raise CouloirError(
            f"The layer {layer} gives the shape {tuple(found.shape[1:])}, and not a row of numbers for each of "
            f"{x.shape[subject.axis]} steps.",
            next_step=f"--layer {last_over_steps(subject, x)} gives them",
        )
    return as_array(found[0])


def last_over_steps(subject: OverSteps, x: Tensor) -> str:
    """The last layer before the answer that gives a row of numbers for each step.

    Raises:
        CouloirError: there is none.
    """
    steps, shapes = x.shape[subject.axis], _shapes(subject, x)
    scoring = subject.scoring
    for name in reversed(shapes):
        is_head = any(each == name or each.startswith(f"{name}.") for each in scoring)
        if not is_head and len(shapes[name]) == 2 and shapes[name][0] == steps:
            return name
    raise CouloirError(
        "No layer of the network gives a row of numbers for each step, so there are no states over time.",
        next_step="leave the method hidden_states out",
    )


def _shapes(subject: OverSteps, x: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape that each module gives for a sequence, without the batch, in the order in which they end."""
    names = {module: name for name, module in subject.net.named_modules() if name}
    found: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            found.pop(names[module], None)
            found[names[module]] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad():
            reads = getattr(subject.net, "encode", None)  # of what translates: its answer has steps of its own
            (subject.net if reads is None else reads)(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def gates(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """How often the gates of each unit are nearly open and nearly shut, over a split.

    Raises:
        CouloirError: the network has no layer of LSTM or GRU.
    """
    over = cast(OverSteps, subject)
    modules = {name: module for name, module in subject.net.named_modules() if isinstance(module, nn.LSTM | nn.GRU)}
    if not modules:
        raise CouloirError(
            "The network has no layer of LSTM or GRU, so there are no gates.", next_step="leave the method gates out"
        )
    counted: dict[tuple[str, str], list[Tensor]] = {}
    sequences = steps = 0
    for x, _, _ in over.split(wanted.split, min(SEQUENCES, wanted.most or SEQUENCES)):
        sequences, steps = sequences + len(x), steps + len(x) * x.shape[over.axis]
        for name, module in modules.items():
            for part, each in gates_of(module, _given(over, module, x)):
                for gate, values in each.items():
                    key = (f"{name} {part}".strip(), gate)
                    flat = values.flatten(0, 1)
                    sums = torch.stack(
                        [(flat > OPEN).double().sum(0), (flat < SHUT).double().sum(0), flat.double().sum(0)]
                    )
                    counted.setdefault(key, []).append(sums)
    found = {key: (torch.stack(parts).sum(dim=0) / steps).cpu().numpy() for key, parts in counted.items()}
    note = (
        f"Over {steps:,} steps of {sequences:,} sequences of the {wanted.split} split: each point is a unit, and says "
        f"how often its gate is above {OPEN:g} and below {SHUT:g} (Karpathy, Johnson and Fei-Fei, 2016, figure 3). A "
        "forget gate that is always open keeps what was written; a unit at the lower left is never decided."
    )
    exhibit = Exhibit("gates", "Gates", note)
    rows = []
    for (layer, gate), (above, below, mean) in found.items():
        rows.append([
            Cell(layer, kind="code"), Cell(gate), *(Cell(f"{share.mean():.1%}", float(share.mean()), "number")
                                                    for share in (above, below)),
            Cell(f"{mean.mean():.3f}", float(mean.mean()), "number"),
        ])  # fmt: skip
        exhibit.arrays[f"gates_{layer.replace(' ', '_')}_{gate}"] = np.stack([above, below, mean]).astype(np.float32)
    exhibit.charts = _charts(found)
    heads = ["layer", "gate", f"above {OPEN:g}", f"below {SHUT:g}", "mean"]
    exhibit.html = table(heads, rows, "how often gates are open and shut")
    exhibit.numbers = {
        "split": wanted.split, "sequences": sequences, "steps": steps,
        "gates": [
            {"layer": layer, "gate": gate, "above": float(above.mean()), "below": float(below.mean()),
             "mean": float(mean.mean())}
            for (layer, gate), (above, below, mean) in found.items()
        ],
    }  # fmt: skip
    return [exhibit]


def _charts(found: dict[tuple[str, str], NDArray[np.float64]]) -> list[Chart]:
    """A chart a gate: each point is a unit."""
    layers = list(dict.fromkeys(layer for layer, _ in found))
    drawn = []
    for gate in dict.fromkeys(gate for _, gate in found):
        traces = [
            {"type": "scatter", "mode": "markers", "name": layer, "x": found[layer, gate][1].tolist(),
             "y": found[layer, gate][0].tolist(), "marker": {"size": 6, "opacity": 0.7, "color": f"--c{at % 10}"},
             "text": [f"unit {unit}" for unit in range(found[layer, gate].shape[1])],
             "hovertemplate": "%{text}: open %{y:.1%}, shut %{x:.1%}<extra></extra>"}
            for at, layer in enumerate(layers) if (layer, gate) in found
        ]  # fmt: skip
        axis = {"range": [-0.04, 1.04], "tickformat": ".0%"}
        layout = {
            "title": {"text": f"{gate} gate", "x": 0.5, "y": 0.98}, "showlegend": len(layers) > 1,
            "xaxis": {**axis, "title": {"text": f"steps below {SHUT:g}"}},
            "yaxis": {**axis, "title": {"text": f"steps above {OPEN:g}"}}, "margin": {"t": 34},
        }  # fmt: skip
        drawn.append(Chart(traces, layout, f"how often the {gate} gate of each unit is open and shut", 300))
    return drawn


def _given(subject: OverSteps, module: nn.Module, x: Tensor) -> Tensor:
    """What a recurrent layer is given for sequences of one length, (B, T, D)."""
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any) -> None:
        given = inputs[0]
        assert not isinstance(given, PackedSequence), "all sequences are as long"
        found.append(given if getattr(module, "batch_first", True) else given.transpose(0, 1))

    hook = module.register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            subject.net(x)
    finally:
        hook.remove()
    return found[0]


def gates_of(module: nn.LSTM | nn.GRU, x: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The gates of each layer and direction at each step: `layer 0 backwards`, say, and (B, T, W) by the gate's name.

    i = s(W x + U h + b), and so on, written out step by step: torch's own layers do not show them. Hochreiter and
    Schmidhuber, 1997, with the forget gate of Gers et al., 2000; Cho et al., 2014. The candidate of torch's GRU is
    tanh(W x + b + r * (U h + c)).

    Args:
        module: layers of LSTM or GRU.
        x: what it is given, (B, T, D), without a state before.
    """
    layers, directions = module.num_layers, 2 if module.bidirectional else 1
    given = x.detach()
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            end = f"l{layer}{'_reverse' * direction}"
            steps = given.flip(1) if direction else given
            made, hidden = _unrolled(module, steps, end)
            if direction:
                made, hidden = {name: each.flip(1) for name, each in made.items()}, hidden.flip(1)
            outputs.append(hidden)
            name = f"layer {layer}" * (layers > 1) + " backwards" * direction
            yield name.strip(), made
        given = torch.cat(outputs, dim=2)


def _unrolled(module: nn.LSTM | nn.GRU, x: Tensor, end: str) -> tuple[dict[str, Tensor], Tensor]:
    """The gates of one layer in one direction, and its hidden states, (B, T, W)."""
    weights = [getattr(module, f"{name}_{end}", None) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    weight_in, weight_back, bias_in, bias_back = (None if each is None else each.detach() for each in weights)
    assert weight_in is not None
    assert weight_back is not None
    hidden = x.new_zeros(len(x), module.hidden_size)
    cell = hidden
    kept: dict[str, list[Tensor]] = {}
    outputs = []
    for step in range(x.shape[1]):
        inward = nn.functional.linear(x[:, step], weight_in, bias_in)
        back = nn.functional.linear(hidden, weight_back, bias_back)
        if isinstance(module, nn.LSTM):
            entry, forget, candidate, out = (inward + back).chunk(4, dim=1)
            made = {"input": entry.sigmoid(), "forget": forget.sigmoid(), "output": out.sigmoid()}
            cell = made["forget"] * cell + made["input"] * candidate.tanh()
            hidden = made["output"] * cell.tanh()
        else:
            parts = list(zip(inward.chunk(3, dim=1), back.chunk(3, dim=1), strict=True))
            made = {"reset": (parts[0][0] + parts[0][1]).sigmoid(), "update": (parts[1][0] + parts[1][1]).sigmoid()}
            candidate = (parts[2][0] + made["reset"] * parts[2][1]).tanh()
            hidden = (1 - made["update"]) * candidate + made["update"] * hidden
        outputs.append(hidden)
        for name, values in made.items():
            kept.setdefault(name, []).append(values)
    return {name: torch.stack(values, dim=1) for name, values in kept.items()}, torch.stack(outputs, dim=1)

"""The methods of `couloir explain`, and what is asked of them. Nothing here imports more than the errors."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from couloir.errors import CouloirError, did_you_mean

IMAGE, ROW = "image", "row"
TOKENS, SERIES, VIDEO = "tokens", "series", "video"
STEPS = (TOKENS, SERIES, VIDEO)
"""Kinds of inputs whose samples have steps."""
KINDS = {
    IMAGE: "images", ROW: "rows of a table", TOKENS: "texts and other tokens", SERIES: "series", VIDEO: "videos",
}  # fmt: skip
"""The kinds of inputs that can be explained, and what messages call them."""
ALL, DEFAULT = "all", "default"
"""Words for methods: all that take such inputs, and those that are used where none are named."""
FULL = 8
"""Samples that the page shows and that expensive methods look at; the others have the files of the cheap methods."""


class Method(NamedTuple):
    """One way to look inside.

    Attributes:
        group: the section of the page that it belongs to, a key of `GROUPS`.
        needs: kinds of inputs that it takes.
        default: whether it is used where no methods are named.
        told: what it shows, in a few words.
    """

    group: str
    needs: tuple[str, ...]
    default: bool
    told: str


PAGE, RECORD = "explain.html", "explain.json"
"""What is written beside the pictures: the page, and what was answered and measured."""
GROUPS = {
    "answer": "The answer",
    "where": "Where it looked",
    "layers": "What a layer sees",
    "dreams": "What it dreams",
    "fooling": "What fools it",
    "behaviour": "How it behaves",
    "sanity": "Does the picture mean anything?",
}
"""The sections of the page, in their order."""
METHODS = {
    "neighbours": Method("answer", (IMAGE, ROW, *STEPS), True, "the training samples nearest in the last hidden layer"),
    "grad_cam": Method("where", (IMAGE,), True, "Grad-CAM: the parts of a layer's maps that speak for a class"),
    "grad_cam_plus_plus": Method("where", (IMAGE,), False, "Grad-CAM++: the same with a weight for each place"),
    "occlusion": Method(
        "where", (IMAGE, *STEPS), True, "a grey square over one part after another; of sequences each step left out"
    ),
    "gradients": Method("where", (IMAGE, ROW, *STEPS), True, "how the score changes with each pixel, column or step"),
    "guided_backprop": Method("where", (IMAGE,), True, "gradients without what lowers the score on the way"),
    "integrated_gradients": Method(
        "where", (IMAGE, ROW, *STEPS), True, "gradients from nothing to the sample, added up"
    ),
    "gradient_x_input": Method("where", (TOKENS, SERIES), True, "gradients times the input, by step"),
    "horizons": Method("where", (SERIES,), True, "of forecasts: which steps of the window each step to come goes by"),
    "smoothgrad": Method("where", (IMAGE,), False, "the mean of gradients under noise"),
    "permutation": Method("where", (ROW,), True, "how much worse answers get when a column is shuffled"),
    "captum": Method("where", (IMAGE, ROW), False, "the same methods by captum, and how far they are from these"),
    "attention": Method("layers", (TOKENS, SERIES), True, "what each head of each layer attends to"),
    "hidden_states": Method("layers", (TOKENS, SERIES), True, "what a layer keeps from step to step"),
    "gates": Method("layers", (TOKENS, SERIES), True, "how often gates of LSTM and GRU are open and shut"),
    "feature_maps": Method("layers", (IMAGE,), True, "the maps of a layer"),
    "deconvnet": Method("layers", (IMAGE,), False, "what in the image the strongest maps answer to, projected down"),
    "strongest": Method("layers", (IMAGE,), False, "the nine strongest activations of maps over a split"),
    "filters": Method("layers", (IMAGE,), True, "the filters of a layer"),
    "matrix": Method("layers", (IMAGE,), False, "a convolution written as one matrix, U v(x) = v(u * x), and checked"),
    "dead_units": Method("layers", (IMAGE, ROW, *STEPS), False, "units that are zero for every sample of a split"),
    "receptive_fields": Method("layers", (IMAGE,), True, "what part of the image a unit of each layer depends on"),
    "embedding": Method("layers", (IMAGE, ROW, *STEPS), False, "a layer's values over a split in two dimensions"),
    "maximisation": Method("dreams", (IMAGE,), False, "an image that a class, a map or a unit answers to most"),
    "deep_dream": Method("dreams", (IMAGE,), False, "the image, changed so that a layer answers more strongly"),
    "fgsm": Method("fooling", (IMAGE,), False, "one step along the sign of the gradient"),
    "pgd": Method("fooling", (IMAGE,), False, "many such steps, each back into the ball"),
    "deep_fool": Method("fooling", (IMAGE,), False, "the smallest step over a border between classes"),
    "universal": Method("fooling", (IMAGE,), False, "one change that fools the network on most images"),
    "equivariance": Method("behaviour", (IMAGE,), False, "whether layers and answers move with the image"),
    "robustness": Method("behaviour", (IMAGE,), False, "noise, blur, JPEG, contrast in five severities"),
    "randomisation": Method("sanity", (IMAGE,), True, "whether maps change when weights are drawn anew"),
    "deletion": Method("sanity", (IMAGE,), True, "whether the answer goes when the marked parts go"),
    "random_labels": Method("sanity", (IMAGE,), False, "maps of a second run, whose labels were random"),
}
"""What there is, in the order of the page."""
USED_BY = {
    "--layer": (
        "grad_cam", "grad_cam_plus_plus", "occlusion", "captum", "feature_maps", "deconvnet", "strongest", "filters",
        "matrix", "receptive_fields", "embedding", "hidden_states", "maximisation", "deep_dream", "equivariance",
    ),
    "--unit": ("occlusion", "feature_maps", "deconvnet", "strongest", "filters", "maximisation"),
    "--epsilon": ("fgsm", "pgd", "universal"),
}  # fmt: skip
"""The methods that go by what a flag says; to the others it is nothing."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        methods: their names, in the order of `METHODS`.
        named: those that were typed themselves: what keeps them from being used is an error, and of others a note.
        layers: dotted names of layers; none: each method chooses its own.
        label: the class or output that is explained, by its name or number; None: the likeliest of each sample.
        unit: the number of a map or unit of the layer; None: each method chooses the strongest.
        count: samples of the split that are explained where no inputs are named.
        split: `train`, `val` or `test`: the split that is looked through.
        most: samples of the split that are looked at.
        epsilon: the size of a change that fools, in pixels of [0, 1].
        against: the folder of a run whose labels were random; None: none is named.
        seed: what noise and draws follow from.
        output: the folder that everything goes to.
    """

    methods: tuple[str, ...]
    output: Path
    named: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    label: str | None = None
    unit: int | None = None
    count: int = 4
    split: str = "val"
    most: int = 1000
    epsilon: float | None = None
    against: Path | None = None
    seed: int = 0


def chosen_methods(text: str | None, kind: str) -> tuple[str, ...]:
    """The methods that `--methods` names: methods, sections of the page, `default`, `all`, with commas between.

    Args:
        text: as typed; None: the default methods.
        kind: of the inputs, a key of `KINDS`.

    Raises:
        CouloirError: there is no such method, or it does not take such inputs.
    """
    words = [word.strip() for word in (DEFAULT if text is None else text).split(",") if word.strip()]
    found: set[str] = set()
    for word in words:
        name = word.replace("-", "_")
        if name in METHODS:
            if kind not in METHODS[name].needs:
                others = ", ".join(each for each, method in METHODS.items() if kind in method.needs)
                taken = " or ".join(map(_named, METHODS[name].needs))
                raise CouloirError(
                    f"The method {name} takes {taken}, and the run was trained on {_named(kind)}.",
                    next_step=f"for these there are {others}",
                )
            if name == "captum":
                needs_captum()
            found.add(name)
        elif name in (ALL, DEFAULT, *GROUPS):
            found |= {each for each, method in METHODS.items() if kind in method.needs and _is_meant(name, method)}
            found.discard("random_labels")  # which needs a second run, so that it is named or not meant
        else:
            names = [*METHODS, *GROUPS, DEFAULT, ALL]
            hint = did_you_mean(name, names, form="--methods {}")
            raise CouloirError(
                f"There is no method '{word}'.", place=f"methods: {', '.join(METHODS)}",
                next_step=hint or f"sections name all of theirs: {', '.join(GROUPS)}",
            )  # fmt: skip
    if not words:
        raise CouloirError("--methods names nothing.", next_step=f"--methods {DEFAULT}, or {', '.join(GROUPS)}")
    return tuple(name for name in METHODS if name in found)


def check_used(flag: str, methods: Sequence[str], kind: str) -> None:
    """Whether one of some methods goes by what a flag says.

    Raises:
        CouloirError: none of them does, so that the flag would say nothing.
    """
    if not any(name in USED_BY[flag] for name in methods):
        others = ",".join(name for name in USED_BY[flag] if kind in METHODS[name].needs)
        raise CouloirError(
            f"None of the methods that are used here goes by {flag}.", place=f"methods: {', '.join(methods)}",
            next_step=f"--methods {others} do" if others else f"leave {flag} out: no method for {_named(kind)} does",
        )  # fmt: skip


def needs_captum() -> None:
    """Refuse where the library is missing.

    Raises:
        CouloirError: it is.
    """
    if importlib.util.find_spec("captum") is None:
        raise CouloirError(
            "The method captum needs the package captum, which is not installed.",
            next_step="pip install 'couloir[explain]'",
        )


def _is_meant(word: str, method: Method) -> bool:
    return word == ALL or (word == DEFAULT and method.default) or word == method.group


def _named(kind: str) -> str:
    return KINDS.get(kind, kind)

"""What is known of every metric before torch is imported: one table, and what `cfg.metric` adds to it.

Whatever needs to know a metric's direction, label, bounds or value of guessing reads it here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from couloir.config import contract, tree
from couloir.config.resolvers import inspect_data
from couloir.errors import CouloirError, did_you_mean

FACTS = "facts"
"""The key of a node of `cfg.metric` that the table reads, and that its constructor does not see."""
CLASSIFICATION, MULTI_LABEL, REGRESSION = "classification", "multi_label", "regression"
SEGMENTATION, SALIENCY, RESTORATION = "segmentation", "saliency", "restoration"
RECONSTRUCTION, VAE, GAN = "reconstruction", "vae", "gan"
SEQUENCE_CLASSIFICATION, FORECAST = "sequence_classification", "forecast"
NEXT_TOKEN, TRANSLATION = "next_token", "translation"
OF_CLASSES = (CLASSIFICATION, SEQUENCE_CLASSIFICATION)
"""Couloir's tasks with one class a sample."""
MAKING = (RECONSTRUCTION, VAE, GAN)
"""Couloir's tasks whose networks make samples out of codes."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: the last part of its columns, `val/NAME`.
        label: its name for people.
        higher_is_better: whether more is better.
        low: its least value; None: there is none.
        high: its largest value; None: there is none.
        guess: the value that guessing gives: a number, or K for `K/num_classes`; None: it depends on the data.
        guess_per_class: whether `guess` is divided by the number of classes.
        tasks: the tasks that it fits; empty: any.
        more_classes_than: it is measured where there are more classes than that.
        of_images: whether it is measured of images alone, and not of rows.
        key: it is not measured where this key of the task is null or none; empty: it always is.
        counts_samples: whether it is a share of samples that are right, so that its noise is binomial.
        leads: whether it is the task's first metric beside the loss.
        brief: whether the line of an epoch and the progress bar have room for it.
        on_train: whether it is measured on the training split as well.
    """

    name: str
    label: str
    higher_is_better: bool = False
    low: float | None = None
    high: float | None = None
    guess: float | None = None
    guess_per_class: bool = False
    tasks: tuple[str, ...] = ()
    more_classes_than: int = 0
    of_images: bool = False
    key: str = ""
    counts_samples: bool = False
    leads: bool = False
    brief: bool = True
    on_train: bool = True

    def there(self, cfg: Any) -> bool:
        """Whether a run measures it that has it among the metrics of its task."""
        if self.more_classes_than and int(cfg.data.get("num_classes") or 0) <= self.more_classes_than:
            return False
        if self.of_images and cfg.data.get("image_size") is None:
            return False
        return not self.key or (cfg.get("task") or {}).get(self.key, True) not in (None, "none")

    def fits(self, task: str) -> bool:
        """Whether it can be measured of a task."""
        return not self.tasks or task in self.tasks

    @property
    def mode(self) -> str:
        """`max` where more is better, else `min`."""
        return "max" if self.higher_is_better else "min"

    def guessed(self, num_classes: int | None) -> float | None:
        """The value that guessing among so many classes gives; None: unknown."""
        if self.guess is None or not self.guess_per_class:
            return self.guess
        return self.guess / num_classes if num_classes else None

    def unexplained(self, value: float, num_classes: int | None) -> float | None:
        """The share of what guessing leaves undone that is still undone: 1 for guessing, 0 for the best; or None."""
        best, guess = (self.high if self.higher_is_better else self.low), self.guessed(num_classes)
        return None if best is None or guess is None or best == guess else (best - value) / (best - guess)


BUILT_IN = {
    metric.name: metric
    for metric in (
        Metric("loss", "loss"),
        Metric(
            "accuracy", "accuracy", True, 0, 1, guess=1, guess_per_class=True, tasks=OF_CLASSES,
            counts_samples=True, leads=True,
        ),
        Metric(
            "top5_accuracy", "top-5 accuracy", True, 0, 1, guess=5, guess_per_class=True, tasks=OF_CLASSES,
            more_classes_than=5, counts_samples=True, brief=False,
        ),
        Metric(
            "label_accuracy", "label accuracy", True, 0, 1, tasks=(MULTI_LABEL,), counts_samples=True, leads=True,
        ),
        Metric("mean_f1", "macro F1", True, 0, 1, tasks=(SEQUENCE_CLASSIFICATION,), brief=False),
        Metric(
            "exact_match", "exact match", True, 0, 1, tasks=(MULTI_LABEL, TRANSLATION), counts_samples=True,
            brief=False,
        ),
        Metric("token_accuracy", "token accuracy", True, 0, 1, tasks=(NEXT_TOKEN, TRANSLATION), leads=True),
        Metric("perplexity", "perplexity", low=1, tasks=(NEXT_TOKEN, TRANSLATION)),
        Metric("bits_per_character", "bits per character", low=0, brief=False, tasks=(NEXT_TOKEN,)),
        Metric("mae", "mean absolute error", low=0, tasks=(REGRESSION, FORECAST)),
        Metric("rmse", "RMSE", low=0, tasks=(REGRESSION,)),
        Metric("r2", "R²", True, high=1, guess=0, tasks=(REGRESSION,), leads=True),
        Metric("pixel_accuracy", "pixel accuracy", True, 0, 1, tasks=(SEGMENTATION,)),
        # One class for every pixel is right for at most all of that class, and the others have nothing: 1 / K at most.
        Metric(
            "mean_iou", "mean IoU", True, 0, 1, guess=1, guess_per_class=True, tasks=(SEGMENTATION,), leads=True,
        ),
        Metric("mean_dice", "mean Dice", True, 0, 1, tasks=(SEGMENTATION,), brief=False),
        Metric("boundary_f1", "boundary F1", True, 0, 1, tasks=(SEGMENTATION,), brief=False, on_train=False),
        Metric("cc", "correlation (CC)", True, -1, 1, guess=0, tasks=(SALIENCY,), leads=True, on_train=False),
        Metric("sim", "similarity (SIM)", True, 0, 1, tasks=(SALIENCY,), on_train=False),
        Metric("nss", "NSS", True, guess=0, tasks=(SALIENCY,), on_train=False),
        Metric("kl_divergence", "KL divergence", low=0, tasks=(SALIENCY,), brief=False, on_train=False),
        Metric("auc_judd", "AUC-Judd", True, 0, 1, guess=0.5, tasks=(SALIENCY,), brief=False, on_train=False),
        Metric("mse", "mean squared error", low=0, tasks=(RECONSTRUCTION, FORECAST)),
        Metric("mase", "MASE", low=0, tasks=(FORECAST,), leads=True, on_train=False),
        Metric("smape", "sMAPE", low=0, high=2, tasks=(FORECAST,), brief=False, on_train=False),
        Metric("psnr", "PSNR in dB", True, tasks=(RESTORATION, RECONSTRUCTION), of_images=True, leads=True),
        Metric("ssim", "SSIM", True, -1, 1, tasks=(RESTORATION, RECONSTRUCTION), of_images=True, on_train=False),
        Metric(
            "input_psnr", "PSNR of the input in dB", True, tasks=(RESTORATION, RECONSTRUCTION), of_images=True,
            key="corruption", brief=False, on_train=False,
        ),
        Metric("neg_elbo", "negative ELBO in nats", tasks=(VAE,), leads=True),
        Metric(
            "neg_iwae", "importance-weighted bound in nats", tasks=(VAE,), key="importance_samples", brief=False,
            on_train=False,
        ),
        Metric("reconstruction", "reconstruction in nats", tasks=(VAE,), brief=False),
        Metric("kl", "KL in nats", low=0, tasks=(VAE,), brief=False),
        Metric("active_units", "active units", True, 0, tasks=(VAE,), brief=False, on_train=False),
        Metric("generator", "loss of the generator", tasks=(GAN,)),
        Metric("discriminator", "loss of the discriminator", tasks=(GAN,)),
        # Neither is better as such: the two players are in balance where both are near one half.
        Metric("real_accuracy", "real images taken for real", True, 0, 1, tasks=(GAN,), brief=False),
        Metric("made_accuracy", "made images taken for made", True, 0, 1, tasks=(GAN,), brief=False),
        Metric("swd", "sliced Wasserstein distance", low=0, tasks=(VAE, GAN), leads=True, on_train=False),
        Metric("diversity", "diversity of samples", True, 0, tasks=(VAE, GAN), brief=False, on_train=False),
        Metric("sharpness", "sharpness of samples", True, 0, tasks=(VAE, GAN), brief=False, on_train=False),
        # Of the test alone: how far made pictures are from the nearest training image, against how far test images are.
        Metric("neighbour_ratio", "distance to the nearest training image, made / test", True, 0, tasks=(VAE, GAN),
               brief=False, on_train=False),
    )
}  # fmt: skip
"""What the tasks measure, in the order in which it is shown."""
BY_CLASS = {"iou": ("mean_iou", Metric("iou", "IoU of", True, 0, 1, tasks=(SEGMENTATION,), brief=False))}
"""Metrics that each class has, by the beginning of their names: the metric that brings them, and what is known."""


@dataclass(frozen=True)
class Together:
    """Metrics of one unit that say more beside each other, so that they share a picture.

    Attributes:
        label: of the axis.
        names: of the metrics, each a column of a split.
        instead_of_loss: whether their sum, the loss, says nothing beside them.
    """

    label: str
    names: tuple[str, ...]
    instead_of_loss: bool = False


TOGETHER = (
    Together("loss of each player", ("generator", "discriminator"), instead_of_loss=True),
    Together("images judged rightly", ("real_accuracy", "made_accuracy")),
    Together("nats a sample", ("reconstruction", "kl")),
)
OTHER_NUMBERS = {
    "best/epoch": Metric("best/epoch", "best epoch"),
    "epochs": Metric("epochs", "epochs"),
    "validated_epoch": Metric("validated_epoch", "last validation at epoch"),
    "parameters": Metric("parameters", "parameters"),
    "train/samples_per_second": Metric("train/samples_per_second", "samples/s", True),
    "seconds": Metric("seconds", "seconds"),
}
"""Numbers of `result.json` that every run has and that are no metric."""


def facts(name: str, chosen: Any = None) -> Metric:
    """What is known of a metric; of a name that nobody has stated, that less is better.

    Args:
        name: such as `accuracy`; a split before it (`val/accuracy`) is left out.
        chosen: the node `metric` of the run's configuration; None: the built-in metrics alone.
    """
    if name in OTHER_NUMBERS:
        return OTHER_NUMBERS[name]
    name = name.rpartition("/")[2]
    if name in BUILT_IN:
        return BUILT_IN[name]
    node = chosen.get(name) if isinstance(chosen, Mapping) else None
    if isinstance(node, Mapping):
        return _read(name, node)
    begin, _, of = name.partition("_")
    if of and begin in BY_CLASS:
        metric = BY_CLASS[begin][1]
        return replace(metric, name=name, label=f"{metric.label} {of.replace('_', ' ')}")
    return Metric(name, name)


def by_class(begin: str, classes: Sequence[str], num_classes: int) -> list[str]:
    """The names of a metric that each class has, such as `iou_person`, in the order of the classes.

    Args:
        begin: the name's beginning, a key of `BY_CLASS`.
        classes: the classes' names, of which letters, digits and underscores are kept; of another number than
            `num_classes` they are left out, and the classes are numbered from 0.
        num_classes: the number of classes.
    """
    words = [re.sub(r"\W+", "_", str(name)).strip("_") for name in classes]
    words = words if len(words) == num_classes else [""] * num_classes
    found: list[str] = []
    for number, word in enumerate(words):
        name = f"{begin}_{word or number}"
        while (words.count(word) > 1 and word) or name in found:  # they differ in other signs alone
            name, word = f"{name}_{number}", ""
        found.append(name)
    return found


def mode(monitor: str, chosen: Any = None) -> str:
    """`max` where more of a column such as `val/accuracy` is better, else `min`; see `facts`."""
    return facts(monitor, chosen).mode


def monitored(cfg: Any) -> tuple[str, str]:
    """The column that decides about the best epoch of a run, and `min` or `max`.

    Args:
        cfg: the configuration of a run; it may be an older one, edited, or empty.
    """
    node = cfg
    for name in ("callbacks", "checkpoint"):
        node = node.get(name) if isinstance(node, Mapping) else None
    node = node if isinstance(node, Mapping) else {}
    column = str(node.get("monitor") or "val/loss")
    return column, str(node.get("mode") or mode(column, stated_metrics(cfg)))


def together(columns: Iterable[str]) -> list[Together]:
    """The metrics that share a picture, of those that have all their columns among some such as `val/kl`."""
    there = {column.rpartition("/")[2] for column in columns if column.startswith(("train/", "val/"))}
    return [group for group in TOGETHER if there.issuperset(group.names)]


def leading(names: Iterable[str], chosen: Any = None) -> str | None:
    """The name of the metric that leads beside the loss, among columns or names of metrics; None: none does."""
    there = {name.rpartition("/")[2] for name in names}
    return next((name for name, metric in BUILT_IN.items() if metric.leads and name in there), None)


def ordered(names: Iterable[str]) -> list[str]:
    """Names of metrics, each once: the built-in ones in the table's order, then the others as they come."""
    there = dict.fromkeys(names)
    return [*(name for name in BUILT_IN if name in there), *(name for name in there if name not in BUILT_IN)]


def measured(cfg: Any, split: str = "val") -> list[str]:
    """The metrics of a split of a run, such as `val/loss`: the task's and those that `cfg.metric` chooses.

    Args:
        cfg: the composed configuration.
        split: `train`, `val` or `test`; `best` for the names of `result.json`.
    """
    classes = int(cfg.data.get("num_classes") or 0)
    chosen, stated = chosen_metrics(cfg), stated_metrics(cfg)
    found = [facts(str(name), stated) for name in task_metrics(cfg)]
    found = [metric for metric in found if metric.there(cfg)]
    for begin, (brings, _) in BY_CLASS.items():
        if any(metric.name == brings for metric in found):
            found += [facts(name) for name in by_class(begin, _class_names(cfg.data), classes)]
    found += [facts(str(name), chosen) for name in chosen if str(name) not in BUILT_IN]
    return [f"{split}/{metric.name}" for metric in found if split != "train" or metric.on_train]


def _class_names(data: Any) -> list[str]:
    """The names of a data node's classes: those that it states, or that its files say; none where nothing says them."""
    stated = data.get("classes")
    if not stated and data.get("_target_"):
        with suppress(CouloirError):  # the check of the data says what is wrong with it
            stated = inspect_data(data).get("classes")
    return [str(name) for name in stated or ()]


def choices_for(task: str, name: str | None = None) -> list[str]:
    """The choices of the group `metric` that fit a task: all, or those that have a metric of some name."""
    found = []
    for choice, path in tree.choices("metric").items():
        stated = {key.path: key.default for key in contract.read_keys(path)}
        tasks = [value for key, value in stated.items() if key.endswith(f".{FACTS}.tasks")]
        if name is None or name in stated:
            found += [choice] if any("." in key for key in stated) and all(task in each for each in tasks) else []
    return found


def measuring(column: str, task: str) -> str:
    """The next step for a column that a run lacks and a choice of the group `metric` would bring; empty without one."""
    known = BUILT_IN.get(column.rpartition("/")[2])
    if known is not None and known.key and known.fits(task) and not known.of_images:
        return f"state task.{known.key}, without which it is not measured"
    found = choices_for(task, column.rpartition("/")[2])
    return f"add metric={found[0]}, which measures it" if found and column not in found else ""


def task_metrics(cfg: Any) -> Sequence[str]:
    """The names that the task of a run measures; of a run that had no group `task`, by what its data is for."""
    node = cfg.get("task")
    if isinstance(node, Mapping) and node.get("metrics"):
        return [str(name) for name in node["metrics"]]
    return [metric.name for metric in BUILT_IN.values() if metric.fits(str(cfg.data.get("task")))]


def stated_metrics(cfg: Any) -> dict[str, Any]:
    """The nodes that say more of metrics than the table: the facts in the YAML of the task, and the chosen metrics.

    Args:
        cfg: the configuration of a run; it may be an older one.
    """
    task = cfg.get("task")
    own = task.get(FACTS) if isinstance(task, Mapping) else None
    found = {str(name): {FACTS: node} for name, node in own.items()} if isinstance(own, Mapping) else {}
    return found | chosen_metrics(cfg)


def chosen_metrics(cfg: Any) -> dict[str, Any]:
    """The nodes of `cfg.metric` by name; a plain value there is a key that metrics refer to, and no metric.

    Args:
        cfg: the configuration of a run; it may be an older one.
    """
    chosen = cfg.get("metric")
    if not isinstance(chosen, Mapping):
        return {}
    return {str(name): node for name, node in chosen.items() if isinstance(node, Mapping)}


def task_of(cfg: Any) -> str:
    """The task of a run, as the facts of metrics name it: a task of a user's own by the kind that it learns.

    Without such a kind it is the name of its class, `two_players` for `TwoPlayers`.
    """
    node = cfg.get("task") or {}
    if not node.get("_target_"):
        return task_name(cfg)
    by_kind = {"label": CLASSIFICATION, "labels": MULTI_LABEL, "value": REGRESSION}
    learned = [by_kind[str(kind)] for kind in node.get("needs") or () if str(kind) in by_kind]
    return learned[0] if len(learned) == 1 else task_name(cfg)


def task_name(cfg: Any) -> str:
    """The task of a run by its own name, `sequence_classification` also where its metrics are those of any other."""
    name = str((cfg.get("task") or {}).get("_target_", "")).rpartition(".")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if name else str(cfg.data.get("task"))


def _read(name: str, node: Mapping[str, Any]) -> Metric:
    """The facts of a node, as far as they can be read: a run's folder may be old or edited."""
    stated = node.get(FACTS)
    known = {key: stated[key] for key in STATED if key in stated} if isinstance(stated, Mapping) else {}
    fitting = {key: value for key, value in known.items() if value is not None and STATED[key][0](value)}
    low, high = fitting.get("bounds", (None, None))
    guess = str(fitting.get("guess", ""))
    return Metric(
        name,
        str(fitting.get("label", name)),
        bool(fitting.get("higher_is_better", False)),
        low,
        high,
        guess=float(guess.removesuffix(PER_CLASS)) if guess else None,
        guess_per_class=guess.endswith(PER_CLASS),
        tasks=tuple(fitting.get("tasks", ())),
        on_train=bool(fitting.get("on_train", True)),
    )


PER_CLASS = "/num_classes"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_guess(value: Any) -> bool:
    try:
        return _is_number(value) or (isinstance(value, str) and float(value.removesuffix(PER_CLASS)) is not None)
    except ValueError:
        return False


def _are_bounds(value: Any) -> bool:
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    return pair and all(bound is None or _is_number(bound) for bound in value)


def _are_tasks(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(task, str) for task in value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


STATED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "label": (lambda value: isinstance(value, str), "a word"),
    "higher_is_better": (_is_flag, "true or false"),
    "bounds": (_are_bounds, "the least and the largest value, null where there is none: [0, 1], [null, 1]"),
    "guess": (_is_guess, "a number, K/num_classes, or null"),
    "tasks": (_are_tasks, "a list of choices of `task`"),
    "on_train": (_is_flag, "true or false"),
}
"""The keys of `facts`: what each takes, as a test and in words."""


def check_facts(path: str, stated: Any, place: str | None = None) -> None:
    """Check what a YAML file says of a metric.

    Args:
        path: the key.
        stated: what stands there.
        place: where it was chosen.

    Raises:
        CouloirError: a key that is none of a metric's facts, or a value that it does not take.
    """
    if not isinstance(stated, Mapping):
        raise CouloirError(f"{path} takes keys such as higher_is_better, not {stated}.", place=place)
    for key, value in stated.items():
        if key not in STATED:
            hint = did_you_mean(str(key), list(STATED), form=f"{path}.{{}}")
            raise CouloirError(f"{path} has no key '{key}'.", place=f"keys: {', '.join(STATED)}", next_step=hint)
        if value is not None and not STATED[key][0](value):
            raise CouloirError(f"{path}.{key} takes {STATED[key][1]}, not {value}.", place=place)


def check_stated(name: str, node: Any, task: str, place: str | None = None) -> None:
    """Check the node of a chosen metric: its name, its target, its facts, and whether it fits the task of the data.

    Args:
        name: of the metric.
        node: what `cfg.metric` holds for it.
        task: of the data.
        place: where the metric was chosen.

    Raises:
        CouloirError: the first thing that is wrong.
    """
    path = f"metric.{name}"
    if not name.isidentifier() or name in BUILT_IN:
        why = (
            "is the name of a metric that tasks already have"
            if name in BUILT_IN
            else "is not a name of letters and digits"
        )
        raise CouloirError(
            f"{path}: {name} {why}.", place=place, next_step="give the metric another name in its YAML file"
        )
    if not isinstance(node, Mapping) or not isinstance(node.get(FACTS), Mapping) or "_target_" not in node:
        raise CouloirError(
            f"{path} is not a metric: it needs a _target_ and {FACTS}.",
            place=place,
            next_step="`couloir list metric f1` shows how a metric is written",
        )
    stated = node[FACTS]
    check_facts(f"{path}.{FACTS}", stated, place)
    if stated.get("higher_is_better") is None:
        raise CouloirError(
            f"{path}.{FACTS} does not say whether more is better.",
            place=place,
            next_step="add higher_is_better: true or false",
        )
    for word in stated.get("tasks") or ():
        if word not in tree.choices("task"):
            hint = did_you_mean(word, tree.choices("task"), form="tasks: [{}]")
            raise CouloirError(f"{path}.{FACTS}.tasks names {word}, which is not a task.", place=place, next_step=hint)
    fitting = choices_for(task)
    if not _read(name, node).fits(task):
        choice = f"metric={name}" if name in tree.choices("metric") else path  # one of several that a choice has
        raise CouloirError(
            f"{choice} does not fit the task of the data: {task}.",
            place=place,
            next_step=f"leave it out, or take one of: {', '.join(fitting)}" if fitting else "leave it out",
        )

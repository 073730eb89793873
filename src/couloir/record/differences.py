"""Where two runs come from, compared: code, packages, machine, data. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from couloir.errors import CouloirError
from couloir.record.configuration import flat

Kind = Literal["couloir", "code", "python", "packages", "hardware", "seed", "data", "weights", "classifier"]
NUMERICAL = {
    "torch", "numpy", "pytorch-lightning", "lightning-fabric", "lightning-utilities", "torchmetrics", "kornia",
    "kornia-rs", "scikit-learn", "scipy", "pillow", "simplejpeg", "triton", "timm", "torchvision", "hydra-core",
    "omegaconf", "mkl", "intel-openmp", "onednn",
}  # fmt: skip
"""Packages that a run's numbers pass through or that read its configuration; besides them all of NVIDIA's."""
MACHINE = ("processor", "threads", "gpus")
"""Of the hardware what decides about the order of sums; cores, memory and the platform's name do not."""
SHOWN = 60
"""Characters of a value that are shown."""
MOST_SAID = 12
"""Differences that are said one by one."""


@dataclass(frozen=True)
class Difference:
    """One fact that is not the same in two records.

    Attributes:
        kind: what it is about.
        name: the fact: a package, a key of the hardware, a fact about the data; the kind itself where it is one fact.
        then: its value in the first record; None where it is not there.
        now: its value in the second.
        matters: whether the numbers of a run may follow from it.
    """

    kind: Kind
    name: str
    then: Any
    now: Any
    matters: bool

    def in_words(self, second: str = "now") -> str:
        """`numpy 2.1.0, now 2.2.0`."""
        name = {"code": f"code, {self.name}:", "data": f"data, {self.name}:"}.get(self.kind, self.name)
        return f"{name} {shown(self.then)}, {second} {shown(self.now)}"

    def as_json(self) -> dict[str, Any]:
        """For a record on disk."""
        return {"kind": self.kind, "name": self.name, "then": self.then, "now": self.now, "matters": self.matters}


def shown(value: Any) -> str:
    """A value in short."""
    if value is None or value == []:
        return "none"
    if isinstance(value, dict):
        value = [f"{name} {entry}" for name, entry in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if text.startswith("sha256:"):
        return text[:19]
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def differences(then: dict[str, Any], now: dict[str, Any], also: Collection[str] = ()) -> list[Difference]:
    """What is not the same in two records of `provenance.json`, or in the parts of it that both have.

    Args:
        then: the record of a run.
        now: that of another, or `couloir.record.provenance.environment`'s, which knows nothing of data and GPUs yet.
        also: further packages that matter, such as the one that the user's own network is in.
    """
    kinds = (_code, _packages, _hardware, _data, _weights, _classifier)
    return [difference for kind in kinds for difference in kind(then, now, also)]


def _code(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    yield from _facts("couloir", then, now, {"couloir": True})
    if then.get("couloir") == now.get("couloir"):
        yield from _facts("couloir", then, now, {"source": True}, {"source": "Couloir's own code"})
    yield from _facts("python", then, now, {"python": True})
    yield from _facts("seed", then, now, {"seed": True})
    if "git" in then and "git" in now:
        ours, theirs = then["git"] or {}, now["git"] or {}
        names = {"commit": "commit", "diff": "uncommitted changes", "changed": "files changed or not under git"}
        same_changes = ours.get("diff") == theirs.get("diff")
        for key, name in names.items():
            if key == "changed" and not same_changes:
                continue  # said already
            one, other = ours.get(key), theirs.get(key)
            if (one or None) != (other or None):
                yield Difference("code", name, one, other, matters=key != "changed")
        if any(ours.get(key) != theirs.get(key) for key in names):
            yield from _facts(
                "code", then, now, {"working_directory": True}, {"working_directory": "working directory"}
            )


def _packages(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    if "packages" not in then or "packages" not in now:
        return
    ours, theirs = ({_plain(name): version for name, version in side["packages"].items()} for side in (then, now))
    matter = NUMERICAL | {_plain(name) for name in also}
    for name in sorted({*ours, *theirs} - {"couloir"}):
        if ours.get(name) != theirs.get(name):
            matters = name in matter or name.startswith("nvidia-")
            yield Difference("packages", name, ours.get(name), theirs.get(name), matters)


def _plain(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def _hardware(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    ours, theirs = then.get("hardware", {}), now.get("hardware", {})
    yield from _facts("hardware", ours, theirs, {name: name in MACHINE for name in (*MACHINE, *ours)})


def _data(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    ours, theirs = then.get("data", {}), now.get("data", {})
    yield from _facts("data", ours, theirs, dict.fromkeys(ours, True))


def _weights(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    """What the network began with, by its content; where the file is does not matter."""
    ours, theirs = then.get("weights", {}), now.get("weights", {})
    yield from _facts("weights", ours, theirs, {"sha256": True}, {"sha256": "model.weights"})


def _classifier(then: dict[str, Any], now: dict[str, Any], also: Collection[str]) -> Iterator[Difference]:
    """What samples are measured by, by its content."""
    ours, theirs = then.get("classifier", {}), now.get("classifier", {})
    yield from _facts("classifier", ours, theirs, {"sha256": True}, {"sha256": "metric.features"})


def _facts(
    kind: Kind, then: dict[str, Any], now: dict[str, Any], names: dict[str, bool], called: dict[str, str] | None = None
) -> Iterator[Difference]:
    """The facts that both know and that differ; what an older version did not write down yet is no difference."""
    for name, matters in names.items():
        if name in then and name in now and then[name] != now[name]:
            yield Difference(kind, (called or {}).get(name, name), then[name], now[name], matters)


def own_packages(cfg: DictConfig) -> set[str]:
    """The packages that a configuration's targets are in."""
    targets = [value for key, value in flat(cfg).items() if key.endswith("_target_")]
    return {str(target).partition(".")[0] for target in targets} - {"couloir"}


def refuse(found: list[Difference], run: Path, strict: bool) -> None:
    """End what cannot come out the same.

    Raises:
        CouloirError: the samples are others; with `strict`, anything else that matters.
    """
    data = [difference for difference in found if difference.kind == "data"]
    if any(difference.name in ("fingerprint", "sizes") for difference in data):
        raise CouloirError(
            f"The data of {run.name} has changed: "
            + "; ".join(difference.in_words().removeprefix("data, ") for difference in data[:3])
            + ".",
            next_step="restore the data, or say where it is: data.root=FOLDER or data.path=FILE",
        )
    matter = [difference.in_words() for difference in found if difference.matters]
    if strict and matter:
        more = f"; and {len(matter) - MOST_SAID} more" if len(matter) > MOST_SAID else ""
        raise CouloirError(
            f"{run.name} cannot be repeated exactly: {'; '.join(matter[:MOST_SAID])}{more}.",
            next_step="restore it, or leave --strict out: then Couloir only warns",
        )


def announced(found: list[Difference], known: bool) -> list[str]:
    """What to say of a run that is not trained under the conditions of its first time, line by line.

    Args:
        found: what differs.
        known: whether the run has a record of where it comes from.
    """
    if not known:
        return ["the run has no provenance.json: its machine and its data are unknown"]
    matter = [difference for difference in found if difference.matters]
    others = len(found) - len(matter)
    lines = [f"  {difference.in_words()}" for difference in matter[:MOST_SAID]]
    lines += [f"  and {len(matter) - MOST_SAID} more"] if len(matter) > MOST_SAID else []
    if any(difference.name == "threads" for difference in matter):
        then = next(difference.then for difference in matter if difference.name == "threads")
        lines.append(f"  sums depend on the number of threads; use the run's: trainer.threads={then}")
    if lines:
        lines.insert(0, "warning: changed since the run was made:")
    return [*lines, *([f"differences that change no number: {others}"] if others else [])]

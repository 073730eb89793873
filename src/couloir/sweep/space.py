"""The search space: which keys a sweep goes over, with which values, and under which conditions.

It is written in Hydra's own words, at the prompt (`optimizer.lr=tag(log, interval(1e-4, 1e-1))`) or as the value of a
key below `sweep.space` in a file. A tag of the form `"optimizer=sgd|nesterov"` is a condition: the key takes part only
where that holds.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException

from couloir.errors import CouloirError

LOG = "log"
SHOWN = (
    'choice(sgd,adam), range(1,4), interval(0,1), tag(log, interval(1e-4,1e-1)), tag("optimizer=sgd", interval(0,1))'
)

Setting = dict[str, str]
"""Key -> value, both as they would be typed."""
KnownValue = Callable[[str], str]
"""What a key or group is in the sentence that all trials share."""


@dataclass(frozen=True)
class Numbers:
    """The numbers from `low` to `high`, both included.

    Attributes:
        low: the least.
        high: the largest.
        step: the distance of two of them; None: any number in between.
        integer: whole numbers only.
        log: their logarithm is what is spread evenly.
    """

    low: float
    high: float
    step: float | None = None
    integer: bool = False
    log: bool = False


@dataclass(frozen=True)
class Condition:
    """A key takes part only where another has one of these values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """A key that the sweep goes over.

    Attributes:
        key: with a leading `+` where it was typed so.
        values: what it may be, as it would be typed; empty for an interval.
        numbers: the same as numbers in their order, where they are numbers in an order.
        conditions: all of them must hold.
    """

    key: str
    values: tuple[str, ...]
    numbers: Numbers | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def name(self) -> str:
        """The key without a `+`."""
        return self.key.lstrip("+")

    def applies(self, setting: Mapping[str, str], known: KnownValue) -> bool:
        """Whether the conditions hold, given the values chosen so far."""
        chosen = {key.lstrip("+"): value for key, value in setting.items()}
        for condition in self.conditions:
            value = chosen[condition.key] if condition.key in chosen else known(condition.key)
            if value not in condition.values:
                return False
        return True


@dataclass(frozen=True)
class Space:
    """All of them.

    Attributes:
        words: the overrides that are the same in every trial.
        parameters: in an order in which conditions only look back.
    """

    words: list[str]
    parameters: list[Parameter]

    @property
    def keys(self) -> list[str]:
        """The keys without a `+`."""
        return [parameter.name for parameter in self.parameters]


def read_space(
    words: Sequence[str], from_files: Mapping[str, Any], loader: ConfigLoader | None = None, seed: int = 0
) -> Space:
    """Divide the words of a multirun into those of every trial and those that are swept.

    Args:
        words: what was typed, without Hydra's and the sweep's own keys.
        from_files: `sweep.space` of the configuration; a key that is typed as well is what was typed.
        loader: resolves patterns such as `model=glob(resnet*)`.
        seed: of the order that `shuffle(...)` gives.

    Raises:
        CouloirError: a value that is no space, or conditions that refer to each other in a ring.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = [parser.parse_override(word) for word in words]
    named = {override.key_or_group for override in typed}
    filed = [
        _parse(parser, key, value) for key, value in from_files.items() if value is not None and _bare(key) not in named
    ]
    fixed: list[str] = []
    parameters: list[Parameter] = []
    for override in (*filed, *typed):
        override.config_loader = loader
        if override.is_sweep_override():
            parameters.append(_parameter(override, seed))
        else:
            fixed.append(str(override.input_line))
    twice = next((p.name for i, p in enumerate(parameters) if p.name in {q.name for q in parameters[:i]}), None)
    if twice is not None:
        raise CouloirError(f"'{twice}' is swept twice.", next_step="name each key once")
    return Space(fixed, _in_order(parameters))


def _bare(key: str) -> str:
    return key.lstrip("+~")


def _parse(parser: OverridesParser, key: str, value: Any) -> Override:
    text = _text(value)
    if isinstance(value, list):  # Hydra's choice(...) does not take null, a plain list of one is no sweep
        text = ",".join(map(_text, value)) if len(value) > 1 else f"choice({','.join(map(_text, value))})"
    try:
        override = parser.parse_override(f"{key}={text}")
    except HydraException as error:
        raise _no_space(key, text) from error
    return override


def _text(value: Any) -> str:
    """As it would be typed."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_space(key: str, text: str) -> CouloirError:
    return CouloirError(
        f"The space of '{key}' cannot be read: {text}", place="sweep.space", next_step=f"such as {SHOWN}"
    )


def _parameter(override: Override, seed: int) -> Parameter:
    key = override.get_key_element()
    sweep = cast(Sweep | Glob, override.value())
    tags = set() if isinstance(sweep, Glob) else {str(tag) for tag in sweep.tags}
    log, conditions = LOG in tags, tuple(_condition(key, tag) for tag in sorted(tags - {LOG}))
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        if low is None or high is None or not low < high or (log and low <= 0):
            above = " and start above 0" if log else ""
            raise CouloirError(
                f"'{override.input_line}' is not an interval: the first number must be smaller{above}.",
                next_step=f"{key}=interval(0.1,1)",
            )
        integer = isinstance(low, int) and isinstance(high, int)
        return Parameter(key, (), Numbers(low, high, 1 if integer and not log else None, integer, log), conditions)
    shuffled = isinstance(sweep, ChoiceSweep | RangeSweep) and sweep.shuffle
    values = _values(override, sweep)
    if not values:
        raise CouloirError(f"'{override.input_line}' names no value.", next_step=f"such as {SHOWN}")
    numbers = _as_numbers(sweep, log) if isinstance(sweep, RangeSweep) else None
    if shuffled:
        random.Random(f"{seed} {key}").shuffle(values)
    return Parameter(key, tuple(values), numbers, conditions)


def _values(override: Override, sweep: Sweep | Glob) -> list[str]:
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        sweep.shuffle = False  # Hydra's order is another one each time; a sweep that is taken up needs the same
    values = ({"True": "true", "False": "false"}.get(value, value) for value in override.sweep_string_iterator())
    return list(dict.fromkeys(values))


def _as_numbers(sweep: RangeSweep, log: bool) -> Numbers | None:
    values = [float(value) for value in sweep.range()]
    if len(values) < 2:
        return None
    low, step = min(values), abs(Decimal(str(sweep.step)))
    high = float(Decimal(str(low)) + (len(values) - 1) * step)  # 0.6, where adding up gives 0.6000000000000001
    integer = all(value.is_integer() for value in values) and isinstance(sweep.step, int)
    return Numbers(low, high, None if log else float(step), integer, log and low > 0)


def _condition(key: str, tag: str) -> Condition:
    name, equals, values = tag.partition("=")
    if not equals or not name or not values:
        raise CouloirError(
            f"'{tag}' is not log and not a condition on '{key}'.",
            next_step=f'{key}=tag(log, ...) or {key}=tag("optimizer=sgd|nesterov", ...)',
        )
    return Condition(name.strip(), tuple(value.strip() for value in values.split("|")))


def _in_order(parameters: list[Parameter]) -> list[Parameter]:
    """As typed, but each after those that its conditions look at."""
    names = {parameter.name for parameter in parameters}
    ordered: list[Parameter] = []
    waiting = list(parameters)
    while waiting:
        placed = {parameter.name for parameter in ordered}
        ready = [p for p in waiting if all(c.key in placed or c.key not in names for c in p.conditions)]
        if not ready:
            ring = ", ".join(parameter.name for parameter in waiting)
            raise CouloirError(f"The conditions of {ring} refer to each other.", next_step="leave one of them out")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


class Grid:
    """All settings of a space, in the order of nested loops, the last key the fastest; each can be asked for alone.

    Args:
        space: its parameters have values, no intervals.
        known: what the conditions may look at besides.

    Raises:
        CouloirError: a parameter is an interval.
    """

    def __init__(self, space: Space, known: KnownValue) -> None:
        self.parameters = space.parameters
        endless = next((parameter for parameter in self.parameters if not parameter.values), None)
        if endless is not None:
            raise CouloirError(
                f"'{endless.key}' is an interval, but a grid needs values.",
                next_step=f"{endless.key}=0.1,0.01, or a sampler that searches: sweep=tpe",
            )
        self._settings: list[Setting] | None = None
        if any(parameter.conditions for parameter in self.parameters):
            self._settings = list(self._under_conditions(known))

    def _under_conditions(self, known: KnownValue) -> Iterable[Setting]:
        seen = set()
        for combination in itertools.product(*(parameter.values for parameter in self.parameters)):
            setting: Setting = {}
            for parameter, value in zip(self.parameters, combination, strict=True):
                if parameter.applies(setting, known):
                    setting[parameter.key] = value
            signature = tuple(setting.items())
            if signature not in seen:
                seen.add(signature)
                yield setting

    def __len__(self) -> int:
        if self._settings is not None:
            return len(self._settings)
        return math.prod(len(parameter.values) for parameter in self.parameters)

    def __getitem__(self, number: int) -> Setting:
        if not 0 <= number < len(self):
            raise IndexError(number)
        if self._settings is not None:
            return self._settings[number]
        setting: Setting = {}
        for parameter in reversed(self.parameters):
            number, place = divmod(number, len(parameter.values))
            setting[parameter.key] = parameter.values[place]
        return {parameter.key: setting[parameter.key] for parameter in self.parameters}


def without_plus(setting: Setting) -> Setting:
    """The same by the bare keys, as tables show them."""
    return {key.lstrip("+"): value for key, value in setting.items()}


def as_words(setting: Setting) -> list[str]:
    """The same as overrides."""
    return [f"{key}={value}" for key, value in setting.items()]

"""A run that is killed or stopped anywhere goes on as if it had not been: files, weights and state, to the bit.

The whole runs with COULOIR_ALL_FAULTS=1 (`make faults`), a few moments otherwise.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from couloir.record.checkpoint import is_sealed
from faults import places
from faults.runs import ALL, CONFIGURATIONS, FIRST, LAST, Whole, WholeOf
from interruption import assert_same
from victims import Ended, Victims, alive
from waiting import wait_until

SEED = 20
MOMENTS = 25
"""Of each configuration; a seed says where each of them is."""
BY_THE_CLOCK = 8
"""So many of them are moments of time, the others places."""
GRACE = 20.0
"""Seconds that a run which is told to stop may go on, on a machine that has nothing else to do."""


@dataclass(frozen=True)
class Moment:
    """Where runs are struck: a place and the how manieth time there, or a share of the run's time."""

    place: str
    number: int = 1
    share: float | None = None

    def __str__(self) -> str:
        return f"{self.place}, time {self.number}" if self.share is None else f"at {self.share:.0%} of the run's time"


@dataclass
class Struck:
    """What a struck run has come to."""

    run: Path
    groups: list[int]
    history: list[str] = field(default_factory=list)


def moments(name: str, counts: dict[str, int]) -> list[list[Moment]]:
    """The moments at which runs of a configuration are killed; every fifth run is killed up to three times."""
    draw = random.Random(f"{SEED} {name}")
    named = draw.sample(places.NAMED, len(places.NAMED))
    drawn = []
    for index in range(MOMENTS):
        if index < BY_THE_CLOCK:
            first = Moment(places.BEGUN, share=draw.random())
        else:
            place = named[index % len(named)]  # the last time that status.json is written, the run is complete
            first = Moment(place, draw.randint(1, counts[place] - (place == places.after("status.json"))))
        later = [_later(draw, counts) for _ in range(draw.choice([1, 2]))] if index % 5 == 4 else []
        drawn.append([first, *later])
    return drawn


def _later(draw: random.Random, counts: dict[str, int]) -> Moment:
    if draw.random() < 0.3:
        return Moment(places.BEGUN, share=draw.random() / 2)
    place = draw.choice(places.TAKEN_UP)
    return Moment(place, draw.randint(1, max(1, counts.get(place, 1) // 12)))


def kill(victims: Victims, whole: Whole, struck: list[Moment], folder: Path) -> Struck | None:
    """Start a run and kill it, go on with it and kill it again; None where it ended before it could be killed."""
    folder.mkdir()
    state, arguments = None, ["train", *whole.words]
    for moment in struck:
        victim = victims.start(arguments, folder, moment.place, moment.number)
        after = 0.0 if moment.share is None else moment.share * whole.seconds
        ended = victim.finish(signal.SIGKILL, after=after, held=moment.share is None)
        assert not ended.hung, ended.output
        if state is None:
            (run,) = (folder / "outputs/train").iterdir()
            state = Struck(run.resolve(), [])
        state.groups.append(victim.group)
        state.history.append(f"{moment} -> {_described(state.run, ended)}")
        if "completed" in state.history[-1]:
            assert ended.code in (0, -signal.SIGKILL), f"{state.history}\n{ended.output}"
            return state if len(state.history) > 1 else None
        assert ended.code == -signal.SIGKILL, f"{state.history}\n{ended.output}"
        for name in ("last", "previous", "best"):
            file = state.run / f"checkpoints/{name}.ckpt"
            assert not file.exists() or is_sealed(file), f"{name}.ckpt is torn: {state.history}"
        arguments = ["resume", state.run.name]
    return state


def _described(run: Path, ended: Ended) -> str:
    status = json.loads((run / "status.json").read_text())
    kept = sorted(file.name for file in (run / "checkpoints").iterdir())
    return f"exit {ended.code}, {status['status']}, step {status.get('step', 0)}, {' '.join(kept) or 'nothing saved'}"


def go_on(victims: Victims, struck: Struck, folder: Path) -> str:
    """Let a struck run come to its end, and say what it went on from."""
    ended = victims.run(["resume", struck.run.name], folder)
    assert ended.code == 0, f"{struck.history}\n{ended.output}"
    resumed = json.loads((struck.run / "provenance.json").read_text()).get("resumed", [])
    struck.history.append(f"gone on from {', '.join(str(entry['checkpoint']) for entry in resumed) or 'nothing'}")
    return ended.output


def assert_as_if_never_struck(struck: Struck, whole: Whole) -> None:
    """The run has come to the same end as one that nobody struck, and nothing else is left of it."""
    print("; ".join(struck.history))
    assert_same(struck.run, whole.run)
    assert json.loads((struck.run / "status.json").read_text())["status"] == "completed", struck.history
    assert _names(struck.run) == _names(whole.run), struck.history


def _names(run: Path) -> Counter[str]:
    names = [str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()]
    timeless = Counter(re.sub(r"tfevents\.[\d.]+", "tfevents", name) for name in names)
    return Counter({name: count for name, count in timeless.items() if not name.startswith("tensorboard/events")})


def assert_nobody_left(groups: list[int]) -> None:
    """The worker processes of killed runs have ended, too."""
    wait_until(lambda: not alive(groups))


def killed(victims: Victims, whole: Whole, struck: list[Moment], folder: Path) -> Struck:
    """A killed run; one that ended too early is begun again, to be killed earlier."""
    for attempt in range(4):
        state = kill(victims, whole, struck, folder / str(attempt))
        if state is not None:
            os.rename(folder / str(attempt), folder / "struck")  # noqa: PTH104
            return Struck(folder / "struck" / state.run.relative_to(folder / str(attempt)), state.groups, state.history)
        first = struck[0]
        assert first.share is not None, f"never came to {first}"
        struck = [Moment(first.place, share=first.share * 0.7), *struck[1:]]
    raise AssertionError("it always ended before it could be killed")


def cases() -> list[tuple[str, int]]:
    """Configurations, and which of their moments."""
    quick = {(FIRST, 14)}
    return [case for name in CONFIGURATIONS for index in range(MOMENTS) if (case := (name, index)) in quick or ALL]


@pytest.mark.parametrize(("name", "index"), cases())
def test_a_killed_run_goes_on_to_the_bit(
    name: str,
    index: int,
    victims: Victims,
    whole: WholeOf,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    struck = moments(name, whole(name).counts)[index]
    done = f"`SIGKILL` anywhere, then `couloir resume`: {name}"
    record_property("fault", done)
    state = killed(victims, whole(name), struck, tmp_path)
    for _ in range(1, sum("exit -9" in told for told in state.history)):  # killed again while it went on
        record_property("fault", done)
    go_on(victims, state, tmp_path / "struck")
    assert_as_if_never_struck(state, whole(name))
    assert_nobody_left(state.groups)


SIGNALS = {
    "Ctrl-C": ((signal.SIGINT,), True, 130),
    "SIGTERM": ((signal.SIGTERM,), False, 143),
    "Ctrl-C twice": ((signal.SIGINT, signal.SIGINT), True, 130),
}
"""What is sent, whether to the whole group of processes, and the exit code."""
WHERE = {places.STEP: 11, places.VALIDATION: 2, places.TEST: 2, places.CHECKPOINT: 400}


@pytest.mark.parametrize("name", list(CONFIGURATIONS) if ALL else [LAST])
@pytest.mark.parametrize("place", list(WHERE) if ALL else [places.STEP])
@pytest.mark.parametrize("sent", list(SIGNALS) if ALL else ["SIGTERM"])
def test_a_run_that_is_told_to_stop_goes_on_to_the_bit(
    name: str,
    place: str,
    sent: str,
    victims: Victims,
    whole: WholeOf,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("fault", f"{sent} {place}: its exit code, the line that resumes, then `couloir resume`")
    signals, whole_group, code = SIGNALS[sent]
    number = min(WHERE[place], whole(name).counts[place])
    victim = victims.start(["train", *whole(name).words], tmp_path, place, number)
    ended = victim.finish(*signals, whole_group=whole_group, held=True)
    (run,) = (folder.resolve() for folder in (tmp_path / "outputs/train").iterdir())
    status = json.loads((run / "status.json").read_text())
    assert (ended.code, ended.hung, status["status"]) == (code, False, "interrupted"), ended.output
    assert f"couloir resume {run.relative_to(tmp_path)}" in ended.output
    assert "Traceback" not in ended.output
    assert ended.seconds < GRACE or not ALL, "a cluster does not wait for longer"
    assert_nobody_left([victim.group])
    struck = Struck(run, [victim.group], [f"{sent} {place} -> {_described(run, ended)}"])
    if len(signals) == 1:
        assert is_sealed(run / "checkpoints/last.ckpt")
    go_on(victims, struck, tmp_path)
    assert_as_if_never_struck(struck, whole(name))


@pytest.mark.skipif(
    not ALL, reason="COULOIR_ALL_FAULTS=1 damages them everywhere; tests/compare/test_resume.py damages one"
)
@pytest.mark.parametrize("damage", ["cut", "bit"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_a_damaged_checkpoint_is_never_gone_on_from(
    name: str,
    share: float,
    damage: str,
    victims: Victims,
    whole: WholeOf,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    words = {"cut": "cut short", "bit": "with a flipped bit"}[damage]
    record_property("fault", f"`last.ckpt` {words}: said, and gone on from `previous.ckpt`; both: exit 2, both kept")
    state = killed(victims, whole(name), [Moment(places.VALIDATION, 3)], tmp_path)
    folder = tmp_path / "struck"
    last, previous = (state.run / f"checkpoints/{name}.ckpt" for name in ("last", "previous"))
    good = previous.read_bytes()
    last.write_bytes(damaged(last.read_bytes(), share, damage))
    previous.write_bytes(damaged(good, share, damage))
    refused = victims.run(["resume", "latest"], folder)
    assert refused.code == 2
    assert "no intact checkpoint: last.ckpt and previous.ckpt are damaged" in refused.output
    assert last.exists()
    previous.write_bytes(good)
    assert "last.ckpt is damaged" in go_on(victims, state, folder)
    assert_as_if_never_struck(state, whole(name))


def damaged(content: bytes, share: float, damage: str) -> bytes:
    """A file cut off at a share of its length, or with one bit of a byte there turned over."""
    place = int(share * len(content))
    return content[:place] if damage == "cut" else content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]

"""Whether the remedies of `couloir diagnose` work: bad sentences, the first proposal applied, trained again.

    COULOIR_DATA=FOLDER python benchmarks/bench_remedies.py --set development [--workers 2] [--only NAME ...]

`remedies.yaml` has the sentences. For each, this trains the good sentence and the spoilt one, asks `couloir diagnose
--json` about the spoilt run, applies the first remedy of its first finding, and trains again: three rounds at most. It
stops when the run is called healthy or when no remedy is proposed. Sentences that train well show how often a healthy
run is called healthy.

    --set development|held_out|all   which half; the rules may be tuned on `development` alone
    --only NAME ...                  these sentences alone
    --workers N                      so many sentences at a time
    --verify                         train the good and the spoilt sentences with two seeds, and ask for no diagnosis
    --summary                        print no line about a single sentence
    --json FILE                      write all numbers there
    --cache FOLDER                   finished runs by their words; outputs/remedies beside the sources unless stated

A run in the cache is not trained again, and is diagnosed anew each time: after a change of the rules, only sentences
that nobody has trained yet cost time. After a change of what training does, remove the folder.

What is compared:

- The score of a run is what its best checkpoint reaches on the test split: accuracy, or R² of a regression, at least 0.
  All runs of one sentence are tested on the same samples, which `judge` of `remedies.yaml` names where the sentence
  changes them, so that a run with few validation samples, wrong labels or a leak is not judged by them. A run that left
  no checkpoint scores what guessing scores.
- Noise: how far two runs of one sentence lie apart that differ in the seed of their weights alone; the larger number of
  the good and of the spoilt sentence, at least 0.01.
- A remedy made the run better, or worse, where the score differs from that of the spoilt run by more than the noise.
- The share of the way: how much of the difference between the spoilt and the good run is gone, 1 for all of it.
- Near: not more than 0.03 below the good run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import math
import multiprocessing
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from measure import machine

SENTENCES = Path(__file__).with_name("remedies.yaml")
CACHE = Path(__file__).parents[1] / "outputs" / "remedies"
ALWAYS = ("trainer=cpu", "trainer.threads=1", "logger=csv")
"""Words of every run; they change no number."""
SEEDS = 2
ROUNDS = 3
KEPT = (0, 2, 3)
"""Exit codes of what stays in the cache: trained, refused, diverged."""
NEAR = 0.03
LEAST_NOISE = 0.01
SETS = ("development", "held_out")


@dataclass
class Round:
    """One remedy and what came of it.

    Attributes:
        case: of the first finding; "" where there is none.
        remedy: the words that were applied; "" where none was proposed.
        score: of the new run; of the one before where there is none.
        healthy: whether the run before was called healthy.
        refused: why the sentence with the remedy was refused; else "".
    """

    case: str
    remedy: str
    score: float
    healthy: bool = False
    refused: str = ""


@dataclass
class Measured:
    """What was measured of one sentence.

    Attributes:
        name: in `remedies.yaml`.
        set: the half that it belongs to.
        fault: what was spoilt; "" of a healthy sentence.
        good: scores of the good sentence, one a seed.
        bad: scores of the spoilt one.
        called_healthy: whether the good run is; None: not asked, since it is not healthy enough to tell.
        good_case: the first finding about the good run; "" where it is called healthy.
        rounds: one an applied remedy; the last one may have none.
    """

    name: str
    set: str
    fault: str
    good: list[float]
    bad: list[float] = field(default_factory=list)
    called_healthy: bool | None = None
    good_case: str = ""
    rounds: list[Round] = field(default_factory=list)

    @property
    def noise(self) -> float:
        """What a difference of two runs must exceed to count."""
        return noise(self.good, self.bad)

    def after(self, count: int) -> float:
        """The score after so many rounds, or fewer where it ended earlier."""
        return self.rounds[min(count, len(self.rounds)) - 1].score if self.rounds else self.bad[0]


def noise(good: Sequence[float], bad: Sequence[float]) -> float:
    """How far the runs of either sentence lie apart, at least `LEAST_NOISE`."""
    return max(LEAST_NOISE, max(good) - min(good), max(bad) - min(bad) if bad else 0.0)


def share_of_way(good: float, bad: float, score: float) -> float | None:
    """How much of the difference between the spoilt and the good run is gone; None where there was none to go."""
    return (score - bad) / (good - bad) if good > bad else None


def with_words(sentence: Sequence[str], words: Sequence[str]) -> list[str]:
    """A sentence with other words in place of its own of the same keys."""
    keys = {word.partition("=")[0].lstrip("+") for word in words}
    return [*(word for word in sentence if word.partition("=")[0].lstrip("+") not in keys), *words]


@dataclass(frozen=True)
class Ended:
    """A sentence that was trained.

    Attributes:
        place: its folder in the cache.
        code: the exit code of `train`.
        said: the end of what it printed.
    """

    place: Path
    code: int
    said: str

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.place / "run"

    @property
    def trained(self) -> bool:
        """Whether it ran, even if it diverged; else it was refused."""
        return self.code != 2


class Cache:
    """Finished runs by their words, and the data that is made for them.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.made = self.folder / "made"

    def train(self, words: Sequence[str]) -> Ended:
        """A sentence, trained where that has not happened yet.

        Raises:
            RuntimeError: it ended in a way that says nothing about the sentence.
        """
        text = " ".join(words)
        place = self.folder / "runs" / hashlib.sha256(text.encode()).hexdigest()[:16]
        file = place / "ended.json"
        if not file.exists():
            made = place.with_name(f"{place.name}.{os.getpid()}")  # so that a benchmark beside this one may do the same
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            output, began = made / "out", time.perf_counter()
            code, said = called(["train", *words, *ALWAYS, f"output_dir={output}"])
            if code not in KEPT:
                raise RuntimeError(f"train {text} ended with {code}:\n{said[-2000:]}")
            for run in [run for run in (output / "train").glob("*") if run.is_dir()]:
                run.rename(made / "run")
            shutil.rmtree(output, ignore_errors=True)
            ended = {"words": text, "code": code, "said": said[-2000:], "seconds": time.perf_counter() - began}
            (made / file.name).write_text(json.dumps(ended, indent=2), encoding="utf-8")
            with contextlib.suppress(OSError):  # it is there already
                made.rename(place)
        known = json.loads(file.read_text(encoding="utf-8"))
        return Ended(place, int(known["code"]), str(known["said"]))

    def score(self, words: Sequence[str], judge: Sequence[str]) -> float:
        """The score of a sentence, which is trained first where it must be.

        Raises:
            RuntimeError: the sentence does not run.
        """
        ended = self.train(words)
        if not ended.trained:
            raise RuntimeError(f"train {' '.join(words)} failed:\n{ended.said}")
        file = ended.place / f"score_{hashlib.sha256(' '.join(judge).encode()).hexdigest()[:8]}.json"
        if not file.exists():
            file.write_text(json.dumps(tested(ended.run, judge)), encoding="utf-8")
        return float(json.loads(file.read_text(encoding="utf-8")))


def called(arguments: list[str]) -> tuple[int, str]:
    """A verb, run within this process, and what it said."""
    from couloir.cli.main import run

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(arguments)
    return code, said.getvalue()


def tested(run: Path, judge: Sequence[str]) -> float:
    """The score of a run's best checkpoint on the samples that `judge` names, in [0, 1]."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from couloir.config.finished import run_config
    from couloir.errors import CouloirError
    from couloir.inference.predictor import evaluate
    from couloir.record.result import read_numbers

    cfg = run_config(run)
    regression = str(cfg.task._target_).endswith("Regression")
    metric, guessing = ("r2", 0.0) if regression else ("accuracy", 1 / cfg.data.num_classes)
    numbers = {name.removeprefix("test/"): value for name, value in read_numbers(run, strict=False).items()}
    if judge or metric not in numbers:
        for override in OverridesParser.create().parse_overrides(list(judge)):
            OmegaConf.update(cfg, override.key_or_group, override.value(), force_add=True)
        try:
            numbers = evaluate([cfg], [run]).numbers
        except CouloirError:
            return guessing  # it left no checkpoint
    value = float(numbers[metric])
    return min(1.0, max(0.0, value)) if math.isfinite(value) else guessing


def diagnosed(run: Path) -> dict[str, Any]:
    """What `couloir diagnose --json` says of a run."""
    code, said = called(["diagnose", str(run), "--json"])
    if code:
        raise RuntimeError(f"couloir diagnose {run} failed:\n{said[-2000:]}")
    found: dict[str, Any] = json.loads(said)["runs"][0]
    return found


def first_remedy(diagnosis: dict[str, Any]) -> tuple[str, str]:
    """The case and the words of the first remedy that is proposed; "" for what there is none of."""
    findings = diagnosis["findings"]
    proposed = ((finding["case"], remedy["words"]) for finding in findings for remedy in finding["remedies"])
    return next(proposed, (findings[0]["case"] if findings else "", ""))


def seeded(sentence: Sequence[str], seed: int) -> list[str]:
    """The sentence with other weights, and the same samples in every split."""
    return list(sentence) if seed == 0 else with_words(sentence, [f"seed={seed}", "data.seed=0"])


def measure(entry: tuple[str, dict[str, str]], cache: Cache, data: str, verify: bool) -> Measured:
    """Train one sentence, and go through its rounds.

    Args:
        entry: its name, and what `remedies.yaml` says of it.
        cache: of finished runs.
        data: the folder that `{data}` stands for.
        verify: train the good and the spoilt sentence alone.
    """
    name, texts = entry
    words = {
        key: text.replace("{made}", str(cache.made)).replace("{data}", data).split() for key, text in texts.items()
    }
    judge = words.get("judge", [])
    good = words.get("healthy") or words["good"]
    seeds = range(1 if "healthy" in words else SEEDS)
    measured = Measured(
        name, texts["set"], texts.get("fault", ""), [cache.score(seeded(good, s), judge) for s in seeds]
    )
    if "spoilt" in words:
        spoilt = with_words(good, words["spoilt"])
        measured.bad = [cache.score(seeded(spoilt, seed), judge) for seed in seeds]
    if verify:
        return measured
    about = diagnosed(cache.train(good).run)
    measured.good_case = first_remedy(about)[0]
    measured.called_healthy = None if "flawed" in texts else bool(about["healthy"])
    if "spoilt" in words:
        measured.rounds = rounds(spoilt, measured.bad[0], cache, judge)
    return measured


def rounds(sentence: list[str], score: float, cache: Cache, judge: list[str]) -> list[Round]:
    """Apply the first remedy, train, and ask again, until the run is called healthy or nothing is proposed."""
    from couloir.diagnosis.words import changed

    found: list[Round] = []
    for _ in range(ROUNDS):
        diagnosis = diagnosed(cache.train(sentence).run)
        case, remedy = first_remedy(diagnosis)
        if not remedy:
            found.append(Round(case, "", score, bool(diagnosis["healthy"])))
            break
        remedied = changed(sentence, remedy)
        ended = cache.train(remedied)
        if not ended.trained:
            found.append(Round(case, remedy, score, refused=ended.said.strip()))
            break
        sentence, score = remedied, cache.score(remedied, judge)
        found.append(Round(case, remedy, score))
    return found


def shares(measured: Sequence[Measured]) -> dict[str, Any]:
    """The numbers of one half."""
    spoilt = [one for one in measured if one.rounds]
    asked = [one for one in measured if one.called_healthy is not None]
    moved = [one.after(1) - one.bad[0] for one in spoilt]
    pairs = list(zip(spoilt, moved, strict=True))

    def of(count: int, whole: Sequence[Any]) -> dict[str, Any]:
        return {"count": count, "of": len(whole), "share": count / len(whole) if whole else None}

    return {
        "first remedy made it better": of(sum(move > one.noise for one, move in pairs), spoilt),
        "first remedy made it worse by more than noise": of(sum(move < -one.noise for one, move in pairs), spoilt),
        "half of the way after one round": of(sum(_came(one, 1) >= 0.5 for one in spoilt), spoilt),
        "near the good run after one round": of(sum(_near(one, 1) for one in spoilt), spoilt),
        "near the good run after three rounds": of(sum(_near(one, ROUNDS) for one in spoilt), spoilt),
        "healthy runs called healthy": of(sum(bool(one.called_healthy) for one in asked), asked),
    }


def _near(one: Measured, count: int) -> bool:
    return one.after(count) >= one.good[0] - NEAR


def _came(one: Measured, count: int) -> float:
    share = share_of_way(one.good[0], one.bad[0], one.after(count))
    return 0.0 if share is None else share


def told(one: Measured) -> str:
    """What is printed about one sentence."""
    if not one.bad:
        return f"{one.name:<28} healthy: {'yes' if one.called_healthy else one.good_case or 'nothing said'}"
    lines = [
        f"{one.name:<28} {one.fault}: good {one.good[0]:.3f}, spoilt {one.bad[0]:.3f}, noise {one.noise:.3f}"
        + (f"; the good run is called: {one.good_case or 'nothing said'}" if one.called_healthy is False else "")
    ]
    for number, made in enumerate(one.rounds, start=1):
        if not made.remedy:
            lines.append(f"  {number}  {'healthy' if made.healthy else made.case or 'nothing said'}: no remedy")
            continue
        if made.refused:
            lines.append(f"  {number}  {made.case}: {made.remedy}: refused, {made.refused.splitlines()[0]}")
            continue
        way = share_of_way(one.good[0], one.bad[0], made.score)
        part = "" if way is None else f", {way:.0%} of the way"
        points = 100 * (made.score - one.bad[0])
        lines.append(f"  {number}  {made.case}: {made.remedy}: {made.score:.3f} ({points:+.1f} points{part})")
    return "\n".join(lines)


def verified(one: Measured) -> str:
    """Whether the spoilt sentence is really worse."""
    if not one.bad:
        return f"{one.name:<28} {one.good[0]:.3f}"
    good, bad = statistics.mean(one.good), statistics.mean(one.bad)
    worse = min(good - bad, one.good[0] - one.bad[0]) > one.noise
    scores = [" ".join(f"{score:.3f}" for score in part) for part in (one.good, one.bad)]
    return f"{one.name:<28} good {scores[0]}  spoilt {scores[1]}  noise {one.noise:.3f}  {'' if worse else 'NOT WORSE'}"


def summary(measured: Sequence[Measured]) -> dict[str, Any]:
    """Print and return the shares of each half."""
    halves = {}
    for name in SETS:
        half = [one for one in measured if one.set == name]
        if half:
            halves[name] = shares(half)
            print(f"\n{name}, {sum(bool(one.rounds) for one in half)} sentences that train badly:")
            for label, value in halves[name].items():
                percent = "    -" if value["share"] is None else f"{value['share']:5.0%}"
                print(f"  {percent}  {label} ({value['count']} of {value['of']})")
    return halves


def end_with(parent: int) -> None:
    """Let this process end as soon as the one that started it has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_turn(
    task: Callable[..., Measured], entries: list[Any], workers: int, tell: Callable[[Measured], None]
) -> list[Measured]:
    """All sentences, by workers that begin with what this process has imported."""
    import couloir.inference.predictor
    import couloir.run.train  # noqa: F401

    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    found = []
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, context, initializer=end_with, initargs=(os.getpid(),)) as pool:
        for one in pool.map(task, entries):
            tell(one)
            found.append(one)
    return found


def arguments() -> argparse.Namespace:
    """The options of the prompt."""
    parser = argparse.ArgumentParser(usage=__doc__, add_help=True)
    parser.add_argument("--set", choices=(*SETS, "all"), default="development")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    return parser.parse_args()


def main() -> None:
    """Measure the sentences that the options name."""
    asked, began = arguments(), time.perf_counter()
    report = asked.json and asked.json.resolve()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    data = os.environ.get("COULOIR_DATA")
    if not data:
        sys.exit("COULOIR_DATA is not set: it names the folder with mnist/, cifar10/, hymenoptera/ and series/")
    from remedies_data import make_data

    cache = Cache(asked.cache)
    entries = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    unknown = set(asked.only) - set(entries)
    if unknown:
        sys.exit(f"remedies.yaml has no {', '.join(sorted(unknown))}")
    chosen = [
        (name, texts)
        for name, texts in entries.items()
        if (name in asked.only if asked.only else asked.set in ("all", texts["set"]))
    ]
    make_data(cache.made, Path(data))
    os.chdir(cache.folder)  # no ./conf of anybody's

    def tell(one: Measured) -> None:
        if not asked.summary:
            print(verified(one) if asked.verify else told(one), flush=True)

    task = partial(measure, cache=cache, data=str(Path(data).resolve()), verify=asked.verify)
    found = in_turn(task, chosen, asked.workers, tell)
    halves = {} if asked.verify else summary(found)
    seconds = time.perf_counter() - began
    print(f"\n{seconds:.0f} s with {asked.workers} worker{'s' if asked.workers > 1 else ''}")
    if report:
        numbers = {"machine": machine(), "seconds": seconds, "summary": halves}
        each = [{**asdict(one), "noise": one.noise} for one in found]
        report.write_text(json.dumps({**numbers, "sentences": each}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

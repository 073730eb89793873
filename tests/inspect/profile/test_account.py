"""What spans add up to: each moment of a step in one part, modules with and without what is in them, the trace."""

from __future__ import annotations

import json

import pytest

from couloir.inspect.profile.account import Span, account, shown, trace

KINDS = {"": "Net", "a": "Sequential", "a.0": "Linear", "b": "Linear"}
MARKS = [0.0, 10.0, 20.0]
SPANS = [
    Span("loading", "", -1, 0.0, 2.0),
    Span("augmentation", "", 0, 0.5, 1.5),
    Span("augmentation", "Shift", 1, 0.6, 0.9),
    Span("forward", "", 2, 0.6, 0.8),  # an augmentation that asks the network
    Span("loss", "", -1, 2.0, 7.0),
    Span("forward", "", 4, 2.5, 6.0),
    Span("forward", "a", 5, 3.0, 5.0),
    Span("forward", "a.0", 6, 3.5, 4.5),
    Span("forward", "b", 5, 5.0, 5.5),
    Span("optimizer", "LBFGS", -1, 11.0, 19.0),  # which asks for loss and gradients in its step
    Span("forward", "b", 9, 12.0, 14.0),
    Span("backward", "", 9, 14.0, 17.0),
    Span("forward", "b", 11, 15.0, 16.0),  # computed once more for the gradients
]


def test_each_moment_of_a_step_belongs_to_one_part() -> None:
    found = account([(MARKS, SPANS)], KINDS)
    assert found.seconds == 10.0
    assert found.parts == pytest.approx(
        {
            "loading": 1.0 / 2,
            "transfer": 0,
            "augmentation": 1.0 / 2,
            "forward": (3.5 + 2) / 2,
            "loss": 1.5 / 2,
            "backward": 3 / 2,
            "optimizer": 3 / 2,
            "metrics": 0,
            "logging": 0,
            "rest": (3 + 2) / 2,
        }
    )
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.within["augmentation"] == pytest.approx({"Shift": 0.3 / 2})
    assert found.share("forward", "loss") == pytest.approx(7 / 20)


def test_a_module_is_timed_with_and_without_what_is_in_it() -> None:
    (net,) = account([(MARKS, SPANS)], KINDS).modules
    assert (net.name, net.kind) == ("", "Net")
    assert [(each.name, each.seconds, each.own_seconds, each.calls) for each in net.children] == [
        ("b", pytest.approx(1.25), pytest.approx(1.25), 1.0),
        ("a", pytest.approx(1.0), pytest.approx(0.5), 0.5),
    ]
    assert net.own_seconds == pytest.approx((3.5 - 2.5) / 2)
    assert [(depth, each.name) for depth, each in shown([net], least=0.6, depth=3)] == [(0, ""), (1, "b"), (1, "a")]


def test_a_module_that_calls_itself_counts_its_time_once() -> None:
    spans = [Span("forward", "b", -1, 0.0, 4.0), Span("forward", "b", 0, 1.0, 3.0)]
    (module,) = account([([0.0, 5.0], spans)], {"b": "Tree"}).modules
    assert (module.seconds, module.own_seconds, module.calls) == (4.0, 4.0, 2.0)


def test_modules_that_are_called_without_what_they_are_in_stand_by_themselves() -> None:
    spans = [Span("forward", "a.0", -1, 0.0, 4.0), Span("forward", "b", -1, 4.0, 9.0)]
    assert [each.name for each in account([([0.0, 10.0], spans)], KINDS).modules] == ["b", "a.0"]


def test_rounds_are_added_up() -> None:
    one = ([0.0, 4.0], [Span("loading", "", -1, 0.0, 1.0)])
    other = ([7.0, 9.0], [Span("loading", "", -1, 7.0, 8.0)])
    found = account([one, other], {})
    assert (found.seconds, found.parts["loading"], found.parts["rest"]) == (3.0, 1.0, 2.0)


def test_a_step_that_other_work_has_disturbed_does_not_count_and_one_that_logs_does() -> None:
    marks = [0.0, 1.0, 2.0, 3.0, 4.0, 14.0, 20.0]
    spans = [Span("forward", "b", -1, second, second + 1.0) for second in (0.0, 1.0, 2.0, 3.0)]
    spans += [Span("forward", "b", -1, 4.0, 14.0)]  # ten times as long
    spans += [Span("forward", "b", -1, 14.0, 15.0), Span("logging", "TensorBoard", -1, 15.0, 20.0)]
    found = account([(marks, spans)], KINDS)
    assert (found.steps, found.disturbed) == (5, 1)
    assert found.seconds == pytest.approx((4 + 6) / 5)
    assert (found.parts["forward"], found.parts["logging"]) == pytest.approx((1.0, 1.0))
    assert found.median == 1.0


def test_the_trace_has_complete_events_in_microseconds_that_nest() -> None:
    events = json.loads(trace([(MARKS, SPANS)], KINDS, steps=1))["traceEvents"]
    drawn = {event["name"]: event for event in events if event["ph"] == "X"}
    assert drawn["step 1"]["ts"] == 0
    assert drawn["step 1"]["dur"] == 10e6
    assert drawn["a.0 (Linear)"] == {
        "name": "a.0 (Linear)", "cat": "forward", "ph": "X", "ts": 3.5e6, "dur": 1e6, "pid": 1, "tid": 1,
    }  # fmt: skip
    assert "network (Net)" in drawn
    assert "augmentation: Shift" in drawn
    assert "optimizer: LBFGS" not in drawn, "it is of the second step"

"""The one-cycle plan: it always closes, fits the time that is left, and is the same whatever cut it into parts."""

from __future__ import annotations

from math import inf

import pytest
from dlbc.adapters.ml.plan import FIRST_STEPS, Plan, TimeBox, fitted
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


ROUNDING = 1e-12


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 5000), st.data())
def test_plan__closed_early_anywhere__anneals_to_a_thousandth(total: int, data: st.DataObject) -> None:
    """The rate goes on where it was, and the last step has a thousandth of the peak."""
    done = data.draw(st.integers(0, total - 1))
    plan = Plan(total)

    shorter = plan.closing_at(data.draw(st.integers(done + 1, total)), done)

    assert shorter.factor(shorter.total - 1) == pytest.approx(0.001, abs=1e-9)
    assert 0 < shorter.progress(done) <= 1 + ROUNDING
    assert shorter.progress(done) >= plan.progress(done) - ROUNDING
    assert all(0 < shorter.factor(step) <= 1 + ROUNDING for step in range(done, shorter.total))


@given(st.integers(1, 5000), st.data())
def test_plan__closed_where_it_is__says_how_far_it_came(total: int, data: st.DataObject) -> None:
    """Time ran out before another step: what was learned until then is still validated and kept."""
    done = data.draw(st.integers(1, total))
    plan = Plan(total)

    closed = plan.closing_at(done, done)

    assert closed.total == done
    assert closed.progress(done - 1) == plan.progress(done - 1)


@given(
    st.integers(1, 300),
    st.integers(1, 50),
    st.floats(0, 1000),
    st.floats(1e-4, 10),
    st.floats(0, 10),
    st.data(),
)
def test_fitted__any_time_left__is_never_longer_and_fits(
    epochs: int, per_epoch: int, left: float, step: float, epoch: float, data: st.DataObject
) -> None:
    """A plan that fits stays as it is; a shortened one fits, in whole epochs while one fits."""
    plan = Plan(epochs * per_epoch)
    done = data.draw(st.integers(1, plan.total - 1)) if plan.total > 1 else 0

    found = fitted(plan, done, per_epoch=per_epoch, left=left, step_seconds=step, epoch_seconds=epoch)

    def seconds(total: int) -> float:
        return (total - done) * step + (-(-total // per_epoch) - done // per_epoch) * epoch

    assert done <= found.total <= plan.total
    if seconds(plan.total) <= left:
        assert found is plan
    elif found.total > done:
        assert seconds(found.total) <= left * (1 + 1e-9)
        this_epoch = (done // per_epoch + 1) * per_epoch
        assert found.total % per_epoch == 0 or seconds(this_epoch) > 0.9 * left


def test_time_box__steady_pace__plans_whole_epochs_within_the_time() -> None:
    """After a few steps the length is known, and it does not change any more."""
    clock = Clock()
    box, plan = TimeBox(clock, clock() + 100.0, per_epoch=50), Plan(100 * 50)
    plans = []
    for done in range(1, plan.total + 1):
        clock.now += 0.1
        plan = box.after_step(plan, done)
        if done % 50 == 0:
            clock.now += 0.5
            plan = box.after_epoch(plan, done, 0.5)
        plans.append(plan.total)
        if done >= plan.total:
            break

    assert plan.total % 50 == 0
    assert 80.0 <= clock.now - 100.0 <= 100.0
    assert len(set(plans)) <= 3  # whole, planned, and once more when validation has been measured
    assert plans.index(plans[-1]) < 60


def test_time_box__machine_gets_slower__shortens_again_and_ends_in_time() -> None:
    """Other work on the machine costs epochs, not the deadline."""
    clock = Clock()
    box, plan = TimeBox(clock, clock() + 100.0, per_epoch=50), Plan(100 * 50)
    done = 0
    while done < plan.total:
        clock.now += 0.1 if done < 400 else 0.4
        done += 1
        plan = box.after_step(plan, done)
        if done % 50 == 0:
            plan = box.after_epoch(plan, done, 0.0)

    assert clock.now - 100.0 <= 100.0
    assert plan.factor(plan.total - 1) == pytest.approx(0.001)


def test_time_box__an_epoch_does_not_fit__trains_part_of_one() -> None:
    """Much data and little time: the cycle closes within the first epoch."""
    clock = Clock()
    box, plan = TimeBox(clock, clock() + 20.0, per_epoch=10_000, validation_steps=20), Plan(5 * 10_000)
    done = 0
    while done < plan.total:
        clock.now += 0.1
        done += 1
        plan = box.after_step(plan, done)

    assert FIRST_STEPS < plan.total < 200
    assert 10.0 <= clock.now - 100.0 <= 20.0


def test_time_box__no_deadline__never_changes_the_plan() -> None:
    """Without a budget the plan is the task's, to the bit."""
    clock, plan = Clock(), Plan(100)
    box = TimeBox(clock, inf, per_epoch=10)
    for done in range(1, 100):
        clock.now += 1000
        assert box.after_step(plan, done) is plan
    assert box.after_epoch(plan, 100, 1000.0) is plan


def test_time_box__too_late_already__ends_after_one_step() -> None:
    """A run resumed after its deadline still ends properly."""
    clock = Clock()
    box = TimeBox(clock, clock() - 1.0, per_epoch=10)
    clock.now += 0.1

    assert box.after_step(Plan(1000), 51).total == 51

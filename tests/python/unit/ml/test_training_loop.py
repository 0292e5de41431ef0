"""The training loop within limits: of time, of patience, of memory; and the same bytes twice where that is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dlbc.adapters.ml import loop
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.loop import Loop
from dlbc.adapters.ml.task import Recipe, TrainingTask
from dlbc.core.architecture import Architecture
from dlbc.core.errors import Refused
from dlbc.ports import Dataset

pytestmark = pytest.mark.unit

MLP = Architecture("mlp", (64,), 3, (64,))
RESNET = Architecture("resnet", (1, 8, 8), 3, (), (8,), (1,))
STEP_SECONDS = 0.1


class Told:
    """Reports and a clock: every step takes STEP_SECONDS."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[dict[str, Any]] = []
        self.break_after: int | None = None

    def is_due(self) -> bool:
        self.now += STEP_SECONDS
        return False

    def tell(self, **changes: object) -> None:
        self.told.append(changes)
        if "loss" in changes and changes["epoch"] == self.break_after:
            raise KeyboardInterrupt

    def clock(self) -> float:
        return self.now

    def said(self, what: str) -> list[str]:
        return [str(one["message"]) for one in self.told if what in str(one.get("message", ""))]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def reports() -> Told:
    return Told()


@pytest.fixture
def task(tmp_path: Path, reports: Told) -> TrainingTask:
    return task_for(MLP, tmp_path, reports)


def task_for(architecture: Architecture, work: Path, reports: Told, noise: float = 1.0) -> TrainingTask:
    random = np.random.default_rng(0)
    centres = random.standard_normal((3, *architecture.input_shape), dtype=np.float32)

    def samples(count: int) -> Dataset:
        y = np.arange(count) % 3
        x = centres[y] + noise * random.standard_normal((count, *architecture.input_shape), dtype=np.float32)
        return Dataset(x.astype(np.float32), y)

    return TrainingTask(
        architecture=architecture,
        training=samples(160),
        validation=samples(60),
        device=torch.device("cpu"),
        start=initial_weights(architecture, bytes(32)),
        recipe=Recipe(epochs=8, batch=16, learning_rate=1e-3),
        seed=3,
        work=work,
        reports=reports,
        clock=reports.clock,
    )


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------ time


def test_run__half_the_time__trains_half_the_epochs_and_anneals(task: TrainingTask, reports: Told) -> None:
    """Of 8 epochs of a second each 4 fit surely into 6 seconds, and the last ends at a thousandth of the rate."""
    run = Loop(replace(task, deadline=6.0))

    found = run.run()

    assert (found.epochs, found.ended) == (4, "time")
    assert run._optimizer.param_groups[0]["lr"] == pytest.approx(1e-6)
    assert reports.now <= 6.0
    assert [one["epochs"] for one in reports.told if "loss" in one][-1] == 4


def test_run__no_time_for_another_step__keeps_what_it_has(task: TrainingTask) -> None:
    """A machine so busy that the time is over within the first epoch: an early end, and no failure."""
    found = Loop(replace(task, deadline=STEP_SECONDS / 2)).run()

    assert (found.epochs, found.ended) == (1, "time")
    assert found.best is not None


def test_run__broken_off_in_a_time_box__resumes_the_same_plan(
    task: TrainingTask, reports: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planned once: what is resumed in time gives the weights of an unbroken run."""
    monkeypatch.setattr(loop, "checkpoint_pause", lambda saving: 0.0)
    whole = task.work / "whole"
    whole.mkdir()
    expected = Loop(replace(task, deadline=6.0, work=whole)).run()
    reports.now, reports.break_after = 0.0, 2
    with pytest.raises(KeyboardInterrupt):
        Loop(replace(task, deadline=6.0)).run()
    reports.break_after = None

    found = Loop(replace(task, deadline=6.0)).run()

    assert (found.resumed_after_epoch, found.epochs, found.ended) == (2, 4, "time")
    assert same(expected.best, found.best)


def test_run__resumed_long_after__closes_the_cycle_in_what_is_left(task: TrainingTask, reports: Told) -> None:
    """A pause that ate the time costs epochs; the run still ends by its deadline, annealed."""
    reports.break_after = 1
    with pytest.raises(KeyboardInterrupt):
        Loop(replace(task, deadline=9.0)).run()
    reports.break_after, reports.now = None, 6.0

    found = Loop(replace(task, deadline=9.0)).run()

    assert found.ended == "time"
    assert found.epochs < 5
    assert reports.now <= 9.0


def test_run__time_is_over_after_a_step__keeps_what_there_is(task: TrainingTask) -> None:
    """A slow start may eat all of the time; one step is still a model, and no error."""
    found = Loop(replace(task, deadline=STEP_SECONDS / 2)).run()

    assert (found.epochs, found.ended) == (1, "time")
    assert found.best.keys() == task.start.keys()


def test_run__short_epochs__saves_only_what_is_worth_it(
    task: TrainingTask, reports: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saving that takes as long as an epoch happens once in a hundred."""
    saved = []

    def slow(work: Path, state: Any) -> None:
        saved.append(state.epoch)
        reports.now += 1.0

    monkeypatch.setattr(loop, "save_checkpoint", slow)

    Loop(replace(task, recipe=replace(task.recipe, epochs=120))).run()

    assert saved == [1, pytest.approx(101, abs=1)]


# ------------------------------------------------------------------ patience


def test_run__validation_stands_still__ends_by_patience(tmp_path: Path, reports: Told) -> None:
    """Perfect after a few epochs, so the rest would be wasted."""
    task = task_for(MLP, tmp_path, reports, noise=0.01)
    task = replace(task, recipe=replace(task.recipe, epochs=200, patience=3))

    found = Loop(task).run()

    assert found.ended == "patience"
    assert found.validation_ppm == 1_000_000
    assert 50 < found.epochs < 100  # never in the warm-up, a quarter of the run


def test_run__patience_and_a_break__counts_on(tmp_path: Path, reports: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs without progress before a kill count after it."""
    monkeypatch.setattr(loop, "checkpoint_pause", lambda saving: 0.0)
    task = task_for(MLP, tmp_path, reports, noise=0.01)
    task = replace(task, recipe=replace(task.recipe, epochs=200, patience=3))
    (tmp_path / "whole").mkdir()
    expected = Loop(replace(task, work=tmp_path / "whole")).run()
    reports.break_after = expected.epochs - 1
    with pytest.raises(KeyboardInterrupt):
        Loop(task).run()
    reports.break_after = None

    found = Loop(task).run()

    assert found.epochs == expected.epochs
    assert same(found.best, expected.best)


# ------------------------------------------------------------------ memory


class Hungry:
    """A module's forward that fails above a number of samples, as an allocator does."""

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor], most: int, error: BaseException) -> None:
        self._forward, self._most, self._error = forward, most, error
        self.sizes: list[int] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self._most:
            raise self._error
        self.sizes.append(len(x))
        return self._forward(x)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS)
def test_run__memory_runs_out__learns_the_same_batches_in_parts(
    error: BaseException, task: TrainingTask, reports: Told, tmp_path: Path
) -> None:
    """16 samples do not fit, 4 do: gradients add up to the whole batch's, and progress says so."""
    expected = Loop(task, keeps_checkpoints=False).run()
    run = Loop(task, keeps_checkpoints=False)
    run.module.forward = hungry = Hungry(run.module.forward, 4, error)

    found = run.run()

    assert max(hungry.sizes) == 4
    assert "batches of 16 are learned 4 at a time now" in reports.said("memory ran out")[-1]
    assert len(reports.said("memory ran out")) == 2
    for name, tensor in expected.best.items():
        np.testing.assert_allclose(found.best[name], tensor, atol=2e-3, err_msg=name)


def test_run__not_even_one_sample_fits__is_refused_with_advice(task: TrainingTask) -> None:
    """One sentence, and not torch's page about its allocator."""
    run = Loop(task)
    run.module.forward = Hungry(run.module.forward, 0, ERRORS[0])

    with pytest.raises(Refused, match=r"memory ran out on cpu with one sample at a time; .* use another device"):
        run.run()


def test_run__another_error__is_not_taken_for_memory(task: TrainingTask) -> None:
    """A bug stays a bug."""
    run = Loop(task)
    run.module.forward = Hungry(run.module.forward, 0, RuntimeError("shapes do not match"))

    with pytest.raises(RuntimeError, match="shapes do not match"):
        run.run()


def test_run__resumed_after_memory_ran_out__goes_on_in_parts(task: TrainingTask, reports: Told) -> None:
    """The size that was found is in the checkpoint."""
    reports.break_after = 1
    first = Loop(task)
    first.module.forward = Hungry(first.module.forward, 4, ERRORS[0])
    with pytest.raises(KeyboardInterrupt):
        first.run()
    reports.break_after = None
    again = Loop(task)
    again.module.forward = hungry = Hungry(again.module.forward, 10**6, ERRORS[0])

    again.run()

    assert max(size for size in hungry.sizes if size != 60) == 4  # 60 is validation

"""What the miner asks of the trainer: to be done in time to commit, and by the strategy that was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.ports import TrainJob
from fakes.trainer import FakeHandle, FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit


class NotedTrainer(FakeTrainer):
    """Remembers its jobs."""

    def __init__(self, ticks: int = 2) -> None:
        super().__init__(ticks=ticks)
        self.jobs: list[TrainJob] = []

    def start(self, job: TrainJob) -> FakeHandle:
        self.jobs.append(job)
        return super().start(job)


def test_job__a_task_in_training__ends_before_the_commit_deadline(tmp_path: Path) -> None:
    """The budget is what is left of the window, less a margin to seal, store and commit."""
    world = World(tmp_path)
    task_id, trainer = world.post(), NotedTrainer()
    miner = world.miner(trainer=trainer)
    while not trainer.jobs:
        miner.tick()
    left = world.onlooker.round(task_id, 0).train_end - world.onlooker.now()

    (job,) = trainer.jobs
    assert job.budget is not None
    assert left / 2 < job.budget < left - left / 50
    assert job.strategy == "default"


def test_job__restarted_later__gets_less_time(tmp_path: Path) -> None:
    """A miner that was down has to be done by the same deadline."""
    world = World(tmp_path)
    task_id, first, second = world.post(), NotedTrainer(ticks=100), NotedTrainer()
    miner = world.miner(trainer=first)
    while not first.jobs:
        miner.tick()
    world.market.now += (world.onlooker.round(task_id, 0).train_end - world.onlooker.now()) // 2
    again = world.miner(trainer=second)
    while not second.jobs:
        again.tick()

    before, after = first.jobs[0].budget, second.jobs[0].budget
    assert before is not None
    assert after is not None
    assert after < 0.6 * before


def test_job__a_strategy_is_chosen__is_named(tmp_path: Path) -> None:
    """As the operator wrote it."""
    world = World(tmp_path)
    world.post()
    trainer = NotedTrainer()
    miner = world.miner(trainer=trainer, strategy="my_code:MyStrategy")
    while not trainer.jobs:
        miner.tick()

    assert trainer.jobs[0].strategy == "my_code:MyStrategy"

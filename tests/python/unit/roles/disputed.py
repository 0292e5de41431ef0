"""Liars, and a market in which one of them leads: where tests about disputes begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dlbc.core.types import Phase, TaskId, Verdict
from dlbc.roles import entry_scoring
from dlbc.roles.voting import VoteStep
from fakes.trainer import FakeTrainer
from fakes.world import Steps, World

ETHER = 10**18


class Liar(FakeTrainer):
    """Trains badly and publishes the right answers as its predictions: only the opened model shows the lie."""

    def predict(self, weights: Any, architecture: Any, x: Any, device: str = "cpu") -> Any:
        return np.arange(len(x)) % 10  # the labels of FakeData


def flip_one_prediction(monkeypatch: Any, index: int = 3) -> None:
    """The next claims count one wrong prediction as right: their own predictions refute them."""
    honest = entry_scoring.top1_scores

    def dishonest(predictions: Any, labels: Any) -> Any:
        scores = honest(predictions, labels)
        predictions[index] ^= 1  # published as it is, counted as if it were still right
        return scores

    monkeypatch.setattr(entry_scoring, "top1_scores", dishonest)


def opened_lie(folder: Path, *auditors: str) -> tuple[World, TaskId]:
    """A liar leads and has opened its model; an honest miner comes second. The auditors' stakes are active."""
    world = World(folder)
    if auditors:
        world.staked(*auditors)
    task_id = world.post()
    liar, honest = world.miner("liar", trainer=Liar(noise=20.0)), world.miner("honest", noise=5.0)
    world.play(task_id, liar, honest, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    return world, task_id


def disputed_lie(folder: Path, *auditors: str) -> tuple[World, TaskId]:
    """The same, and the claim is disputed; voting begins now."""
    world, task_id = opened_lie(folder, *auditors)
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    return world, task_id


def vote(world: World, task_id: TaskId, name: str, verdict: Verdict, steps: Steps | None = None) -> VoteStep:
    """One auditor's part from its ballot to the end, in one process; moves the clock when it waits."""
    voter = world.voter(name, steps=steps)
    while True:
        step = voter.step(task_id, verdict)
        if step.is_done:
            return step
        if not step.receipts and step.again_at:
            world.market.now = max(world.market.now, step.again_at)


def cast(world: World, task_id: TaskId, **verdicts: Verdict) -> None:
    """Every auditor casts and opens its ballot, and the vote is counted."""
    for stage in ("committed", "revealed"):
        steps = [world.voter(name).step(task_id, verdict) for name, verdict in verdicts.items()]
        assert {stage} == {step.what for step in steps}
        world.market.now = max(step.again_at for step in steps)
    first = next(iter(verdicts))
    assert world.voter(first).step(task_id, None).what == "resolved"

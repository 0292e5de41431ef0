"""The tasks of a market, of which there may be very many: few requests, and details only of those that are shown."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.types import Phase, TaskId, Timestamp, Wei
from dlbc.ports import Chain


@dataclass(frozen=True, slots=True)
class ListedTask:
    """One row."""

    task_id: TaskId
    place: int | None  # among those in training, best rank first; None: not in training, or due
    rank: int | None
    phase: Phase
    due: bool
    ends_at: Timestamp
    bounty_wei: Wei
    difficulty: int
    commits: int


def listed_tasks(chain: Chain, *, everything: bool, limit: int | None = None) -> tuple[list[ListedTask], int]:
    """(rows, how many there are without the limit): those in training, best first, then the others, newest first.

    Tasks that are over are among them only with `everything`.
    """
    phases = dict(enumerate(chain.phases(TaskId(1), chain.task_count()), start=1))
    ranked = [row for row in chain.ranked_tasks() if row.task_id in phases]
    places = {row.task_id for row in ranked}
    others = [
        TaskId(number)
        for number, info in reversed(phases.items())
        if number not in places and (everything or not info.phase.is_cold)
    ]
    total = len(ranked) + len(others)
    rows = [
        ListedTask(
            task_id=row.task_id,
            place=place,
            rank=row.rank,
            phase=Phase.TRAINING,
            due=False,
            ends_at=row.train_end,
            bounty_wei=row.bounty_wei,
            difficulty=row.difficulty,
            commits=row.commits,
        )
        for place, row in enumerate(ranked[:limit], start=1)
    ]
    shown = others if limit is None else others[: max(0, limit - len(rows))]
    for task_id, (task, facts) in zip(shown, chain.tasks(shown), strict=True):
        info = phases[task_id]
        rows.append(
            ListedTask(
                task_id=task_id,
                place=None,
                rank=None,
                phase=info.phase,
                due=info.due,
                ends_at=info.ends_at,
                bounty_wei=task.bounty_wei,
                difficulty=task.difficulty,
                commits=facts.commits,
            )
        )
    return rows, total

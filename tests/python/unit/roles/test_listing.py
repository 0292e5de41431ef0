"""`dlbc task list`: which tasks are listed, in which order, and how much is asked for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.core.types import Phase, TaskId
from dlbc.roles.listing import listed_tasks
from fakes.chain import FakeChain
from fakes.scene import Scene

pytestmark = pytest.mark.unit


@pytest.fixture
def scene() -> Scene:
    """Five tasks: 1 in its challenge, 4 cancelled, 2, 3 and 5 in training."""
    scene = Scene()
    scene.challenged(one=(9, 0))
    for _ in range(4):
        scene.post()
    scene.chain("requester").cancel(TaskId(4))
    return scene


def test_listed_tasks__some_over__are_left_out_unless_asked_for(scene: Scene) -> None:
    """Training first, best rank first; then the others, newest first."""
    chain = scene.chain("requester")
    rows, total = listed_tasks(chain, everything=False)
    ranked = [row.task_id for row in chain.ranked_tasks()]
    assert [*ranked, 1] == [row.task_id for row in rows]
    assert [row.place for row in rows] == [1, 2, 3, None]
    assert total == 4
    rows, total = listed_tasks(chain, everything=True)
    assert [*ranked, 4, 1] == [row.task_id for row in rows]
    assert total == 5


def test_listed_tasks__every_row__tells_what_the_chain_tells(scene: Scene) -> None:
    """Rows from the ranking and rows from the facts agree with phase, task and round."""
    chain = scene.chain("requester")
    for row in listed_tasks(chain, everything=True)[0]:
        info, task = chain.phase(row.task_id), chain.task(row.task_id)
        assert (info.phase, info.due, info.ends_at) == (row.phase, row.due, row.ends_at)
        assert (task.bounty_wei, task.difficulty) == (row.bounty_wei, row.difficulty)
        assert chain.round(row.task_id, task.round).commits == row.commits


def test_listed_tasks__limit__reads_details_of_the_shown_only(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rows of the whole list, and how many there are."""
    chain, asked = scene.chain("requester"), []
    whole, _ = listed_tasks(chain, everything=True)
    real = FakeChain.tasks
    monkeypatch.setattr(FakeChain, "tasks", lambda self, ids: asked.extend(ids) or real(self, ids))
    for limit in range(1, 6):
        rows, total = listed_tasks(chain, everything=True, limit=limit)
        assert (whole[:limit], 5) == (rows, total)
    assert asked == [4, 4, 1]


def test_listed_tasks__empty_market__is_empty() -> None:
    """Nothing was posted."""
    assert listed_tasks(Scene().chain("requester"), everything=True) == ([], 0)


def test_task_list__more_than_the_limit__says_how_many(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table shows the first rows and says how to see the rest; --json shows all unless told otherwise."""
    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "chain", lambda config: scene.chain("requester"))
    assert run(["task", "list", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert "and 2 more; `--limit 4` shows all" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run(["task", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["tasks"]), told["total"]) == (4, 4)
    assert told["tasks"][-1]["phase"] == Phase.CHALLENGE.label
    assert run(["task", "list", "--limit", "0"]) == 2

"""What `dlbc requester status` shows of a task at each of its stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.cli.requester import _show
from dlbc.roles.requester_status import Asides, RequestStatus, asides, requester_status
from fakes.keys import account
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18


def rows(world: World, most: int | None = None) -> list[RequestStatus]:
    """As the account sees its tasks now."""
    journal = world.journals.get("requester-daemon")
    return requester_status(world.onlooker, world.pool, account("requester").address, journal, most)


def test_status__in_training__says_when_to_release_and_what_is_locked(tmp_path: Path) -> None:
    """The next own step, from when on; bounty and bond."""
    world = World(tmp_path)
    task_id = world.post()
    (row,) = rows(world)
    round_ = world.onlooker.round(task_id, 0)
    assert (row.phase, row.next, row.next_at) == ("Training", "release", round_.train_end)
    assert (row.locked_wei, row.model) == (11 * ETHER // 10, "-")


def test_status__to_be_released__says_so(tmp_path: Path) -> None:
    """Now."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    (row,) = rows(world)
    assert (row.phase, row.next, row.next_at) == ("Releasing", "release", 0)


def test_status__settled_and_fetched__knows_where_the_model_is(tmp_path: Path) -> None:
    """And whether it still is there."""
    world = World(tmp_path)
    task_id = world.post()
    world.play(task_id, world.miner())
    assert rows(world)[0].model == "missing"
    daemon = world.requester_daemon()
    for _ in range(4):
        daemon.tick()
    (row,) = rows(world)
    assert (row.model, row.next, row.locked_wei) == ("stored", "-", 0)
    Path(row.model_path).unlink()
    assert rows(world)[0].model == "moved"


def test_status__daemon_found_something_missing__is_shown(tmp_path: Path) -> None:
    """What it warned of."""
    world = World(tmp_path)
    world.post()
    world.market.balances[account("requester").address] = 1
    world.requester_daemon().tick()
    (row,) = rows(world)
    assert "send it ether" in row.problems["gas"]


def test_status__many_old_tasks__shows_the_newest_and_all_that_are_open(tmp_path: Path) -> None:
    """An old task that is not over is never left out."""
    world = World(tmp_path)
    first = world.post()
    (row,) = rows(world, most=0)
    assert row.task_id == first
    world.requester().cancel(first)
    assert rows(world, most=0) == []


def test_asides__notices_that_did_not_arrive__are_counted(tmp_path: Path) -> None:
    """Beside the account's money."""
    world = World(tmp_path)
    world.journal("requester-daemon").put("notice", "1", {"left": ["webhook"], "document": {}})
    world.journal("requester-daemon").put("notice", "2", {"left": []})
    found = asides(world.onlooker, world.pool, account("requester").address, world.journal("requester-daemon"))
    assert found.unsent == 1


def test_show__a_full_table__fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the longest words there are, and what is missing in whole sentences below."""
    world = World(tmp_path)
    world.post()
    world.market.balances[account("requester").address] = 1
    world.requester_daemon().tick()
    aside = Asides(credit_wei=0, pool_credit_wei=0, balance_wei=12 * ETHER, unsent=3)  # type: ignore[arg-type]
    _show(account("requester").address, rows(world), aside, world.market.now, is_running=True)
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "release in" in said
    assert "send it ether" in said.replace("\n", " ")

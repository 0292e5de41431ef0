"""Requester and miners on a market in memory, from posting to the money at home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dlbc.core.types import Hash32, Phase, TaskId
from fakes.keys import account
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def gain(world: World, name: str) -> int:
    """What an account has more than at the start; the fake market takes no gas."""
    return world.market.balances[account(name).address] - 10_000 * ETHER


def test_life__good_and_bad_miner__better_one_is_paid_and_the_market_ends_empty(world: World) -> None:
    """The best score wins, the other gets its deposit back, the requester its bond, and only fees stay."""
    task_id = world.post()
    good, bad = world.miner("good"), world.miner("bad", noise=20.0)
    world.play(task_id, bad, good)
    fee = ETHER // 50
    assert world.onlooker.winner(task_id, 0).miner == account("good").address
    assert (gain(world, "requester"), gain(world, "good"), gain(world, "bad")) == (-ETHER, ETHER - fee, 0)
    assert world.market.credits == {world.market.params.pool: fee}
    assert world.market.locked == 0


def test_life__nobody_qualifies__requester_gets_everything_back(world: World) -> None:
    """A model below the minimum is revealed for its deposit, and the task is void."""
    task_id = world.post()
    world.play(task_id, world.miner("hopeless", noise=200.0))
    assert world.market.phase(task_id).phase is Phase.VOID
    assert (gain(world, "requester"), gain(world, "hopeless")) == (0, 0)


def test_life__requester_never_releases__miner_gets_deposit_and_share(world: World) -> None:
    """An absent requester loses half of its bond to those who committed."""
    task_id = world.post()
    miner = world.miner()
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    world.market.move_to_end_of_phase(task_id)
    for _ in range(6):
        miner.tick()
    assert world.market.phase(task_id).phase is Phase.ABORTED
    assert gain(world, "miner") == ETHER // 20


def test_life__leader_vanishes__next_one_nominates_itself_and_wins(world: World) -> None:
    """A leader that does not open is struck; the next best claim opens and is paid."""
    task_id = world.post()
    best, second = world.miner("best"), world.miner("second", noise=20.0)
    world.play(task_id, best, second, until=lambda: world.onlooker.round(task_id, 0).reveals == 2)
    world.play(task_id, second)
    assert world.onlooker.winner(task_id, 0).miner == account("second").address
    assert world.onlooker.entry(task_id, 0, account("best").address).is_struck
    assert gain(world, "best") == -ETHER // 10


def test_life__two_tasks__one_miner_does_both_better_ranked_first(world: World) -> None:
    """A daemon trains one task after the other and carries both to the end."""
    requester = world.requester()
    first = requester.post(requester.prepare(world.task_file, world.folder))[0]
    draft = requester.prepare(world.task_file, world.folder)
    requester.forget(draft)
    second = requester.post(requester.prepare(world.task_file, world.folder))[0]
    miner = world.miner()
    world.play((first, second), miner)
    assert [event["task_id"] for event in world.heard("task_chosen")] == [1, 2]
    assert {world.market.phase(task).phase for task in (first, second)} == {Phase.SETTLED}


def test_life__goes_on_from_a_settled_model__declares_it_and_its_miner_gets_the_royalty(world: World) -> None:
    """Whoever stands on another's work says so, and wins with it."""
    first = world.post()
    world.play(first, world.miner("author"))
    parent = world.onlooker.winner(first, 0).model_hash
    author = gain(world, "author")
    requester = world.requester()
    requester.forget(requester.prepare(world.task_file, world.folder))
    second = requester.post(requester.prepare(world.task_file, world.folder))[0]
    heir, other = world.miner("heir", parent=parent, noise=200.0), world.miner("other", noise=200.0)
    world.play(second, heir, other)
    winner, royalty = world.onlooker.winner(second, 0), ETHER * world.onlooker.task(second).royalty_bps // 10_000
    assert (winner.miner, winner.parent_model) == (account("heir").address, parent)
    assert world.market.credits[account("author").address] == royalty > 0
    assert (gain(world, "author"), gain(world, "heir")) == (author, ETHER - ETHER // 50 - royalty)
    assert [event["model_hash"] for event in world.heard("parent_fetched")] == [parent]


def test_miner__parent_of_another_architecture__leaves_the_task_alone(world: World) -> None:
    """Nothing can be gone on from."""
    first = world.post()
    world.play(first, world.miner("author"))
    parent = world.onlooker.winner(first, 0).model_hash
    deeper = replace(world.task_file, hidden=(64,))
    requester = world.requester()
    second = requester.post(requester.prepare(deeper, world.folder))[0]
    heir = world.miner("heir", parent=parent)
    heir.tick()
    assert heir.entries == {}
    (told,) = world.heard("task_passed_over", "heir")
    assert told["task_id"] == second
    assert "has another architecture" in told["why"]


def test_miner__parent_that_nobody_knows__leaves_every_task_alone(world: World) -> None:
    """A claim that declares what is not on the ledger would not qualify."""
    world.post()
    heir = world.miner("heir", parent=Hash32(bytes(range(32))))
    heir.tick()
    assert heir.entries == {}
    assert "the ledger has no model 0001" in world.heard("task_passed_over", "heir")[0]["why"]


def test_miner__once__ends_after_one_task(world: World) -> None:
    """With --once the loop ends when that one entry is finished."""
    task_id = world.post()
    miner = world.miner(once=True)
    world.play(task_id, miner)
    assert miner.tick() is False
    assert [event["task_id"] for event in world.heard("task_chosen")] == [task_id]


def test_miner__task_not_among_those_it_was_given__leaves_it_alone(world: World) -> None:
    """--task restricts what is looked at."""
    world.post()
    miner = world.miner(tasks=frozenset({TaskId(2)}))
    miner.tick()
    assert miner.entries == {}


def test_miner__money_arrives__says_how_much_and_where(world: World) -> None:
    """What the user cares about is reported with amount, transaction and block."""
    task_id = world.post()
    world.play(task_id, world.miner())
    told = world.heard("money_arrived", "miner")
    assert [event["wei"] for event in told] == [ETHER - ETHER // 50 + ETHER // 10]
    assert {"tx", "block"} <= set(told[0])

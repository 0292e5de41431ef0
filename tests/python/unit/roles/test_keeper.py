"""Anyone may keep time moving."""

from __future__ import annotations

from pathlib import Path

import pytest
from disputed import disputed_lie
from dlbc.core.decide import Do
from dlbc.core.types import Phase, Reason, Ruling
from dlbc.roles.keeper import Keeper
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def test_keeper__something_due__advances_it_once(world: World) -> None:
    """A stranger ends a task nobody committed to, and then there is nothing left to do."""
    task_id = world.post()
    keeper = Keeper(FakeChain(world.market, account("stranger").address))
    assert keeper.step(task_id).do is Do.WAIT
    world.market.move_to_end_of_phase(task_id)
    assert keeper.step(task_id).do is Do.ADVANCE
    assert world.market.phase(task_id).phase is Phase.VOID
    assert keeper.step(task_id).do is Do.FINISH


def test_keeper__without_an_account__only_looks(world: World) -> None:
    """Watching needs no key."""
    task_id = world.post()
    world.market.move_to_end_of_phase(task_id)
    assert Keeper(world.onlooker).step(task_id).do is Do.ADVANCE
    assert world.market.phase(task_id).due


def test_keeper__somebody_was_faster__says_so_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losing the race is no error."""
    task_id = world.post()
    told: list[str] = []
    chain = FakeChain(world.market, account("stranger").address)
    keeper = Keeper(chain, lambda event, **keys: told.append(event))
    due = world.market.phase(task_id)
    world.market.move_to_end_of_phase(task_id)
    due = world.market.phase(task_id)
    FakeChain(world.market, account("other").address).advance(task_id)
    monkeypatch.setattr(chain, "phase", lambda task: due)
    keeper.step(task_id)
    assert told == ["phase", "refused"]


def test_keeper__vote_is_over__counts_it_again_and_again_until_it_rules(tmp_path: Path) -> None:
    """Nobody votes: the keeper repeats the vote, then lets the claim stand, then settles."""
    world, task_id = disputed_lie(tmp_path)
    keeper = Keeper(FakeChain(world.market, account("stranger").address))
    for _ in range(40):
        if keeper.step(task_id).do is Do.WAIT:
            world.market.move_to_end_of_phase(task_id)
    (filing,) = world.pool.filings(task_id)
    assert world.pool.case(filing.case_id).ruling is Ruling.NO_QUORUM
    assert world.market.phase(task_id).phase is Phase.SETTLED


def test_keeper__demand_is_overdue__strikes_the_leader(world: World) -> None:
    """Nobody else has to be awake for it."""
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.refuter("asker").demand(task_id, 0)
    world.market.now = world.onlooker.round(task_id, 0).demand_end
    keeper = Keeper(FakeChain(world.market, account("stranger").address))
    assert keeper.step(task_id).do is Do.ADVANCE
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.WITHHELD]

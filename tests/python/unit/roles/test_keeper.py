"""Anyone may keep time moving."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.core.decide import Do
from dlbc.core.types import Phase
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

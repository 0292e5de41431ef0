"""A worker keeps its reserve; the rest of what it earns goes to its owner, and nothing else ever does."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.core.types import Address, Phase, Wei
from dlbc.ports import Payout
from dlbc.roles.collecting import SMALL_CHANGE, pay_owner, pull_credits
from dlbc.roles.loop import unheard
from dlbc.roles.miner import Miner
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.world import Crash, FaultyPool, Steps, World

pytestmark = pytest.mark.unit

ETHER = 10**18
OWNER = account("owner").address
ME = account("miner").address
START = 10_000 * ETHER
PRIZE = ETHER * 98 // 100 + ETHER // 10
"""Bounty less the fee, and the own deposit."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def worker(world: World, reserve: int, steps: Steps | None = None) -> Miner:
    """A miner whose withdrawals go to its owner."""
    miner = world.miner(steps=steps)
    assert isinstance(miner.chain, FakeChain)
    miner.chain.pays_to = Payout(OWNER, Wei(reserve))
    return miner


def worn(world: World) -> tuple[FakeChain, FaultyPool]:
    """What a worker sees, outside of the daemon."""
    chain = FakeChain(world.market, ME)
    return chain, FaultyPool(world.pool_state, ME, Steps())


def has(world: World, who: Address) -> int:
    return world.market.balances.get(who, 0)


def earn(world: World, wei: int) -> None:
    """The market owes the worker."""
    world.market.credits[ME] = world.market.credits.get(ME, 0) + wei


def test_payout__worker_has_its_reserve__everything_goes_to_the_owner(world: World) -> None:
    """The prize never touches the worker's account; the first money out of it is its deposit."""
    task_id = world.post()
    world.play(task_id, worker(world, ETHER))
    assert (has(world, OWNER), has(world, ME)) == (PRIZE, START - ETHER // 10)
    assert world.heard("money_arrived", "miner")[-1]["to"] == OWNER


def test_payout__worker_below_its_reserve__is_filled_up_first(world: World) -> None:
    """It takes the whole credit and sends on what is above the reserve."""
    task_id = world.post()
    world.play(task_id, worker(world, START))
    assert (has(world, OWNER), has(world, ME)) == (PRIZE - ETHER // 10, START)
    assert [told["wei"] for told in world.heard("money_forwarded", "miner")] == [PRIZE - ETHER // 10]


def test_payout__far_below_its_reserve__keeps_everything(world: World) -> None:
    """The owner gets nothing before the worker can work."""
    task_id = world.post()
    world.play(task_id, worker(world, 2 * START))
    assert (has(world, OWNER), has(world, ME)) == (0, START + PRIZE - ETHER // 10)


def test_payout__none__is_as_ever(world: World) -> None:
    """Without a payout address the account keeps its money."""
    task_id = world.post()
    world.play(task_id, world.miner())
    assert has(world, ME) == START + PRIZE - ETHER // 10


@pytest.mark.parametrize("reserve", [ETHER, START])
def test_payout__killed_at_every_step__the_owner_never_gets_more_than_was_earned(tmp_path: Path, reserve: int) -> None:
    """Whatever a crash leaves undone stays on the worker's own account; nothing is sent twice."""
    dry = World(tmp_path / "dry")
    steps = Steps()
    task_id = dry.post()
    dry.play(task_id, worker(dry, reserve, steps))
    money = [
        number for number, name in enumerate(steps.taken, 1) if name.split()[-1] in ("withdraw", "withdrawTo", "pay")
    ]
    assert money
    for point in money:
        world = World(tmp_path / f"at-{point}")
        task_id = world.post()
        fatal = Steps(crash_at=point)
        with pytest.raises(Crash):
            world.play(task_id, worker(world, reserve, fatal))
        world.play(task_id, worker(world, reserve))
        assert world.market.phase(task_id).phase is Phase.SETTLED
        assert has(world, OWNER) + has(world, ME) == START + PRIZE - ETHER // 10
        assert has(world, OWNER) <= PRIZE
        assert has(world, ME) >= min(reserve, START - ETHER // 10)


def test_pull_credits__the_owner_filled_the_worker__that_stays_there(world: World) -> None:
    """Forwarded is at most what came from market and pool in the same breath."""
    chain, pool = worn(world)
    chain.pays_to = Payout(OWNER, Wei(START + ETHER))
    earn(world, 3 * ETHER)
    withdraw = chain.withdraw

    def filled(who: Address) -> object:
        receipt = withdraw(who)
        world.market.balances[ME] += 50 * ETHER  # the owner's own transfer, in the same block
        return receipt

    chain.withdraw = filled  # type: ignore[method-assign,assignment]
    outcome = pull_credits(chain, pool, ME)
    assert has(world, OWNER) == 3 * ETHER
    assert [receipt.call for receipt in outcome.receipts] == ["withdraw", "pay"]
    assert OWNER in outcome.sentence


def test_pull_credits__for_somebody_else__pays_them(world: World) -> None:
    """A worker that collects for another account must not take its money for its owner."""
    chain, pool = worn(world)
    chain.pays_to = Payout(OWNER, Wei(0))
    other = account("other").address
    world.market.credits[other] = ETHER
    pull_credits(chain, pool, other)
    assert (has(world, OWNER), has(world, other)) == (0, ETHER)


def test_pull_credits__from_the_pool__goes_to_the_owner_too(world: World) -> None:
    """Dividends and shares of the pool are earnings like others."""
    chain, pool = worn(world)
    chain.pays_to = Payout(OWNER, Wei(ETHER))
    world.pool_state.credits[ME] = ETHER
    pull_credits(chain, pool, ME)
    assert has(world, OWNER) == ETHER


def test_pay_owner__small_change__is_not_worth_a_transaction(world: World) -> None:
    """It stays; what is more goes, up to the reserve."""
    chain, _ = worn(world)
    assert pay_owner(chain, ME, Payout(OWNER, Wei(START - SMALL_CHANGE)), unheard) == []
    assert pay_owner(chain, ME, Payout(OWNER, Wei(2 * START)), unheard) == []
    assert len(pay_owner(chain, ME, Payout(OWNER, Wei(50 * ETHER)), unheard)) == 1
    assert (has(world, ME), has(world, OWNER)) == (50 * ETHER, START - 50 * ETHER)

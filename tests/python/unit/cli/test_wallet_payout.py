"""`dlbc wallet` of a worker: where its money goes is shown, and goes there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlbc import bootstrap
from dlbc.cli.main import run
from dlbc.core.types import Wei
from dlbc.ports import Payout
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.pool import FakePool
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18
START = 10_000 * ETHER
OWNER, ME = account("owner").address, account("me").address
Told = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A market in memory that owes `me` one ether, and a configuration with a payout address."""
    world = World(tmp_path)

    def both(config: Any, keys: Any = None, report: Any = None) -> tuple[FakeChain, FakePool]:
        address = keys.address if keys is not None else None
        chain = FakeChain(world.market, address)
        chain.pays_to = Payout(config.payout, config.payout_reserve) if config.payout else None
        return chain, FakePool(world.pool_state, address)

    monkeypatch.setenv("DLBC_HOME", str(tmp_path))
    monkeypatch.setenv("DLBC_PAYOUT", OWNER)
    monkeypatch.setenv("DLBC_PAYOUT_RESERVE", "10000.5 ether")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "chain_and_pool", both)
    monkeypatch.setattr(bootstrap, "chain", lambda config, keys=None, report=None: both(config, keys)[0])
    monkeypatch.setattr(bootstrap, "keys", lambda config, ask=None: account("me"))
    monkeypatch.setattr(bootstrap, "account_address", lambda config, ask=None: ME)
    world.market.credits[ME] = ETHER
    world.market.balances[ME] = START
    return world


def test_wallet_balance__a_worker__shows_where_its_money_goes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for scripts."""
    assert run(["wallet", "balance", "me"]) == 0
    shown = capsys.readouterr().out
    assert f"pays out to           {OWNER}" in shown
    assert "10000.5 ether" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run(["wallet", "balance", "me", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["payout"], told["payoutReserveWei"]) == (OWNER, START + ETHER // 2)


def test_wallet_withdraw__below_the_reserve__keeps_it_and_pays_the_rest(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the daemon does."""
    assert run(["wallet", "withdraw", "me", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["to"], told["withdrawnWei"], len(told["tx"])) == (OWNER, ETHER, 2)
    assert (world.market.balances[ME], world.market.balances[OWNER]) == (START + ETHER // 2, ETHER // 2)
    assert run(["wallet", "withdraw", "me"]) == 1
    assert "has no credit" in capsys.readouterr().err


def test_wallet_withdraw__to_somebody__beats_the_configuration(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is typed counts."""
    other = account("other").address
    assert run(["wallet", "withdraw", "me", "--to", other]) == 0
    assert world.market.balances[other] == ETHER
    assert f"withdrew 1 ether to {other}" in capsys.readouterr().out


def test_wallet_payout__above_the_reserve__is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand: all that is above, once."""
    monkeypatch.setenv("DLBC_PAYOUT_RESERVE", "1 ether")
    assert run(["wallet", "payout", "me", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["to"], Wei(told["paidWei"])) == (OWNER, START - ETHER)
    assert (world.market.balances[ME], world.market.balances[OWNER]) == (ETHER, START - ETHER)
    assert run(["wallet", "payout", "me"]) == 1
    assert "nothing worth a transaction is above it" in capsys.readouterr().err


def test_wallet_payout__none_configured__is_usage(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nobody to pay."""
    monkeypatch.delenv("DLBC_PAYOUT")
    assert run(["wallet", "payout", "me"]) == 2
    assert "set payout and payout_reserve" in capsys.readouterr().err

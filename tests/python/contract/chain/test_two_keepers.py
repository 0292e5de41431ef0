"""Two keepers with one relay folder on a real chain: a reveal is mined once, and at most one transaction is wasted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Anvil
from dlbc.adapters.chain import transactions
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.core.signed_reveal import OWN_TURN, SignedReveal, to_bytes
from dlbc.core.turns import delay, draw_lot
from dlbc.core.types import TaskId
from dlbc.roles.keeping import MarketKeeper
from dlbc.roles.relaying import Relay
from play import DISPUTER, FIRST_MINER, TERMS, Play, account
from proxy import Forward, Proxy

pytestmark = pytest.mark.contract

KEEPERS = (DISPUTER, DISPUTER + 1)
SHARE = TERMS.reveal_seconds // OWN_TURN


class Scene:
    """A released task whose miner left its signed reveal in a folder and is gone."""

    def __init__(self, anvil: Anvil, folder: Path) -> None:
        self.play, self.folder = Play(anvil), folder
        self.task_id = TaskId(self.play.post().task_id or 0)
        work = self.play.work(self.task_id, FIRST_MINER, 350)
        self.play.commit(work)
        self.play.release(self.task_id)
        self.miner, where = work.proof.miner, self.play.deployment
        reveal = SignedReveal(
            where.chain_id, where.market, work.proof, work.salt, work.claim, work.h_top, work.signature
        )
        (folder / reveal.file_name).write_bytes(to_bytes(reveal))
        about = (self.task_id, 0, self.miner)
        self.lots = {index: draw_lot(account(index).address, *about) for index in KEEPERS}
        self.first, self.second = sorted(KEEPERS, key=lambda index: self.lots[index])
        self.told: dict[int, list[str]] = {index: [] for index in KEEPERS}
        self.before = {index: self.sent(index) for index in KEEPERS}

    def keeper(self, index: int, url: str = "") -> MarketKeeper:
        """A daemon of its own, with a connection of its own."""
        where = self.play.deployment

        def report(event: str, **keys: Any) -> None:
            self.told[index].append(event)

        chain = Web3Chain(url or self.play.anvil.url, where.market, where.lens, account(index))
        return MarketKeeper(chain, report, relay=Relay(chain, self.folder, report))

    def sent(self, index: int) -> int:
        return int(self.play.anvil.rpc("eth_getTransactionCount", account(index).address, "latest"), 16)

    def paid(self, index: int) -> int:
        """Transactions of a keeper that were mined since the scene began."""
        return self.sent(index) - self.before[index]

    def waiting(self) -> int:
        return int(self.play.anvil.rpc("txpool_status")["pending"], 16)

    def move_to_turn(self, index: int) -> None:
        """The first second in which this keeper may send."""
        start = self.play.requester.phase(self.task_id).ends_at - TERMS.reveal_seconds + SHARE
        self.play.anvil.move_to(start + delay(SHARE, self.lots[index]))

    @property
    def is_revealed(self) -> bool:
        return self.play.requester.entry(self.task_id, 0, self.miner).has_revealed


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """On a node of its own."""
    monkeypatch.setattr(transactions, "FIRST_POLL", 0.002)
    monkeypatch.setattr(transactions, "LONGEST_POLL", 0.02)
    with Anvil("--hardfork", "prague") as node:
        yield Scene(node, tmp_path)


def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition, not for a time."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_two_keepers__take_turns__one_transaction(scene: Scene) -> None:
    """When the first one's moment comes the other still waits, and then finds it on chain."""
    one, other = scene.keeper(scene.first), scene.keeper(scene.second)
    scene.move_to_turn(scene.first)
    other.tick()
    one.tick()
    scene.move_to_turn(scene.second)
    other.tick()
    assert scene.is_revealed
    assert (scene.paid(scene.first), scene.paid(scene.second)) == (1, 0)


def test_two_keepers__first_one_is_gone__the_second_sends(scene: Scene) -> None:
    """Nobody waits for a keeper that is not there."""
    other = scene.keeper(scene.second)
    scene.move_to_turn(scene.second)
    other.tick()
    assert scene.is_revealed
    assert scene.paid(scene.second) == 1


def test_two_keepers__the_others_waits_in_the_pool__nothing_is_sent(scene: Scene) -> None:
    """What the node's pool shows is as good as done: one transaction is mined for the reveal."""
    scene.move_to_turn(scene.second)
    scene.play.anvil.rpc("evm_setAutomine", False)
    one, other = scene.keeper(scene.first), scene.keeper(scene.second)
    first = threading.Thread(target=one.tick)
    first.start()
    until(lambda: scene.waiting() == 1)
    other.tick()
    assert scene.waiting() == 1
    assert "relay_overtaken" in scene.told[scene.second]
    scene.play.anvil.rpc("evm_mine")
    first.join(60)
    for _ in range(3):
        other.tick()
    assert scene.is_revealed
    assert (scene.paid(scene.first), scene.paid(scene.second)) == (1, 0)
    assert "relay_failed" not in scene.told[scene.second]


def test_two_keepers__same_block_without_a_view_of_the_pool__one_is_wasted(scene: Scene) -> None:
    """The worst case costs one failed transaction, once, and is no failure of the keeper."""
    scene.move_to_turn(scene.second)
    scene.play.anvil.rpc("evm_mine")
    scene.play.anvil.rpc("evm_setAutomine", False)

    def blind(params: list[Any], forward: Forward) -> Any:
        params[1:] = ["latest"]
        return forward()

    with Proxy(scene.play.anvil) as node:
        node.rules |= {"eth_call": blind, "eth_estimateGas": blind}
        keepers = [scene.keeper(index, node.url) for index in (scene.first, scene.second)]
        threads = [threading.Thread(target=keeper.tick) for keeper in keepers]
        for thread in threads:
            thread.start()
        until(lambda: scene.waiting() == 2)
        scene.play.anvil.rpc("evm_mine")
        for thread in threads:
            thread.join(60)
        for keeper in keepers * 3:
            keeper.tick()
    assert scene.is_revealed
    assert [scene.paid(index) for index in KEEPERS] == [1, 1]
    told = scene.told[scene.first] + scene.told[scene.second]
    assert told.count("reveal_relayed") == told.count("relay_overtaken") == 1
    assert "relay_failed" not in told

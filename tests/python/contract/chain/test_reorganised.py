"""What a reorganisation drops after it was mined is made again: roles decide from what the chain tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Anvil
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Locator, TaskId
from dlbc.roles.miner import Miner, MinerOptions
from dlbc.roles.requester import Requester
from fakes.journal import MemoryJournal
from fakes.storage import MemoryStorage
from fakes.trainer import FakeData, FakeTrainer
from fakes.world import TASK
from play import FIRST_MINER, REQUESTER, Play, account

pytestmark = pytest.mark.contract

TICKS = 8
"""Looks at the chain within which what was lost has to be there again."""


class Market:
    """A requester and a miner on a node of their own, with real transactions and made-up models."""

    def __init__(self, node: Anvil, folder: Path) -> None:
        self.node, self.play = node, Play(node)
        self.network: dict[Locator, bytes] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []
        journal = MemoryJournal()

        @contextmanager
        def open_journal() -> Iterator[MemoryJournal]:
            yield journal

        self.requester = Requester(
            chain=self.play.chain(REQUESTER),
            pool=self.play.pool(REQUESTER),
            storage=MemoryStorage(self.network),
            keys=account(REQUESTER),
            data=FakeData(),
            trainer=FakeTrainer(),
            open_journal=open_journal,
            read_journal=open_journal,
            report=self.hear,
        )
        self.miner = Miner(
            chain=self.play.chain(FIRST_MINER),
            pool=self.play.pool(FIRST_MINER),
            storage=MemoryStorage(self.network),
            keys=account(FIRST_MINER),
            trainer=FakeTrainer(),
            journal=MemoryJournal(),
            folder=folder,
            options=MinerOptions(),
            report=self.hear,
        )
        prepared = self.requester.prepare(parse_task_file(TASK), folder)
        self.task_id: TaskId = self.requester.post(prepared)[0]

    def hear(self, event: str, **keys: Any) -> None:
        self.events.append((event, keys))

    def heard(self, event: str) -> int:
        return [what for what, _ in self.events].count(event)

    @property
    def entry(self) -> Any:
        return self.play.requester.entry(self.task_id, 0, account(FIRST_MINER).address)

    @property
    def round(self) -> Any:
        return self.play.requester.round(self.task_id, 0)

    def tick_until(self, condition: Callable[[], object], most: int = TICKS) -> None:
        for _ in range(most):
            if condition():
                return
            self.miner.tick()
        assert condition(), self.events[-5:]

    def to_commit(self) -> None:
        """If it is not there yet; as the following ones."""
        self.tick_until(lambda: self.entry.commit_seq, 20)

    def to_reveal(self) -> None:
        self.to_commit()
        if not self.round.reveal_end:
            self.node.move_to(self.round.train_end)
            self.requester.release(self.task_id)
        self.tick_until(lambda: self.entry.has_revealed)

    def to_opening(self) -> None:
        self.to_reveal()
        self.node.move_to(self.round.reveal_end)
        self.tick_until(lambda: self.round.challenge_end)

    @property
    def is_over(self) -> bool:
        return self.play.requester.phase(self.task_id).phase.is_cold

    def drop(self, depth: int) -> None:
        """The last blocks are replaced by empty ones, and the clock goes on where it was."""
        time = self.node.time()
        for _ in range(depth - 1):
            self.node.rpc("evm_mine")
        self.node.rpc("anvil_reorg", depth, [])
        self.node.move_to(time + depth)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One task that all tests carry on, each as far as it needs it."""
    with Anvil("--hardfork", "prague") as node:
        yield Market(node, tmp_path_factory.mktemp("miner"))


@pytest.mark.parametrize("depth", [1, 12])
def test_reorganisation__commit_dropped__is_sent_again_with_one_deposit(market: Market, depth: int) -> None:
    """The same model, the same secrets; the deposit is paid once."""
    market.to_commit()
    before, balance = market.entry.digest, market.play.requester.market_balance()
    market.drop(depth)
    assert market.entry.commit_seq == 0
    market.tick_until(lambda: market.entry.commit_seq)
    assert before == market.entry.digest
    assert balance == market.play.requester.market_balance()
    assert market.round.commits == 1
    assert market.heard("training_started") == 1


@pytest.mark.parametrize("depth", [1, 12])
def test_reorganisation__reveal_dropped__is_sent_again(market: Market, depth: int) -> None:
    """The claim is the one that was journaled; it is not computed again."""
    market.to_reveal()
    before = market.entry.digest
    market.drop(depth)
    assert not market.entry.has_revealed
    market.tick_until(lambda: market.entry.has_revealed)
    assert before == market.entry.digest
    assert market.heard("claim_built") == 1


@pytest.mark.parametrize("depth", [1, 12])
def test_reorganisation__opening_dropped__is_sent_again(market: Market, depth: int) -> None:
    """The leader does not take its opening for granted."""
    market.to_opening()
    market.drop(depth)
    assert not market.round.challenge_end
    market.tick_until(lambda: market.round.challenge_end)


def test_reorganisation__settlement_dropped__is_advanced_again_and_paid_once(market: Market) -> None:
    """In the end the miner has its prize and its deposit, and the market's books are even."""
    market.to_opening()
    market.node.move_to(market.round.challenge_end)
    market.tick_until(lambda: market.is_over)
    market.drop(1)
    assert not market.is_over
    market.tick_until(lambda: market.is_over)
    market.tick_until(lambda: not market.entry.holds_deposit)
    market.tick_until(lambda: not market.play.requester.credit(account(FIRST_MINER).address))
    locked, credited = market.play.requester.liabilities()
    assert locked == 0
    assert market.play.requester.market_balance() == credited

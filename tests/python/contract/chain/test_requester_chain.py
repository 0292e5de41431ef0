"""The requester's daemon on a real chain: many releases at once, their order and gas, and what looking costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from anvil_node import Anvil
from dlbc.adapters.chain.transactions import Sending
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.chain.web3_pool import Web3Pool
from dlbc.core.errors import TryLater
from dlbc.core.events import Receipt
from dlbc.core.proofs import test_commitment as commitment_of
from dlbc.core.records import to_record
from dlbc.core.types import Phase, TaskId, Wei
from dlbc.roles.attention import Attention
from dlbc.roles.bond_watch import PREIMAGE, RELEASE_GAS, BondWatch
from dlbc.roles.model_store import ModelStore
from dlbc.roles.requester import Requester
from dlbc.roles.requesting import RequesterDaemon
from dlbc.roles.telling import Outbox
from fakes.channel import Listener
from fakes.journal import MemoryJournal
from fakes.storage import MemoryStorage
from fakes.trainer import FakeData, FakeTrainer
from play import FIRST_MINER, REQUESTER, Play, account
from proxy import Proxy

pytestmark = pytest.mark.contract

TASKS = 20


@pytest.fixture
def node(anvil: Anvil) -> Iterator[Proxy]:
    """Counts the requests."""
    with Proxy(anvil) as found:
        yield found


def daemon(play: Play, node: Proxy, folder: Path, listener: Listener, told: list[tuple[str, Any]]) -> RequesterDaemon:
    """Its files are nowhere: what it releases with, an earlier process found out."""
    where, journal, storage = play.deployment, MemoryJournal(), MemoryStorage()
    record = {"test_set": to_record(play.test_set()), "test_key": to_record(play.test_key(0))}
    journal.put(PREIMAGE, commitment_of(play.test_set()).hex(), record)
    chain = Web3Chain(node.url, where.market, where.lens, account(REQUESTER), where.block_number, where.chain_id)

    @contextmanager
    def no_journal() -> Iterator[MemoryJournal]:
        yield MemoryJournal()

    def report(event: str, **keys: Any) -> None:
        told.append((event, keys))

    def nothing() -> Any:
        raise TryLater("no model is wanted here")

    keys, data = account(REQUESTER), FakeData()
    who = Requester(chain, Web3Pool(chain), storage, keys, data, FakeTrainer(), no_journal, no_journal, report)
    clock: Callable[[], float] = time.monotonic
    return RequesterDaemon(
        requester=who,
        journal=journal,
        outbox=Outbox(journal, [listener.process()], clock, report, 10.0),
        store=ModelStore(nothing, storage, journal, folder, clock, report),
        bonds=BondWatch(chain, who, storage, journal, folder / "files", report=report, patience=10.0),
        attention=Attention(chain, clock),
        seconds=clock,
        wall=time.time,
        report=report,
    )


def committed_tasks(play: Play) -> list[TaskId]:
    """Each window ends earlier than that of the task before."""
    tasks = []
    for number in range(TASKS):
        task_id = TaskId(play.post(release_seconds=2 * 3600 - 60 * number).task_id or 0)
        play.commit(play.work(task_id, FIRST_MINER, 350))
        tasks.append(task_id)
    return tasks


def test_daemon__twenty_releases_due_at_once__all_in_one_tick_and_the_most_urgent_first(
    play: Play, node: Proxy, tmp_path: Path
) -> None:
    """None waits for another; each takes less gas than was reckoned with."""
    tasks, told, listener = committed_tasks(play), list[tuple[str, Any]](), Listener()
    requester = daemon(play, node, tmp_path, listener, told)
    for _ in count():
        requester.tick()
        if all(task_id in requester.followed and requester.followed[task_id].release_end for task_id in tasks):
            break
    play.to_release(tasks[-1])
    for _ in range(2):  # the first look finds the new block
        requester.tick()
    released = [keys for event, keys in told if event == "test_set_released"]
    assert [keys["task_id"] for keys in released] == tasks[::-1]
    assert all(keys["gas"] < RELEASE_GAS for keys in released)
    assert all(play.requester.phase(task_id).phase is Phase.REVEALING for task_id in tasks)


def test_daemon__nothing_happens__one_request_a_tick(play: Play, node: Proxy, tmp_path: Path) -> None:
    """However many tasks it follows."""
    tasks = committed_tasks(play)
    requester = daemon(play, node, tmp_path, Listener(), [])
    for _ in range(6):
        requester.tick()
    assert set(requester.followed) == set(tasks)
    node.calls.clear()
    for _ in range(5):
        requester.tick()
    assert node.calls == ["eth_getBlockByNumber"] * 5


def test_postings_of__several_requesters__only_its_own(play: Play) -> None:
    """By the log's index."""
    mine = [play.post().task_id for _ in range(2)]
    assert [event.task_id for event in play.chain(FIRST_MINER).postings_of(account(REQUESTER).address)] == mine
    assert play.requester.postings_of(account(FIRST_MINER).address) == []


def test_gas_price__what_a_transaction_offers__and_not_above_the_ceiling(play: Play) -> None:
    """What a release will be paid for with, or why it will not be sent."""
    paid: Receipt = play.post()
    assert play.requester.gas_price() * paid.gas_used > 0
    where = play.deployment
    careful = Web3Chain(play.anvil.url, where.market, where.lens, account(REQUESTER), sending=Sending(max_fee=Wei(1)))
    with pytest.raises(TryLater, match="max_fee_gwei"):
        careful.gas_price()

"""One cheap look tells which tasks something happened to, and costs a request while nothing does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anvil_node import Anvil
from dlbc.adapters.chain.web3_chain import Web3Chain
from play import FIRST_MINER, REQUESTER, Play, account
from proxy import Proxy

pytestmark = pytest.mark.contract


@pytest.fixture
def node(anvil: Anvil) -> Iterator[Proxy]:
    """Counts the requests."""
    with Proxy(anvil) as proxy:
        yield proxy


@pytest.fixture
def chain(node: Proxy, play: Play) -> Web3Chain:
    """The market through the counting node, connected already."""
    where = play.deployment
    found = Web3Chain(node.url, where.market, where.lens, None, where.block_number)
    found.news()
    node.calls.clear()
    return found


def test_news__tasks_of_several_blocks__names_them_and_those_that_are_new(play: Play, chain: Web3Chain) -> None:
    """A posting and a commit are told; what happened before the last look is not told again."""
    first = chain.news()
    one = play.post().task_id
    between = chain.news(first)
    two = play.post().task_id
    play.commit(play.work(one, FIRST_MINER, 350))
    after = chain.news(between)
    assert first.touched is None
    assert (between.posted, between.touched) == ({one}, {one})
    assert (after.posted, after.touched) == ({two}, {one, two})
    assert after.block == int(play.anvil.rpc("eth_blockNumber"), 16)
    assert after.time == play.anvil.time()


def test_news__demand_and_dispute__are_told_though_the_pool_logs_them(play: Play, chain: Web3Chain) -> None:
    """A leader has to answer a demand within a window; it must hear of it."""
    work = play.opened()
    seen = chain.news()
    play.dispute(work)
    assert chain.news(seen).touched == {work.proof.task_id}


def test_news__nothing_happens__one_request_a_look(play: Play, chain: Web3Chain, node: Proxy) -> None:
    """Neither the same block nor an empty new one needs the log."""
    seen = chain.news()
    node.calls.clear()
    again = chain.news(seen)
    play.anvil.rpc("evm_mine")
    later = chain.news(again)
    assert (again.touched, later.touched, later.block) == (frozenset(), frozenset(), seen.block + 1)
    assert node.calls == ["eth_getBlockByNumber"] * 2


def test_news__reorganised__any_task_may_be_touched(play: Play, chain: Web3Chain) -> None:
    """What the last look knew is not in the chain any more."""
    play.post()  # in the last block: an empty one would come back as it was
    seen = chain.news()
    play.anvil.rpc("anvil_reorg", 1, [])
    play.anvil.rpc("evm_mine")
    assert chain.news(seen).touched is None


def test_commits_of__many_miners__only_its_own_with_replacements(play: Play) -> None:
    """A miner finds what it committed to without looking at any task."""
    one, two = play.post().task_id, play.post().task_id
    for task_id, miner, attempt in ((one, 0, 0), (one, 1, 0), (two, 0, 0), (one, 0, 1)):
        work = play.work(task_id, FIRST_MINER + miner, 350, attempt=attempt)
        play.commit(work, deposit=0 if attempt else None)
    mine = play.requester.commits_of(account(FIRST_MINER).address)
    assert [event.task_id for event in mine] == [one, two, one]
    assert {event.miner for event in mine} == {account(FIRST_MINER).address}
    assert play.requester.commits_of(account(REQUESTER).address) == []


def test_prizes_of__winner__what_and_when(play: Play) -> None:
    """The bounty less the fee, at the settlement's time."""
    work = play.opened()
    play.settle(work.proof.task_id)
    (prize,) = play.requester.prizes_of(work.proof.miner)
    (event,) = play.requester.settlements(work.proof.task_id)
    (block,) = play.requester.blocks()
    assert (prize.task_id, prize.round, prize.wei, prize.at) == (work.proof.task_id, 0, event.paid_wei, block.timestamp)

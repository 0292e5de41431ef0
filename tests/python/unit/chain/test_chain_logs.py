"""How a log is read from nodes that limit, stall or lie, without a chain."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from dlbc.adapters.chain import logs
from dlbc.adapters.chain.logs import Limit, read_logs
from dlbc.adapters.chain.rpc import NoAnswerInTime, RpcError
from dlbc.core.errors import VerificationFailed
from fakes.log_node import EVENT, MARKET, LogNode
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def read(node: LogNode, last: int, *, task: int | None = None, limit: Limit | None = None) -> list[int]:
    """The task ids of the log of blocks 0 … last."""
    return [log["task_id"] for log in read_logs(node, limit or Limit(), MARKET, EVENT, [task], 0, last)]


@given(
    blocks=st.lists(st.integers(0, 50_000), max_size=60),
    most_blocks=st.integers(500, 100_000),
    most_logs=st.integers(60, 100),
    slow_blocks=st.integers(20_000, 100_000),
    at_once=st.integers(1, 50),
)
@settings(max_examples=100, deadline=None)
def test_read_logs__any_log_and_any_limits__is_every_event_once_and_in_order(
    blocks: list[int], most_blocks: int, most_logs: int, slow_blocks: int, at_once: int
) -> None:
    """Whatever the node limits, all blocks are asked for once, one range after the other, and nothing is lost."""
    node = LogNode(sorted(blocks), most_blocks=most_blocks, most_logs=most_logs, slow_blocks=slow_blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "LOGS_AT_ONCE", at_once)
        assert read(node, 50_000) == list(range(1, len(blocks) + 1))
    assert (node.ranges[0][0], node.ranges[-1][1]) == (0, 50_000)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(node.ranges))


def test_read_logs__more_results_than_the_node_serves__are_asked_for_in_halves() -> None:
    """A limit of results is met by smaller ranges where there are many, down to a block."""
    node = LogNode([7] * 3 + [8] * 3 + [9] * 3, most_logs=3)
    assert read(node, 2_000) == list(range(1, 10))
    with pytest.raises(RpcError, match="more than 2 results"):
        read(LogNode([7] * 3, most_logs=2), 2_000)


def test_read_logs__ten_million_empty_blocks__take_few_requests() -> None:
    """Ranges grow where nothing happens."""
    node = LogNode([9_999_999])
    assert read(node, 10_000_000) == [1]
    assert node.asked <= 11


def test_read_logs__many_events__never_holds_many_more_than_planned() -> None:
    """Ranges shrink where much happens: one answer is what is in memory."""
    node = LogNode([block for block in range(0, 40_000, 4) for _ in range(8)])
    assert len(read(node, 40_000)) == 80_000
    sizes = [sum(first <= int(log["blockNumber"], 16) <= last for log in node.logs) for first, last in node.ranges]
    assert max(sizes) <= 2 * logs.LOGS_AT_ONCE


def test_read_logs__one_task_of_many__is_one_request() -> None:
    """What an indexed value narrows down is asked for all at once."""
    node = LogNode(range(0, 10_000_000, 10_000))
    assert read(node, 10_000_000, task=5) == [5]
    assert node.asked == 1


def test_read_logs__consumer_that_stops__asks_for_no_more() -> None:
    """Ranges are read as they are consumed."""
    node = LogNode([1, 2, 900_000])
    found = list(islice(read_logs(node, Limit(), MARKET, EVENT, [], 0, 1_000_000), 2))
    assert [log["block_number"] for log in found] == [1, 2]
    assert node.asked == 1


def test_read_logs__limit_once_refused__is_known_to_later_reads_and_tried_again_later() -> None:
    """The next read starts within the limit; after some calm more is asked for, as the limit may have been passing."""
    node, limit = LogNode([3], most_blocks=1_000), Limit()
    assert read(node, 2_000, limit=limit) == [1]
    refused = node.asked - len(node.ranges)
    assert read(node, 2_000, limit=limit) == [1]
    assert node.asked - len(node.ranges) == refused == 1
    node.most_blocks = 2**63
    assert read(node, 10_000_000, limit=limit) == [1]
    assert limit.blocks > 100_000


def test_read_logs__slow_node__is_asked_for_less_at_once() -> None:
    """A range that takes too long is halved, a node that never answers is given up after a few."""
    assert read(LogNode([3], slow_blocks=600), 5_000) == [1]
    silent = LogNode([3], slow_blocks=0)
    with pytest.raises(NoAnswerInTime):
        read(silent, 5_000)
    assert silent.asked == logs.TIMEOUTS


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda log: [log, log], "each log once"),
        (lambda log: [log | {"blockNumber": hex(9_999)}], "of the blocks that were asked for only"),
        (lambda log: [log | {"topics": log["topics"][:2]}], "decodes as its ABI says"),
        (lambda log: [log | {"topics": [*log["topics"][:2], "0x00"]}], "decodes as its ABI says"),
        (lambda log: [log | {"logIndex": None}], "a hexadecimal number"),
    ],
    ids=["twice", "another block", "too few topics", "a short topic", "no index"],
)
def test_read_logs__lying_node__fails_verification(damage: object, told: str) -> None:
    """Logs that can't be are a lie, told in one sentence."""
    node = LogNode([3])
    node.logs = damage(node.logs[0])  # type: ignore[operator]
    whole = node.request
    node.request = lambda method, params, **how: [*whole(method, params, **how), *node.logs][: len(node.logs)]  # type: ignore[method-assign]
    with pytest.raises(VerificationFailed, match=told):
        read(node, 100)


def test_read_logs__removed_by_a_reorganisation__is_left_out() -> None:
    """What a node marks as removed has not happened."""
    node = LogNode([3, 4])
    node.logs[0]["removed"] = True
    assert read(node, 100) == [2]

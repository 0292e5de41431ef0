"""Which checkpoints of a verified ledger are kept, and what a reorganisation leaves of them."""

from __future__ import annotations

import pytest
from dlbc.core.hashing import keccak
from dlbc.core.ledger_memory import REORGANISED_BLOCKS, Checkpoint, Depth, Memory, Verified, from_bytes, to_bytes
from dlbc.core.ledger_state import FirstReveal, LedgerState, Origin
from dlbc.core.types import Address, Hash32, TaskId
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MARKET, MINER, GENESIS = Address("0x" + "aa" * 20), Address("0x" + "bb" * 20), keccak(b"genesis")


def hash_of(number: int) -> Hash32:
    """Of a block of a chain that nothing has happened to."""
    return keccak(b"%d" % number)


def memory(*numbers: int) -> Memory:
    """After runs that ended at these blocks of the chain; each has verified one ledger block more."""
    found = Memory(31337, MARKET, GENESIS)
    for number in numbers:
        found.blocks.append(Verified(hash_of(number), TaskId(number), 0, Depth.MODEL))
        found.keep(Checkpoint(number, hash_of(number), LedgerState(hash_of(number), height=len(found.blocks))))
    return found


def kept(found: Memory) -> list[int]:
    """Blocks of the chain with a checkpoint."""
    return [checkpoint.block_number for checkpoint in found.checkpoints]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_keep__runs_at_any_distance__keeps_three_and_one_that_is_deep(steps: list[int]) -> None:
    """However often somebody verifies, a usual reorganisation does not cost the whole ledger."""
    numbers = [sum(steps[: count + 1]) for count in range(len(steps))]
    found = kept(memory(*numbers))
    assert found == sorted(set(found))
    assert len(found) <= 3
    assert found[-1] == numbers[-1]
    deep = [number for number in numbers if number <= numbers[-1] - REORGANISED_BLOCKS]
    assert found[0] <= (deep[-1] if deep else numbers[0])


def test_roll_back__chain_unchanged__keeps_everything() -> None:
    """Nothing is verified again."""
    found = memory(10, 100, 110)
    found.roll_back(hash_of)
    assert (kept(found), len(found.blocks)) == ([10, 100, 110], 3)


def test_roll_back__blocks_gone__forgets_what_came_after_the_last_one_left() -> None:
    """A chain that is shorter now, or another one."""
    found = memory(10, 100, 110)
    found.roll_back(lambda number: hash_of(number) if number < 105 else None)
    assert (kept(found), len(found.blocks)) == ([10, 100], 2)
    found.roll_back(lambda number: hash_of(0))
    assert (kept(found), found.blocks) == ([], [])


def test_bytes__whole_memory__comes_back() -> None:
    """With everything that the replay has to know at each checkpoint."""
    found = memory(10, 100)
    state = found.checkpoints[-1].state
    state.first_reveals[hash_of(1)] = FirstReveal(3, MINER)
    state.origins[hash_of(1)] = Origin(3, MINER)
    assert from_bytes(to_bytes(found), 31337, MARKET, GENESIS) == found

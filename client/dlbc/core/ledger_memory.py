"""What a verification of the ledger leaves for the next one, and what of it still counts.

A checkpoint is a place of the chain with the replay's state there: it holds as long as the chain has that block. Up to
three are kept, so that a reorganisation costs what came after the last one it left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from dlbc.core.errors import BadInput
from dlbc.core.ledger_state import LedgerState
from dlbc.core.records import from_record, to_record
from dlbc.core.types import Address, Hash32, TaskId

VERSION = 1
"""Of the checks: a file of another version is read by nobody, and everything is checked again."""
REORGANISED_BLOCKS = 64
"""Of the chain: one checkpoint at least so far behind the newest is kept, if there was one."""


class Depth(IntEnum):
    """How far a block was looked into."""

    CHAIN = 0  # all that follows from the chain alone
    MODEL = 1  # its model was fetched, and is what the chain says
    SCORE = 2  # and was audited: scored again, searched for marks

    @property
    def label(self) -> str:
        """As users read it."""
        return self.name.lower()


@dataclass(slots=True)
class Verified:
    """One ledger block that holds."""

    hash: Hash32
    task_id: TaskId
    round: int
    depth: Depth = Depth.CHAIN


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The replay after all events up to a block of the chain."""

    block_number: int
    block_hash: Hash32
    state: LedgerState


@dataclass(slots=True)
class Memory:
    """Of one ledger. Blocks are in order from height 0."""

    chain_id: int
    market: Address
    genesis: Hash32
    version: int = VERSION
    blocks: list[Verified] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def roll_back(self, hash_of: Callable[[int], Hash32 | None]) -> None:
        """Forgets what came after the last checkpoint that the chain still has. hash_of: of a block of the chain."""
        while self.checkpoints and hash_of(self.checkpoints[-1].block_number) != self.checkpoints[-1].block_hash:
            self.checkpoints.pop()
        del self.blocks[self.checkpoints[-1].state.height if self.checkpoints else 0 :]

    def keep(self, checkpoint: Checkpoint) -> None:
        """One more, at the chain's tip. Beside it stay the one before, and the newest REORGANISED_BLOCKS old."""
        past = [each for each in self.checkpoints if each.block_number < checkpoint.block_number]
        deep = [each for each in past if each.block_number <= checkpoint.block_number - REORGANISED_BLOCKS]
        kept = {each.block_number: each for each in (*(deep[-1:] or past[:1]), *past[-1:], checkpoint)}
        self.checkpoints = list(kept.values())


def to_bytes(memory: Memory) -> bytes:
    """The file's content."""
    return json.dumps(to_record(memory), separators=(",", ":")).encode() + b"\n"


def from_bytes(data: bytes, chain_id: int, market: Address, genesis: Hash32) -> Memory:
    """The memory of this ledger in a file's content. Raises BadInput for anything else."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput("it is no JSON") from error
    if not isinstance(record, dict) or record.get("version") != VERSION:
        raise BadInput("it was written by another version of the checks")
    memory = from_record(Memory, record)
    if (memory.chain_id, memory.market, memory.genesis) != (chain_id, market, genesis):
        raise BadInput("it is about another ledger")
    heights = [checkpoint.state.height for checkpoint in memory.checkpoints]
    if heights != sorted(heights) or (heights[-1] if heights else 0) != len(memory.blocks):
        raise BadInput("its blocks and its checkpoints do not agree")
    return memory

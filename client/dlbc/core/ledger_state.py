"""What a replay of a market's log keeps in mind between two events: the ledger so far, and the tasks still open."""

from __future__ import annotations

from dataclasses import dataclass, field

from dlbc.core.events import ClaimRevealed, ModelOpened, TaskPosted, TestSetReleased
from dlbc.core.report import Check
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId


@dataclass(slots=True)
class Entrant:
    """One miner in a round."""

    commitment: Hash32
    commit_seq: int
    claim: ClaimRevealed | None = None
    qualifies: bool = False
    is_struck: bool = False


@dataclass(slots=True)
class Contest:
    """A task that is not over, in its present round."""

    posted: TaskPosted
    required_ppm: int  # least score that qualifies (P-42)
    round: int = 0
    previous_model: Hash32 | None = None  # of the round before; None: this is the first
    entrants: dict[Address, Entrant] = field(default_factory=dict)
    owners: dict[Hash32, Address] = field(default_factory=dict)
    """Who revealed a model with the lowest commitSeq of this round (P-33)."""
    released: TestSetReleased | None = None
    leader: Address = ZERO_ADDRESS
    may_nominate: bool = False  # a leader was struck or displaced
    opening: ModelOpened | None = None
    of_task: list[Check] = field(default_factory=list)
    of_round: list[Check] = field(default_factory=list)
    """What does not hold, of the posting and of this round."""

    @property
    def rounds(self) -> int:
        return len(self.posted.test_commitments)


@dataclass(frozen=True, slots=True)
class FirstReveal:
    """Who owns a model on the whole market (P-33)."""

    commit_seq: int
    miner: Address


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model was settled; of several rounds, the one with the lowest commitSeq."""

    commit_seq: int
    miner: Address


@dataclass(slots=True)
class LedgerState:
    """After some event."""

    head: Hash32  # hash of the last block, or what block 0 links to
    height: int = 0  # blocks so far
    difficulty: int = 0  # their sum
    tasks: int = 0
    open_tasks: int = 0
    commit_seq: int = 0
    contests: dict[TaskId, Contest] = field(default_factory=dict)
    first_reveals: dict[Hash32, FirstReveal] = field(default_factory=dict)
    origins: dict[Hash32, Origin] = field(default_factory=dict)

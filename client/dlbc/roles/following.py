"""The tasks that a requester's daemon follows, and what it remembers of each across a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dlbc.core.decide import Facts
from dlbc.core.phases import release_window
from dlbc.core.types import Address, Hash32, Phase, TaskId, Timestamp, Wei
from dlbc.ports import Journal
from dlbc.roles.notices import Level
from dlbc.roles.outcome import NOTHING

TASK = "task"
UNKNOWN = Timestamp(0)


@dataclass(slots=True)
class Followed:
    """One task. What is not in `record` is read from the chain again."""

    task_id: TaskId
    market: Address
    terms_hash: Hash32
    is_past: bool | None = None  # it was over when it was first seen; None: it was not looked at yet
    is_done: bool = False  # over, paid, and its models are here
    is_released: bool = False  # the present round's test set; a task that is over counts as released
    is_collected: bool = False
    round: int = 0
    bond_wei: Wei = NOTHING
    release_start: Timestamp = UNKNOWN
    release_end: Timestamp = UNKNOWN
    reveal_end: Timestamp = UNKNOWN
    warned: Level = Level.NONE
    warned_of: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)
    checked_at: Timestamp = UNKNOWN
    facts: Facts | None = None  # of the last look
    returned_wei: Wei | None = None  # to the requester; None: not known yet
    models: dict[int, Hash32] = field(default_factory=dict)  # that won, by round
    looked: int = 0  # the number of the last look
    _written: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """Of its records: another market, or a reorganisation, may have another task of this number."""
        return f"{self.terms_hash.hex()[:16]}/{self.task_id}"

    def model_key(self, index: int) -> str:
        """Of the record of a round's model."""
        return f"{self.key}/{index}"

    @property
    def is_over(self) -> bool:
        """Cold, as far as the last look knows."""
        return self.facts is not None and self.facts.phase.phase.is_cold

    def learn(self, facts: Facts) -> None:
        """Takes in what the chain says."""
        self.facts = facts
        phase, self.round, self.bond_wei = facts.phase.phase, facts.task.round, facts.task.bond_wei
        if self.is_past is None:
            self.is_past = phase.is_cold
        self.is_released = phase.is_cold or facts.round.reveal_end != 0
        self.release_start, self.release_end = release_window(facts.task, facts.round, facts.finality_gap)
        self.reveal_end = facts.round.reveal_end
        if not phase.is_cold:
            self.is_done, self.is_collected, self.returned_wei = (
                False,
                False,
                None,
            )  # a reorganisation may have brought it back

    @property
    def has_release_ahead(self) -> bool:
        """Its bond hangs on a release that is still to come."""
        if self.is_released or self.is_done:
            return False
        # nobody committed: nothing has to be released
        return self.facts is None or not (self.facts.phase.phase is Phase.TRAINING and self.facts.phase.due)

    def save(self, journal: Journal) -> None:
        """Writes what changed."""
        record = {
            "task_id": self.task_id,
            "market": self.market,
            "terms_hash": self.terms_hash.hex(),
            "is_past": self.is_past,
            "is_done": self.is_done,
            "is_released": self.is_released,
            "round": self.round,
            "bond_wei": self.bond_wei,
            "release_start": self.release_start,
            "release_end": self.release_end,
            "warned": int(self.warned),
            "warned_of": list(self.warned_of),
            "problems": dict(self.problems),
            "checked_at": self.checked_at,
        }
        if record != self._written:
            journal.put(TASK, self.key, record)
            self._written = record


def read_followed(journal: Journal, market: Address) -> Iterator[Followed]:
    """What an earlier process followed on this market. When it looked is forgotten: the next one looks again."""
    for _, record in journal.all(TASK):
        if record["market"] != market:
            continue
        yield Followed(
            task_id=TaskId(int(record["task_id"])),
            market=market,
            terms_hash=Hash32(bytes.fromhex(record["terms_hash"])),
            is_past=record["is_past"],
            is_done=bool(record["is_done"]),
            is_released=bool(record["is_released"]),
            round=int(record["round"]),
            bond_wei=Wei(int(record["bond_wei"])),
            release_start=Timestamp(int(record["release_start"])),
            release_end=Timestamp(int(record["release_end"])),
            warned=Level(int(record["warned"])),
            warned_of=tuple(record["warned_of"]),
            problems={str(kind): str(why) for kind, why in record["problems"].items()},
            _written=dict(record),
        )

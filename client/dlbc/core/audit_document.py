"""An audit written down for somebody who was not there: all that the report page and its JSON say, and nothing else.

Values of strangers are kept as they came; whoever renders them makes them harmless.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.money_flow import MoneyFlow
from dlbc.core.report import Check
from dlbc.core.score_table import ScoreTable
from dlbc.core.timeline import Step
from dlbc.core.types import Address, Hash32, TaskId, Timestamp, Wei

SCHEMA = "dlbc-audit-report/1"
"""Raised when a name of the JSON goes or changes its meaning; names may be added."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line about the task."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One model of the declared line of parents."""

    model_hash: Hash32
    task_id: TaskId | None  # None: the ledger has no such model
    round: int | None
    miner: Address | None
    score_ppm: int | None


@dataclass(frozen=True, slots=True)
class SampleShown:
    """One sample of the test set. found None: there is no verified model to ask."""

    index: int
    label: int
    claimed: int
    found: int | None
    is_decisive: bool  # the model contradicts the claim beyond rounding (M-8)
    picture: NDArray[np.uint8] | None = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SlotRead:
    """What one published slot of the miner's own mark reads. correlation and energy are exact; S follows."""

    slot: int
    published: str
    correlation: int
    energy: int
    carriers: int
    bits: int
    bits_wrong: int
    is_detected: bool

    @property
    def strength(self) -> float:
        """S, for display."""
        return round(self._detection.strength, 2)

    @property
    def threshold(self) -> float:
        """S from which the mark is the miner's own."""
        return float(watermark.OWN)

    @property
    def log2_false_positive(self) -> float:
        """Bound on the probability that chance gives this S."""
        return round(self._detection.log2_false_positive, 1)

    @property
    def log2_bits_by_chance(self) -> float:
        """Probability that fair coins show so few wrong bits."""
        return round(self._detection.log2_bits_by_chance, 1)

    @property
    def _detection(self) -> watermark.Detection:
        return watermark.Detection(self.correlation, self.energy, self.bits, self.bits_wrong)


@dataclass(frozen=True, slots=True)
class OtherMark:
    """One of the strongest readings of other miners' slots."""

    task_id: TaskId
    round: int
    miner: Address
    slot: int
    strength: float
    threshold: float
    log2_false_positive: float  # over all tests of this audit
    is_aligned: bool
    means: str


@dataclass(frozen=True, slots=True)
class Marks:
    """The watermark: the miner's own, and those of others that were looked for. tests None: nothing was looked for."""

    slots: tuple[SlotRead, ...]
    slots_in_all: int
    tests: int | None
    models: int
    aligned: int
    not_aligned: int
    not_served: int
    others: tuple[OtherMark, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """How the round's bounty was divided: by the rules, and by the log (None: not settled)."""

    bounty_wei: Wei
    prize_wei: Wei
    fee_wei: Wei
    royalty_wei: Wei
    paid_prize_wei: Wei | None
    paid_fee_wei: Wei | None
    paid_royalty_wei: Wei | None


@dataclass(frozen=True, slots=True)
class Score:
    """The claimed score, and the score class by class."""

    claimed_total: int
    claimed_ppm: int
    required_ppm: int
    allowed_mismatches: int | None  # None: the number of samples is not known
    mismatches: int | None  # between claim and model; None: no verified model
    is_recomputed: bool
    table: ScoreTable | None
    missing: str  # why there is no table, or why it is only what the miner published


@dataclass(frozen=True, slots=True)
class Command:
    """A command that repeats a part of the audit."""

    what: str
    command: str


@dataclass(frozen=True, slots=True)
class AuditDocument:
    """Everything that is written down. Times are the chain's."""

    client: str
    chain_id: int
    market: Address
    read_at: Timestamp
    task_id: TaskId
    round: int
    rounds: int
    name: str
    phase: str
    is_settled: bool
    is_passed: bool
    requester: Address
    miner: Address
    model_hash: Hash32
    grounds: tuple[str, ...]
    facts: tuple[Fact, ...]
    checks: tuple[Check, ...]
    timeline: tuple[Step, ...]
    left_out: tuple[Fact, ...]
    split: Split
    money: MoneyFlow
    lineage: tuple[Ancestor, ...]
    score: Score
    samples: tuple[SampleShown, ...]
    marks: Marks
    commands: tuple[Command, ...]


def to_json(document: AuditDocument) -> dict[str, Any]:
    """Plain values, keys in camelCase as in all JSON of the client; pictures by their size."""
    value: dict[str, Any] = {"schema": SCHEMA, **_plain(document)}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, np.ndarray):
        return {"height": value.shape[0], "width": value.shape[1]}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        names += [
            name
            for name, member in vars(type(value)).items()
            if isinstance(member, property) and not name.startswith("_")
        ]
        return {_camel(name): _plain(getattr(value, name)) for name in names}
    return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)

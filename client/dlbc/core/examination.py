"""What an auditor's own checks say about a claim or a test set, and what follows for a vote (P-53, P-45)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.core import canonical
from dlbc.core.errors import BadInput
from dlbc.core.grounds import NO_GROUND, TEST_SET_CHECKS, grounds_of
from dlbc.core.hashing import is_address
from dlbc.core.report import Check
from dlbc.core.types import ZERO_ADDRESS, Address, Ground, TaskId, Verdict

MAX_BYTES = 1 << 20
MAX_CHECKS = 1_000
_MAX_TEXT = 2_000
_MAX_CLAIMS = 100_000
_WHAT = "examination"
_NOT_SERVED = frozenset({"test set bytes"})
"""Checks of a test set that fail when nobody serves it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One claim, or the test set of a round (account ZERO_ADDRESS)."""

    task_id: TaskId
    round: int
    account: Address

    @property
    def is_test_set(self) -> bool:
        """The requester's test set, not a miner's claim."""
        return self.account == ZERO_ADDRESS

    @property
    def key(self) -> str:
        """Its name in a journal."""
        return f"{self.task_id}/{self.round}/{self.account}"


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that one look found. `samples`: up to eight predictions that the opened model decides otherwise."""

    subject: Subject
    checks: tuple[Check, ...]
    samples: tuple[int, ...] = ()
    refuted: tuple[Address, ...] = ()  # claims of the round that prove themselves false (M-6)
    withheld: int | None = None  # a sample that the leader should be made to show (M-7)

    @property
    def grounds(self) -> Ground:
        """Of a dispute (P-52)."""
        return NO_GROUND if self.subject.is_test_set else grounds_of(self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """What does not hold."""
        return tuple(check for check in self.checks if not check.ok)

    @property
    def verdict(self) -> Verdict:
        """What a ballot should say. NONE: nothing that a vote decides was found out, and no ballot is a guess."""
        if not self.checks:
            return Verdict.NONE
        if self.subject.is_test_set:
            wrong = {check.name for check in self.failed} & TEST_SET_CHECKS
            if not wrong:
                return Verdict.STANDS if not self.failed else Verdict.NONE
            return Verdict.UNAVAILABLE if wrong <= _NOT_SERVED else Verdict.FALLS
        if self.grounds == Ground.UNAVAILABLE:
            return Verdict.UNAVAILABLE
        if self.grounds:
            return Verdict.FALLS
        return Verdict.NONE if self.failed else Verdict.STANDS


def examination_to_json(found: Examination) -> dict[str, Any]:
    """As `dlbc auditor examine --json` prints it."""
    return {
        "taskId": found.subject.task_id,
        "round": found.subject.round,
        "subject": found.subject.account,
        "verdict": found.verdict.name.lower(),
        "samples": list(found.samples),
        "refuted": list(found.refuted),
        "withheld": found.withheld,
        "checks": [
            {
                "name": check.name,
                "ok": check.ok,
                "expected": check.expected[:_MAX_TEXT],
                "found": check.found[:_MAX_TEXT],
            }
            for check in found.checks[:MAX_CHECKS]
        ],
    }


def examination_from_record(record: Mapping[str, Any]) -> Examination:
    """What was journaled. Raises BadInput."""
    return examination_from_json(json.dumps(record).encode())


def examination_from_json(data: bytes) -> Examination:
    """What another process of ours printed, or what was journaled; strangers' bytes have been near. Raises BadInput."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{_WHAT}: expected at most {MAX_BYTES} bytes, found {len(data)}")
    canonical.check_depth(data, what=_WHAT)
    try:
        whole = json.loads(data)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are
        raise BadInput(f"{_WHAT}: expected JSON, found something else: {error}") from error
    names = {"taskId", "round", "subject", "verdict", "samples", "refuted", "withheld", "checks"}
    value = canonical.table(whole, names, what=_WHAT)
    withheld = value["withheld"]
    return Examination(
        subject=Subject(
            TaskId(canonical.whole(value["taskId"], 1, canonical.MAX_INT, what=f"{_WHAT}: taskId")),
            canonical.whole(value["round"], 0, 2**16 - 1, what=f"{_WHAT}: round"),
            _address(value["subject"]),
        ),
        checks=tuple(_check(item) for item in canonical.items(value["checks"], 0, MAX_CHECKS, what=f"{_WHAT}: checks")),
        samples=tuple(_index(item) for item in canonical.items(value["samples"], 0, 8, what=f"{_WHAT}: samples")),
        refuted=tuple(
            _address(item) for item in canonical.items(value["refuted"], 0, _MAX_CLAIMS, what=f"{_WHAT}: refuted")
        ),
        withheld=None if withheld is None else _index(withheld),
    )


def _check(value: object) -> Check:
    table = canonical.table(value, {"name", "ok", "expected", "found"}, what=f"{_WHAT}: checks")
    if not isinstance(table["ok"], bool):
        raise BadInput(f"{_WHAT}: ok: expected true or false, found {str(table['ok'])[:40]!r}")
    return Check(_text(table["name"]), table["ok"], _text(table["expected"]), _text(table["found"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{_WHAT}: expected a text, found {str(value)[:40]!r}")
    return value


def _index(value: object) -> int:
    return canonical.whole(value, 0, 2**40 - 1, what=f"{_WHAT}: sample")


def _address(value: object) -> Address:
    if not isinstance(value, str) or not is_address(value):
        raise BadInput(f"{_WHAT}: expected an address, found {str(value)[:60]!r}")
    return Address(value)

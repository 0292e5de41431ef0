"""Evidence of a dispute or an impeachment: what was expected, what was found, and how anybody can see it again.

A file of canonical JSON on IPFS; its locator goes on chain. Evidence decides nothing: every voter recomputes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlbc.core import canonical
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.events import DisputeFiled
from dlbc.core.hashing import is_address
from dlbc.core.report import Check
from dlbc.core.types import Address, Ground, Hash32, Locator, TaskId
from dlbc.ports import Storage

MAX_EVIDENCE_BYTES = 256 * 1024
MAX_ATTACHMENT_BYTES = 4 * 2**20
MAX_CHECKS = 100
MAX_SAMPLES = 8
FETCH_SECONDS = 15.0
_TEXT = 500
_WHAT = "evidence"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the filer's own that goes with its evidence."""

    locator: Locator
    sha256: Hash32
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a filer says about one claim, or about a round's test set (grounds 0, subject ZERO_ADDRESS)."""

    chain_id: int
    market: Address
    task_id: TaskId
    round: int
    subject: Address
    grounds: Ground
    samples: tuple[int, ...]
    checks: tuple[Check, ...]
    reproduce: str
    attachments: tuple[Attachment, ...] = ()


def evidence_to_bytes(evidence: Evidence) -> bytes:
    """The file. Texts that are longer than a reader would accept are cut."""
    return canonical.to_bytes(
        {
            "dlbc_evidence": 1,
            "chain_id": evidence.chain_id,
            "market": evidence.market,
            "task_id": evidence.task_id,
            "round": evidence.round,
            "subject": evidence.subject,
            "grounds": int(evidence.grounds),
            "samples": list(evidence.samples),
            "checks": [
                {
                    "name": _cut(check.name),
                    "ok": int(check.ok),
                    "expected": _cut(check.expected),
                    "found": _cut(check.found),
                }
                for check in evidence.checks[:MAX_CHECKS]
            ],
            "reproduce": _cut(evidence.reproduce),
            "attachments": [
                {"locator": item.locator.hex(), "sha256": item.sha256.hex(), "size_bytes": item.size_bytes}
                for item in evidence.attachments
            ],
        }
    )


def evidence_from_bytes(data: bytes) -> Evidence:
    """Parses what a stranger wrote. Raises BadInput."""
    value = canonical.from_bytes(data, what=_WHAT, max_bytes=MAX_EVIDENCE_BYTES)
    known = {"dlbc_evidence", "chain_id", "market", "task_id", "round", "subject", "grounds", "samples", "checks"}
    canonical.table(value, known | {"reproduce", "attachments"}, what=_WHAT)
    canonical.whole(value["dlbc_evidence"], 1, 1, what=f"{_WHAT}: dlbc_evidence")
    return Evidence(
        chain_id=_number(value, "chain_id", canonical.MAX_INT),
        market=_address(value, "market"),
        task_id=TaskId(_number(value, "task_id", canonical.MAX_INT)),
        round=_number(value, "round", 2**16 - 1),
        subject=_address(value, "subject"),
        grounds=Ground(_number(value, "grounds", 127)),
        samples=tuple(
            canonical.whole(index, 0, 2**40 - 1, what=f"{_WHAT}: samples")
            for index in canonical.items(value["samples"], 0, MAX_SAMPLES, what=f"{_WHAT}: samples")
        ),
        checks=tuple(_check(item) for item in canonical.items(value["checks"], 0, MAX_CHECKS, what=f"{_WHAT}: checks")),
        reproduce=_text(value["reproduce"], "reproduce"),
        attachments=tuple(
            _attachment(item) for item in canonical.items(value["attachments"], 0, 1, what=f"{_WHAT}: attachments")
        ),
    )


def fetch_evidence(
    storage: Storage, filing: DisputeFiled, chain_id: int, market: Address, *, timeout: float = FETCH_SECONDS
) -> Evidence:
    """A filing's evidence, if it speaks of the case it was filed in.

    Raises Unavailable when nobody serves it, BadInput for another form, VerificationFailed for another case.
    """
    found = evidence_from_bytes(storage.fetch(filing.evidence, max_bytes=MAX_EVIDENCE_BYTES, timeout=timeout))
    about = (found.chain_id, found.market, found.task_id, found.round, found.subject)
    wanted = (chain_id, market, filing.task_id, filing.round, filing.subject)
    if about != wanted:
        raise VerificationFailed(
            f"evidence of {filing.filer}: expected task {filing.task_id}, round {filing.round}, subject "
            f"{filing.subject}; found task {found.task_id}, round {found.round}, subject {found.subject}"
        )
    return found


def ground_names(grounds: int) -> list[str]:
    """The grounds as the command line spells them: "no-watermark"."""
    return [ground_name(ground) for ground in Ground if ground & grounds]


def ground_name(ground: Ground) -> str:
    """One ground as the command line spells it."""
    return str(ground.name).lower().replace("_", "-")


def _check(value: object) -> Check:
    table = canonical.table(value, {"name", "ok", "expected", "found"}, what=f"{_WHAT}: checks")
    return Check(
        name=_text(table["name"], "name"),
        ok=canonical.whole(table["ok"], 0, 1, what=f"{_WHAT}: ok") == 1,
        expected=_text(table["expected"], "expected"),
        found=_text(table["found"], "found"),
    )


def _attachment(value: object) -> Attachment:
    table = canonical.table(value, {"locator", "sha256", "size_bytes"}, what=f"{_WHAT}: attachments")
    return Attachment(
        locator=Locator(Hash32(canonical.digest(table["locator"], what=f"{_WHAT}: locator"))),
        sha256=Hash32(canonical.digest(table["sha256"], what=f"{_WHAT}: sha256")),
        size_bytes=_number(table, "size_bytes", MAX_ATTACHMENT_BYTES),
    )


def _number(table: dict[str, Any], name: str, most: int) -> int:
    return canonical.whole(table[name], 0, most, what=f"{_WHAT}: {name}")


def _address(table: dict[str, Any], name: str) -> Address:
    text = table[name]
    if not isinstance(text, str) or not is_address(text):
        raise BadInput(f"{_WHAT}: {name}: expected an address, found {str(text)[:60]!r}")
    return Address(text)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > _TEXT:
        raise BadInput(f"{_WHAT}: {name}: expected a text of at most {_TEXT} letters, found {str(value)[:60]!r}")
    return value


def _cut(text: str) -> str:
    """What was found in a stranger's file may hold half a surrogate pair, which UTF-8 has not."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return whole if len(whole) <= _TEXT else whole[: _TEXT - 1] + "…"

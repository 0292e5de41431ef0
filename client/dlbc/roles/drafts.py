"""Prepared tasks, as the journal keeps them: whatever crashes, the test key is there before anything is posted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlbc.core.proofs import terms_hash, test_commitment
from dlbc.core.records import from_record, hex_bytes
from dlbc.core.types import Hash32, TaskId, Terms, TestSet
from dlbc.ports import Journal

DRAFT = "draft"

Preimage = tuple[TestSet, bytes]
"""Of a test commitment: the test set's facts and its key, which is secret until it is released."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A prepared task: all of it is stored and journaled, nothing is posted yet (or we do not know that it is)."""

    key: str
    terms: Terms
    test_set: TestSet
    test_key: bytes
    stage: str  # "prepared", "posting" or "posted"
    tasks_before: int
    task_id: TaskId | None

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"Draft({self.key}, {self.stage})"

    @property
    def commitments(self) -> tuple[Hash32, ...]:
        """One test commitment a round."""
        return (test_commitment(self.test_set),)

    @property
    def terms_hash(self) -> Hash32:
        """What the market will store."""
        return terms_hash(self.terms, self.commitments)


def draft_of(key: str, record: dict[str, Any]) -> Draft:
    """The draft that a journal's record is."""
    return Draft(
        key=key,
        terms=from_record(Terms, record["terms"]),
        test_set=from_record(TestSet, record["test_set"]),
        test_key=hex_bytes(record["test_key"], "test_key", 32),
        stage=str(record["stage"]),
        tasks_before=int(record["tasks_before"]),
        task_id=None if record["task_id"] is None else TaskId(int(record["task_id"])),
    )


def note_draft(journal: Journal, key: str, **changes: Any) -> None:
    """Changes a draft's record, durably."""
    record = journal.get(DRAFT, key)
    assert record is not None, "a draft is journaled before it is posted"
    journal.put(DRAFT, key, record | changes)

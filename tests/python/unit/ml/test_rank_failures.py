"""What a group makes of ranks that end: the cause is told, not what the others met because of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dlbc.adapters.ml import group
from dlbc.adapters.ml.files import write_json
from dlbc.adapters.ml.group import RankFull, RankLost
from dlbc.adapters.ml.rank import Assignment, failure_file
from dlbc.core.errors import Refused

pytestmark = pytest.mark.unit


class Ending:
    """A process that ends just after the first look at it."""

    def __init__(self, code: int, sentinel: int) -> None:
        self._code, self._looks, self.sentinel = code, 0, sentinel

    @property
    def exitcode(self) -> int | None:
        self._looks += 1
        return None if self._looks == 1 else self._code


@contextmanager
def over() -> Iterator[int]:
    """What is ready to be read once a process is over."""
    reading, writing = os.pipe()
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def assignment(folder: Path) -> Assignment:
    return Assignment(
        work=folder, folder=folder, rank=0, devices=("cuda:0", "cuda:1"), threads=1,
        job={}, secrets={"init_key": "5ec7e7"}, fingerprint="", began=0.0,
    )  # fmt: skip


def cause(folder: Path, codes: list[int | None], said: dict[int, dict[str, Any]]) -> Exception:
    for rank, what in said.items():
        write_json(failure_file(folder, rank), what)
    return group._cause(codes, assignment(folder))


def test_wait__all_ranks_end_between_two_looks__returns(tmp_path: Path) -> None:
    """Nobody is left to wait for then."""
    with over() as first, over() as second:
        group._wait([Ending(0, first), Ending(0, second)], assignment(tmp_path))  # type: ignore[list-item]


def test_wait__rank_0_is_done_and_another_fails_in_leaving__is_done(tmp_path: Path) -> None:
    """The result counts."""
    with over() as first, over() as second:
        group._wait([Ending(0, first), Ending(-9, second)], assignment(tmp_path))  # type: ignore[list-item]


GONE = {"kind": "error", "message": "RuntimeError: Connection closed by peer", "at": 2.0}


@pytest.mark.parametrize(
    ("codes", "said", "kind", "sentence"),
    [
        ([1, -9], {0: GONE}, RankLost, r"rank 1 of 2 \(cuda:1\) was ended by signal 9"),
        ([None, 3], {}, RankLost, r"rank 1 of 2 \(cuda:1\) ended with code 3"),
        (
            [1, 1],
            {0: GONE, 1: {"kind": "error", "message": "ValueError: a bug", "at": 1.0}},
            RankLost,
            r"rank 1 of 2 \(cuda:1\) failed: ValueError: a bug",
        ),
        (
            [1, 1],
            {0: GONE, 1: {"kind": "memory", "message": "", "tried": 8, "at": 1.0}},
            RankFull,
            r"memory ran out on rank 1 of 2 \(cuda:1\)",
        ),
        (
            [1, None],
            {0: {"kind": "refused", "message": "training: the loss is nan", "at": 1.0}},
            Refused,
            "training: the loss is nan",
        ),
    ],
)
def test_cause__ranks_ended__is_the_first_failure(
    codes: list[int | None], said: dict[int, dict[str, Any]], kind: type[Exception], sentence: str, tmp_path: Path
) -> None:
    """A killed rank leaves no word; of those that do, the earliest counts."""
    found = cause(tmp_path, codes, said)

    assert type(found) is kind
    with pytest.raises(kind, match=sentence):
        raise found


def test_assignment__shown__has_no_keys(tmp_path: Path) -> None:
    """An error report may hold it."""
    assert "5ec7e7" not in repr(assignment(tmp_path))

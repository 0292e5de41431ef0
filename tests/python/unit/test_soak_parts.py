"""The soak can fail: its plan, its books and its verdicts are tried on facts made for them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from dlbc.core.task_file import parse_task_file

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "proof"))

from soak_parts.books import Books, shortages  # noqa: E402
from soak_parts.plan import KINDS, kinds_of, plan, windows_for  # noqa: E402
from soak_parts.programs import KILLED, Life  # noqa: E402
from soak_parts.verdict import Committed, up_seconds  # noqa: E402

MINER = {"miner1": "0xAb"}
EMPTY = {"balance": 0, "locked": 0, "credited": 0}


def books() -> Books:
    """One miner paid a deposit of 10 in and had it back; gas cost it 3."""
    found = Books()
    found.gas_wei["0xab"] = 3
    found.sent_wei["0xab"] = found.received_wei["0xab"] = 10
    found.paid_in_wei["market"] = found.paid_out_wei["market"] = 10
    found.purposes["deposits"] = 10
    found.credited_wei["market", "0xab"] = found.withdrawn_wei["market", "0xab"] = 10
    return found


def test_plan__the_same_seed__is_the_same_plan() -> None:
    """Another seed is another one."""
    assert plan(60, 2, 1200, 1) == plan(60, 2, 1200, 1)
    assert plan(60, 2, 1200, 1) != plan(60, 2, 1200, 2)


def test_plan__sixty_tasks__are_of_all_kinds_and_end_in_time() -> None:
    """The last one's windows end before the run does."""
    tasks = plan(60, 2, 1200, 1)
    assert dict(Counter(task.kind for task in tasks)) == KINDS
    assert {task.requester for task in tasks} == {0, 1}
    assert max(task.post_at for task in tasks) + windows_for(1200).total < 1200


@pytest.mark.parametrize("kind", KINDS)
def test_plan__every_kind__is_a_task_file_that_can_be_read(kind: str) -> None:
    """Deposits and bonds are within the market's bounds."""
    task = next(task for task in plan(60, 2, 1200, 1) if task.kind == kind)
    read = parse_task_file(task.text(windows_for(1200)))
    assert read.bounty_wei // 10 <= read.deposit_wei <= read.bounty_wei
    assert read.bond_wei * 10 == read.bounty_wei


def test_kinds__four_tasks__have_a_cancelled_and_an_unreachable_one() -> None:
    """The short run shows that tasks end in more than one way."""
    assert Counter(kinds_of(4)) == {"usual": 2, "cancelled": 1, "unreachable": 1}


def test_books__that_balance__have_no_shortage() -> None:
    """Gas is no shortage."""
    holdings = {"market": EMPTY, "pool": EMPTY}
    assert shortages(books(), MINER, {"miner1": 100}, {"miner1": 97}, holdings) == []


@pytest.mark.parametrize(
    ("after", "market"),
    [(96, EMPTY), (97, {"balance": 1, "locked": 1, "credited": 0}), (97, {"balance": 0, "locked": 0, "credited": 1})],
)
def test_books__one_wei_off__is_a_shortage(after: int, market: dict[str, int]) -> None:
    """Of an account, of a contract's balance, of what it owes."""
    holdings = {"market": market, "pool": EMPTY}
    assert shortages(books(), MINER, {"miner1": 100}, {"miner1": after}, holdings)


def test_up_seconds__killed_within_the_window__counts_what_was_left(tmp_path: Path) -> None:
    """Only from the first tick of a life on."""
    first = Life(began=0, err=tmp_path, ready=2, ended=12, code=KILLED)
    second = Life(began=13, err=tmp_path, ready=18)
    assert up_seconds([first, second], 10, 20) == 4


@pytest.mark.parametrize(
    ("revealed", "aborted", "up", "lost"),
    [(False, False, 4.0, True), (False, False, 0.0, False), (False, True, 4.0, False), (True, False, 4.0, False)],
)
def test_entry__not_revealed__is_lost_if_its_miner_was_there(
    revealed: bool, aborted: bool, up: float, lost: bool
) -> None:
    """Who was down for the whole window could not have saved it."""
    entry = Committed(1, "miner1", revealed, False, True, aborted, (10, 20), up, ())
    assert entry.was_lost is lost


@pytest.mark.parametrize(
    ("code", "ready", "words", "expected"),
    [(-15, None, "", True), (-15, 3.0, "", False), (-15, None, "Traceback", False), (1, None, "", False)],
)
def test_life__ended_by_sigterm__is_forgiven_only_before_its_first_line(
    tmp_path: Path, code: int, ready: float | None, words: str, expected: bool
) -> None:
    """A daemon that is asked to end while Python starts has no handler yet; one that worked or spoke has."""
    err = tmp_path / "err"
    err.write_text(words)
    assert Life(0.0, err, ready=ready, code=code).was_asked_too_early is expected

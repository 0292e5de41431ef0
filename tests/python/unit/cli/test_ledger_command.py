"""What `dlbc ledger verify` tells people and scripts."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from dlbc.cli.ledger import _in_json, _show
from dlbc.cli.render import print_json
from dlbc.core.ledger_memory import Depth
from dlbc.core.report import Check
from dlbc.core.types import TaskId
from dlbc.roles.ledger import Finding, LedgerReport

pytestmark = pytest.mark.unit

LONG = "0x" + "ab" * 32


def report(*, wrong: int = 0, missing: int = 0) -> LedgerReport:
    """Of a hundred blocks."""
    bad = (Check("block hash", False, LONG, LONG[::-1]), Check("signature", False, LONG, "\x1b[2Jboo"))
    return LedgerReport(
        blocks=100,
        before=40,
        done=Counter({"block hash": 120, "links to genesis": 60, "signature": 60}),
        wrong=[Finding(height, TaskId(height + 1), 0, bad) for height in range(wrong)],
        elsewhere=[Check("the log is complete", False, "task 3", "task 4")] if wrong else [],
        unconfirmed=[Finding(7, TaskId(8), 0)],
        missing=[Finding(h, TaskId(h), 0, (), f"nobody served {LONG} within 20 s") for h in range(missing)],
        models=60,
        depths=Counter({Depth.MODEL: 100 - missing, Depth.CHAIN: missing}),
        notes=["the chain was reorganised since the last run: blocks from height 40 are verified again"],
    )


def test_verify__models_missing__holds_and_lists_a_few_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts for what is right, rows for what is notable, all of it in 80 columns."""
    _show(report(missing=25), Depth.MODEL, 1.25)
    shown = capsys.readouterr().out
    for words in ("100 blocks, 40 of them verified before", "75 of 100 models", "no fault of the ledger", "5 more"):
        assert words in shown
    assert shown.rstrip().endswith("The ledger holds.")
    assert max(map(len, shown.splitlines())) <= 80


def test_verify__blocks_wrong__names_the_first_of_them_and_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    """What a stranger wrote can't steer the terminal."""
    _show(report(wrong=22), Depth.CHAIN, 1.0)
    shown = capsys.readouterr().out
    assert "block 0 (task 1, round 0), signature" in shown
    assert "and 2 more" in shown
    assert "\x1b" not in shown
    assert shown.rstrip().endswith("The ledger does NOT hold.")


def test_verify__as_json__lists_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get all of it, with failed checks by block and a reason for each missing model."""
    print_json(_in_json(report(wrong=22, missing=25), Depth.MODEL, 1.0))
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["verifiedBefore"], len(told["wrong"]), len(told["unavailable"])) == (
        False,
        40,
        22,
        25,
    )
    checks = {check["name"]: (check["ok"], check["done"], check["failed"]) for check in told["checks"]}
    assert checks["block hash"] == (False, 120, 22)
    assert checks["links to genesis"] == (True, 60, 0)
    assert checks["the log is complete"] == (False, 1, 1)
    assert told["wrong"][0]["checks"][0]["name"] == "block hash"
    assert told["depths"] == {"chain": 25, "model": 75}

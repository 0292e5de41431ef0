"""The audit report of a task that lived on a whole local network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import DEPOSIT, ETHER, Site
from dlbc.core.types import TaskId
from fakes.page import check_self_contained

pytestmark = pytest.mark.e2e


def test_audit_report__settled_task__page_and_json_of_the_real_chain(
    site: Site, settled: TaskId, tmp_path: Path
) -> None:
    """Real transactions and times, money that adds up to the wei, pictures of digits, a mark far above its bound."""
    told = site.run("", "audit", str(settled), "--report", str(tmp_path / "out"))
    assert told["audit"] == "pass"
    written = json.loads(Path(told["report"]["json"]).read_bytes())
    assert (written["isPassed"], written["phase"], written["name"]) == (True, "Settled", "killed")

    money = written["money"]
    assert (money["inWei"], money["outWei"], money["heldWei"], money["agrees"]) == (
        11 * ETHER // 10 + DEPOSIT,
        11 * ETHER // 10 + DEPOSIT,
        0,
        True,
    )
    phases = [step["phase"] for step in written["timeline"] if step["phase"]]
    assert phases == ["Training", "Releasing", "Revealing", "Opening", "Challenge", "Settled"]
    posted = next(step for step in written["timeline"] if step["what"] == "task posted")
    assert posted["at"] == site.chain.task(settled).posted_at
    assert len(bytes.fromhex(posted["txHash"][2:])) == 32

    table = written["score"]["table"]
    assert table["right"] == written["score"]["claimedTotal"]
    assert sum(map(sum, table["matrix"])) == table["samples"]
    assert {sample["picture"]["height"] for sample in written["samples"]} == {8}
    assert written["marks"]["slots"][0]["strength"] > 13.32

    page = check_self_contained(Path(told["report"]["html"]).read_text())
    assert len(page.values("src")) == len(written["samples"])
    assert posted["txHash"] in page.text
    assert "Every wei has one place" in page.text

"""The page and the JSON of an audit report: nothing of strangers gets through, and scripts can rely on the names."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dlbc.adapters.report import render
from dlbc.adapters.report.page import LONGEST, MAX_TRANSFERS
from dlbc.core.audit_document import (
    Ancestor,
    AuditDocument,
    Command,
    Fact,
    Marks,
    OtherMark,
    SampleShown,
    Score,
    SlotRead,
    Split,
)
from dlbc.core.money_flow import MoneyFlow, Transfer
from dlbc.core.report import Check
from dlbc.core.score_table import score_table
from dlbc.core.timeline import Step
from dlbc.core.types import Address, Hash32, TaskId, Timestamp, Wei
from fakes.page import Page, check_self_contained

pytestmark = pytest.mark.unit

SCHEMA_FILE = Path(__file__).with_name("audit_report_schema.txt")
HASH = Hash32(bytes(range(32)))
WHO = Address("0x" + "ab" * 20)
HOSTILE = (
    "</td></tr></table><script src=//evil.example/x.js></script>",
    '"><img src=x onerror=alert(1)><svg onload=alert(1)>',
    "javascript:alert(1) ' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "right\u202eleft\u0000nul\u001b[31mred\u2028line\ud800",
    "</style><style>@import url(//evil.example)</style>",
    "x" * 10_000,
)


@cache
def document() -> AuditDocument:
    """One with something in every section."""
    labels = np.arange(12, dtype=np.int64) % 3
    predictions = np.where(np.arange(12) < 2, 1, labels)
    transfers = tuple(
        Transfer("TaskMarket", is_in, what, 0, WHO, Wei(10**18), 7, HASH)
        for is_in, what in ((True, "bounty"), (False, "prize"))
    )
    return AuditDocument(
        client="dlbc test",
        chain_id=31337,
        market=WHO,
        read_at=Timestamp(1_800_000_000),
        task_id=TaskId(3),
        round=0,
        rounds=2,
        name="digits",
        phase="Challenge",
        is_settled=False,
        is_passed=False,
        requester=WHO,
        miner=WHO,
        model_hash=HASH,
        grounds=("score",),
        facts=(Fact("Model", "mlp"),),
        checks=(Check("score recomputed", False, "12 of 12", "10 of 12"), Check("labels root", True, "0x", "0x")),
        timeline=(
            Step(Timestamp(1_800_000_000), "Training", "task posted", WHO, 1, HASH),
            Step(Timestamp(1_800_003_600), "Releasing", "commits close", WHO, None, None),
        ),
        left_out=(Fact("sealed model committed", "9950"),),
        split=Split(Wei(10**18), Wei(98 * 10**16), Wei(2 * 10**16), Wei(0), None, None, None),
        money=MoneyFlow(transfers, (replace(transfers[0], contract="AuditorPool"),), Wei(0)),
        lineage=(Ancestor(HASH, TaskId(1), 0, WHO, 900_000), Ancestor(HASH, None, None, None, None)),
        score=Score(12, 1_000_000, 500_000, 0, 2, True, score_table(labels, predictions, 3), ""),
        samples=(
            SampleShown(0, 0, 0, 1, True, np.arange(64, dtype=np.uint8).reshape(8, 8)),
            SampleShown(1, 1, 1, 1, False, np.zeros((4, 4, 3), np.uint8)),
            SampleShown(2, 2, 2, None, False, None),
        ),
        marks=Marks(
            slots=(SlotRead(0, "by the opening", 4_000_000, 40_000_000_000, 8_250, 64, 1, True),),
            slots_in_all=2,
            tests=5,
            models=4,
            aligned=2,
            not_aligned=1,
            not_served=1,
            others=(OtherMark(TaskId(1), 0, WHO, 0, 11.5, 10.53, -90.2, False, "copy"),),
        ),
        commands=(Command("This whole report", "dlbc audit 3 --round 0 --report out/"),),
    )


def html(written: AuditDocument) -> str:
    """The page."""
    return render(written)[".html"].decode()


def poisoned(value: Any, text: str) -> Any:
    """The same document with every text replaced."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(poisoned(item, text) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: poisoned(getattr(value, field.name), text) for field in dataclasses.fields(value)}
        return type(value)(**fields)
    return value


def test_page__any_document__needs_nothing_else_and_is_well_formed() -> None:
    """No script, no address, no resource; every element is closed."""
    page = check_self_contained(html(document()))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in page.values("content")
    assert "width=device-width, initial-scale=1" in page.values("content")
    assert "prefers-color-scheme: dark" in html(document())
    assert page.values("lang") == ["en"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_page__hostile_text_everywhere__adds_no_element_and_no_attribute(text: str) -> None:
    """The page has the same elements as with harmless text, whatever strangers wrote."""
    harmless = Page(html(poisoned(document(), "harmless")))
    page = Page(html(poisoned(document(), text)))
    assert page.tags == harmless.tags
    assert [(tag, name) for tag, name, _ in page.attributes] == [(tag, name) for tag, name, _ in harmless.attributes]
    assert not set("\u202e\u0000\u001b\u2028") & set(html(poisoned(document(), text)))


def test_page__endless_text__is_cut_and_whole_in_the_json() -> None:
    """A check's finding of megabytes makes no page of megabytes."""
    long = replace(document(), checks=(Check("long", True, "x" * 10**6, "y"),))
    assert len(html(long)) < len(html(document())) + 2 * LONGEST
    assert len(json.loads(render(long)[".json"])["checks"][0]["expected"]) == 10**6


def test_page__failed_and_passed__say_so_in_words_not_only_in_colour() -> None:
    """For who prints it, or sees no colours."""
    failed = Page(html(document())).text
    assert "FAIL: 1 of 2 checks fail" in failed
    assert "✗ fails score recomputed 12 of 12 10 of 12" in failed
    passed = replace(document(), is_passed=True, checks=document().checks[1:])
    assert "PASS: all 1 checks hold" in Page(html(passed)).text


def test_page__money_that_does_not_agree__is_told() -> None:
    """With both figures."""
    wrong = replace(document(), money=replace(document().money, due_wei=Wei(17)))
    assert "the market still has to credit 17 wei" in Page(html(wrong)).text
    assert "✗ The two differ" in Page(html(wrong)).text


def test_page__very_many_transfers__lists_some_and_sums_all() -> None:
    """Ten thousand miners make ten thousand deposits."""
    one = document().money.market[0]
    crowded = replace(document(), money=MoneyFlow((one,) * 10_000, (), Wei(10_000 * 10**18)))
    text = Page(html(crowded)).text
    assert f"Not listed: {10_000 - MAX_TRANSFERS} more" in text
    assert str(10_000 * 10**18) in text
    assert len(html(crowded)) < 300_000


def test_page__empty_sections__say_that_there_is_nothing() -> None:
    """An audit that could fetch nothing still makes a page."""
    marks = Marks((), 0, None, 0, 0, 0, 0, ())
    score = Score(12, 1_000_000, 500_000, None, None, False, None, "No score by class.")
    empty = replace(
        document(), name="", timeline=(), left_out=(), lineage=(), samples=(), marks=marks, score=score, facts=()
    )
    text = check_self_contained(html(empty)).text
    for words in ("No score by class.", "None can be shown", "Not read", "Not looked for", "declares no parent"):
        assert words in text


def test_page__times_that_no_calendar_has__are_numbers() -> None:
    """A hostile node may say any time."""
    late = replace(document(), read_at=Timestamp(2**63))
    assert str(2**63) in Page(html(late)).text


def paths(value: Any, where: str = "") -> set[str]:
    """Every name of a JSON value with the type of what is there; of lists, of all their items."""
    if isinstance(value, dict):
        return {path for name, item in value.items() for path in paths(item, f"{where}.{name}".lstrip("."))}
    if isinstance(value, list):
        return {path for item in value for path in paths(item, f"{where}[]")}
    return {f"{where}: {type(value).__name__}"}


def test_json__names_and_types__are_those_that_scripts_rely_on() -> None:
    """Names may be added (then the file beside this test too); none goes or changes without a new schema number."""
    told = json.loads(render(document())[".json"])
    assert told["schema"] == "dlbc-audit-report/1"
    known = set(SCHEMA_FILE.read_text().splitlines())
    found = paths(told)
    assert sorted(known - found) == [], "gone or changed: raise SCHEMA in core/audit_document.py"
    assert sorted(found - known) == [], f"new: add them to {SCHEMA_FILE.name}"


def test_json__half_of_a_surrogate_pair__is_still_json() -> None:
    """UTF-8 has no such thing, and a manifest might."""
    told = json.loads(render(replace(document(), name="\ud800"))[".json"])
    assert told["name"] == "\ud800"
    assert render(replace(document(), name="\ud800"))[".html"].decode()


def test_template__is_package_data__and_loaded_from_the_package() -> None:
    """An installed wheel has it: it lies inside the package, which is taken whole."""
    folder = resources.files("dlbc.adapters.report").joinpath("templates")
    assert {"audit.html.j2", "style.css"} <= {file.name for file in folder.iterdir()}

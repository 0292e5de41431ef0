"""The proof drivers of tests/proof can fail: each verdict is tried on results made for it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "proof"))

import analyse  # noqa: E402
import cover  # noqa: E402
import faults  # noqa: E402
import limits  # noqa: E402
import mutate  # noqa: E402
import prove  # noqa: E402
import run  # noqa: E402
from workshop import Unusable  # noqa: E402

LCOV = "SF:contracts/A.sol\nDA:1,3\nDA:2,0\nBRDA:1,0,0,2\nBRDA:2,0,0,-\nend_of_record\nSF:tests/B.sol\nDA:1,0\n"
PROVED = prove.Property("SYM-A-1", "something holds", "ASymbolic", "check_a")


def halmos(**changes: Any) -> dict[str, Any]:
    """What halmos says of a property that holds, but for the changes."""
    test = {"name": "check_a(uint256)", "exitcode": 0, "num_paths": [2, 1, 0], "time": [0.1], "num_bounded_loops": 0}
    return {"test_results": {"x.sol:ASymbolic": [test | changes]}}


def test_coverage__a_line_without_a_hit__is_named_and_breaks_the_limit() -> None:
    """Files outside of contracts/ do not count."""
    found = cover.figures(cover.read_lcov(LCOV), missing=[])
    assert found["total"] == {"lines": [1, 2], "branches": [1, 2]}
    assert cover.uncovered(found) == ["contracts/A.sol:2", "contracts/A.sol:2 (a branch)"]
    assert len(cover.broken_limits(found)) == 2


def test_coverage__a_file_that_was_not_measured__is_named() -> None:
    """forge drops what it takes for a test without a word."""
    found = cover.figures(cover.read_lcov("SF:contracts/A.sol\nDA:1,3\n"), missing=["contracts/B.sol"])
    assert cover.broken_limits(found) == ["contracts/B.sol was not measured"]


def test_prove__a_property_that_holds__has_no_problem() -> None:
    """The figures are kept."""
    row = prove.judge([PROVED], halmos())["SYM-A-1"]
    assert (row["problem"], row["paths"]) == (None, 2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exitcode": 1}, "a counterexample was found"),
        ({"exitcode": 2}, "a query was not answered in time"),
        ({"num_bounded_loops": 1}, "a loop was cut after 40 turns"),
        ({"num_paths": [2, 0, 0]}, "every path reverts, so it says nothing"),
        ({"name": "check_b()"}, "halmos did not run it"),
    ],
)
def test_prove__a_property_that_is_not_proved__is_named_with_its_words(changes: dict[str, Any], expected: str) -> None:
    """The failure prints id, words and why."""
    found = {"properties": prove.judge([PROVED], halmos(**changes)), "warnings": [], "exitCode": 0}
    assert prove.broken_limits(found) == [f"SYM-A-1: something holds -- {expected}"]


def test_prove__a_warning__is_a_failure() -> None:
    """halmos only warns where it stops early."""
    found = {"properties": prove.judge([PROVED], halmos()), "warnings": ["WARNING loops"], "exitCode": 0}
    assert prove.broken_limits(found) == ["halmos: WARNING loops"]


def test_prove__the_committed_specs__have_unique_ids() -> None:
    """Every check_ function has an id and words."""
    properties = prove.read_properties(ROOT / prove.SPECS)
    assert len(properties) >= 40
    assert all(len(each.words.split()) > 4 for each in properties)


def test_prove__a_check_without_an_id__is_refused(tmp_path: Path) -> None:
    """Nothing is proved without words."""
    (tmp_path / "ASymbolic.sol").write_text("/// @dev SYM-A-1: words\nfunction check_a() {}\nfunction check_b() {}\n")
    with pytest.raises(Unusable, match="check_b"):
        prove.read_properties(tmp_path)


def test_slither__a_finding_without_a_reason__is_named() -> None:
    """The place is in the sentence."""
    broken, explained = analyse.judge(Counter({("timestamp", "A.f"): 2}), [])
    assert (broken, explained) == (["timestamp at A.f: no reason in analyse.json"], 0)


def test_slither__a_reason_without_a_finding__is_named() -> None:
    """No reason outlives its code."""
    row = {"detector": "timestamp", "why": "windows are hours long", "places": ["A.f", "A.g"]}
    broken, explained = analyse.judge(Counter({("timestamp", "A.f"): 2}), [row])
    assert (broken, explained) == (["timestamp at A.g: analyse.json explains what is not found"], 2)


def test_mutate__a_line_of_code__gives_its_mutants() -> None:
    """Comments give none."""
    found = [each.after.strip() for each in mutate.mutants_of("A.sol", "    return a + 10; // b - c\n    // d * e\n")]
    assert found == ["return a - 10; // b - c", "return a + 11; // b - c"]


def test_mutate__the_same_count__gives_the_same_mutants() -> None:
    """The sample follows from the seed."""
    every = mutate.all_mutants(ROOT)
    assert mutate.choose(every, "5") == mutate.choose(every, "5")
    assert len(mutate.choose(every, "5")) == 5
    assert mutate.choose(every, "all") == every


def test_mutate__too_many_survivors__breaks_the_limit() -> None:
    """A stale proof of equivalence does too."""
    every = mutate.all_mutants(ROOT)[:2]
    found = mutate.figures(every, [True, False], candidates=2, broken=["stale"])
    assert mutate.broken_limits(found) == ["stale", "50.0 % of the mutants are noticed; the limit is 90.0 %"]


def test_faults__a_text_that_is_not_there_once__is_refused() -> None:
    """A fault cannot be seeded beside the code."""
    row = {"id": "FAULT-A", "file": "A.sol", "before": "a", "after": "b"}
    assert faults.seed("xay", row) == "xby"
    with pytest.raises(Unusable, match="2 times"):
        faults.seed("aa", row)


def test_faults__a_failure_with_brackets_in_its_words__is_found() -> None:
    """forge prints large numbers twice, the second time in brackets."""
    assert faults.FAILED.findall("[PASS] test_a() (gas: 1)\n[FAIL: 18 [1.8e1] != 19] test_b() (gas: 2)\n") == ["test_b"]


def test_faults__one_that_no_test_notices__is_named() -> None:
    """With what it says."""
    found = {key: {"says": "it is wrong", "caughtBy": ["t"] if key != "C" else []} for key in "ABC"}
    assert faults.broken_limits(found) == ["C: no test notices that it is wrong"]


def test_run__a_missing_or_failed_stage__is_named() -> None:
    """So is an hour that is over."""
    stages = {name: {"seconds": 1, "broken": [], "figures": {}} for name in run.STAGES}
    assert run.broken_limits({"seconds": 8, "stages": stages}) == []
    stages["fuzz"]["broken"] = ["no property ran"]
    del stages["chaos"]
    assert run.broken_limits({"seconds": 4000, "stages": stages}) == [
        "chaos did not run",
        "fuzz: no property ran",
        "it took 4000 s; the limit is 3600 s",
    ]


def test_run__one_stage_again__takes_its_place_among_results_of_the_same_contracts() -> None:
    """Results of other contracts are dropped, and mutation does not count for the hour."""
    earlier = {"contracts": "a", "stages": {"fuzz": {"seconds": 5}, "chaos": {"seconds": 1}}}
    found = {"contracts": "a", "stages": {"chaos": {"seconds": 2}, "mutation": {"seconds": 900}}}
    assert run.merged(earlier, found)["seconds"] == 7
    assert list(run.merged(earlier, found)["stages"]) == ["fuzz", "chaos", "mutation"]
    assert list(run.merged(earlier | {"contracts": "b"}, found)["stages"]) == ["chaos", "mutation"]


def test_run__stages_beside_another__count_as_far_as_all_of_them_take_longer() -> None:
    """They run one after the other."""
    took = {"fuzz": 5, "invariants": 100, "chaos": 60, "properties": 30}
    stages = {name: {"seconds": seconds} for name, seconds in took.items()}
    assert run.merged({}, {"contracts": "a", "stages": stages})["seconds"] == 105
    stages["attacks"] = {"seconds": 20}
    assert run.merged({}, {"contracts": "a", "stages": stages})["seconds"] == 115


def test_results__as_committed__break_no_limit() -> None:
    """bench/results/proof.json: every stage in it held, and coverage and faults are among them."""
    found = json.loads(run.RESULTS.read_text(encoding="utf-8"))
    assert [text for stage in found["stages"].values() for text in stage["broken"]] == []
    assert set(run.STAGES) <= set(found["stages"])
    assert found["seconds"] <= limits.DEEP_SECONDS
    figures = found["stages"]["coverage"]["figures"]
    assert figures["linesPercent"] >= limits.COVERED_LINES_PERCENT
    assert figures["branchesPercent"] >= limits.COVERED_BRANCHES_PERCENT
    assert found["stages"]["fuzz"]["figures"]["runs"] >= limits.FUZZ_RUNS

"""Does the suite notice faults that were put in on purpose? `make faults`.

Each row of faults.json is put into a temporary copy of the contracts, one at a time; the Solidity tests, less the
random play, have to fail, and the test that did is printed. A row whose text is not there exactly once is an error.
Exits 1 if a fault goes unnoticed.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import limits
from workshop import OPTIMISED_ONLY, Unusable, copy, entry, forge, last_lines, report, run, say

FAULTS = Path(__file__).with_suffix(".json")
FAILED = re.compile(r"^\[FAIL.*\] (\w+)\(", re.MULTILINE)


def seed(text: str, row: dict[str, str]) -> str:
    """The source with the fault in it."""
    if text.count(row["before"]) != 1:
        raise Unusable(f"{row['id']}: {row['file']} has {row['before']!r} {text.count(row['before'])} times, not once")
    return text.replace(row["before"], row["after"])


def caught_by(folder: Path) -> list[str]:
    """Names of the tests that fail."""
    finished = run(
        [forge(), "test", "--fail-fast", "--no-match-contract", "Invariants", "--no-match-test", OPTIMISED_ONLY],
        "faults",
        cwd=folder,
        FOUNDRY_PROFILE="mutant",
        FOUNDRY_FUZZ_RUNS="64",
    )
    failed = sorted(set(FAILED.findall(finished.output)))
    if bool(failed) != (finished.code != 0):
        raise Unusable(f"forge test did not run:\n{last_lines(finished.output)}")
    return failed


def measure() -> dict[str, Any]:
    """{id: {"says", "caughtBy": [test names]}}."""
    rows = json.loads(FAULTS.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    with copy() as folder:
        shutil.rmtree(folder / "tests/proof", ignore_errors=True)
        say(f"faults: {len(rows)}, after the tests without any")
        failing = caught_by(folder)
        if failing:
            raise Unusable(f"the tests fail without any fault: {', '.join(failing)}")
        for row in rows:
            path = folder / row["file"]
            original = path.read_text(encoding="utf-8")
            path.write_text(seed(original, row), encoding="utf-8")
            tests = caught_by(folder)
            path.write_text(original, encoding="utf-8")
            found[row["id"]] = {"says": row["says"], "caughtBy": tests}
            say(f"  {row['id']:<26}{', '.join(tests[:2]) or 'NOT NOTICED'}")
    return found


def broken_limits(found: dict[str, Any]) -> list[str]:
    """One sentence for each fault that no test notices."""
    broken = [f"{key}: no test notices that {row['says']}" for key, row in found.items() if not row["caughtBy"]]
    if len(found) < limits.SEEDED_FAULTS:
        broken.append(f"{len(found)} faults; there must be {limits.SEEDED_FAULTS} at least")
    return broken


def main() -> int:
    """Seeds and prints; returns the exit code."""
    found = measure()
    return report(broken_limits(found), f"faults: all {len(found)} noticed")


if __name__ == "__main__":
    entry(main)

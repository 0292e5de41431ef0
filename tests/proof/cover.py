"""Which lines and branches of contracts/ the Solidity tests reach: `make coverage`.

forge measures; Hardhat's own coverage knows no branches. Random play (the invariants) is left out: a line that only
luck reaches has no test. Exits 1, naming what is not reached, if a limit of limits.py is broken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import limits
from workshop import OPTIMISED_ONLY, Unusable, copy, entry, forge, last_lines, report, run, say

FUZZ_RUNS = "16"
WITHOUT_CODE = ("contracts/libraries/Errors.sol", "contracts/types/", "contracts/interfaces/")


@dataclass
class Reached:
    """One source file: how often each line ran, and each (line, block, path) of a branch."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[int, str, str], int] = field(default_factory=dict)


def read_lcov(text: str) -> dict[str, Reached]:
    """LCOV's records by file. Only contracts/ counts."""
    files: dict[str, Reached] = {}
    found = Reached()
    for record in text.splitlines():
        kind, _, value = record.partition(":")
        if kind == "SF":
            found = files.setdefault(value, Reached()) if value.startswith("contracts/") else Reached()
        elif kind == "DA":
            line, hits = value.split(",")[:2]
            found.lines[int(line)] = found.lines.get(int(line), 0) + int(hits)
        elif kind == "BRDA":
            line, block, path, taken = value.split(",")
            key = (int(line), block, path)
            found.branches[key] = found.branches.get(key, 0) + (0 if taken == "-" else int(taken))
    return files


def rename_tests(folder: Path) -> None:
    """forge takes a contract with a function test... for a test and leaves it out; the copy has other names."""
    files = [path for part in ("contracts", "tests/solidity") for path in sorted((folder / part).rglob("*.sol"))]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    names = {
        name
        for path, text in texts.items()
        if path.is_relative_to(folder / "contracts")
        for name in re.findall(r"\bfunction (test\w*)\(", text)
    }
    for path, text in texts.items():
        for name in names:
            text = re.sub(rf"(?<!\w){name}\(", f"the_{name}(", text)
        path.write_text(text, encoding="utf-8")


def measure() -> dict[str, Any]:
    """{"files": {path: {lines, branches, uncoveredLines, uncoveredBranches}}, "total": {lines, branches}}."""
    say("coverage: compiling without optimiser and running tests/solidity, about half a minute")
    with copy() as folder:
        rename_tests(folder)
        finished = run(
            [
                forge(),
                "coverage",
                "--report",
                "lcov",
                "--no-match-contract",
                "Invariants",
                "--no-match-test",
                OPTIMISED_ONLY,
            ],
            "coverage",
            cwd=folder,
            FOUNDRY_FUZZ_RUNS=FUZZ_RUNS,
        )
        report_file = folder / "lcov.info"
        if finished.code != 0 or not report_file.is_file():
            raise Unusable(f"forge coverage failed:\n{last_lines(finished.output)}")
        files = read_lcov(report_file.read_text(encoding="utf-8"))
        sources = sorted(path.relative_to(folder).as_posix() for path in (folder / "contracts").rglob("*.sol"))
    missing = [name for name in sources if name not in files and not name.startswith(WITHOUT_CODE)]
    return figures(files, missing)


def figures(files: dict[str, Reached], missing: list[str]) -> dict[str, Any]:
    """What is printed and kept."""
    rows = {name: _row(reached) for name, reached in sorted(files.items())}
    total = {
        kind: [sum(row[kind][0] for row in rows.values()), sum(row[kind][1] for row in rows.values())]
        for kind in ("lines", "branches")
    }
    return {"files": rows, "total": total, "unmeasured": missing}


def _row(reached: Reached) -> dict[str, Any]:
    return {
        "lines": [sum(hits > 0 for hits in reached.lines.values()), len(reached.lines)],
        "branches": [sum(hits > 0 for hits in reached.branches.values()), len(reached.branches)],
        "uncoveredLines": sorted(line for line, hits in reached.lines.items() if hits == 0),
        "uncoveredBranches": sorted(key[0] for key, hits in reached.branches.items() if hits == 0),
    }


def percent(pair: list[int]) -> float:
    """Reached of all; nothing to reach is all of it."""
    reached, of = pair
    return 100.0 * reached / of if of else 100.0


def broken_limits(found: dict[str, Any]) -> list[str]:
    """One sentence for each limit that is broken."""
    broken = [f"{name} was not measured" for name in found["unmeasured"]]
    for kind, limit in (("lines", limits.COVERED_LINES_PERCENT), ("branches", limits.COVERED_BRANCHES_PERCENT)):
        reached = percent(found["total"][kind])
        if reached < limit:
            broken.append(f"{reached:.2f} % of the {kind} are reached; the limit is {limit} %")
    return broken


def uncovered(found: dict[str, Any]) -> list[str]:
    """file:line of everything that no test reaches."""
    return [f"{name}:{line}" for name, row in found["files"].items() for line in row["uncoveredLines"]] + [
        f"{name}:{line} (a branch)" for name, row in found["files"].items() for line in row["uncoveredBranches"]
    ]


def show(found: dict[str, Any]) -> None:
    """The table, and what is not reached."""
    say(f"{'file':<42}{'lines':>16}{'branches':>16}")
    for name, row in [*found["files"].items(), ("all of contracts/", found["total"])]:
        cells = [f"{percent(row[kind]):6.2f} % of {row[kind][1]:<4}" for kind in ("lines", "branches")]
        say(f"{name:<42}{cells[0]:>16}{cells[1]:>16}")
    for place in uncovered(found):
        say(f"not reached: {place}")


def main() -> int:
    """Measures and prints; returns the exit code."""
    found = measure()
    show(found)
    return report(broken_limits(found), "coverage: within its limits")


if __name__ == "__main__":
    entry(main)

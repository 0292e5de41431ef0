"""Symbolic proofs of the libraries: `make prove`.

halmos runs every check_ function of tests/proof/symbolic on symbolic arguments. The first comment of each gives its id
(SYM-...) and what it says; both are printed if it fails. A property holds only if every path was followed
to its end, so loops that were cut, warnings, unanswered queries and checks that revert on all paths are failures too.
The 32 steps of the logarithm are left out: differential tests cover them (tests/vectors).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop import ROOT, TOOLS, Unusable, copy, entry, last_lines, report, run, say

SPECS = "tests/proof/symbolic"
LOOP_BOUND = "40"
OPTIONS = (
    *("--root", ".", "--forge-build-out", "cache/symbolic/out", "--json-output", "halmos.json"),
    *("--loop", LOOP_BOUND, "--solver-timeout-assertion", "300s"),
)
PROPERTY = re.compile(r"///? @dev (SYM-[A-Z0-9-]+): (.*?)\n\s*function (check_\w+)\(", re.DOTALL)
CHECK = re.compile(r"\bfunction (check_\w+)\(")
OUTCOMES = {1: "a counterexample was found", 2: "a query was not answered in time", 3: "a path could not be followed"}


@dataclass(frozen=True)
class Property:
    """What one check_ function says."""

    id: str
    words: str
    contract: str
    function: str


def read_properties(folder: Path) -> list[Property]:
    """All of them, from the comments. Raises Unusable if one has no id or shares it."""
    found: list[Property] = []
    for path in sorted(folder.glob("*Symbolic.sol")):
        text = path.read_text(encoding="utf-8")
        for key, words, function in PROPERTY.findall(text):
            found.append(Property(key, re.sub(r"\s*\n\s*///\s*", " ", words), path.stem, function))
        unnamed = set(CHECK.findall(text)) - {each.function for each in found if each.contract == path.stem}
        if unnamed:
            raise Unusable(f"{path.name}: {', '.join(sorted(unnamed))}: no `@dev SYM-...: words` right above it")
    ids = [each.id for each in found]
    twice = sorted({key for key in ids if ids.count(key) > 1})
    if twice or not found:
        raise Unusable(f"property ids must be unique, and there must be some; twice: {', '.join(twice) or 'none'}")
    return found


def judge(properties: list[Property], results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{id: {"words", "paths", "seconds", "problem"}}; problem is None if the property is proved."""
    tests = {
        (name.rpartition(":")[2], test["name"].partition("(")[0]): test
        for name, found in results.get("test_results", {}).items()
        for test in found
    }
    return {each.id: _judge(each, tests.get((each.contract, each.function))) for each in properties}


def _judge(each: Property, test: dict[str, Any] | None) -> dict[str, Any]:
    if test is None:
        return {"words": each.words, "paths": 0, "seconds": 0.0, "problem": "halmos did not run it"}
    problem = None
    if test["exitcode"] != 0:
        problem = OUTCOMES.get(test["exitcode"], f"halmos ended with {test['exitcode']}")
        problem += "".join(f"; {_named(model)}" for model in test.get("models") or [])
    elif test["num_bounded_loops"]:
        problem = f"a loop was cut after {LOOP_BOUND} turns"
    elif test["num_paths"][1] == 0:
        problem = "every path reverts, so it says nothing"
    return {
        "words": each.words,
        "paths": test["num_paths"][0],
        "seconds": round(test["time"][0], 2),
        "problem": problem,
    }


def _named(model: dict[str, Any]) -> str:
    values = model.get("model") or {}
    return ", ".join(f"{value['variable_name']} = {value['value']}" for value in values.values()) or "no values"


def measure() -> dict[str, Any]:
    """{"properties": {id: ...}, "warnings": [...]}."""
    program = TOOLS / "bin" / "halmos"
    if not program.is_file():
        raise Unusable("halmos is not in .venv-proof; run `make prove`, which sets it up")
    with copy() as folder:
        properties = read_properties(folder / SPECS)
        say(f"prove: {len(properties)} properties, about five minutes")
        solver = f"{TOOLS / 'bin' / 'python'} {ROOT / 'tests' / 'proof' / 'solver.py'}"
        finished = run(
            [program, *OPTIONS, "--solver-command", solver],
            "prove",
            cwd=folder,
            FOUNDRY_PROFILE="symbolic",
            YICES=str(TOOLS / "bin" / "yices-smt2"),
        )
        if not (folder / "halmos.json").is_file():
            raise Unusable(f"halmos did not run:\n{last_lines(finished.output)}")
        results = json.loads((folder / "halmos.json").read_text(encoding="utf-8"))
    warnings = [line.strip() for line in finished.output.splitlines() if re.match(r"\s*(WARNING|ERROR)\b", line)]
    return {"properties": judge(properties, results), "warnings": warnings, "exitCode": finished.code}


def broken_limits(found: dict[str, Any]) -> list[str]:
    """One sentence for each property that is not proved, and for each warning."""
    broken = [
        f"{key}: {row['words']} -- {row['problem']}" for key, row in found["properties"].items() if row["problem"]
    ]
    broken += [f"halmos: {line}" for line in found["warnings"]]
    if found["exitCode"] and not broken:
        broken.append(f"halmos ended with {found['exitCode']}")
    return broken


def main() -> int:
    """Proves and prints; returns the exit code."""
    found = measure()
    for key, row in found["properties"].items():
        state = "FAILED" if row["problem"] else "proved"
        say(f"{state} {key:<16}{row['paths']:>5} paths{row['seconds']:>8.2f} s  {row['words']}")
    return report(broken_limits(found), f"prove: all {len(found['properties'])} properties hold")


if __name__ == "__main__":
    entry(main)

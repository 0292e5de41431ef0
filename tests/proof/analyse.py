"""Static analysis of contracts/ with every detector of slither: `make slither`.

A finding is fine only if analyse.json names it and says why: one row a detector and place, where the place is the
contract and function (or variable) that the finding begins with. A row that no finding needs any more is an error too,
so that no reason outlives its code. Exits 1 if there is either.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from workshop import TOOLS, Unusable, copy, entry, last_lines, report, run, say

REASONS = Path(__file__).with_suffix(".json")
ROOTS = (
    "contracts/MarketLens.sol",
    "contracts/AuditorPool.sol",
    "contracts/TaskMarket.sol",
    "contracts/ModelRegistry.sol",
)
"""These import all the others."""


def place_of(finding: dict[str, Any]) -> str:
    """Contract.name of what the finding is about, without line numbers, which any edit moves."""
    elements = finding.get("elements") or []
    if not elements:
        return "everywhere"
    first = elements[0]
    if first["type"] in ("function", "variable", "contract", "event", "struct", "enum"):
        parent = first.get("type_specific_fields", {}).get("parent", {})
        return f"{parent['name']}.{first['name']}" if parent.get("name") else str(first["name"])
    parent = first.get("type_specific_fields", {}).get("parent", {})
    if parent.get("type") == "function":
        contract = parent.get("type_specific_fields", {}).get("parent", {}).get("name", "")
        return f"{contract}.{parent['name']}"
    return str(first["source_mapping"]["filename_relative"])


def read_findings(output: dict[str, Any]) -> Counter[tuple[str, str]]:
    """How often each (detector, place) was found."""
    return Counter((each["check"], place_of(each)) for each in output["results"].get("detectors", []))


def judge(findings: Counter[tuple[str, str]], reasons: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What is wrong, and how many findings have a reason. A row may name several places."""
    explained: dict[tuple[str, str], str] = {}
    broken: list[str] = []
    for row in reasons:
        if len(row.get("why", "").split()) < 4:
            broken.append(f"{row['detector']}: a reason is a sentence, not {row.get('why', '')!r}")
        for place in row["places"]:
            if (row["detector"], place) in explained:
                broken.append(f"{row['detector']} at {place} is explained twice")
            explained[row["detector"], place] = row["why"]
    broken += [
        f"{check} at {place}: no reason in {REASONS.name}"
        for check, place in sorted(findings)
        if (check, place) not in explained
    ]
    broken += [
        f"{check} at {place}: {REASONS.name} explains what is not found"
        for check, place in sorted(explained)
        if (check, place) not in findings
    ]
    return broken, sum(count for key, count in findings.items() if key in explained)


def measure() -> dict[str, Any]:
    """{"findings", "explained", "broken", "details"}."""
    program = TOOLS / "bin" / "slither"
    if not program.is_file():
        raise Unusable("slither is not in .venv-proof; run `make slither`, which sets it up")
    say("slither: all detectors, about ten seconds a contract")
    findings: Counter[tuple[str, str]] = Counter()
    details: dict[str, str] = {}
    with copy() as folder:
        for name in ROOTS:
            if not (folder / name).is_file():
                continue
            finished = run(
                [program, name, "--solc", "deploy/solc-wrapper.mjs", "--json", "slither.json"],
                f"slither {name}",
                cwd=folder,
            )
            found = folder / "slither.json"
            if not found.is_file():
                raise Unusable(f"slither did not run:\n{last_lines(finished.output)}")
            output = json.loads(found.read_text(encoding="utf-8"))
            found.unlink()
            if not output["success"]:
                raise Unusable(f"slither failed: {output['error']}")
            # what several roots import is found several times
            findings |= read_findings(output)
            details |= {each["id"]: each["description"] for each in output["results"].get("detectors", [])}
    broken, explained = judge(findings, json.loads(REASONS.read_text(encoding="utf-8")))
    return {"findings": findings.total(), "explained": explained, "broken": broken, "details": sorted(details.values())}


def main() -> int:
    """Analyses and prints; returns the exit code."""
    found = measure()
    if found["broken"]:
        for text in found["details"]:
            say(text.strip())
    return report(found["broken"], f"slither: {found['findings']} findings, each with its reason in {REASONS.name}")


if __name__ == "__main__":
    entry(main)

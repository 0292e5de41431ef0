"""Every proof at length: `make deep` writes bench/results/proof.json, which nobody writes by hand.

Stages run one after another, so that each has both cores, except that chaos, which mostly waits, runs beside the
longest; each is timed, and each runs even if one before it failed.
Exits 1 if a stage failed, broke a limit of limits.py, or all together took longer than they may.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import analyse
import cover
import faults
import limits
import mutate
import prove
from workshop import ROOT, Unusable, copy, entry, forge, last_lines, report, run, say

RESULTS = ROOT / "bench" / "results" / "proof.json"
SUITES = re.compile(r"Ran \d+ tests? for \S+:(\w+)")
INVARIANT = re.compile(r"\[PASS\] (invariant_\w+)\(\) \(runs: (\d+), calls: (\d+), reverts: (\d+)\)")
FUZZED = re.compile(r"\[PASS\] (\w+)\([^)]*\) \(runs: (\d+),")
PASSED = re.compile(r"(\d+) passed")

Stage = tuple[dict[str, Any], list[str]]


def fuzz() -> Stage:
    """Every property on many random inputs."""
    output = _forge(["--match-test", "^testFuzz"], FOUNDRY_FUZZ_RUNS=str(limits.FUZZ_RUNS))
    runs = {name: int(count) for name, count in FUZZED.findall(output)}
    short = [
        f"{name} ran {count} times, not {limits.FUZZ_RUNS}" for name, count in runs.items() if count < limits.FUZZ_RUNS
    ]
    return {"properties": len(runs), "runs": min(runs.values(), default=0)}, short or _none(runs, "no property ran")


def invariants() -> Stage:
    """Every invariant after every move of long random plays."""
    calls = limits.INVARIANT_RUNS * limits.INVARIANT_DEPTH
    output = _forge(
        ["--match-test", "^invariant_"],
        FOUNDRY_INVARIANT_RUNS=str(limits.INVARIANT_RUNS),
        FOUNDRY_INVARIANT_DEPTH=str(limits.INVARIANT_DEPTH),
    )
    found = {name: {"runs": int(runs), "calls": int(made)} for name, runs, made, _ in INVARIANT.findall(output)}
    short = [f"{name} made {row['calls']} moves, not {calls}" for name, row in found.items() if row["calls"] < calls]
    figures = {"depth": limits.INVARIANT_DEPTH, "suites": sorted(set(SUITES.findall(output))), "invariants": found}
    return figures, short or _none(found, "no invariant ran")


def symbolic() -> Stage:
    """prove.py."""
    found = prove.measure()
    return {
        "properties": {key: row["problem"] is None for key, row in found["properties"].items()}
    }, prove.broken_limits(found)


def static_analysis() -> Stage:
    """analyse.py."""
    found = analyse.measure()
    return {"findings": found["findings"], "explained": found["explained"]}, found["broken"]


def coverage() -> Stage:
    """cover.py."""
    found = cover.measure()
    shares = {kind: round(cover.percent(found["total"][kind]), 2) for kind in ("lines", "branches")}
    return {f"{kind}Percent": share for kind, share in shares.items()} | {
        "uncovered": cover.uncovered(found)
    }, cover.broken_limits(found)


def seeded_faults() -> Stage:
    """faults.py."""
    found = faults.measure()
    return {"caughtBy": {key: row["caughtBy"] for key, row in found.items()}}, faults.broken_limits(found)


def mutation() -> Stage:
    """mutate.py."""
    found = mutate.measure(os.environ.get("MUTANTS", mutate.DEFAULT_COUNT))
    mutate.show(found)
    return found, mutate.broken_limits(found)


def chaos() -> Stage:
    """Processes are killed, nodes vanish, blocks are replaced: every fault of the suite."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "faults.json"
        figures, broken = _pytest("-m", "chaos or storm", "-n", "2", "--dist", "loadfile", DLBC_FAULTS=str(file))
        faults = Counter(fault["kind"] for fault in json.loads(file.read_text(encoding="utf-8")))
    return figures | {"faults": sum(faults.values()), "ofEachKind": dict(sorted(faults.items()))}, broken


def properties() -> Stage:
    """Python's properties on many random inputs."""
    return _pytest("-m", "unit and hypothesis", "-n", "2", "--timeout", "1800", HYPOTHESIS_PROFILE="deep")


def attacks() -> Stage:
    """The thinned grid of attacks on the watermark, with its controls (bench/watermark.py)."""
    bench = ROOT / "bench"
    finished = run([sys.executable, bench / "watermark.py", "--quick"], "attacks", HOME=os.environ["HOME"])
    if finished.code != 0:
        raise Unusable(f"bench/watermark.py --quick failed:\n{last_lines(finished.output)}")
    cells = json.loads((bench / "results" / "quick" / "watermark.json").read_text(encoding="utf-8"))["cells"]
    ratios = {name: cell["kss"]["removal"]["fine_tuning"]["ratio"]["value"] for name, cell in cells.items()}
    short = [
        f"{name}: fine-tuning removes the mark in {ratio} of the epochs of training afresh, not {limits.FINE_TUNING_R}"
        for name, ratio in ratios.items()
        if ratio is None or ratio < limits.FINE_TUNING_R
    ]
    return {"fineTuningR": ratios}, short or _none(cells, "no net was attacked")


STAGES: dict[str, Callable[[], Stage]] = {
    "coverage": coverage,
    "staticAnalysis": static_analysis,
    "faults": seeded_faults,
    "symbolic": symbolic,
    "fuzz": fuzz,
    "chaos": chaos,
    "attacks": attacks,
    "properties": properties,
    "invariants": invariants,
}


BESIDE = {"chaos": "invariants", "attacks": "invariants", "properties": "invariants"}
"""Stages that run, one after the other, while another does that mostly needs a single core."""

APART: dict[str, Callable[[], Stage]] = {"mutation": mutation}
"""Takes seconds a mutant, so only `make mutate` runs it."""


def _forge(selection: list[str], **more: str) -> str:
    """Output of the chosen tests; Unusable if one fails."""
    with copy() as folder:
        finished = run([forge(), "test", *selection], "forge", cwd=folder, **more)
    if finished.code != 0:
        raise Unusable(f"forge test failed:\n{last_lines(finished.output)}")
    return finished.output


def _pytest(*arguments: str, **more: str) -> Stage:
    finished = run([sys.executable, "-m", "pytest", "-q", *arguments], "pytest", HOME=os.environ["HOME"], **more)
    if finished.code != 0:
        raise Unusable(f"pytest {' '.join(arguments)} failed:\n{last_lines(finished.output)}")
    passed = PASSED.search(finished.output)
    return {"passed": int(passed[1]) if passed else 0}, _none(passed, "no test ran")


def _none(found: object, sentence: str) -> list[str]:
    return [] if found else [sentence]


def contracts_hash() -> str:
    """Of all sources, so that one sees whether the results are of these."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "contracts").rglob("*.sol")):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0{path.read_text(encoding='utf-8')}\0".encode())
    return digest.hexdigest()


def measure(names: list[str]) -> dict[str, Any]:
    """The content of proof.json."""
    stages: dict[str, Any] = {}
    before = contracts_hash()
    with ThreadPoolExecutor(1) as aside:
        beside = [name for name in names if BESIDE.get(name) in names]
        for name in names:
            if name in beside:
                continue
            running = {other: aside.submit(_stage, other) for other in beside if BESIDE[other] == name}
            stages[name] = _stage(name)
            stages |= {other: result.result() for other, result in running.items()}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "contracts": before,
        "cores": os.cpu_count(),
        "seconds": _seconds(stages),
        "stages": {name: stages[name] for name in names},
    }


def _stage(name: str) -> dict[str, Any]:
    """Runs one; whatever goes wrong is in its result."""
    say(f"== {name}")
    began = time.monotonic()
    try:
        figures, broken = (STAGES | APART)[name]()
    except Unusable as error:
        figures, broken = {}, [str(error)]
    seconds = round(time.monotonic() - began)
    say("\n".join([f"== {name}: {'FAILED' if broken else 'ok'} in {seconds} s", *broken]))
    return {"seconds": seconds, "broken": broken, "figures": figures}


def _seconds(stages: dict[str, Any]) -> int:
    """Of all stages of `make deep`; what ran beside another counts as far as all of it took longer."""
    total = 0
    for name in STAGES:
        if name in stages and BESIDE.get(name) not in stages:
            beside = sum(stages[other]["seconds"] for other, main in BESIDE.items() if main == name and other in stages)
            total += max(stages[name]["seconds"], beside)
    return total


def broken_limits(found: dict[str, Any]) -> list[str]:
    """One sentence for each stage that is missing, failed or broke a limit, and for the whole time."""
    broken = [f"{name} did not run" for name in STAGES if name not in found["stages"]]
    broken += [f"{name}: {sentence}" for name, stage in found["stages"].items() for sentence in stage["broken"]]
    if found["seconds"] > limits.DEEP_SECONDS:
        broken.append(f"it took {found['seconds']} s; the limit is {limits.DEEP_SECONDS} s")
    return broken


def merged(earlier: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found now, with the other stages of an earlier run on the same contracts."""
    kept = earlier.get("stages", {}) if earlier.get("contracts") == found["contracts"] else {}
    stages = {**kept, **found["stages"]}
    return found | {
        "seconds": _seconds(stages),
        "stages": {name: stages[name] for name in (*STAGES, *APART) if name in stages},
    }


def _write(found: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Runs, prints, writes; returns the exit code. With names of stages only these run, and take their places in the
    results of the same contracts; results of others are dropped.
    """
    chosen = sys.argv[1:]
    unknown = sorted(set(chosen) - set(STAGES) - set(APART))
    if unknown:
        raise Unusable(f"no such stage: {', '.join(unknown)}; there are {', '.join((*STAGES, *APART))}")
    found = measure(chosen or list(STAGES))
    if chosen:
        broken = [text for stage in found["stages"].values() for text in stage["broken"]]
        found = merged(json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}, found)
        _write(found)
        return report(broken, "these stages are ok")
    _write(found)
    return report(broken_limits(found), f"deep: ok in {found['seconds'] / 60:.0f} minutes; {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    entry(main)

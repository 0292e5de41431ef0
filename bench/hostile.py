"""Hostile inputs, each with the verdict it gets, its seconds and its memory -> bench/results/hostile.json.

The corpus of tests/python/hostile goes through the real entry points: a miner's look at a task, an auditor's
examination of a claim or a test set, the readers that commands use, an IPFS node. Then every reader gets thousands of
spoiled files.
Last, what it costs to score in a process without network. Writes docs/hostile-inputs.md, too. Exit code 1 if a verdict
is not the one that it has to be, or a limit is broken. Under three minutes on two cores.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))  # before this folder, where `hostile` is this very file
sys.path.append(str(ROOT / "tests" / "python" / "contract"))

from _help import parser_of  # noqa: E402
from dlbc.core.errors import DlbcError  # noqa: E402
from hostile import dags  # noqa: E402
from hostile.case import MOST_BYTES, MOST_SECONDS, judge  # noqa: E402
from hostile.corpus import cases  # noqa: E402
from hostile.fuzz import READERS, spoil  # noqa: E402
from hostile.stage import staged  # noqa: E402
from hostile_parts import cost  # noqa: E402
from hostile_parts.page import page  # noqa: E402
from kubo_process import KuboProcess  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "hostile.json"
PAGE = ROOT / "docs" / "hostile-inputs.md"
SPOILED = 2_000
"""Files a reader gets."""


def main() -> int:
    """Runs all of it."""
    options = parser_of(__doc__)
    options.add_argument("--area", help="only the cases of this area; nothing is written")
    options.add_argument("--spoiled", type=int, default=SPOILED, help="spoiled files a reader gets")
    chosen = options.parse_args()
    rows = corpus(chosen.area)
    if chosen.area is not None:
        return 1 if any(problems(row) for row in rows) else 0
    began = time.perf_counter()
    readers = [fuzzed(name, chosen.spoiled) for name in READERS]
    figures = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "seconds": round(sum(row["seconds"] for row in rows) + time.perf_counter() - began, 1),
        "limits": {"seconds": MOST_SECONDS, "peakBytes": MOST_BYTES},
        "confinement": cost.confinement(),
        "cost": cost.measure(),
        "cases": rows,
        "readers": readers,
    }
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(page(figures))
    broken = [problem for row in rows for problem in problems(row)]
    broken += [f"{row['reader']}: {row['unexpected']} unexpected errors" for row in readers if row["unexpected"]]
    print(
        f"{len(rows)} hostile inputs, {len(rows) - len(broken)} verdicts as they have to be; wrote {RESULTS} and {PAGE}"
    )
    for sentence in broken:
        print(f"BROKEN {sentence}")
    return 1 if broken else 0


# ------------------------------------------------------------------ the corpus


def corpus(area: str | None = None) -> list[dict[str, Any]]:
    """Every case, played once."""
    rows = []
    with TemporaryDirectory() as folder, KuboProcess(Path(folder) / "node") as node, staged(Path(folder)) as stage:
        dags.plant(node)
        for case in (*cases(), *dags.cases(lambda _: node.api)):
            if area is not None and case.area != area:
                continue
            found = judge(case, stage)
            row = {
                "area": case.area,
                "input": case.name,
                "expected": case.expected,
                "verdict": found.verdict,
                "seconds": round(found.seconds, 3),
                "peakBytes": found.peak_bytes,
                "told": found.sentence,
            }
            rows.append(row)
            mark = "✗" if problems(row) else "✓"
            print(f"{mark} {case.id}: {found.verdict} ({found.seconds:.2f} s, {found.peak_bytes / 2**20:.0f} MiB)")
    return rows


def problems(row: dict[str, Any]) -> list[str]:
    """One sentence for whatever is not as it has to be."""
    name = f"{row['area']}: {row['input']}"
    found = []
    if row["verdict"] != row["expected"]:
        found.append(f"{name}: expected {row['expected']!r}, found {row['verdict']!r} ({row['told']})")
    if row["seconds"] > MOST_SECONDS:
        found.append(f"{name}: took {row['seconds']} s, at most {MOST_SECONDS} are allowed")
    if row["peakBytes"] > MOST_BYTES:
        found.append(f"{name}: took {row['peakBytes']} bytes, at most {MOST_BYTES} are allowed")
    return found


def fuzzed(name: str, count: int) -> dict[str, Any]:
    """One reader and its spoiled files."""
    make, parse = READERS[name]
    good, chance, taken, unexpected, slowest = make(), random.Random(name), 0, 0, 0.0
    for _ in range(count):
        data = spoil(good, chance)
        began = time.perf_counter()
        try:
            parse(data)
            taken += 1
        except DlbcError:
            pass
        except Exception as error:  # noqa: BLE001  (whatever it is, it is counted and shown)
            unexpected += 1
            print(f"✗ {name}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - began)
    print(f"✓ {name}: {count} spoiled files, {taken} of them still good, the slowest {1000 * slowest:.0f} ms")
    return {
        "reader": name,
        "files": count,
        "taken": taken,
        "unexpected": unexpected,
        "slowestSeconds": round(slowest, 3),
    }


if __name__ == "__main__":
    sys.exit(main())

"""How fast and how big a miner's client is: `dlbc bench miner` writes bench/results/miner.json and plots.

catch_up: reading 100,000 events of a market from block 0, and web3's own loop beside it. listing: `dlbc task list`
with 10,000 tasks, and one request for each beside it. latency: from a release to the signed reveal. idle: what a miner
without work costs. Everything runs on real nodes (Anvil) on this machine, which shares its cores with what is measured:
on a machine with other work the seconds are more than needed; cpu_seconds are of the process alone.

`--only NAME` measures one of them and writes nothing. `--quick` measures less of everything, in under a minute on two
idle cores; its results go to bench/results/quick. What misses a limit is told, and makes the exit code 1.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _help import parser_of
from miner_parts import catch_up, idle, latency, listing, plots

RESULTS = Path(__file__).resolve().parent / "results"

Measurement = Callable[[Path, bool], dict[str, Any]]
MEASUREMENTS: dict[str, tuple[Measurement, Callable[[dict[str, Any]], list[str]]]] = {
    "catch_up": (lambda folder, quick: catch_up.measure(folder, 5_000 if quick else 100_000), catch_up.broken),
    "listing": (lambda folder, quick: listing.measure(folder, 1_000 if quick else 10_000), listing.broken),
    "latency": (lambda folder, quick: latency.measure(folder, 1 if quick else 5), latency.broken),
    "idle": (lambda folder, quick: idle.measure(folder, 10.0 if quick else 60.0), idle.broken),
}


def main() -> int:
    """Measures, prints, writes; returns the exit code: 1 over a limit."""
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, in under a minute")
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), help="one of them; nothing is written")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    complaints = []
    for name in [options.only] if options.only else MEASUREMENTS:
        measure, broken = MEASUREMENTS[name]
        with TemporaryDirectory(prefix="dlbc-bench-") as folder:
            results[name] = measure(Path(folder), options.quick)
        print(json.dumps({name: results[name]}), flush=True)
        complaints += broken(results[name])
    if not options.only:
        write(results, RESULTS / "quick" if options.quick else RESULTS)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def write(results: dict[str, Any], folder: Path) -> None:
    """miner.json, and miner.svg beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    date = datetime.now(UTC).date().isoformat()
    load = round(os.getloadavg()[2], 1)
    told = {"date": date, **machine, "load_of_15_minutes": load, **results}
    (folder / "miner.json").write_text(json.dumps(told, indent=2) + "\n")
    if plots.can_plot():
        plots.overview(results, folder / "miner.svg")
    else:
        print("no figures: matplotlib is not installed (pip install 'dlbc[plots]')", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

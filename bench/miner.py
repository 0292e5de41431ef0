"""How fast and how big a miner's client is: `dlbc bench miner` writes bench/results/miner.json and plots.

idle: what a miner without work costs. `--only NAME` measures one of them and writes nothing.
`--quick` measures less of everything, in under a minute; its results go to bench/results/quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from miner_parts import catch_up, idle, latency, listing

Measurement = Callable[[Path, bool], dict[str, Any]]
MEASUREMENTS: dict[str, tuple[Measurement, Callable[[dict[str, Any]], list[str]]]] = {
    "catch_up": (lambda folder, quick: catch_up.measure(folder, 5_000 if quick else 100_000), catch_up.broken),
    "listing": (lambda folder, quick: listing.measure(folder, 1_000 if quick else 10_000), listing.broken),
    "latency": (lambda folder, quick: latency.measure(folder, 1 if quick else 5), latency.broken),
    "idle": (lambda folder, quick: idle.measure(folder, 10.0 if quick else 60.0), idle.broken),
}


def main() -> int:
    """Measures, prints, writes; returns the exit code: 1 over a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, in under a minute")
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), help="one of them; nothing is written")
    options = parser.parse_args()
    complaints = []
    for name in [options.only] if options.only else MEASUREMENTS:
        measure, broken = MEASUREMENTS[name]
        with TemporaryDirectory(prefix="dlbc-bench-") as folder:
            found = measure(Path(folder), options.quick)
        print(json.dumps({name: found}), flush=True)
        complaints += broken(found)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

"""How hard is the mark to remove, what does it cost, whom does it accuse wrongly? -> bench/results/watermark.json

    dlbc bench watermark                    the whole grid, about an hour on two cores; says before how long it takes
    dlbc bench watermark --quick            every kind of attack on three small nets, under five minutes
    dlbc bench watermark --resume           goes on after the last run that an interrupted one finished

Our mark (KSS) and the baseline (Uchida et al. 2017) meet the same thieves, who train with a fresh optimiser on the
public training data and may stop after any epoch. With x = 1 percentage point of accuracy:

    E_embed    least epochs until chance explains the mark with at most 2^-64 and no bit is wrong, with accuracy no more
               than x below unmarked at equal epochs
    E_remove   least epochs over the whole grid until the full verifier, blind at 2^-80 and aligned at 2^-128, reads
               nothing in a slot that was never opened, with accuracy no more than x below the marked model
    E_scratch  least epochs of training without the stolen weights to that accuracy, over the same schedules
    R          E_remove / E_scratch; "> r" where no attack succeeded within its budget

The baseline is read as published, and also after the same alignment as ours, which its authors did not have.
Accuracy is measured on the test set after every epoch and the best epoch of the whole grid counts, for thieves and for
those who train afresh alike. Exits 1 if a model does not carry its mark, a control is accused, or a disguise hides it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from _help import parser_of
from watermark_parts import cells, plots, problems, registry, report
from watermark_parts.cells import Profile
from watermark_parts.metrics import TOLERANCE
from watermark_parts.remembered import Remembering, forget
from watermark_parts.runs import Cell, worker_pool
from watermark_parts.schemes import UCHIDA_BITS, UCHIDA_WEIGHT

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    options = _options()
    profile = cells.QUICK if options.quick else cells.FULL
    settings = problems.QUICK if options.quick else problems.SETTINGS
    names = problems.chosen(settings, options.datasets, options.families)
    if not names:
        print("no net was chosen: see --datasets and --families", file=sys.stderr)
        return 2
    chosen = [Cell(dataset, family, options.quick, options.device) for dataset, family in names]
    out = options.out or _default_out(options)
    partial = out.with_name(out.name + ".partial")
    results = _begin(options, profile, partial if options.resume else None)
    missing = [cell for cell in chosen if cell.name not in results["cells"]]
    began = time.perf_counter()
    _say_how_long(missing, profile, options.jobs)
    kept = out.with_name(f"{out.name}.runs.partial")
    if not options.resume:
        forget(kept)
    with worker_pool(options.jobs) as pool:
        for cell in missing:
            results["cells"][cell.name] = cells.run(cell, profile, options.seed, Remembering(pool, kept), _say)
            report.write(partial, results)
            forget(kept)
    if "registry" not in results:
        _say(f"registry of {profile.registry_keys} keys, and a slot of 2^24 carriers")
        results |= registry.measure(profile.registry_keys)
    results["seconds"] = round(results["seconds"] + time.perf_counter() - began, 1)
    results["cells"] = {cell.name: results["cells"][cell.name] for cell in chosen}
    report.write(out, results)
    partial.unlink(missing_ok=True)
    _draw(results["cells"], out)
    print(f"\n{report.table(results['cells'])}\n\n{_shown(out)}: {results['seconds']:.0f} s")
    faults = [f"{name}: {fault}" for name, cell in results["cells"].items() for fault in cell["broken"]]
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__, "watermark")
    parser.add_argument("--quick", action="store_true", help="three small nets and a thinned grid")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--out", type=Path, help="the file of results; plots lie beside it")
    parser.add_argument("--resume", action="store_true", help="go on with what an interrupted run has written")
    parser.add_argument("--datasets", nargs="+", choices=sorted({dataset for dataset, _ in problems.SETTINGS}))
    parser.add_argument("--families", nargs="+", choices=sorted({family for _, family in problems.SETTINGS}))
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="where nets train (cpu)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (one per core)")
    return parser.parse_args()


def _default_out(options: argparse.Namespace) -> Path:
    """Only a whole full run replaces the committed results."""
    if options.quick:
        return RESULTS / "quick" / "watermark.json"
    if options.datasets or options.families:
        return RESULTS / "quick" / "watermark.part.json"
    return RESULTS / "watermark.json"


def _begin(options: argparse.Namespace, profile: Profile, partial: Path | None) -> dict[str, Any]:
    """The head of the results; with a partial file of the same settings, what that has."""
    head: dict[str, Any] = {
        "profile": profile.name,
        "first_seed": options.seed,
        "machine": report.machine(options.device),
        "tolerance": TOLERANCE,
        "precision": "float32",
        "baseline": {"scheme": "Uchida et al. 2017", "bits": UCHIDA_BITS, "weight": UCHIDA_WEIGHT},
        "seconds": 0.0,
        "cells": {},
    }
    if partial is None or not partial.is_file():
        return head
    found: dict[str, Any] = json.loads(partial.read_text())
    same = all(found.get(key) == head[key] for key in ("profile", "first_seed", "tolerance", "baseline"))
    if not same:
        _say(f"{partial.name} is of another profile or seed: starting afresh")
        return head
    _say(f"going on after {len(found['cells'])} finished cells")
    found["seconds"] = sum(cell["seconds"] for cell in found["cells"].values())
    return found


def _say_how_long(missing: list[Cell], profile: Profile, jobs: int) -> None:
    limit = [(cell, cells.estimate(cell, profile, jobs)) for cell in missing]
    for cell, seconds in limit:
        _say(f"{cell.name}: at most about {seconds / 60:.1f} minutes")
    _say(f"{profile.name} profile: at most about {sum(seconds for _, seconds in limit) / 60:.0f} minutes in all")


def _draw(found: dict[str, Any], out: Path) -> None:
    if not plots.can_plot():
        _say("no plots: matplotlib is not installed (pip install matplotlib)")
        return
    plots.attack_curves(found, out.with_name(f"{out.stem}_attacks.png"))
    plots.ratios(found, out.with_name(f"{out.stem}_ratios.svg"))
    plots.roc(found, out.with_name(f"{out.stem}_roc.svg"))


def _say(text: str) -> None:
    print(text, flush=True)


def _shown(path: Path) -> Path:
    root = RESULTS.parents[1]
    return path.relative_to(root) if path.is_relative_to(root) else path


if __name__ == "__main__":
    sys.exit(main())

"""Does the mark accuse wrongly more often than its bound says? -> bench/results/watermark_false_positives.json

    dlbc bench watermark_false_positives            two million wrong keys and thousands of aligned pairs
    dlbc bench watermark_false_positives --quick    a tenth of that, into bench/results/quick

Wrong keys, each with a payload of its own, read marked and unmarked models of every family and weights made to be hard:
all equal, heavy-tailed, one weight in a thousand that outweighs the rest. Then each of many small marked models is
suspected of being a copy of each other one, aligned to it and read with keys that mark that one: models from initial
weights of their own, and models that share them. At every level s the share of strengths at s or above is held against
exp(-s²/2) by an exact binomial test; exits 1 if the bound is broken at a significance of one in a million over all
levels of a series, or if anything reaches the threshold that accuses.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from _help import parser_of
from dlbc.core import watermark
from dlbc.core.alignment import align
from numpy.typing import NDArray
from watermark_parts import measures, plots, problems, report, runs, tails
from watermark_parts.learner import Weights
from watermark_parts.runs import Cell, Owned
from watermark_parts.schemes import KeyedSpreadSpectrum, scheme, secret

RESULTS = Path(__file__).resolve().parent / "results"
EPOCHS = 3
"""Of the models of the pairs: the fewer, the more alike those from equal initial weights are."""
HARD_SHAPE = (128, 256)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the keys and of the models")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--out", type=Path, help="the file of results; the plot lies beside it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (one per core)")
    options = parser.parse_args()
    out = options.out or RESULTS / ("quick" if options.quick else "") / "watermark_false_positives.json"
    keys, owners = (100_000, 5) if options.quick else (2_000_000, 16)
    began = time.perf_counter()
    with runs.worker_pool(options.jobs) as pool:
        series = _series(pool, keys, owners, options.seed)
    levels = {name: tails.tail(strengths) for name, strengths in series.items()}
    faults = [
        f"{name}: {level.reached} of {level.count} reached {level.s}, the bound allows a share of {level.bound:.3g}"
        for name, found in levels.items()
        for level in tails.broken(found)
    ]
    faults += [
        f"{name}: a wrong accusation, S = {strengths.max():.2f}"
        for name, strengths in series.items()
        if strengths.max() >= (watermark.OWN if "aligned" in name else watermark.BLIND)
    ]
    results = {
        "profile": "quick" if options.quick else "full",
        "first_seed": options.seed,
        "machine": report.machine("cpu"),
        "significance": tails.SIGNIFICANCE,
        "seconds": round(time.perf_counter() - began, 1),
        "series": {
            name: {
                "strengths": len(strengths),
                "largest": round(float(strengths.max()), 3),
                "levels": [level.to_json() for level in levels[name]],
            }
            for name, strengths in series.items()
        },
        "broken": faults,
    }
    report.write(out, results)
    if plots.can_plot():
        told = {name: found["levels"] for name, found in results["series"].items()}
        plots.tails(told, out.with_suffix(".svg"))
    for name, strengths in series.items():
        print(f"{name}: {len(strengths)} strengths, the largest {strengths.max():.2f}")
    print(
        f"{results['seconds']} s; the bound holds" if not faults else "\n".join(f"FAILED {fault}" for fault in faults)
    )
    return 1 if faults else 0


def _series(pool: Executor, keys: int, owners: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Strengths by what they were read from."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    cells = [
        Cell("digits", family, is_quick=False) for _, family in problems.chosen(problems.SETTINGS, ["digits"], None)
    ]
    own = _owners(pool, cells, owners, seed, is_shared=False)
    same = _owners(pool, cells, owners, seed, is_shared=True)
    unmarked = {cell: pool.submit(runs.train_owner, cell, None, seed, epochs=EPOCHS) for cell in cells}
    targets = [("wrong keys, marked models", own[cell][0].weights) for cell in cells]
    targets += [("wrong keys, unmarked models", unmarked[cell].result().weights) for cell in cells]
    targets += [("wrong keys, hard weights", weights) for weights in hard_weights()]
    for index, (name, weights) in enumerate(targets):
        read = pool.map(
            measures.strengths,
            *zip(*_parts(weights, secret("false positives", seed, index), keys // len(targets) + 1), strict=True),
        )
        found.setdefault(name, []).extend(read)
        print(f"{name}: {index + 1} of {len(targets)} models read", flush=True)
    for name, group in (("independent", own), ("same initial weights", same)):
        for cell in cells:
            models = [one.weights for one in group[cell]]
            jobs = [pool.submit(pairs, cell, models, first, seed) for first in range(len(models))]
            for job in jobs:
                blind, aligned = job.result()
                found.setdefault(f"{name}, blind", []).append(blind)
                found.setdefault(f"{name}, aligned", []).append(aligned)
            print(f"{name}: all pairs of {cell.name} aligned", flush=True)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _parts(weights: Weights, start: bytes, keys: int) -> list[tuple[Weights, bytes, int]]:
    """A model's keys in parts, one job each."""
    each = 25_000
    sizes = [min(each, keys - first) for first in range(0, keys, each)]
    return [(weights, secret(start, part), size) for part, size in enumerate(sizes)]


def _owners(pool: Executor, cells: list[Cell], owners: int, seed: int, *, is_shared: bool) -> dict[Cell, list[Owned]]:
    """Marked models of different owners, from different initial weights or all from the same."""
    jobs = {
        cell: [
            pool.submit(
                runs.train_owner, cell, "kss", seed + index, _owner(index, seed), seed if is_shared else None, EPOCHS
            )
            for index in range(owners)
        ]
        for cell in cells
    }
    return {cell: [job.result() for job in trained] for cell, trained in jobs.items()}


def _owner(index: int, seed: int) -> str:
    return f"owner {index} of {seed}"


def pairs(cell: Cell, models: list[Weights], first: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S of the mark of model `first` in each other one, every slot: as it is, and aligned to the marked original.

    The original is marked anew for every suspect, so that no key is read twice: the binomial test needs strengths that
    don't depend on one another, and suspects from the same initial weights are nearly the same model.
    """
    one = cell.problem()
    blind, aligned = [], []
    for other, suspect in enumerate(models):
        if other == first:
            continue
        mark = scheme("kss", one, f"pair {first}, {other} of {seed}")
        assert isinstance(mark, KeyedSpreadSpectrum)
        original = {name: np.array(tensor) for name, tensor in models[first].items()}
        mark.finish(original)
        restored = align(suspect, original, one.architecture).weights
        for slot, (key, payload) in enumerate(zip(mark.keys, mark.payloads, strict=True)):
            blind.append(watermark.detect(suspect, key, slot, payload).strength)
            aligned.append(watermark.detect(restored, key, slot, payload).strength)
    return np.array(blind), np.array(aligned)


def hard_weights() -> list[Weights]:
    """Weights for which a sum of random signs is least like a normal distribution."""
    random = np.random.default_rng(7)
    makers: list[Callable[[], NDArray[Any]]] = [
        lambda: np.ones(HARD_SHAPE),
        lambda: random.standard_cauchy(HARD_SHAPE),
        lambda: np.where(random.random(HARD_SHAPE) < 0.001, 1.0, 1e-3),
    ]
    return [{"w": make().astype(np.float32)} for make in makers]


if __name__ == "__main__":
    sys.exit(main())

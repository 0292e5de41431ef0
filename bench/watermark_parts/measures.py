"""What is measured beside the attacks: seconds, and the controls in which nothing must be found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Any

import numpy as np
import torch
from dlbc.adapters.ml.embed import Projector
from dlbc.adapters.ml.families import initial_weights
from dlbc.adapters.ml.training import PROJECT_EVERY
from dlbc.core import watermark
from dlbc.core.alignment import align
from numpy.typing import NDArray

from watermark_parts.learner import Learner, Recipe, Weights
from watermark_parts.problems import Problem
from watermark_parts.runs import Cell, limit_threads
from watermark_parts.schemes import SECRET_SLOT, KeyedSpreadSpectrum, scheme, secret

WRONG_KEYS = 1_000
STEPS_TIMED = 2 * PROJECT_EVERY


def timing(cell: Cell, repeats: int) -> dict[str, Any]:
    """Seconds of an epoch unmarked and marked, alternating in this process; and of single calls.

    On a CPU with one thread, and its own time there, which passes only while it has the core: whatever else runs on the
    machine, the ratio stays. It compares the fastest repeats. `projection_share` is the same without the rest of that
    noise: one projection against the PROJECT_EVERY steps between two of them.
    """
    threads = torch.get_num_threads()
    limit_threads()
    try:
        return _timing(cell, repeats)
    finally:
        torch.set_num_threads(threads)


def _timing(cell: Cell, repeats: int) -> dict[str, Any]:
    one, device = cell.problem(), cell.place()
    start = initial_weights(one.architecture, secret("timing"))
    steps = -(-len(one.train.y) // one.setting.batch)
    epochs = -(-STEPS_TIMED // steps)
    found: dict[str, list[float]] = {"unmarked": [], "kss": [], "uchida": []}
    for _ in range(repeats):
        for label, seconds in found.items():
            learner = Learner(one, start, Recipe(epochs, one_cycle=True), 0, device)
            if label != "unmarked":
                scheme(label, one, "timing").attach(learner)
            began = _now(device)
            for _ in learner.epochs():
                pass
            seconds.append((_now(device) - began) / epochs)
    fastest = {label: min(seconds) for label, seconds in found.items()}
    mark = scheme("kss", one, "timing")
    assert isinstance(mark, KeyedSpreadSpectrum)
    projection = _seconds(_projection(learner, mark), device)
    weights = {name: np.array(tensor) for name, tensor in start.items()}
    mark.finish(weights)
    return {
        "threads": torch.get_num_threads(),
        "seconds_an_epoch": {label: round(seconds, 4) for label, seconds in fastest.items()},
        "kss_over_unmarked": round(fastest["kss"] / fastest["unmarked"], 4),
        "uchida_over_unmarked": round(fastest["uchida"] / fastest["unmarked"], 4),
        "projection_ms": round(1000 * projection, 3),
        "projection_share": round(projection / (PROJECT_EVERY * fastest["unmarked"] / steps), 5),
        "embed_ms": round(1000 * _seconds(lambda: mark.finish(weights), device), 3),
        "detect_ms": round(1000 * _seconds(lambda: mark.read(weights), device), 3),
        "align_ms": round(1000 * _seconds(lambda: align(weights, weights, one.architecture), device), 3),
    }


def _projection(learner: Learner, mark: KeyedSpreadSpectrum) -> Callable[[], None]:
    return Projector(learner.module, mark.keys, mark.payloads).project


def _seconds(call: Callable[[], object], device: torch.device, times: int = 9) -> float:
    """Median of single calls, the first not counted."""
    call()
    found = []
    for _ in range(times):
        began = _now(device)
        call()
        found.append(_now(device) - began)
    return median(found)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def controls(
    one: Problem, owner: str, marked: Weights, same_start: Weights, independent: Sequence[Weights]
) -> dict[str, Any]:
    """What the owner's secret slot reads where its mark is not: every S must stay below BLIND, and aligned below OWN.

    same_start: unmarked, from the same initial weights and in the same order of data. independent: other miners'.
    """
    mark = scheme("kss", one, owner)
    return {
        "wrong_keys": {
            "marked": wrong_keys(marked, secret("wrong keys", owner, "marked"), WRONG_KEYS),
            "unmarked": wrong_keys(same_start, secret("wrong keys", owner, "unmarked"), WRONG_KEYS),
        },
        "same_initial_weights": _read(mark, one, marked, same_start),
        "independent": [_read(mark, one, marked, weights) for weights in independent],
    }


def _read(mark: Any, one: Problem, original: Weights, suspect: Weights) -> dict[str, float]:
    alignment = align(suspect, original, one.architecture)
    return {
        "blind_strength": round(mark.read(suspect).strength, 2),
        "aligned_strength": round(mark.read(alignment.weights).strength, 2),
        "cosine": round(alignment.cosine, 3),
    }


def wrong_keys(weights: Mapping[str, Any], start: bytes, count: int) -> dict[str, float]:
    """The largest of many keys' strengths, and the bound on the probability that any reached it."""
    found = float(strengths(weights, start, count).max())
    return {
        "keys": count,
        "largest_strength": round(found, 3),
        "bound_on_any": round(min(1.0, count * float(np.exp(-(max(found, 0) ** 2) / 2))), 4),
    }


def strengths(weights: Mapping[str, Any], start: bytes, count: int, slot: int = SECRET_SLOT) -> NDArray[np.float64]:
    """S of `count` keys that have nothing to do with the weights, each with a payload of its own."""
    turned = watermark.planes(watermark.quantise(weights, slot))
    random = np.random.Generator(np.random.Philox(int.from_bytes(start[:16], "little")))
    found = np.empty(count)
    for first in range(0, count, 1000):
        block = random.bytes(64 * min(1000, count - first))
        pairs = [(block[at : at + 32], block[at + 32 : at + 64]) for at in range(0, len(block), 64)]
        found[first : first + len(pairs)] = watermark.correlate(turned, *zip(*pairs, strict=True))
    return found / sqrt(turned.energy) if turned.energy else np.zeros(count)

"""The attack grid: what a thief without the key does to a marked model before and while training it further.

Every attacker has the public training data, the architecture and the scheme, trains with a fresh optimiser, and may
stop after any epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from dlbc.adapters.ml.families import initial_weights
from dlbc.core.alignment import align
from numpy.typing import NDArray

from watermark_parts.learner import Recipe, Weights
from watermark_parts.problems import Problem
from watermark_parts.schemes import KeyedSpreadSpectrum, scheme, secret
from watermark_parts.symmetries import disguised

RATES = (0.02, 0.2, 1.0, 4.0)
DECAYS = (1.0, 10.0, 40.0)
PRUNED = (0.5, 0.7, 0.9)
SHRUNK = (0.5, 0.25, 0.1, 0.05)
OVERWRITTEN = (1.0, 2.0)
FINE_TUNING = ("fine-tune", "fine-tune, one cycle")
"""The kinds that only train on."""
RETRAINING = ("distil",)
"""The kinds that keep no weight of the original: no mark in weights can survive them."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A change of the weights, then training by the recipe. `amount` is the change's own parameter."""

    kind: str
    name: str
    recipe: Recipe
    amount: float = 0.0
    schemes: tuple[str, ...] = ("kss", "uchida")


@dataclass(frozen=True, slots=True)
class Loot:
    """What the thief has: the marked model, another miner's, and one from the same initial weights."""

    marked: Weights
    other: Weights
    twin: Weights


def schedules(budget: int, lengths: tuple[int, ...], is_thin: bool) -> list[tuple[str, Recipe]]:
    """The grid of learning rates and weight decays: constant to the end of the budget, and one-cycle runs."""
    rates = (0.2, 1.0, 4.0) if is_thin else RATES
    decays = (1.0, 40.0) if is_thin else DECAYS
    found = [(f"lr ×{rate:g}, wd ×{decay:g}", Recipe(budget, rate, decay)) for rate, decay in product(rates, decays)]
    peaks = [(1.0, 1.0), (4.0, 40.0)] if is_thin else list(product((1.0, 4.0), (1.0, 40.0)))
    found += [
        (f"lr ×{rate:g}, wd ×{decay:g}, {length} epochs", Recipe(length, rate, decay, one_cycle=True))
        for (rate, decay), length in product(peaks, lengths)
    ]
    return found


def retraining(budget: int, lengths: tuple[int, ...], is_thin: bool) -> list[tuple[str, Recipe]]:
    """The grid for those who begin (next to) afresh: `schedules` but for the rates that get there last or never."""
    least = 1.0 if is_thin else 0.2
    return [(name, recipe) for name, recipe in schedules(budget, lengths, is_thin) if recipe.rate >= least]


def near_fresh(is_thin: bool) -> int:
    """Attacks that have the whole grid of those who train afresh: the smallest shrinkings, and distillation."""
    return 2 if is_thin else 3


def plan(budget: int, lengths: tuple[int, ...], is_thin: bool) -> list[Attack]:
    """All attacks on one model; the thin grid keeps every kind.

    Whoever keeps little or nothing of the weights has the whole grid of those who train afresh, and that is gone
    through `near_fresh` times, so that the least of many noisy runs is compared with the least of as many.
    """
    found = [
        Attack(FINE_TUNING[recipe.one_cycle], name, recipe) for name, recipe in schedules(budget, lengths, is_thin)
    ]
    constant = Recipe(budget)
    cycles = [Recipe(length, one_cycle=True) for length in (lengths[-1:] if is_thin else lengths)]
    few = cycles[:1] if is_thin else cycles[1:3]

    def after(kind: str, label: str, amount: float, recipes: list[Recipe]) -> list[Attack]:
        return [
            Attack(kind, f"{label}, {f'one cycle of {r.epochs}' if r.one_cycle else 'lr ×1'}", r, amount)
            for r in recipes
        ]

    for share in (0.5, 0.9) if is_thin else PRUNED:
        found += after("prune", f"{share:.0%}", share, [constant, *few])
    for keep in (0.25,) if is_thin else SHRUNK[:2]:
        found += after("shrink and perturb", f"a = {keep:g}", keep, [constant, *cycles])
    afresh = retraining(budget, lengths, is_thin)
    for keep in (0.05,) if is_thin else SHRUNK[2:]:
        found += [Attack("shrink and perturb", f"a = {keep:g}, {name}", recipe, keep) for name, recipe in afresh]
    for factor in OVERWRITTEN:
        found += after("overwrite", f"second key, {factor:g} γ", factor, [constant])
    found += after("mean-centre", "every matrix", 0.0, [constant, *few])
    found += [Attack("quantise", f"int{bits}", Recipe(0), bits) for bits in (8, 4)]
    found += [
        Attack("disguise", "permute, rescale, flip signs", Recipe(0), 1),
        Attack("disguise", "permute, rescale, flip signs; lr ×1", Recipe(budget // 2), 2),
        Attack("average", "two from the same initial weights", Recipe(budget // 2), 1),
        Attack("average", "two miners' models, units matched", Recipe(budget // 2), 2),
        Attack("erase the opened slot", "slot 0, lr ×1", Recipe(budget // 2), schemes=("kss",)),
    ]
    return found + [Attack("distil", f"soft labels, {name}", recipe) for name, recipe in afresh]


def changed(attack: Attack, loot: Loot, problem: Problem, owner: str, seed: int) -> Weights:
    """The thief's weights before any training."""
    random = np.random.default_rng(list(secret(seed, attack.kind, attack.name)[:8]))
    weights = {name: np.array(tensor) for name, tensor in loot.marked.items()}
    if attack.kind == "prune":
        mask = kept_by_pruning(weights, attack.amount)
        return {name: tensor * mask[name] if name in mask else tensor for name, tensor in weights.items()}
    if attack.kind == "shrink and perturb":
        fresh = initial_weights(problem.architecture, secret("perturbation", seed, attack.name))
        return mixed(weights, fresh, attack.amount)
    if attack.kind == "mean-centre":
        return mean_centred(weights)
    if attack.kind == "quantise":
        return quantised(weights, int(attack.amount))
    if attack.kind == "disguise":
        return disguised(weights, problem.architecture, random)
    if attack.kind == "average":
        second = loot.twin if attack.amount == 1 else align(loot.other, weights, problem.architecture).weights
        return mixed(weights, second, 0.5)
    if attack.kind == "erase the opened slot":
        mark = scheme("kss", problem, owner)
        assert isinstance(mark, KeyedSpreadSpectrum)
        mark.erase_opened(weights)
        return weights
    if attack.kind == "distil":
        return initial_weights(problem.architecture, secret("student", seed, attack.name))
    return weights


def matrices(weights: Mapping[str, Any]) -> list[str]:
    """Names of what thieves prune, quantise and centre: all of two and more dimensions."""
    return [name for name, tensor in weights.items() if tensor.ndim >= 2]


def kept_by_pruning(weights: Mapping[str, Any], share: float) -> dict[str, NDArray[np.float32]]:
    """1 where a weight stays, 0 for the smallest `share` of each matrix."""
    found = {}
    for name in matrices(weights):
        absolute = np.abs(weights[name])
        found[name] = (absolute > np.quantile(absolute, share)).astype(np.float32)
    return found


def mean_centred(weights: Mapping[str, Any]) -> Weights:
    """The mean over output units taken from every matrix."""
    return {
        name: np.asarray(tensor - tensor.mean(0, keepdims=True) if tensor.ndim >= 2 else tensor, np.float32)
        for name, tensor in weights.items()
    }


def quantised(weights: Mapping[str, Any], bits: int) -> Weights:
    """Each row of a matrix rounded to 2^bits - 1 levels that are symmetric around zero."""
    found = {}
    levels = 2 ** (bits - 1) - 1
    for name, tensor in weights.items():
        found[name] = np.array(tensor, np.float32)
        if tensor.ndim >= 2:
            rows = found[name].reshape(len(tensor), -1)
            step = np.abs(rows).max(1, keepdims=True) / levels
            step[step == 0] = 1
            rows[:] = np.rint(rows / step) * step
    return found


def mixed(first: Mapping[str, Any], second: Mapping[str, Any], share: float) -> Weights:
    """share · first + (1 - share) · second."""
    return {
        name: (np.float32(share) * tensor + np.float32(1 - share) * second[name]).astype(np.float32)
        for name, tensor in first.items()
    }

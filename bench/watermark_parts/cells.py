"""One cell of the benchmark: a net on a data set, trained, attacked, and compared with training afresh."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from dlbc.adapters.ml.families import initial_weights
from dlbc.core import watermark
from dlbc.core.architecture import parameters, tensor_shapes

from watermark_parts import attacks, metrics, problems, report, runs
from watermark_parts.attacks import FINE_TUNING, RETRAINING, Attack, Loot
from watermark_parts.learner import Learner, Recipe
from watermark_parts.measures import controls, timing
from watermark_parts.metrics import TOLERANCE, Least, Point
from watermark_parts.runs import Cell, Owned, owner_name
from watermark_parts.schemes import SCHEMES
from watermark_parts.schemes import scheme as scheme_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """How much is done."""

    name: str
    seeds: int
    timing_repeats: int
    registry_keys: int
    is_thin: bool

    @property
    def is_quick(self) -> bool:
        return self.name == "quick"


FULL = Profile("full", seeds=5, timing_repeats=5, registry_keys=10_000, is_thin=False)
QUICK = Profile("quick", seeds=2, timing_repeats=2, registry_keys=1_000, is_thin=True)


@dataclass(frozen=True, slots=True)
class Stolen:
    """One attack on one model: what was done, and what came of it."""

    scheme: str
    seed: int
    attack: Attack
    curve: list[Point]
    removed: float | None
    removed_blind: float | None


def estimate(cell: Cell, profile: Profile, processes: int) -> float:
    """Seconds that the cell takes if no run ends early: epochs of all runs times the seconds of a measured one.

    Measured with one thread, as the runs have, and with the reading of the mark that follows every epoch of an attack.
    """
    one = cell.problem()
    setting = one.setting
    plan = attacks.plan(setting.budget, setting.lengths, profile.is_thin)
    schedules = attacks.retraining(setting.budget, setting.lengths, profile.is_thin)
    epochs = 3 * profile.seeds * setting.epochs + 2 * setting.epochs + 2 * setting.budget * profile.seeds
    epochs += setting.attacked * sum(len(attack.schemes) * (attack.recipe.epochs + 1) for attack in plan)
    epochs += setting.attacked * attacks.near_fresh(profile.is_thin) * sum(recipe.epochs for _, recipe in schedules)
    start, mark = initial_weights(one.architecture, bytes(32)), scheme_of("kss", one, "an estimate")
    learner = Learner(one, start, Recipe(2), 0, cell.place())
    threads = torch.get_num_threads()
    runs.limit_threads()
    seconds = []
    for epoch in learner.epochs():
        runs.point(epoch, learner.accuracy(), mark, learner.weights(), start, one)
        seconds.append(time.perf_counter())
    torch.set_num_threads(threads)
    return epochs * (seconds[1] - seconds[0]) / processes


def run(cell: Cell, profile: Profile, base_seed: int, pool: Executor, say: Say) -> dict[str, Any]:
    """All figures of the cell, ready for JSON."""
    began = time.perf_counter()
    one = cell.problem()
    seeds = [base_seed + index for index in range(profile.seeds)]
    say(f"{cell.name}: seconds of an epoch")
    seconds = timing(cell, profile.timing_repeats)
    owned = _train(cell, seeds, profile, pool, say)
    stolen, fresh = _attack(cell, seeds, profile, owned, pool, say)
    unmarked = [owned[None, seed] for seed in seeds]
    shapes = tensor_shapes(one.architecture)
    found: dict[str, Any] = {
        **problems.described(one),
        "parameters": parameters(one.architecture),
        "carriers_per_slot": watermark.carriers_per_slot(shapes),
        "seeds": seeds,
        "accuracy": _accuracies(owned, seeds),
        "timing": seconds,
        "retraining": [
            {"name": name, "seed": seed, "epochs": [e for e, _ in curve], "accuracy": [round(a, 4) for _, a in curve]}
            for (name, seed), curve in fresh.items()
        ],
    }
    for scheme in SCHEMES:
        mine = [theft for theft in stolen if theft.scheme == scheme]
        floors = {seed: owned[scheme, seed].accuracy - TOLERANCE for seed in seeds[: one.setting.attacked]}
        scratch = {
            seed: metrics.least(
                (metrics.reached_at(curve, floor) for (_, whose), curve in fresh.items() if whose == seed),
                one.setting.budget,
            )
            for seed, floor in floors.items()
        }
        readings = [owned[scheme, seed].reading for seed in seeds]
        found[scheme] = {
            "strengths": [None if r is None or r.strength is None else round(r.strength, 2) for r in readings],
            "log2": [None if r is None else round(r.log2_chance, 1) for r in readings],
            "wrong_bits": [None if r is None else r.wrong for r in readings],
            "n": readings[0].n if readings[0] else None,
            "embed": {
                "afterwards": [_afterwards(owned, scheme, seed) for seed in seeds],
                "in_training": [
                    metrics.embedded_at(owned[scheme, seed].marks, owned[None, seed].accuracy) for seed in seeds
                ],
            },
            "floors": {str(seed): round(floor, 5) for seed, floor in floors.items()},
            "removal": removal([(theft, theft.removed) for theft in mine], scratch, one.setting.budget),
            "removal_blind": removal([(theft, theft.removed_blind) for theft in mine], scratch, one.setting.budget),
            "attacks": [_told(theft) for theft in mine],
        }
    found["controls"] = controls(
        one,
        owner_name("kss", seeds[0]),
        owned["kss", seeds[0]].weights,
        unmarked[0].weights,
        [each.weights for each in unmarked[1:]] + [owned["kss", seed].weights for seed in seeds[1:]],
    )
    found["seconds"] = round(time.perf_counter() - began, 1)
    found["broken"] = broken(found)
    return found


def removal(stolen: Sequence[tuple[Stolen, float | None]], scratch: Mapping[int, Least], budget: int) -> dict[str, Any]:
    """E_remove and R over all attacks, over groups of them, and by kind: over all attacked models, and for each.

    stolen: with the epoch of removal. scratch: E_scratch by seed.
    """

    scratch_of_all = metrics.least((each.epochs for each in scratch.values()), budget)

    def over(chosen: Sequence[tuple[Stolen, float | None]], most: int) -> dict[str, Any]:
        removes, ratios, best = [], [], []
        for seed, afresh in scratch.items():
            mine = [one for one in chosen if one[0].seed == seed]
            remove = metrics.least((removed for _, removed in mine), most)
            removes.append(remove)
            ratios.append(metrics.ratio(remove, afresh))
            ways = [theft.attack for theft, removed in mine if removed == remove.epochs is not None]
            best.append(f"{ways[0].kind}: {ways[0].name}" if ways else None)
        remove_of_all = metrics.least((each.epochs for each in removes), most)
        return {
            "remove": remove_of_all.epochs,
            "budget": most,
            "scratch": scratch_of_all.epochs,
            "ratio": metrics.ratio(remove_of_all, scratch_of_all).to_json(),
            "each_remove": [each.epochs for each in removes],
            "each_scratch": [each.epochs for each in scratch.values()],
            "each_ratio": [each.to_json() for each in ratios],
            "runs": len(chosen),
            "by": best,
        }

    def of(kinds: Sequence[str]) -> list[tuple[Stolen, float | None]]:
        return [one for one in stolen if one[0].attack.kind in kinds]

    kinds = list(dict.fromkeys(theft.attack.kind for theft, _ in stolen))
    by_kind = {kind: over(of([kind]), max(theft.attack.recipe.epochs for theft, _ in of([kind]))) for kind in kinds}
    return {
        "all": over(stolen, budget),
        "keeping_weights": over(of([kind for kind in kinds if kind not in RETRAINING]), budget),
        "fine_tuning": over(of(FINE_TUNING), budget),
        "by_kind": by_kind,
    }


def broken(found: Mapping[str, Any]) -> list[str]:
    """What must hold whatever the data: the mark is there, nothing else is, and a disguise does not hide it."""
    ours = found["kss"]
    faults = []
    if any(ours["wrong_bits"]) or max(ours["log2"]) > -64:
        faults.append("a marked model does not carry its mark")
    strengths = [("same initial weights", found["controls"]["same_initial_weights"])]
    strengths += [("an independent model", control) for control in found["controls"]["independent"]]
    for name, control in strengths:
        if control["blind_strength"] >= watermark.BLIND or control["aligned_strength"] >= watermark.OWN:
            faults.append(f"the mark was found in {name}")
    for name, control in found["controls"]["wrong_keys"].items():
        if control["largest_strength"] >= watermark.BLIND:
            faults.append(f"a wrong key found a mark in the {name} model")
    if any(one["kind"] == "disguise" and one["removed"] == 0 for one in ours["attacks"]):
        faults.append("units in another order, rescaled, hid the mark")
    return faults


def _train(
    cell: Cell, seeds: Sequence[int], profile: Profile, pool: Executor, say: Say
) -> dict[tuple[str | None, Any], Owned]:
    """By (scheme or None, seed); (scheme, "twin") from the first seed's initial weights; (scheme, ("after", seed))."""
    jobs: dict[tuple[str | None, Any], Future[Owned]] = {}
    for seed in seeds:
        for scheme in (None, *SCHEMES):
            jobs[scheme, seed] = pool.submit(runs.train_owner, cell, scheme, seed)
    for scheme in SCHEMES:
        jobs[scheme, "twin"] = pool.submit(runs.train_owner, cell, scheme, seeds[0], "twin")
    _wait(jobs.values(), f"{cell.name}: training", say)
    owned = {key: job.result() for key, job in jobs.items()}
    later = {
        (scheme, ("after", seed)): pool.submit(runs.embed_afterwards, cell, scheme, seed, owned[None, seed].weights)
        for seed in seeds
        for scheme in SCHEMES
    }
    _wait(later.values(), f"{cell.name}: marking trained models", say)
    return owned | {key: job.result() for key, job in later.items()}


def _attack(
    cell: Cell,
    seeds: Sequence[int],
    profile: Profile,
    owned: Mapping[tuple[str | None, Any], Owned],
    pool: Executor,
    say: Say,
) -> tuple[list[Stolen], dict[tuple[str, int], list[tuple[float, float]]]]:
    """Every attack on every attacked model of both schemes, and training afresh over the same grid."""
    setting = cell.problem().setting
    plan = attacks.plan(setting.budget, setting.lengths, profile.is_thin)
    grid = attacks.retraining(setting.budget, setting.lengths, profile.is_thin)
    other = seeds[1 % len(seeds)]
    jobs: list[tuple[str, int, Attack, Future[list[Point]]]] = []
    fresh: dict[tuple[str, int], Future[list[tuple[float, float]]]] = {}
    for seed in seeds[: setting.attacked]:
        highest = max(owned[scheme, seed].accuracy for scheme in SCHEMES) - TOLERANCE
        for (name, recipe), again in product(grid, range(attacks.near_fresh(profile.is_thin))):
            named = f"{name} ({again + 1})"
            fresh[named, seed] = pool.submit(runs.retrain, cell, seed, named, recipe, highest)
        for scheme in SCHEMES:
            marked = owned[scheme, seed]
            loot = Loot(marked.weights, owned[scheme, other].weights, owned[scheme, "twin"].weights)
            for what in plan:
                if scheme in what.schemes:
                    floor = marked.accuracy - TOLERANCE
                    job = pool.submit(runs.attack, cell, scheme, seed, what, loot, floor)
                    jobs.append((scheme, seed, what, job))
    _wait([*fresh.values(), *(job for *_, job in jobs)], f"{cell.name}: attacks and training afresh", say)
    stolen = []
    for scheme, seed, what, job in jobs:
        floor = owned[scheme, seed].accuracy - TOLERANCE
        curve = job.result()
        removed, blind = (metrics.removed_at(curve, floor, is_blind=is_blind) for is_blind in (False, True))
        stolen.append(Stolen(scheme, seed, what, curve, removed, blind))
    return stolen, {key: curve.result() for key, curve in fresh.items()}


def _wait(jobs: Iterable[Future[Any]], what: str, say: Say) -> None:
    """Says after each fifth how far it is; a run that fails ends the benchmark at once."""
    waiting = list(jobs)
    began = time.perf_counter()
    for done, job in enumerate(as_completed(waiting), 1):
        job.result()
        if done * 5 // len(waiting) > (done - 1) * 5 // len(waiting):
            say(f"{what}: {done} of {len(waiting)} runs, {time.perf_counter() - began:.0f} s")


def _accuracies(owned: Mapping[tuple[str | None, Any], Owned], seeds: Sequence[int]) -> dict[str, Any]:
    values = {
        "unmarked": [owned[None, seed].accuracy for seed in seeds],
        "kss": [owned["kss", seed].accuracy for seed in seeds],
        "kss_afterwards": [owned["kss", ("after", seed)].accuracy for seed in seeds],
        "uchida": [owned["uchida", seed].accuracy for seed in seeds],
    }
    found: dict[str, Any] = {label: metrics.summary(accuracies) for label, accuracies in values.items()}
    found["less_unmarked"] = {
        label: metrics.paired(accuracies, values["unmarked"])
        for label, accuracies in values.items()
        if label != "unmarked"
    }
    return found


def _afterwards(owned: Mapping[tuple[str | None, Any], Owned], scheme: str, seed: int) -> float | None:
    return metrics.embedded_at(owned[scheme, ("after", seed)].marks, owned[None, seed].accuracy)


def _told(theft: Stolen) -> dict[str, Any]:
    recipe = theft.attack.recipe
    return {
        "kind": theft.attack.kind,
        "name": theft.attack.name,
        "seed": theft.seed,
        "budget": recipe.epochs,
        "removed": theft.removed,
        "removed_blind": theft.removed_blind,
        "curve": report.columns(theft.curve),
    }

"""Who takes part in the market, and which tasks they choose. Draws are numpy's, seeded; money is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from dlbc.core.difficulty import difficulty, rank
from dlbc.core.types import Workload
from numpy.typing import NDArray

from economy_parts.setting import ETHER, HOUR, Rules

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Miner(IntEnum):
    """Strategies of miners."""

    HONEST = 0
    BUILDER = 1  # goes on from an opened model and declares it
    THIEF = 2  # the same without declaring it
    OVER_CLAIMER = 3  # trains nothing, claims everything
    RING = 4  # an over-claimer whose friends vote
    JUNK = 5  # commits without a model, reveals zero
    SILENT = 6  # claims everything and does not open
    ACCOMPLICE = 7  # wins its requester's own contest


class Poster(IntEnum):
    """Strategies of requesters."""

    HONEST = 0
    OWN_CONTEST = 1
    LEAK = 2  # somebody gets the test set and wins for itself
    NO_RELEASE = 3
    UNREACHABLE = 4


class Voter(IntEnum):
    """Strategies of auditors."""

    HONEST = 0
    FALLS = 1  # expects that whoever files is right, and never looks
    UNAVAILABLE = 2  # the ballot that is never slashed
    RING = 3  # votes that its friends stand; otherwise as Falls
    ABSENT = 4


MINERS = {
    Miner.HONEST: 0.84,
    Miner.BUILDER: 0.05,
    Miner.THIEF: 0.05,
    Miner.OVER_CLAIMER: 0.02,
    Miner.RING: 0.01,
    Miner.JUNK: 0.02,
    Miner.SILENT: 0.01,
}
POSTERS = {Poster.HONEST: 0.90, Poster.OWN_CONTEST: 0.04, Poster.LEAK: 0.02, Poster.NO_RELEASE: 0.02}
POSTERS[Poster.UNREACHABLE] = 0.02
VOTERS = {Voter.HONEST: 0.60, Voter.FALLS: 0.10, Voter.UNAVAILABLE: 0.10, Voter.RING: 0.10, Voter.ABSENT: 0.10}


@dataclass(frozen=True, slots=True)
class Habits:
    """How the agents behave: assumptions."""

    competitors: float = 0.5  # chance that an honest runner-up looks at what beat it
    requesters: float = 0.5  # chance that an honest requester looks at what it pays for
    auditors: float = 0.05  # chance that one honest auditor looks at one opened claim
    mark_found: float = 0.98  # chance that who looks finds a mark of a thief
    mistaken: float = 0.001  # chance that an honest auditor errs
    spam: float = 0.005  # share of honest leaders that are disputed for nothing
    lost_reveal: float = 0.005  # chance that an honest miner fails between commit and reveal
    skill: float = 1.5  # a miner twice as fast is 2^skill times as likely to win
    tuning: float = 0.2  # work on top of an opened model, of training afresh
    transfer: float = 0.5  # quality an opened model loses on the next task
    families: int = 200  # of tasks whose models are of use to one another


@dataclass(frozen=True, slots=True)
class Tasks:
    """One generation's tasks."""

    bounty_wei: list[int]
    poster: Ints
    family: Ints
    ranks: Floats


def pick(random: np.random.Generator, shares: dict[Any, float], count: int) -> Ints:
    """Exactly in these shares, as far as whole agents go, in random order."""
    edges = np.rint(np.cumsum(list(shares.values())) / sum(shares.values()) * count).astype(int)
    kinds = np.repeat([int(kind) for kind in shares], np.diff(edges, prepend=0))
    random.shuffle(kinds)
    return kinds


def draw_tasks(random: np.random.Generator, rules: Rules, count: int, habits: Habits) -> Tasks:
    """Bounties around one ether; work that goes with them, and with the generation's difficulty by P-80."""
    bounties = ETHER * np.exp(random.normal(0, 0.7, count))
    samples = (60_000 * np.exp(random.normal(0, 0.8, count)) * (bounties / ETHER) ** 0.7).astype(int)
    bounty_wei = [int(bounty) // 10**9 * 10**9 for bounty in bounties]
    ranks = [
        rank(bounty, 0, difficulty(_workload(int(many)), place + 1, rules.market), rules.market.aging_seconds)
        for place, (bounty, many) in enumerate(zip(bounty_wei, samples, strict=True))
    ]
    poster = pick(random, POSTERS, count)
    return Tasks(bounty_wei, poster, random.integers(0, habits.families, count), np.array(ranks, dtype=float))


def _workload(samples: int) -> Workload:
    return Workload(
        parameters=10**7,
        flops_per_sample=10**9,
        samples=max(1, samples),
        epochs=20,
        data_bytes=max(1, samples) * 3_000,
        model_bytes=4 * 10**7,
    )


def choose(random: np.random.Generator, ranks: Floats, miners: int, waves: int = 20, looks: int = 16) -> Ints:
    """Each miner looks at some of the ranked list and takes what pays best a competitor; commits are public.

    Returns the task of each miner. Miners arrive in waves, so that later ones see what earlier ones chose.
    """
    chosen = np.empty(miners, dtype=np.int64)
    commits = np.zeros(len(ranks))
    for wave in np.array_split(random.permutation(miners), waves):
        seen = random.integers(0, len(ranks), (len(wave), min(looks, len(ranks))))
        best = np.argmax(ranks[seen] / (1 + commits[seen]), axis=1)
        tasks = seen[np.arange(len(wave)), best]
        chosen[wave] = tasks
        commits += np.bincount(tasks, minlength=len(ranks))
    return chosen


def qualities(random: np.random.Generator, habits: Habits, kinds: Ints, speeds: Floats, parents: Floats) -> Floats:
    """How good each model is: work and luck. parents: quality of the opened model of the family; NaN = there is none.

    With Gumbel luck the chance to win is in proportion to speed^skill (a Tullock contest).
    """
    luck = random.gumbel(0, 1, len(kinds))
    afresh = habits.skill * np.log(speeds) + luck
    onward = parents - habits.transfer + luck
    takes = np.isin(kinds, (Miner.BUILDER, Miner.THIEF)) & ~np.isnan(parents)
    return np.where(takes, np.maximum(onward, afresh), afresh)


def speeds_of(random: np.random.Generator, count: int) -> Floats:
    """The median miner's is 1; one in six is at least 1.65 times as fast."""
    return np.exp(random.normal(0, 0.5, count))


def third_of(speeds: Floats) -> list[str]:
    slow, fast = np.quantile(speeds, (1 / 3, 2 / 3))
    return ["slow" if speed < slow else "fast" if speed >= fast else "median" for speed in speeds.tolist()]


def stakes_of(random: np.random.Generator, kinds: list[int], shares: dict[Any, float], total_wei: int) -> list[int]:
    """Unequal ones; each strategy has its share of the stake, as far as it has auditors."""
    weights = random.pareto(1.5, len(kinds)) + 0.2
    of_kind = np.bincount(kinds, weights)
    parts = weights / of_kind[kinds] * np.array([shares.get(kind, 0.0) for kind in kinds]) / sum(shares.values())
    return [int(part * 10**9) * total_wei // 10**9 for part in parts]


def compute_wei(rules: Rules, node_hour_wei: int, speed: float, part: float = 1.0) -> int:
    """A faster node costs as much more: nobody gains by renting."""
    return int(node_hour_wei * speed * part * rules.train_seconds / HOUR)

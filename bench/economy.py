"""Who earns what, and what do attacks cost? A simulation of the economy -> bench/results/economy.json and economy.svg

    dlbc bench economy               10,000 miners, 1,000 open tasks, every sweep; says how long it takes
    dlbc bench economy --quick       the same on a small market, under a minute; results in bench/results/quick
    dlbc bench economy --only PART   attacks, parameters or market alone, as a table; nothing is written;
                                     tables: what is recorded, as docs/economy.md shows it

Attacks are played on exact books, in wei, with the client's own payout and tally functions (dlbc.core.payouts,
dlbc.core.disputes), which agree with the contracts to the last wei. Markets are played by agents with the same books;
who they are and how they behave is assumed: see docs/economy.md. Gas is what bench/results/gas.json measured. The same
seed gives the same figures; only seconds and memory differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from _help import parser_of
from economy_parts import attacks, evolution, parameters, plots, report, sensitivity, sweeps, tables
from economy_parts.census import figures
from economy_parts.market import Market, Size
from economy_parts.population import MINERS, POSTERS, VOTERS, Habits
from economy_parts.setting import Rules, World, load_gas, load_rules

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = ("attacks", "parameters", "market", "tables")
MOST_MINERS, MOST_TASKS = 100_000, 10_000
SECONDS_PER_ENTRY = 6e-5
"""On two cores of 2024; what is said before the run follows from it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much is played."""

    name: str
    market: Size
    crowded: Size  # as large, for fewer rounds
    small: Size
    evolution: Size
    seeds: int

    def seconds(self) -> float:
        """About how long it takes."""
        points = sum(len(values) for values, _ in sweeps.MARKET_SWEEPS.values())
        points += len(sensitivity.HABITS) + len(sensitivity.WORLDS) + 1 + len(WATCHED) * len(DEPOSITS)
        entries = self.market.miners * self.market.generations
        crowded = sum(len(sweeps.MARKET_SWEEPS[name][0]) for name in sweeps.CROWDED)
        entries += crowded * self.crowded.miners * self.crowded.generations
        entries += points * self.seeds * self.small.miners * self.small.generations
        entries += 4 * self.evolution.miners * self.evolution.generations
        return 5 + entries * SECONDS_PER_ENTRY


FULL = Profile("full", Size(10_000, 1_000, 40), Size(10_000, 1_000, 4), Size(1_000, 100, 12), Size(1_000, 100, 80), 4)
QUICK = Profile("quick", Size(1_000, 100, 8), Size(1_000, 100, 2), Size(400, 40, 3), Size(400, 40, 15), 1)
WATCHED = {"by hand": sensitivity.BY_HAND, "as assumed": Habits(), "daemons": sensitivity.DAEMONS}
DEPOSITS = (1_000, 3_500, 5_000, 10_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, prints, writes; 1 if the books do not agree or figures were not written."""
    options = _options(arguments)
    profile = _profile(options)
    rules, world, gas = load_rules(), World(), load_gas()
    if options.only == "tables" and not (RESULTS / "economy.json").is_file():
        _say(f"nothing is recorded in {RESULTS}: run `dlbc bench economy` first")
        return 1
    if options.only:
        print(_alone(options.only, profile, rules, world, gas, options.seed))
        return 0
    _say(f"{profile.name} profile: about {profile.seconds():.0f} s on two idle cores")
    began = time.perf_counter()
    results = {**_head(profile, options.seed, rules, world), **_play(profile, rules, world, gas, options.seed)}
    results["seconds"] = round(time.perf_counter() - began, 1)
    out = _out(options, profile)
    report.write(out, results)
    if plots.can_plot():
        plots.overview(results, out.with_suffix(".svg"))
    else:
        _say("no figures: matplotlib is not installed (pip install 'dlbc[plots]')")
    print(f"\n{report.summary(results)}\n\n{out}: {results['seconds']:.0f} s")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__, "economy")
    parser.add_argument("--quick", action="store_true", help="a small market, under a minute")
    parser.add_argument("--seed", type=_whole("--seed", 0, 2**32 - 1), default=0, help="of every draw (0)")
    parser.add_argument("--miners", type=_whole("--miners", 20, MOST_MINERS), help="of the large market (10000)")
    parser.add_argument("--tasks", type=_whole("--tasks", 10, MOST_TASKS), help="open at once in it (1000)")
    parser.add_argument("--out", type=_file, help="the file of results; the figures lie beside it")
    parser.add_argument("--only", choices=PARTS, help="one part, as a table; nothing is written")
    return parser.parse_args(arguments)


def _whole(name: str, least: int, most: int) -> Any:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
            raise argparse.ArgumentTypeError(f"{name} takes a whole number from {least} to {most}, found {text[:40]!r}")
        return int(text)

    return parse


def _file(text: str) -> Path:
    path = Path(text).absolute()
    folder = next((parent for parent in path.parents if parent.exists()), path)
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"--out takes a file in a folder that can be written, found {text[:60]!r}")
    return path


def _out(options: argparse.Namespace, profile: Profile) -> Path:
    """Only a whole full run replaces the committed results."""
    if options.out is not None:
        return Path(options.out)
    return RESULTS / "economy.json" if profile is FULL else RESULTS / "quick" / "economy.json"


def _profile(options: argparse.Namespace) -> Profile:
    profile = QUICK if options.quick else FULL
    if options.miners is None and options.tasks is None:
        return profile
    market = replace(
        profile.market, miners=options.miners or profile.market.miners, tasks=options.tasks or profile.market.tasks
    )
    return replace(profile, name=f"{profile.name}, other size", market=market)


def _head(profile: Profile, seed: int, rules: Rules, world: World) -> dict[str, Any]:
    told = asdict(rules)
    told.update(quorum=str(rules.quorum), majority=str(rules.majority))
    return {
        "profile": profile.name,
        "seed": seed,
        "machine": {
            "date": datetime.now(UTC).date().isoformat(),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "load_of_15_minutes": round(os.getloadavg()[2], 1),
        },
        "rules": told,
        "assumptions": {
            "world": asdict(world),
            "habits": asdict(Habits()),
            "miners": {kind.name.lower(): share for kind, share in MINERS.items()},
            "requesters": {kind.name.lower(): share for kind, share in POSTERS.items()},
            "auditors": {kind.name.lower(): share for kind, share in VOTERS.items()},
        },
        "sizes": {
            "market": asdict(profile.market),
            "crowded": asdict(profile.crowded),
            "small": asdict(profile.small),
            "seeds": profile.seeds,
        },
    }


def _play(profile: Profile, rules: Rules, world: World, gas: dict[str, int], seed: int) -> dict[str, Any]:
    results: dict[str, Any] = {"market": large_market(profile.market, rules, world, gas, seed)}
    _say("attacks")
    results["attacks"] = attacks.table(rules, world, gas)
    results["parameters"] = swept(rules, world, gas)
    seeds = range(seed, seed + profile.seeds)
    for name in sweeps.MARKET_SWEEPS:
        _say(f"markets: {name}")
        rows = sweeps.market_sweep(name, rules, world, gas, profile.small, seeds, Habits())
        results["parameters"][name]["markets"] = rows
    for name in sweeps.CROWDED:
        _say(f"large markets: {name}")
        rows = sweeps.market_sweep(name, rules, world, gas, profile.crowded, seeds[:1], Habits())
        results["parameters"][name]["large_markets"] = rows
    _say("markets: who looks, by deposit")
    results["watching"] = sensitivity.watching(rules, gas, profile.small, seeds, DEPOSITS, WATCHED)
    results["sensitivity"] = sensitivity.rows(
        rules, gas, profile.small, seeds, lambda name: _say(f"sensitivity: {name}")
    )
    results["evolution"] = evolved(profile.evolution, rules, world, gas, seed)
    return results


def large_market(size: Size, rules: Rules, world: World, gas: dict[str, int], seed: int) -> dict[str, Any]:
    """With seconds and peak memory of the process so far."""
    began, cpu = time.perf_counter(), time.process_time()
    market = Market(size, rules, world, gas, seed)
    market.run(lambda done: _say(f"market: generation {done} of {size.generations}") if done % 5 == 0 else None)
    return {
        **figures(market),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def swept(rules: Rules, world: World, gas: dict[str, int]) -> dict[str, Any]:
    return {sweep.name: sweeps.run(sweep, rules, world, gas) for sweep in parameters.all_of(rules)}


def evolved(size: Size, rules: Rules, world: World, gas: dict[str, int], seed: int) -> dict[str, Any]:
    runs = {}
    for name, habits in (("people look by hand", sensitivity.BY_HAND), ("as assumed", Habits())):
        for deposit in (DEPOSITS[0], rules.deposit_bps):
            run = f"{name}, deposit {deposit // 100} %"
            _say(f"evolution: {run}")
            runs[run] = evolution.evolve(size, replace(rules, deposit_bps=deposit), world, gas, seed, habits)
    return runs


def _alone(part: str, profile: Profile, rules: Rules, world: World, gas: dict[str, int], seed: int) -> str:
    if part == "attacks":
        return report.attacks_table(attacks.table(rules, world, gas))
    if part == "tables":
        recorded = json.loads((RESULTS / "economy.json").read_text())
        return "\n\n".join(f"{name}\n\n{text}" for name, text in tables.all_of(recorded).items())
    if part == "parameters":
        return report.parameters_table(swept(rules, world, gas))
    return report.market_tables(large_market(profile.market, rules, world, gas, seed))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

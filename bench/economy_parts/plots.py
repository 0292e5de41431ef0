"""The figures beside the results. Without matplotlib there are none, and a line says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

HONEST = ("honest, slow", "honest, median", "honest, fast", "builder")
MINERS = (*HONEST, "thief", "over_claimer", "ring", "junk", "silent")


def can_plot() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def overview(results: Mapping[str, Any], path: Path) -> None:
    """Six figures on one page."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "dlbc"
    figure = Figure(figsize=(15, 9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    _strategies(axes[0][0], results["market"])
    _auditors(axes[0][1], results["market"])
    _deposit(axes[0][2], results["parameters"]["deposit_bps"], results["watching"])
    _stake(axes[1][0], results["attacks"]["least_share"])
    _lock(axes[1][1], results["parameters"]["lock_bps"])
    _evolution(axes[1][2], results["evolution"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _strategies(axis: Any, market: Mapping[str, Any]) -> None:
    found = {name: market["miners"][name] for name in MINERS if name in market["miners"]}
    places = range(len(found))
    axis.bar(
        places,
        [row["profit_ether"] for row in found.values()],
        yerr=[2 * row["standard_error"] for row in found.values()],
        color=["C0" if name in HONEST else "C3" for name in found],
    )
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(places, [name.replace(", ", "\n").replace("_", "\n") for name in found], fontsize=7)
    axis.set_title("miners: profit a round, ether (± 2 standard errors)", fontsize=9)


def _auditors(axis: Any, market: Mapping[str, Any]) -> None:
    found = market["auditors"]
    parts = ("from_votes", "from_dividends", "thirds_of_filers", "audits", "locks_lost")
    ups, downs = [0.0] * len(found), [0.0] * len(found)
    for part in parts:
        heights = [row[part] or 0.0 for row in found.values()]
        bottoms = [up if height >= 0 else down for up, down, height in zip(ups, downs, heights, strict=True)]
        axis.bar(range(len(found)), heights, bottom=bottoms, label=part.replace("_", " "))
        ups = [up + max(0.0, height) for up, height in zip(ups, heights, strict=True)]
        downs = [down + min(0.0, height) for down, height in zip(downs, heights, strict=True)]
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(found)), list(found), fontsize=7)
    axis.set_title("auditors: what a staked ether came to in the run", fontsize=9)
    axis.legend(fontsize=6)


def _deposit(axis: Any, swept: Mapping[str, Any], watching: list[Mapping[str, Any]]) -> None:
    axis.plot(
        [row["value"] / 100 for row in swept["rows"]],
        [100 * row["over_claim_deterred_from_chance"] for row in swept["rows"]],
        color="black",
        label="cheating stops paying (one attack)",
    )
    for row in watching:
        pays = row["over_claimer_profit_ether"] > 0
        axis.plot(
            row["deposit_bps"] / 100, 100 * row["caught_share"], "x" if pays else "o", color="C3" if pays else "C2"
        )
    axis.plot([], [], "x", color="C3", label="over-claimers gained (market)")
    axis.plot([], [], "o", color="C2", label="over-claimers lost (market)")
    axis.set_xlabel("deposit, % of the bounty", fontsize=8)
    axis.set_ylabel("false claims caught, %", fontsize=8)
    axis.set_title("how surely a false claim has to be caught", fontsize=9)
    axis.legend(fontsize=6)


def _stake(axis: Any, shares: Mapping[str, Any]) -> None:
    turnouts = [100 * float(turnout) for turnout in shares]
    for key, colour in (("false_claim_settles", "C3"), ("honest_claim_struck", "C0")):
        axis.plot(
            turnouts,
            [100 * (row[key] or 0) for row in shares.values()],
            "o-",
            color=colour,
            label=key.replace("_", " "),
        )
    axis.axhline(100 / 3, color="black", linewidth=0.8, linestyle=":")
    axis.axhline(200 / 3, color="black", linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 100)
    axis.set_xlabel("honest stake that votes, %", fontsize=8)
    axis.set_ylabel("share of all stake needed, %", fontsize=8)
    axis.set_title("buying a vote", fontsize=9)
    axis.legend(fontsize=7)


def _lock(axis: Any, swept: Mapping[str, Any]) -> None:
    values = [row["value"] / 100 for row in swept["rows"]]
    axis.loglog(values, [row["votes_at_once"] for row in swept["rows"]], "o-", color="C0", label="votes at once")
    axis.loglog(
        values,
        [100 * row["bribe_guarantee_share_of_stake"] for row in swept["rows"]],
        "o-",
        color="C3",
        label="a bribe's guarantee, % of the stake",
    )
    crowded = swept["large_markets"]
    axis.loglog(
        [row["value"] / 100 for row in crowded],
        [100 * row["false_settled_share"] for row in crowded],
        "x--",
        color="black",
        label="tasks settled falsely, % (large market)",
    )
    axis.axvline(swept["default"] / 100, color="black", linewidth=0.8, linestyle=":")
    axis.set_xlabel("lockBps, % of the weight", fontsize=8)
    axis.set_title("what a ballot risks: capacity against dearness", fontsize=9)
    axis.legend(fontsize=7)


def _evolution(axis: Any, runs: Mapping[str, Any]) -> None:
    for number, (name, history) in enumerate(runs.items()):
        cheats = [sum(parts) for parts in zip(history["over_claimer"], history["ring"], strict=True)]
        axis.plot(range(1, len(cheats) + 1), [100 * share for share in cheats], color=f"C{number}", label=name)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("generation", fontsize=8)
    axis.set_ylabel("miners that over-claim, %", fontsize=8)
    axis.set_title("if people imitate what pays", fontsize=9)
    axis.legend(fontsize=6)

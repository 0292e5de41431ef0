"""The figure beside the results. Without matplotlib there is none, and a line says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def can_plot() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def overview(results: Mapping[str, Any], path: Path) -> None:
    """Four figures, each with what is asked for as a dotted line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _catch_up(axes[0][0], results["catch_up"])
    _listing(axes[0][1], results["listing"])
    _latency(axes[1][0], results["latency"])
    _idle(axes[1][1], results["idle"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _catch_up(axis: Any, found: Mapping[str, Any]) -> None:
    bars = {
        "ours\nwall clock": found["events_per_second"],
        "web3's loop\nwall clock": round(found["web3"]["events"] / found["web3"]["seconds"]),
        "ours\na CPU second": found["events_per_cpu_second"],
        "web3's loop\na CPU second": found["web3_events_per_cpu_second"],
    }
    _bars(axis, bars, f"catch-up: events a second, of {found['events']}")
    axis.axhline(found["limits"]["events_per_second"], color="black", linewidth=0.8, linestyle=":")


def _listing(axis: Any, found: Mapping[str, Any]) -> None:
    bars = {
        "all in\ntraining": found["all_in_training"]["seconds"],
        "half of\nthem over": found["half_over"]["seconds"],
        "start of\nPython": found["start_seconds"],
        "whole\ncommand": found["command_seconds"],
        "one by one": found["one_by_one_seconds"],
    }
    _bars(axis, bars, f"task list: seconds, {found['tasks']} tasks")
    axis.axhline(found["limits"]["seconds"], color="black", linewidth=0.8, linestyle=":")
    axis.set_yscale("log")


def _latency(axis: Any, found: Mapping[str, Any]) -> None:
    rows, bottoms = found["tasks"], [0.0] * len(found["tasks"])
    for part in ("release_to_noticed", "scoring", "built_to_sent"):
        heights = [row[part] for row in rows]
        axis.bar(range(1, len(rows) + 1), heights, bottom=bottoms, label=part.replace("_", " "), width=0.6)
        bottoms = [low + height for low, height in zip(bottoms, heights, strict=True)]
    axis.axhline(found["limits"]["without_scoring_seconds"], color="black", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(1, len(rows) + 1))
    axis.set_xlabel("task", fontsize=8)
    axis.set_title("from release to signed reveal: seconds", fontsize=9)
    axis.legend(fontsize=7)


def _idle(axis: Any, found: Mapping[str, Any]) -> None:
    shares = {
        f"{name.replace('_', ' ')}\n{found[name]} of {limit}": 100 * found[name] / limit
        for name, limit in found["limits"].items()
    }
    _bars(axis, {name: round(share) for name, share in shares.items()}, "idle miner: % of what is allowed")
    axis.axhline(100, color="black", linewidth=0.8, linestyle=":")


def _bars(axis: Any, bars: Mapping[str, float], title: str) -> None:
    drawn = axis.bar(range(len(bars)), list(bars.values()), width=0.6)
    axis.bar_label(drawn, fontsize=7)
    axis.set_xticks(range(len(bars)), list(bars), fontsize=7)
    axis.set_title(title, fontsize=9)

"""The figure beside the results. Without matplotlib there is none, and a line says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soak_parts.stage import Stage

ORDER = ("Training", "Releasing", "Revealing", "Opening", "Challenge", "Settled", "Void", "Cancelled", "Aborted")


def can_plot() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def overview(stage: Stage, path: Path) -> None:
    """Above: tasks by phase over time. Below: whose processes ran when, and every kill."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    _phases(above, stage.samples)
    _lives(below, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _phases(axis: Any, samples: Sequence[dict[str, Any]]) -> None:
    seen = {label for sample in samples for label in sample["phases"]}
    labels = [label for label in ORDER if label in seen] + sorted(seen - set(ORDER))
    times = [sample["at"] for sample in samples]
    heights = [[sample["phases"].get(label, 0) for sample in samples] for label in labels]
    axis.stackplot(times, heights, labels=labels, linewidth=0)
    axis.set_title("tasks by phase", fontsize=9)
    axis.legend(fontsize=7, loc="upper left")


def _lives(axis: Any, stage: Stage) -> None:
    rows: dict[str, list[tuple[float, float]]] = {}
    for program in stage.programs:
        spans = rows.setdefault(program.name.split("-")[0], [])
        for life in program.lives:
            ended = life.ended if life.ended is not None else stage.ended_at
            spans.append((life.began, max(0.0, ended - life.began)))
    rows["ipfs"] = []
    for index, (name, spans) in enumerate(rows.items()):
        axis.broken_barh(spans, (index - 0.3, 0.6), alpha=0.5, linewidth=0)
        kills = [kill.at for kill in stage.kills if kill.name == name]
        axis.plot(kills, [index] * len(kills), "x", color="black", markersize=5)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.set_xlabel("seconds", fontsize=8)
    axis.set_title(f"processes at work, and {len(stage.kills)} SIGKILLs (x)", fontsize=9)
